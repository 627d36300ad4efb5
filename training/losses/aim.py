"""Sharpen the reference, or replace it where its fine detail cannot be known from the input."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..networks.generator import catmull_rom
from ..recipe.config import AimConfig
from .regions import directionless, flat


def sharpened_resize(small: Tensor, scale: int, amount: float) -> Tensor:
    """Catmull-Rom of luma (N, 1, h, w), plus `amount` times its difference from its 3x3 binomial mean: (N, 1, S * h,
    S * w), not clamped."""
    kernel = catmull_rom(scale).to(small)
    large = F.pixel_shuffle(F.conv2d(F.pad(small, (2,) * 4, mode="replicate"), kernel), scale)
    return large + amount * fine(large, 1, 2, 1)


def crisp(real: Tensor, small: Tensor, amount: float) -> Tensor:
    """Luma (N, 1, H, W) with a part of its fine detail added, each pixel kept between the least and the greatest of its
    3x3 neighbourhood: edges become narrower and get no halos.

    The part is `amount` times the share of the reference's fine detail, as averages of its pixels show it, that the
    input `small`, (N, 1, h, w), lacks: a network answers to a soft input with less contrast than its reference has, as
    the mean of what may be there. 0 changes nothing; nothing is added where the input lacks nothing.
    """
    if not amount:
        return real
    taps = (1, 4, 6, 4, 1)
    here, there = fine(small, *taps), fine(F.avg_pool2d(real, real.shape[-1] // small.shape[-1]), *taps)
    found = (here * there).mean((1, 2, 3), keepdim=True) / there.square().mean((1, 2, 3), keepdim=True).clamp_min(1e-6)
    around = F.pad(real, (1,) * 4, mode="replicate")
    least, most = -F.max_pool2d(-around, 3, 1), F.max_pool2d(around, 3, 1)
    return (real + amount * (1 - found).clamp(0, 1) * fine(real, *taps)).maximum(least).minimum(most)


def fine(luma: Tensor, *taps: int) -> Tensor:
    """Luma (N, 1, H, W) without its mean weighted by `taps`, an odd number of them, along both axes."""
    weights = luma.new_tensor(taps) / sum(taps)
    padded = F.pad(luma, (len(taps) // 2,) * 4, mode="replicate")
    return luma - F.conv2d(padded, (weights[:, None] * weights)[None, None])


def aimed(small: Tensor, real: Tensor, config: AimConfig) -> Tensor:
    """`real`, (N, 1, H, W) luma in [0, 1], with the sharpened resize of `small` mixed in where the recipe says.

    Fine texture without a direction cannot be known from the small picture; its likeliest guess, which aligned losses
    ask for, links dots into lines, and on flats is grain wiped off. The small picture's own samples do neither.
    Carries no gradient; unchanged where `config` names no place.
    """
    if not config.texture and not config.flat:
        return real
    with torch.no_grad():
        scale = real.shape[-1] // small.shape[-1]
        resized = sharpened_resize(small, scale, config.amount)
        plain = sharpened_resize(small, scale, config.flat_amount)
        aim = real.lerp(resized, config.texture * directionless(real))
        return aim.lerp(plain, config.flat * flat(real))
