"""Wear a sharp clip as footage is worn before its last encode: soft optics, an earlier resize, halos, lost lines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..recipe.config import WearConfig
from . import codec, effects
from .codec import Frames

WORN = "worn "
"""What `str()` of a history begins with."""


@dataclass(frozen=True)
class Wear:
    """One drawn history of a clip; `str()` of it labels the sheet of pairs."""

    blur: float
    """Deviation of the Gaussian in reference pixels; 0: none."""
    width: float
    """Earlier width, relative to the input's."""
    height: float
    """Earlier height, relative to the input's."""
    kernels: tuple[str, str]
    """What resizes to the earlier size and from it to the input's."""
    radius: float
    """Of the unsharp mask, in pixels of the earlier size; 0: none."""
    amount: float
    """Of the unsharp mask."""
    taps: tuple[float, float]
    """Outer tap of the FIR filter along rows and along columns; 0: none."""
    lines: int
    """Which half of the lines is shown twice, 0 or 1; -1: all lines are kept."""
    crf: float
    """Rate factor of the encode at the earlier size; 0: none."""

    def __str__(self) -> str:
        parts = [f"{WORN}{self.width:.2f}x{self.height:.2f} {'/'.join(self.kernels)}"]
        parts += [f"soft {self.blur:.1f}"] if self.blur else []
        parts += [f"mask {self.radius:.1f}/{self.amount:.1f}"] if self.radius else []
        parts += [f"taps {self.taps[0]:.2f}/{self.taps[1]:.2f}"] if any(self.taps) else []
        parts += ["half the lines"] if self.lines >= 0 else []
        parts += [f"crf {self.crf:.0f}"] if self.crf else []
        return ", ".join(parts)


def draw(rng: np.random.Generator, config: WearConfig) -> Wear | None:
    """Draw a history, or None for a clip that is not worn.

    The same state of `rng` and `config` give the same answer.
    """
    if rng.random() >= config.chance:
        return None
    blur = float(rng.uniform(*config.blur_sigma)) if rng.random() < config.blur_chance else 0.0
    kernels = list(effects.KERNELS)
    first, second = (kernels[int(rng.integers(len(kernels)))] for _ in range(2))
    radius = amount = along = down = 0.0
    if rng.random() < config.halo_chance:
        if rng.random() >= config.taps_share:
            radius, amount = float(rng.uniform(*config.mask_radius)), float(rng.uniform(*config.mask_amount))
        else:
            along = float(rng.uniform(*config.taps))
            down = float(rng.uniform(*config.taps)) if rng.random() < 0.6 else 0.0
    return Wear(
        blur=blur,
        width=float(rng.uniform(*config.width)),
        height=float(rng.uniform(*config.height)),
        kernels=(first, second),
        radius=radius,
        amount=amount,
        taps=(along, down),
        lines=int(rng.integers(2)) if rng.random() < config.lines_chance else -1,
        crf=float(rng.uniform(*config.encode_crf)) if rng.random() < config.encode_chance else 0.0,
    )


def apply(frames: Frames, worn: Wear, scale: int) -> Frames:
    """Wear sharp frames on their way to `1 / scale` of their size.

    (n, height, width, 3) uint8 RGB to (n, height / scale, width / scale, 3).
    """
    _, height, width, _ = frames.shape
    final = (width // scale, height // scale)
    earlier = (_by_four(final[0] * worn.width), _by_four(final[1] * worn.height))
    first, second = worn.kernels
    seen = effects.resize(effects.blur(frames, worn.blur), earlier, first)
    seen = effects.sharpen(seen, worn.amount, worn.radius)
    if any(worn.taps):
        seen = effects.ring(seen, *worn.taps)
    if worn.crf:
        seen = codec.to_rgb(codec.transcode(codec.to_yuv420(seen), "h264", worn.crf, "veryfast"))
    if worn.lines >= 0:
        seen = effects.resize(seen[:, worn.lines :: 2], earlier, "bilinear")
    return effects.resize(seen, final, second)


def _by_four(side: float) -> int:
    """The nearest multiple of 4 of at least 4: 4:2:0 with left-sited chroma wants it."""
    return max(4, 4 * round(side / 4))
