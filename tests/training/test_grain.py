"""Grain from noise: noise is a function of place and frame, and the branch draws with it, learns, folds and ships."""

from __future__ import annotations

import dataclasses
import doctest
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from msgspec.structs import replace
from torch import Tensor

from training.export import export
from training.loop.trainer import CHECKPOINT
from training.material.luma import luma
from training.networks import noise
from training.networks.generator import LumaGenerator
from training.networks.grain import FAINT
from training.networks.grow import grow
from training.recipe import Recipe
from training.recipe.config import GeneratorConfig, LossConfig
from training.records.enlarge import enlarge
from vs_gansr.model.metadata import Metadata

CONFIG = GeneratorConfig(width=16, convolutions=3, start_slope=0.0, grain=True)


def drawing(config: GeneratorConfig = CONFIG) -> LumaGenerator:
    """A generator whose grain is to be seen, and coloured."""
    torch.manual_seed(0)
    generator = LumaGenerator(config)
    assert generator.grain is not None
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return generator


def pair(n: int = 1, height: int = 12, width: int = 10, scale: int = 2) -> tuple[Tensor, Tensor]:
    """(pictures, noise) for a generator."""
    random = torch.Generator().manual_seed(4)
    large = (n, 1, scale * height, scale * width)
    return torch.rand(n, 3, height, width, generator=random), torch.randn(large, generator=random)


# --- noise ----------------------------------------------------------------------------------------------------------


def test_examples_in_the_docstrings() -> None:
    done = doctest.testmod(noise)
    assert (done.attempted > 0, done.failed) == (True, 0)


def test_noise_is_blue_with_deviation_one() -> None:
    plane = noise.noise_plane(256, 256, 5)
    assert float(plane.mean()) == pytest.approx(0, abs=0.01)
    assert float(plane.std()) == pytest.approx(1, abs=0.02)
    power = np.abs(np.fft.fft2(plane)) ** 2
    assert power[:16, :16].mean() < 0.05 * power[100:156, 100:156].mean()


@pytest.mark.parametrize(("live", "steady"), [(0.0, 1.0), (0.5, 0.5), (1.0, 0.0)])
def test_frames_share_what_is_not_live(live: float, steady: float) -> None:
    first, second = (noise.noise_plane(128, 128, frame, live=live).ravel() for frame in (7, 8))
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(steady, abs=0.03)


def test_neighbouring_places_and_frames_have_nothing_else_in_common() -> None:
    planes = [noise.noise_plane(96, 96, frame, top, left, 1.0).ravel()
              for frame, top, left in ((0, 0, 0), (1, 0, 0), (0, 200, 0), (0, 0, 200), (0, 200, 200))]  # fmt: skip
    apart = np.corrcoef(planes) - np.eye(5)
    assert np.abs(apart).max() < 0.04


@pytest.mark.parametrize("wrong", [(0, 4, 0), (4, 4, -1), (4, 4, 0, -1)])
def test_impossible_planes_are_refused(wrong: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"noise_plane: \d+x\d+ at .* give sizes from 1 on"):
        noise.noise_plane(*wrong)


def test_batches_are_pure_and_clips_stay_in_place() -> None:
    first, again = (noise.batch_noise(1, 5, 4, 16, 2) for _ in range(2))
    assert first.shape == (4, 1, 16, 16)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, noise.batch_noise(1, 6, 4, 16, 2))
    assert np.corrcoef(first[0].ravel(), first[1].ravel())[0, 1] > 0.2  # neighbouring frames of one place
    assert abs(np.corrcoef(first[1].ravel(), first[2].ravel())[0, 1]) < 0.2


# --- the branch -----------------------------------------------------------------------------------------------------


def test_a_new_generator_is_faint_and_without_noise_all_are_silent() -> None:
    torch.manual_seed(1)
    with_grain = LumaGenerator(CONFIG)
    pictures, plane = pair()
    with torch.no_grad():
        assert float((with_grain(pictures, plane) - with_grain(pictures)).std()) == pytest.approx(FAINT, rel=0.1)
        loud = drawing()
        assert float((loud(pictures, plane) - loud(pictures)).abs().mean()) > 0.005


@pytest.mark.parametrize("scale", [2, 4])
def test_grain_is_linear_in_the_noise_and_gray(scale: int) -> None:
    generator = drawing(replace(CONFIG, scale=scale))
    pictures, plane = pair(2, scale=scale)
    with torch.no_grad():
        plain = generator(pictures)
        once, twice = generator(pictures, plane) - plain, generator(pictures, 2 * plane) - plain
    assert torch.allclose(twice, 2 * once, atol=1e-5)
    assert torch.allclose(once, luma(once).expand_as(once), atol=1e-5)


def test_noise_of_another_size_is_refused() -> None:
    pictures, plane = pair()
    with pytest.raises(ValueError, match=r"GrainBranch: noise \(1, 1, 22, 20\) does not lie on \(1, 16, 12, 10\)"):
        drawing()(pictures, plane[:, :, 2:])


def test_loudness_is_learned_by_place() -> None:
    """Grain on the bright half of a picture only, asked for by its energy alone."""
    generator = LumaGenerator(CONFIG)
    pictures = torch.zeros(1, 3, 16, 16)
    pictures[..., 8:] = 0.8
    wanted = torch.zeros(1, 1, 32, 32)
    wanted[..., 16:] = 0.05
    optimiser = torch.optim.Adam(generator.grain.parameters(), lr=0.02)  # type: ignore[union-attr]
    for step in range(80):
        plane = torch.from_numpy(noise.batch_noise(1, step, 1, 32, 1))
        grain = luma(generator(pictures, plane) - generator(pictures).detach())
        energy = torch.nn.functional.avg_pool2d(grain.square(), 8)
        optimiser.zero_grad()
        (energy - torch.nn.functional.avg_pool2d(wanted.square(), 8)).abs().mean().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    with torch.no_grad():
        grain = luma(generator(pictures, plane) - generator(pictures))
    assert float(grain[..., 20:].std()) == pytest.approx(0.05, rel=0.35)
    assert float(grain[..., :12].std()) < 0.015


# --- folding, growing, shipping -------------------------------------------------------------------------------------


def test_exported_grain_is_the_trained_one_and_comes_back(tmp_path: Path) -> None:
    generator = drawing()
    model = export.to_onnx(generator.plain(), Metadata(name="grainy"))
    assert [(each.name, each.type.tensor_type.shape.dim[1].dim_value) for each in model.graph.input] == [
        ("input", 1), ("noise", 1),
    ]  # fmt: skip
    assert export.difference(model, generator) < export.TOLERANCE
    (tmp_path / "grainy.onnx").write_bytes(model.SerializeToString())
    plain, _ = export.from_onnx(tmp_path / "grainy.onnx")
    again = LumaGenerator(CONFIG)
    again.adopt(plain)
    pictures, plane = pair()
    with torch.no_grad():
        assert torch.allclose(again(pictures, plane), generator(pictures, plane), atol=1e-5)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    quiet, loud = (
        np.asarray(session.run(None, {"input": luma(pictures).numpy(), "noise": noise.numpy()})[0])
        for noise in (0 * plane, plane)
    )
    assert np.abs(loud - quiet).mean() > 0.005
    assert plain.multiply_adds > dataclasses.replace(plain, grain=None).multiply_adds


def test_growing_keeps_the_grain() -> None:
    small, config = drawing(), replace(CONFIG, width=32, convolutions=5)
    large = LumaGenerator(config)
    large.adopt(grow(small.plain(), 32, 5, 0, noise=0.0))
    pictures, plane = pair()
    with torch.no_grad():
        assert torch.allclose(large(pictures, plane), small(pictures, plane), atol=2e-5)


def test_grain_may_be_added_to_a_network_but_not_lost_by_adopting() -> None:
    without = LumaGenerator(replace(CONFIG, grain=False))
    LumaGenerator(CONFIG).adopt(without.plain())
    with pytest.raises(ValueError, match=r"adopt: it has grain; set generator\.grain = true"):
        without.adopt(drawing().plain())


def test_frames_are_enlarged_with_noise_of_their_own() -> None:
    low = np.full((2, 8, 6, 3), 128, np.uint8)
    made = enlarge(drawing(), low)
    assert made.shape == (2, 16, 12, 3)
    assert not np.array_equal(made[0], made[1])
    assert np.array_equal(made, enlarge(drawing(), low))
    plain = enlarge(LumaGenerator(replace(CONFIG, grain=False)), low)
    assert (plain == 128).all()


def test_a_run_with_grain_learns_resumes_and_exports(trainer, small_recipe: Recipe, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    recipe = replace(
        small_recipe,
        generator=replace(small_recipe.generator, grain=True),
        pixel=LossConfig(pixel=0.5, sliced_texture=0.5),
    )
    whole = trainer(recipe, "whole", pixel_part=1.0, steps=6)
    assert whole.train()
    assert not trainer(recipe, "broken", pixel_part=1.0, steps=6).train(stop_at=3)
    broken = trainer(recipe, "broken", pixel_part=1.0, steps=6)
    assert broken.train()
    assert all(torch.equal(a, b) for a, b in zip(whole.mean.parameters(), broken.mean.parameters(), strict=True))
    assert float(whole.generator.grain.gain.weight.detach().abs().max()) > 0
    made = export.export(tmp_path / "whole" / CHECKPOINT, tmp_path / "grainy.onnx", "a test")
    assert made.plain.grain is not None
