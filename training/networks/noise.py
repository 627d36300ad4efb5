"""Owns the noise that a generator with grain takes in: a function of place and frame alone; knows no networks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_DEVIATION = np.sqrt(1 - 2 * 4 / 16 + 36 / 256)  # of white noise less its 3x3 binomial mean


def noise_plane(
    height: int, width: int, frame: int, top: int = 0, left: int = 0, live: float = 0.5
) -> NDArray[np.float32]:
    """Blue noise of mean 0 and deviation 1 for a part of frame number `frame`: (height, width) float32.

    `top` and `left` place the part, in pixels of the large picture (0 or more). The same pixel of the same frame has
    the same value whatever part is asked for, so frames may come in any order and tiles join. `live` of the variance
    is new in every frame, the rest stands still: 0 looks like dirt on the screen, 1 boils.

    >>> whole = noise_plane(8, 8, 3)
    >>> bool((noise_plane(4, 3, 3, 2, 5) == whole[2:6, 5:8]).all())
    True
    """
    if min(height, width) < 1 or min(frame, top, left) < 0 or not 0 <= live <= 1:
        raise ValueError(
            f"noise_plane: {width}x{height} at ({left}, {top}) of frame {frame}, live {live}: give sizes from 1 on, "
            "places and frames from 0 on, and live from 0 to 1"
        )
    y = np.arange(top, top + height + 2, dtype=np.uint32)[:, None]
    x = np.arange(left, left + width + 2, dtype=np.uint32)
    still, own = (_white(y, x, np.uint32(number)) for number in (0, frame + 1))
    white = np.sqrt(1 - live) * still + np.sqrt(live) * own
    rows = white[:-2] + 2 * white[1:-1] + white[2:]
    mean = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 16
    blue: NDArray[np.float32] = ((white[1:-1, 1:-1] - mean) / _DEVIATION).astype(np.float32)
    return blue


def _white(y: NDArray[np.uint32], x: NDArray[np.uint32], frame: np.uint32) -> NDArray[np.float64]:
    """Uniform noise of mean 0 and deviation 1: the final mix of MurmurHash3 on place and frame."""
    with np.errstate(over="ignore"):
        h = (x * np.uint32(0x9E3779B1)) ^ (y * np.uint32(0x85EBCA77)) ^ (frame * np.uint32(0xC2B2AE3D))
        h = (h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B)
        h = (h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35)
        h ^= h >> np.uint32(16)
    white: NDArray[np.float64] = (h / 2.0**31 - 1) * np.sqrt(3)
    return white


def batch_noise(seed: int, step: int, batch: int, side: int, clip: int) -> NDArray[np.float32]:
    """Noise for a training batch of squares, (batch, 1, side, side): every `clip` of them neighbouring frames of one
    place; places are a function of (seed, step)."""
    random = np.random.default_rng([seed, step, 1])
    planes = []
    for _ in range(batch // clip):
        frame, top, left = (int(value) for value in random.integers(0, 4096, 3))
        planes += [noise_plane(side, side, frame + n, top, left) for n in range(clip)]
    return np.stack(planes)[:, None]
