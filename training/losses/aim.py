"""Replace the reference that `pixel` and `structure` see where its fine detail cannot be known from the input."""

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
    taps = large.new_tensor([1, 2, 1]) / 4
    mean = F.conv2d(F.pad(large, (1,) * 4, mode="replicate"), (taps[:, None] * taps)[None, None])
    return large + amount * (large - mean)


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
