"""Owns telling where a picture is flat, where it has an edge and where texture; knows no losses."""

from __future__ import annotations

import torch
from torch import Tensor

from .bands import low_pass

FLAT = 4 / 255
"""Root mean square slope of luma, white being 1, below which a place is flat: grain of two code values."""
DIRECTED = 0.5
"""Coherence above which what is not flat is an edge."""
KINDS = ("flat", "edge", "texture")
"""Sky, skin, walls: nothing but grain; lines and borders: one direction; foliage, fur, gravel: slopes without one."""


def regions(real: Tensor, sigma: float = 2.0) -> Tensor:
    """Which of `KINDS` each place of `real`, (N, 1, H, W) luma in [0, 1], is: the same shape, int64 indices.

    By the structure tensor J, the mean of the gradient's outer product in a Gaussian window of `sigma` pixels: flat
    where sqrt(trace J) < `FLAT`, edge where its coherence (l1 - l2) / (l1 + l2), l1 >= l2 being J's eigenvalues, is
    above `DIRECTED`, texture elsewhere. J. Bigun and G. Granlund, ICCV 1987. Carries no gradient.

    >>> KINDS[regions(torch.full((1, 1, 16, 16), 0.5)).max()]
    'flat'
    """
    if real.dim() != 4 or real.shape[1] != 1:
        raise ValueError(f"regions: expected luma (N, 1, H, W), got {tuple(real.shape)}")
    with torch.no_grad():
        dy, dx = torch.gradient(real.float(), dim=(2, 3))
        yy, xx, xy = (low_pass(product, sigma) for product in (dy * dy, dx * dx, dx * dy))
        trace = xx + yy
        apart = torch.sqrt((xx - yy) ** 2 + 4 * xy**2)
        return torch.where(trace < FLAT**2, 0, torch.where(apart > DIRECTED * trace, 1, 2))
