"""Blur, sharpen, resize and grain clips: (n, height, width, 3) uint8 RGB in, uint8 RGB out."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from .codec import Frames

KERNELS = {
    "catrom": Image.Resampling.BICUBIC,
    "area": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
}
"""Pillow's filters by the names recipes use."""


def resize(frames: Frames, size: tuple[int, int], kernel: str) -> Frames:
    """Resize to `size`, (width, height), with one of `KERNELS`; ValueError for another name."""
    if kernel not in KERNELS:
        raise ValueError(f"resize: unknown kernel {kernel!r}; use one of {', '.join(KERNELS)}")
    return np.stack([np.asarray(Image.fromarray(frame).resize(size, KERNELS[kernel])) for frame in frames])


def blur(frames: Frames, sigma: float) -> Frames:
    """Gaussian blur of that deviation, in pixels of these frames; 0 returns them unchanged."""
    return _filtered(frames, ImageFilter.GaussianBlur(sigma)) if sigma > 0 else frames


def sharpen(frames: Frames, amount: float, radius: float = 1.2) -> Frames:
    """Unsharp mask of that amount and radius, which leaves halos; an amount of 0 returns the frames unchanged."""
    return _filtered(frames, ImageFilter.UnsharpMask(radius, round(100 * amount), 0)) if amount > 0 else frames


def _filtered(frames: Frames, effect: ImageFilter.Filter) -> Frames:
    return np.stack([np.asarray(Image.fromarray(frame).filter(effect)) for frame in frames])


def ring(frames: Frames, along: float, down: float) -> Frames:
    """Filter rows with [-along, 1 + 2 * along, -along] and columns with `down` likewise; edges are repeated."""
    x = frames.astype(np.float32)
    for axis, tap in ((2, along), (1, down)):
        if tap:
            pad = [(0, 0)] * 4
            pad[axis] = (1, 1)
            wide = np.pad(x, pad, mode="edge")
            before, after = (np.take(wide, range(s, s + x.shape[axis]), axis) for s in (0, 2))
            x = (1 + 2 * tap) * x - tap * (before + after)
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)


def grain(frames: Frames, sigma: float, rng: np.random.Generator) -> Frames:
    """Noise of that deviation in code values, new in every frame: mostly luma, half as much colour."""
    if sigma <= 0:
        return frames
    luma = rng.normal(0, sigma, (*frames.shape[:3], 1))
    colour = rng.normal(0, sigma / 2, frames.shape)
    return np.clip(np.rint(frames + luma + colour), 0, 255).astype(np.uint8)
