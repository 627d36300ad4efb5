"""Generate synthetic pictures to test a network on.

A picture is a float32 array (3, height, width), RGB in [0, 1].
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .tags import BT709_LUMA

__all__ = ["Picture", "luma", "made_up"]

type Picture = npt.NDArray[np.float32]


def made_up(width: int, height: int, count: int, seed: int = 0) -> list[Picture]:
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
