"""Compute the losses: pure functions of tensors, each with its paper."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..material.luma import luma as luma


def _same(name: str, made: Tensor, real: Tensor, dims: int = 4) -> None:
    if made.shape != real.shape or made.dim() != dims:
        raise ValueError(
            f"{name}: made {tuple(made.shape)} and real {tuple(real.shape)} must be equal with {dims} dimensions"
        )


def _pairs(name: str, first: Sequence[Tensor], second: Sequence[Tensor], what: str) -> list[tuple[Tensor, Tensor]]:
    """One to one. Raises ValueError for none, for unequal numbers of `what` and for unequal shapes."""
    if len(first) != len(second) or not first:
        raise ValueError(f"{name}: {len(first)} and {len(second)} {what}; give as many of each")
    pairs = list(zip(first, second, strict=True))
    for a, b in pairs:
        _same(name, a, b)
    return pairs


def charbonnier(made: Tensor, real: Tensor, epsilon: float = 1e-3) -> Tensor:
    """Smooth L1: mean of sqrt((made - real)^2 + epsilon^2) - epsilon.

    (N, C, H, W) both, any range -> scalar, 0 for equal pictures. P. Charbonnier et al., ICIP 1994.

    >>> float(charbonnier(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)))
    0.0
    """
    _same("charbonnier", made, real)
    return torch.sqrt((made - real) ** 2 + epsilon**2).mean() - epsilon


def gradient(made: Tensor, real: Tensor) -> Tensor:
    """Difference of slopes: mean |d_x made - d_x real| + mean |d_y made - d_y real|, forward differences.

    (N, C, H, W) with H, W of at least 2 -> scalar, blind to a constant offset. M. Mathieu et al., arXiv 1511.05440.

    >>> float(gradient(torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)))
    0.0
    """
    _same("gradient", made, real)
    error = made - real
    return error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()


def frequency(made: Tensor, real: Tensor) -> Tensor:
    """Difference of spectra: mean |FFT(made) - FFT(real)| over real and imaginary parts, orthonormal 2-D FFT.

    (N, C, H, W) -> scalar. S.-J. Cho et al. (MIMO-UNet), arXiv 2108.05054, there as the multi-scale L1 of spectra.

    >>> float(frequency(torch.ones(1, 1, 4, 4), torch.ones(1, 1, 4, 4)))
    0.0
    """
    _same("frequency", made, real)
    spectrum = torch.fft.rfft2((made - real).float(), norm="ortho")
    return torch.view_as_real(spectrum).abs().mean()


def structure(made: Tensor, real: Tensor, scales: int = 3) -> Tensor:
    """Loss of structure: 1 - SSIM, mean over planes, pixels and over `scales` sizes, each half the one before.

    (N, C, H, W) in [0, 1], H and W of at least 11 * 2^(scales - 1) -> scalar, 0 for equal pictures, 2 at most.
    Gaussian window of 11 pixels, sigma 1.5, inside the picture only. Z. Wang et al., 2003 and 2004; as a loss beside
    an absolute difference after H. Zhao et al., arXiv 1511.08861.

    >>> float(structure(torch.ones(1, 1, 44, 44), torch.ones(1, 1, 44, 44)))
    0.0
    """
    _same("structure", made, real)
    if min(made.shape[2:]) < 11 << scales - 1:
        raise ValueError(f"structure: {scales} scales need at least {11 << scales - 1} pixels, got {tuple(made.shape)}")
    a, b = (x.to(torch.promote_types(x.dtype, torch.float32)).flatten(0, 1) for x in (made, real))
    terms = []
    for _ in range(scales):
        down, along = (_window(side, a) for side in a.shape[1:])
        ma, mb, aa, bb, ab = (down @ x @ along.mT for x in (a, b, a * a, b * b, a * b))
        means, squares = ma * mb, ma * ma + mb * mb
        ssim = (2 * means + 1e-4) * (2 * (ab - means) + 9e-4) / ((squares + 1e-4) * (aa + bb - squares + 9e-4))
        terms.append(1 - ssim.mean())
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    return torch.stack(terms).mean()


def _window(side: int, like: Tensor) -> Tensor:
    """Blurring along an axis of `side` pixels as a matrix, (side - 10, side)."""
    taps = torch.exp(-0.5 * ((torch.arange(11, dtype=like.dtype, device=like.device) - 5) / 1.5) ** 2)
    rows = [F.pad(taps / taps.sum(), (start, side - 11 - start)) for start in range(side - 10)]
    return torch.stack(rows)


def temporal(made: Tensor, real: Tensor) -> Tensor:
    """Difference of changes: mean |(made_t - made_t-1) - (real_t - real_t-1)|, so that texture does not flicker.

    (N, T, C, H, W) with T of at least 2 -> scalar, blind to an error that stands still. The measure is the
    evaluation's temporal delta; as a loss after W.-S. Lai et al., arXiv 1808.00449, without the warping.

    >>> float(temporal(torch.ones(1, 2, 1, 4, 4), torch.zeros(1, 2, 1, 4, 4)))
    0.0
    """
    _same("temporal", made, real, 5)
    if made.shape[1] < 2:
        raise ValueError(f"temporal: needs clips of at least 2 frames, got {tuple(made.shape)}")
    return (made - real).diff(dim=1).abs().mean()


def relativistic(low: Sequence[Tensor], high: Sequence[Tensor]) -> Tensor:
    """Relativistic pairing: mean of softplus(low - high) over each scale's logits, then over scales.

    `high` are the logits that should come out larger, paired one to one with `low`: the discriminator wants real above
    made, the generator the reverse. Equal logits give log 2. A. Jolicoeur-Martineau, arXiv 1807.00734; with R1 + R2 it
    converges (Y. Huang et al., arXiv 2501.05441).

    >>> round(float(relativistic([torch.zeros(1, 1, 2, 2)], [torch.zeros(1, 1, 2, 2)])), 4)
    0.6931
    """
    pairs = _pairs("relativistic", low, high, "scales of logits")
    return torch.stack([F.softplus(a.float() - b.float()).mean() for a, b in pairs]).mean()


def feature_matching(made: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Mean over maps of mean |made - real| / mean |real|: the discriminator's own features as a perceptual measure.

    Sequences of (N, C, H, W); the real ones are constants. T. Salimans et al., arXiv 1606.03498; per-layer L1 as in
    T.-C. Wang et al., arXiv 1711.11585.

    >>> float(feature_matching([torch.ones(1, 1, 2, 2)], [torch.ones(1, 1, 2, 2)]))
    0.0
    """
    terms = []
    for a, b in _pairs("feature_matching", made, real, "feature maps"):
        b = b.detach()
        terms.append((a - b).abs().mean(dtype=torch.float32) / b.abs().mean(dtype=torch.float32).clamp_min(1e-6))
    return torch.stack(terms).mean()


def distribution(made: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Mean over maps of the distance between the sorted values of each channel, relative to mean |real|.

    It asks that a feature occurs as often and as strongly as in the reference's crop, not at the same places: the
    1-D Wasserstein distance of each channel. Sequences of (N, C, H, W); the real ones are constants. M. Delbracio et
    al., arXiv 2012.09289.

    >>> float(distribution([torch.arange(4.0).reshape(1, 1, 2, 2)], [torch.arange(4.0).flip(0).reshape(1, 1, 2, 2)]))
    0.0
    """
    terms = []
    for a, b in _pairs("distribution", made, real, "feature maps"):
        a, b = (each.flatten(2).float().sort(dim=-1).values for each in (a, b.detach()))
        terms.append((a - b).abs().mean() / b.abs().mean().clamp_min(1e-6))
    return torch.stack(terms).mean()


def artifact(made: Tensor, real: Tensor, steady: Tensor, window: int = 7) -> Tensor:
    """Mean of M |made - real|, M the local variance of real - made where it errs more than `steady`, else 0.

    (N, 1, H, W) all; `steady` is the picture of the averaged weights. M is the variance in a `window` times that of the
    whole picture to the power of 1/5, and carries no gradient. What only a judge wants is new in every step and lies
    off the average: J. Liang et al. (LDL), arXiv 2203.09195.

    >>> float(artifact(torch.ones(1, 1, 8, 8), torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)))
    0.0
    """
    _same("artifact", made, real)
    with torch.no_grad():
        error = real - made
        mean = F.avg_pool2d(error, window, 1, window // 2, count_include_pad=False)
        local = F.avg_pool2d(error**2, window, 1, window // 2, count_include_pad=False) - mean**2
        weight = local.clamp_min(0) * error.var((1, 2, 3), keepdim=True) ** 0.2
        weight = weight * (error.abs() >= (real - steady).abs())
    return (weight * (made - real).abs()).mean()


def mesh(made: Tensor, real: Tensor, period: int, window: int = 6) -> Tensor:
    """How much of made - real follows the blocks of `period` x `period` pixels that a generator gives at once.

    (N, 1, H, W) both, sides being multiples of `period` of more than `window` periods. The sum of two means over
    windows of `window` periods: the square of what repeats in every block (a mesh), and the difference between the
    energies of steps at a block's border and inside it (bricks). Pictures have neither; pretrained features of strided
    networks like both.

    >>> float(mesh(torch.eye(2).repeat(1, 1, 8, 8), torch.zeros(1, 1, 16, 16), 2))
    0.25
    """
    _same("mesh", made, real)
    error = made - real

    def local(planes: Tensor) -> Tensor:
        return F.avg_pool2d(planes, window, max(1, window // 2))

    repeated = local(F.pixel_unshuffle(error, period))
    loss = (repeated - repeated.mean(1, keepdim=True)).square().mean()
    for axis, other in ((2, 2), (3, 1)):
        length = error.shape[axis] - period
        steps = error.narrow(axis, period, length) - error.narrow(axis, period - 1, length)
        blocks = F.pixel_unshuffle(steps.square(), period)
        energy = local(blocks.reshape(len(blocks), period, period, *blocks.shape[2:]).mean(other))
        loss = loss + (energy - energy.mean(1, keepdim=True)).abs().mean()
    return loss


def repetition(made: Tensor, real: Tensor, period: int, window: int = 3) -> Tensor:
    """How much more `made` repeats in blocks of `period` x `period` pixels than `real` does.

    (N, 1, H, W) both, sides being multiples of `period` of more than `window` periods -> scalar of at least 0. The
    mean, over windows of `window` periods, of the deviation of what repeats, where it is above the reference's there.
    Unlike `mesh` it does not ask for the reference's own fine detail.

    >>> mesh = torch.tensor([[1.0, 0.0]]).repeat(1, 1, 16, 8)
    >>> round(float(repetition(mesh, torch.zeros(1, 1, 16, 16), 2)), 2)
    0.5
    """
    _same("repetition", made, real)

    def deviation(picture: Tensor) -> Tensor:
        repeated = F.avg_pool2d(F.pixel_unshuffle(picture, period), window, 1)
        return (repeated.var(1, correction=0) + 1e-6).sqrt()

    return F.relu(deviation(made) - deviation(real)).mean()


def noise_penalty(clean: Sequence[Tensor], noisy: Sequence[Tensor], sigma: float) -> Tensor:
    """Zero-centred gradient penalty without double backward: mean |D(x) - D(x + n)|^2 / sigma^2, n of deviation sigma.

    Its expectation tends to the squared gradient norm of the logits as sigma tends to 0: R1 on real x, R2 on made x.
    S. Lin et al., arXiv 2501.08316; here for every patch's logit, then averaged over patches and scales. Scalar, at
    least 0.

    >>> float(noise_penalty([torch.ones(2, 1, 2, 2)], [torch.ones(2, 1, 2, 2)], 0.1))
    0.0
    """
    if len(clean) != len(noisy) or not clean or sigma <= 0:
        raise ValueError(
            f"noise_penalty: {len(clean)} and {len(noisy)} scales, sigma {sigma}; give as many of each and "
            "a sigma above 0"
        )
    terms = []
    for a, b in zip(clean, noisy, strict=True):
        _same("noise_penalty", a, b)
        terms.append(((a.float() - b.float()) / sigma).square().mean())
    return torch.stack(terms).mean()


def gradient_penalty(logits: Sequence[Tensor], pictures: Tensor) -> Tensor:
    """Zero-centred gradient penalty: mean over pictures and scales s of |grad_x sum_hw D_s(x)|^2 / patches_s.

    R1 for real and R2 for made pictures (L. Mescheder et al., arXiv 1801.04406); dividing by the number of patches
    makes it a patch's own squared slope where patches do not overlap. `pictures` (N, 3, H, W) must require grad and
    be what the logits were computed from. Scalar with a graph for double backward.

    >>> x = torch.ones(1, 3, 2, 2, requires_grad=True)
    >>> float(gradient_penalty([x.mean(dim=1, keepdim=True) * 0], x))
    0.0
    """
    if not pictures.requires_grad or not logits:
        raise ValueError("gradient_penalty: the pictures must require grad and logits must not be empty")
    terms = []
    for scale in logits:
        total = scale.float().sum() / scale[0].numel() ** 0.5
        (slope,) = torch.autograd.grad(total, pictures, create_graph=True)
        terms.append(slope.square().sum(dim=(1, 2, 3)).mean())
    return torch.stack(terms).mean()
