"""Growing: a wider, deeper generator that computes what the small one did, and is free to learn more."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from msgspec.structs import replace

from training.networks.generator import LumaGenerator, with_colour
from training.networks.grow import carry_chroma, grow
from training.recipe.config import GeneratorConfig

SMALL = GeneratorConfig(width=16, convolutions=4, start_slope=0.0)


def trained() -> LumaGenerator:
    """A generator whose weights are all at work."""
    torch.manual_seed(3)
    generator = LumaGenerator(SMALL)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return generator


def grown(width: int, convolutions: int, noise: float) -> LumaGenerator:
    generator = LumaGenerator(replace(SMALL, width=width, convolutions=convolutions))
    generator.adopt(grow(trained().plain(), width, convolutions, 7, noise))
    return generator


@pytest.mark.parametrize(("width", "convolutions"), [(16, 4), (16, 5), (32, 4), (32, 9), (48, 16)])
def test_the_grown_network_computes_the_same(width: int, convolutions: int) -> None:
    picture = torch.rand(2, 3, 24, 20)
    with torch.no_grad():
        expected, made = trained()(picture), grown(width, convolutions, 0.0)(picture)
    assert float(expected.std()) > 0.01
    assert float((made - expected).abs().max()) < 2e-5


def test_noise_is_small_and_repeats() -> None:
    picture = torch.rand(1, 3, 24, 20)
    with torch.no_grad():
        expected, made, again = trained()(picture), grown(32, 8, 0.02)(picture), grown(32, 8, 0.02)(picture)
        plain = LumaGenerator(SMALL)(picture)
    error = float((made - expected).abs().mean())
    assert 0 < error < 0.1 * float((expected - plain).abs().mean())
    assert torch.equal(made, again)


def test_new_features_are_alive_and_learn() -> None:
    generator = grown(32, 6, 0.0)
    picture = torch.rand(2, 3, 16, 16)
    hidden = generator.hidden(picture)
    assert float((hidden[:, 16:] > 0).float().mean()) > 0.2
    generator(picture).square().mean().backward()
    last = generator.body[-1].direct.grad
    assert last is not None
    assert float(last[:, 16:].abs().min()) > 0


@pytest.mark.parametrize(("width", "convolutions", "slope"), [(15, 4, 0.0), (16, 3, 0.0), (16, 5, 0.2)])
def test_what_cannot_grow_is_refused(width: int, convolutions: int, slope: float) -> None:
    plain = dataclasses.replace(trained().plain(), slope=slope)
    with pytest.raises(ValueError, match=r"grow: "):
        grow(plain, width, convolutions, 0)


def test_the_small_network_is_left_alone() -> None:
    plain = trained().plain()
    before = [kernel.copy() for kernel, _ in plain.convolutions]
    grow(plain, 32, 6, 0, noise=0.5)
    assert all(np.array_equal(a, b) for a, (b, _) in zip(before, plain.convolutions, strict=True))


def test_carried_chroma_arrives_at_the_last_layer_unchanged() -> None:
    torch.manual_seed(4)
    luma = LumaGenerator(replace(SMALL, phases=2))
    plain = carry_chroma(with_colour(luma.plain()))
    generator = LumaGenerator(replace(SMALL, phases=2, colour=True))
    generator.adopt(plain)
    chroma = torch.rand(1, 2, 12, 10)
    with torch.no_grad():
        hidden = generator.hidden(torch.rand(1, 3, 24, 20), chroma)[0]
    for plane in chroma[0]:
        assert min(float((feature - plane).abs().max()) for feature in hidden) < 1e-6
