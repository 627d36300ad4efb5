"""Compare the distribution of fine detail, wherever it lies."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_APART = 32.0  # more than two patches' projections differ by


def directions(count: int, patch: int, random: torch.Generator) -> Tensor:
    """`count` directions, of norm 1, that `random` draws in the space of patches: (count, 1, patch, patch)."""
    drawn = torch.randn(count, patch * patch, generator=random)
    return F.normalize(drawn, dim=1).view(count, 1, patch, patch)


def sliced_wasserstein(made: Tensor, real: Tensor, kinds: Tensor, count: int, slices: Tensor, window: int) -> Tensor:
    """Distance between the patches of two bands within windows, for each kind of place apart.

        for kind k the mean over windows w and slices s of mean_i |sort(s * made)_i - sort(s * real)_i|, i over the
        places of w that are of kind k

    `made` and `real` are bands (N, 1, H, W) of pictures in [0, 1], `kinds` says of which of `count` kinds each place is
    (the same shape, whole numbers from 0 to count - 1, taken from the reference, so that both have as many of each),
    `slices` is what `directions` returns, `window` the windows' side in pixels. Returns (count,): 0 for equal bands and
    kinds that are nowhere, blind to where in its window a patch lies. Sliced distance: J. Rabin et al., SSVM 2011; as a
    texture loss E. Heitz et al., arXiv 2006.07229; on patches of Laplacian bands T. Karras et al., arXiv 1710.10196.

    >>> band = torch.rand(1, 1, 16, 16)
    >>> sliced_wasserstein(band, band, (band > 0.5).int(), 2, directions(4, 5, torch.Generator()), 8)
    tensor([0., 0.])
    """
    if made.shape != real.shape or made.shape != kinds.shape or made.dim() != 4 or made.shape[1] != 1:
        shapes = ", ".join(str(tuple(each.shape)) for each in (made, real, kinds))
        raise ValueError(f"sliced_wasserstein: made, real and kinds must be equal (N, 1, H, W), got {shapes}")
    patch = slices.shape[-1]
    if min(made.shape[2:]) < patch:
        raise ValueError(f"sliced_wasserstein: patches of {patch} pixels do not fit into {tuple(made.shape[2:])}")
    reach = patch // 2
    inside = kinds[:, :, reach : kinds.shape[2] - reach, reach : kinds.shape[3] - reach]
    # one sort for all kinds: each is lifted above the one before, by as much in both, which cancels
    lift = _APART * _windows(inside, window).to(made.dtype)
    slices = slices.to(made.device, made.dtype)
    a, b = ((_windows(F.conv2d(band, slices), window) + lift).sort(dim=-1).values for band in (made, real))
    apart, kind = (a - b).abs(), (b / _APART).round()
    sums = [(apart * (kind == each)).sum() / (kind == each).sum().clamp_min(1) for each in range(count)]
    return torch.stack(sums)


def _windows(maps: Tensor, side: int) -> Tensor:
    """(N, C, H, W) to (N * windows, C, places): squares of about `side`, what is left over at the far edges dropped."""
    n, c = maps.shape[:2]
    down, along = (max(1, round(length / side)) for length in maps.shape[2:])
    h, w = maps.shape[2] // down, maps.shape[3] // along
    cut = maps[:, :, : h * down, : w * along].reshape(n, c, down, h, along, w)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(n * down * along, c, h * w)
