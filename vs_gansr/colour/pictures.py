"""Generate synthetic pictures to test a network on, and measure how far pictures differ.

A picture is a float32 array (3, height, width), RGB in [0, 1].
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .tags import BT709_LUMA

__all__ = ["Picture", "cells", "luma", "psnr", "synthetic", "yuv420"]

type Picture = npt.NDArray[np.float32]


def synthetic(width: int, height: int, count: int, seed: int = 0) -> list[Picture]:
    """Return `count` synthetic pictures that have the spectrum of photographs, some edges and some flat areas.

    Each is (3, `height`, `width`), RGB in [0, 1]. The same `seed` gives the same pictures.
    """
    rng = np.random.default_rng(seed)
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :]
    falling = 1 / np.maximum(np.hypot(fy, fx), 1 / max(width, height))
    pictures = []
    for _ in range(count):
        noise = np.fft.ifft2(np.fft.fft2(rng.normal(size=(3, height, width))) * falling).real
        noise = noise[:1] + 0.3 * noise
        noise = 0.5 + 0.18 * (noise - noise.mean()) / noise.std()
        for _ in range(4):
            y, x = rng.integers(height), rng.integers(width)
            noise[:, y : y + height // 4, x : x + width // 4] = rng.random((3, 1, 1))
        pictures.append(np.clip(noise, 0, 1).astype(np.float32))
    return pictures


def luma(picture: Picture) -> Picture:
    """Return BT.709 luma of an RGB picture, shape (1, height, width)."""
    return np.tensordot(np.array(BT709_LUMA, np.float32), picture, 1)[np.newaxis].astype(np.float32)


def cells(planes: npt.NDArray[Any], side: int) -> list[npt.NDArray[Any]]:
    """Return views of (..., height, width) planes that hold one sample of each `side` x `side` cell: the upper left
    samples first, then row by row, (..., height / side, width / side) each."""
    return [planes[..., row::side, column::side] for row in range(side) for column in range(side)]


def yuv420(picture: Picture) -> list[npt.NDArray[np.float32]]:
    """Return the planes that a network of 4:2:0 sees of an RGB picture of even size: the four luma samples of each
    2x2 block row by row, U and V, (height / 2, width / 2) each; no colour is 0.5."""
    y = luma(picture)[0]
    weights = np.array(BT709_LUMA, np.float32)
    small = picture.reshape(3, y.shape[0] // 2, 2, y.shape[1] // 2, 2).mean((2, 4))
    gray = np.tensordot(weights, small, 1)
    blue, red = ((small[i] - gray) / (2 * (1 - weights[i])) + np.float32(0.5) for i in (2, 0))
    return [*(np.ascontiguousarray(each) for each in cells(y, 2)), blue.astype(np.float32), red.astype(np.float32)]


def psnr(error: float, peak: float = 1.0, most: float = 100.0) -> float:
    """Return 10 log10(peak^2 / error) in dB, at most `most`.

    `error` is a mean of squared differences and `peak` is the value of white; equal pictures get `most`.

    >>> psnr(0.01)
    20.0
    """
    return min(most, 10 * math.log10(peak**2 / error)) if error else most
