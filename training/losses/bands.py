"""Split a picture by scale: Gaussian low pass and Laplacian bands."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def low_pass(pictures: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of deviation `sigma` pixels, edges reflected: (N, C, H, W) to the same; 0 returns them unchanged.

    The kernel ends at three deviations, so H and W must be larger than those.

    >>> round(float(low_pass(torch.ones(1, 1, 8, 8), 1.0).mean()), 4)
    1.0
    """
    if sigma <= 0:
        return pictures
    reach = max(1, round(3 * sigma))
    taps = torch.exp(
        -0.5 * (torch.arange(-reach, reach + 1, dtype=pictures.dtype, device=pictures.device) / sigma) ** 2
    )
    return _separable(pictures, taps / taps.sum())


def laplacian(pictures: Tensor, levels: int) -> list[Tensor]:
    """The `levels` finest bands of a Laplacian pyramid and what is left below them, finest first.

    (N, C, H, W) with sides that 2^levels divides -> tensors of 1, 1/2, 1/4, ... of that size. `collapse` adds them up
    again. P. Burt and E. Adelson, IEEE Trans. Communications 31 (1983), with their kernel (1, 4, 6, 4, 1) / 16.

    >>> [tuple(band.shape[2:]) for band in laplacian(torch.rand(1, 1, 16, 8), 2)]
    [(16, 8), (8, 4), (4, 2)]
    """
    if levels < 1 or pictures.shape[-1] % 2**levels or pictures.shape[-2] % 2**levels:
        raise ValueError(f"laplacian: {levels} levels need sides that {2**levels} divides, got {tuple(pictures.shape)}")
    bands, rest = [], pictures
    for _ in range(levels):
        smaller = halve(rest)
        bands.append(rest - _double(smaller))
        rest = smaller
    return [*bands, rest]


def collapse(bands: list[Tensor]) -> Tensor:
    """The picture that `laplacian` split: its inverse.

    >>> x = torch.rand(1, 1, 8, 8, dtype=torch.float64)
    >>> bool(torch.allclose(collapse(laplacian(x, 2)), x))
    True
    """
    picture = bands[-1]
    for band in reversed(bands[:-1]):
        picture = band + _double(picture)
    return picture


def halve(pictures: Tensor) -> Tensor:
    """The next smaller level of the Gaussian pyramid: (N, C, H, W) with even sides to (N, C, H / 2, W / 2)."""
    return _separable(pictures, _binomial(pictures))[:, :, ::2, ::2]


def _double(pictures: Tensor) -> Tensor:
    n, c, height, width = pictures.shape
    spread = pictures.new_zeros(n, c, 2 * height, 2 * width)
    spread[:, :, ::2, ::2] = 4 * pictures
    return _separable(spread, _binomial(pictures))


def _binomial(like: Tensor) -> Tensor:
    return like.new_tensor([1, 4, 6, 4, 1]) / 16


def _separable(pictures: Tensor, taps: Tensor) -> Tensor:
    """Filter both axes by the odd number of `taps`, edges reflected."""
    n, c, height, width = pictures.shape
    reach = len(taps) // 2
    mode = "reflect" if min(height, width) > reach else "replicate"
    padded = F.pad(pictures.reshape(n * c, 1, height, width), (reach,) * 4, mode=mode)
    return F.conv2d(F.conv2d(padded, taps[None, None, :, None]), taps[None, None, None]).view(n, c, height, width)
