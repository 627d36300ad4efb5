"""Owns the loss that compares what fine detail is like without asking where it is; knows no networks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_AWAY = 1e4


def directions(count: int, patch: int, random: torch.Generator) -> Tensor:
    """`count` random directions, of norm 1, in the space of patches: (count, 1, patch, patch)."""
    drawn = torch.randn(count, patch * patch, generator=random)
    return F.normalize(drawn, dim=1).view(count, 1, patch, patch)


def sliced_wasserstein(made: Tensor, real: Tensor, where: Tensor, slices: Tensor, window: int) -> Tensor:
    """Distance between the patches of two bands within windows, where a mask says so.

        mean over windows w and slices s of mean_i |sort(s * made)_i - sort(s * real)_i|, i over the places of w in
        the mask

    `made` and `real` are bands (N, 1, H, W) in any range, `where` a mask of the same shape (bool, taken from the
    reference, so that both have as many places), `slices` what `directions` returns, `window` the windows' side in
    pixels. Scalar, 0 for equal bands, blind to where in its window a patch lies. Sliced distance: J. Rabin et al.,
    SSVM 2011; as a texture loss E. Heitz et al., arXiv 2006.07229; on patches of Laplacian bands T. Karras et al.,
    arXiv 1710.10196.

    >>> band = torch.rand(1, 1, 16, 16)
    >>> float(sliced_wasserstein(band, band, band > 0, directions(4, 5, torch.Generator()), 8))
    0.0
    """
    if made.shape != real.shape or made.shape != where.shape or made.dim() != 4 or made.shape[1] != 1:
        shapes = ", ".join(str(tuple(each.shape)) for each in (made, real, where))
        raise ValueError(f"sliced_wasserstein: made, real and where must be equal (N, 1, H, W), got {shapes}")
    patch = slices.shape[-1]
    if min(made.shape[2:]) < patch:
        raise ValueError(f"sliced_wasserstein: patches of {patch} pixels do not fit into {tuple(made.shape[2:])}")
    reach = patch // 2
    inside = where[:, :, reach : where.shape[2] - reach, reach : where.shape[3] - reach]
    mask = _windows(inside, window)
    slices = slices.to(made.device, made.dtype)
    # places outside the mask get one value in both, which sorts to the end and cancels
    a, b = (
        _windows(F.conv2d(band, slices), window).masked_fill(~mask, _AWAY).sort(dim=-1).values for band in (made, real)
    )
    return (a - b).abs().sum() / (mask.sum() * len(slices)).clamp_min(1)


def _windows(maps: Tensor, side: int) -> Tensor:
    """(N, C, H, W) to (N * windows, C, places): squares of about `side`, what is left over at the far edges dropped."""
    n, c = maps.shape[:2]
    down, along = (max(1, round(length / side)) for length in maps.shape[2:])
    h, w = maps.shape[2] // down, maps.shape[3] // along
    cut = maps[:, :, : h * down, : w * along].reshape(n, c, down, h, along, w)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(n * down * along, c, h * w)
