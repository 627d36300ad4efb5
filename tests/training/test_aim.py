"""What aligned losses ask for: the reference, but where it cannot be known the sharpened resize of the source."""

from __future__ import annotations

import pytest
import torch
from msgspec.structs import replace
from torch.nn import functional as F

from training.losses import objective
from training.losses.aim import aimed, crisp, sharpened_resize
from training.losses.regions import directionless, flat
from training.recipe import Recipe
from training.recipe.config import AdversaryConfig, AimConfig


def scene() -> torch.Tensor:
    """96 x 96: grain of 12 code values left, a flat grey right with an upright bar in the middle of it."""
    random = torch.Generator().manual_seed(3)
    picture = torch.full((1, 1, 96, 192), 0.5)
    picture[..., :96] += 12 / 255 * torch.randn(96, 96, generator=random)
    picture[..., 140:148] = 0.9
    return picture.clamp(0, 1)


def test_where_it_is_texture_and_where_flat() -> None:
    real = scene()
    texture, even = directionless(real)[0, 0], flat(real)[0, 0]
    assert texture[8:88, 8:80].mean() > 0.9
    assert texture[:, 110:].max() == 0
    assert even[:, :90].max() == 0
    assert even[8:88, 112:124].min() > 0.99
    assert even[:, 136:152].max() == 0
    assert (texture + even).max() <= 1


def test_lettering_is_no_texture() -> None:
    cross = torch.zeros(1, 1, 48, 48)
    cross[..., 22:26, :] = cross[..., :, 22:26] = 1
    assert directionless(cross).max() == 0


def test_aim_keeps_the_reference_off_texture() -> None:
    real = scene()
    small = F.avg_pool2d(real, 2)
    aim = aimed(small, real, AimConfig(texture=1.0, amount=1.0, flat=1.0, flat_amount=0.0))
    assert torch.equal(aim[..., 138:150], real[..., 138:150])
    inside = (slice(None), slice(None), slice(16, 80), slice(16, 72))
    wanted = sharpened_resize(small, 2, 1.0)[inside]
    assert (aim[inside] - wanted).abs().mean() < 0.1 * (real[inside] - wanted).abs().mean()
    assert aimed(small, real, AimConfig()) is real


def test_sharpened_resize() -> None:
    flat_one = torch.full((2, 1, 6, 5), 0.3)
    assert torch.allclose(sharpened_resize(flat_one, 2, 1.5), torch.full((2, 1, 12, 10), 0.3), atol=1e-6)
    step = torch.zeros(1, 1, 8, 8)
    step[..., 4:] = 1
    plain, sharp = (sharpened_resize(step, 2, amount)[0, 0, 8] for amount in (0.0, 1.0))
    assert sharp.diff().max() > 1.2 * plain.diff().max()


def test_losses_let_go_of_texture_alone(small_recipe: Recipe) -> None:
    real = scene()
    small = F.avg_pool2d(real, 2)
    recipe = replace(small_recipe, aim=AimConfig(texture=1.0))
    random = torch.Generator().manual_seed(4)
    noise = 0.05 * torch.randn(real.shape, generator=random)

    def loss(columns: slice, recipe: Recipe) -> float:
        made = real.clone()
        made[..., 16:80, columns] += noise[..., 16:80, columns]
        return float(objective.terms({"pixel": 1.0}, small, made, real, recipe, 0)["pixel"])

    still = float(objective.terms({"pixel": 1.0}, small, real, real, recipe, 0)["pixel"])
    texture, bar = (slice(16, 72), slice(136, 152))
    assert loss(texture, recipe) - still < 0.6 * loss(texture, small_recipe)
    assert loss(bar, recipe) - still == pytest.approx(loss(bar, small_recipe), rel=0.05)


def test_the_adversary_is_heard_in_texture_alone() -> None:
    real = scene()
    made = real.clone().requires_grad_()
    heard = objective.heard(made, real, AdversaryConfig(where="texture"))
    assert torch.allclose(heard, made)
    heard.sum().backward()
    assert made.grad is not None
    assert torch.allclose(made.grad, directionless(real))
    assert objective.heard(made, real, AdversaryConfig()) is made


def test_crisp_narrows_edges_of_soft_inputs_and_adds_no_halo() -> None:
    real = torch.zeros(1, 1, 32, 32)
    real[..., 14:18] = torch.tensor([0.1, 0.35, 0.65, 0.9])
    real[..., 18:] = 1
    plain = F.avg_pool2d(real, 2)
    soft = F.avg_pool2d(F.pad(plain, (2,) * 4, mode="replicate"), 5, 1)
    sharp = crisp(real, soft, 2.0)
    assert sharp.diff(dim=-1).square().sum() > 1.1 * real.diff(dim=-1).square().sum()
    assert sharp.min() >= 0 and sharp.max() <= 1
    assert torch.allclose(crisp(real, plain, 2.0), real, atol=1e-6)
    even = torch.full((1, 1, 8, 8), 0.3)
    assert torch.allclose(crisp(even, F.avg_pool2d(even, 2), 2.0), even)
    assert crisp(real, soft, 0.0) is real
