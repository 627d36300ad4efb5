"""Tell flat places, edges and texture of a picture apart."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .bands import low_pass

FLAT = 4 / 255
"""Root mean square slope of luma, white being 1, below which a place is flat: grain of two code values."""
DIRECTED = 0.5
"""Coherence above which what is not flat is an edge."""
ISOTROPIC = 0.4
"""Coherence below which texture has no direction."""
STRONG = 40 / 255
"""Slope above which crossing lines are lettering or graphics rather than texture."""
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
        trace, apart = _tensor(real, sigma)
        return torch.where(trace < FLAT**2, 0, torch.where(apart > DIRECTED * trace, 1, 2))


def directionless(real: Tensor, sigma: float = 3.0) -> Tensor:
    """How far each place of `real`, (N, 1, H, W) luma in [0, 1], is texture without a direction: same shape, 0 to 1.

    1 where J of a wide window (`regions` says what it is) has a coherence below `ISOTROPIC` and a slope from `FLAT` to
    `STRONG`, so that lettering, whose strokes cross, is none; nothing within two pixels of other places; the border
    between is soft. Carries no gradient.

    >>> float(directionless(torch.full((1, 1, 16, 16), 0.5)).max())
    0.0
    """
    with torch.no_grad():
        trace, apart = _tensor(real, sigma)
        found = (trace > FLAT**2) & (trace < STRONG**2) & (apart < ISOTROPIC * trace)
        return _soft(found)


def flat(real: Tensor, sigma: float = 3.0) -> Tensor:
    """How far each place is flat, `FLAT` in a wide window: as `directionless`, which see; the rest lies between."""
    with torch.no_grad():
        return _soft(_tensor(real, sigma)[0] < FLAT**2)


def _soft(found: Tensor) -> Tensor:
    """1 where `found`, two pixels off other places; soft borders."""
    return low_pass(1 - F.max_pool2d(1 - found.float(), 5, 1, 2), 1.5)


def _tensor(real: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Sum and difference of the structure tensor's eigenvalues in a Gaussian window of `sigma` pixels."""
    dy, dx = torch.gradient(real.float(), dim=(2, 3))
    yy, xx, xy = (low_pass(product, sigma) for product in (dy * dy, dx * dx, dx * dy))
    return xx + yy, torch.sqrt((xx - yy) ** 2 + 4 * xy**2)
