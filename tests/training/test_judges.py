"""A run whose judges are heads on a pretrained network: every loss is measured, heard in its share, and resumes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace

from training import smoke
from training.loop.trainer import Trainer
from training.recipe import Recipe, RecipeError, check
from training.recipe.config import LossConfig, ProjectedConfig


@pytest.fixture
def judged(small_recipe: Recipe) -> Recipe:
    shares = LossConfig(
        pixel=0.3, structure=0.0, perceptual=0.2, distribution=0.1, projected=0.2, artifact=0.1, mesh=0.1
    )
    heads = ProjectedConfig(blocks=(2,), enlarge=1, width=8)
    run = replace(small_recipe.run, steps=8, warmup=1, pixel_part=0.35, balance_every=2)
    return check(
        replace(
            small_recipe,
            pixel=LossConfig(pixel=0.8, perceptual=0.2),
            adversarial=shares,
            projected=heads,
            run=run,
        )
    )


@pytest.mark.parametrize("where", ["everywhere", "texture"])
def test_a_broken_off_run_repeats_an_unbroken_one(
    trainer: Callable[..., Trainer], judged: Recipe, tmp_path: Path, where: str
) -> None:
    recipe = replace(judged, projected=replace(judged.projected, where=where))
    assert trainer(recipe, "whole").train()
    assert not trainer(recipe, "broken").train(stop_at=4)
    assert trainer(recipe, "broken").train()
    whole, broken = (smoke.losses_logged(tmp_path / name) for name in ("whole", "broken"))
    assert whole == broken
    assert {"loss_pixel", "loss_perceptual"} <= set(whole[0])
    assert {
        "loss_projected",
        "loss_perceptual",
        "loss_distribution",
        "loss_artifact",
        "loss_mesh",
        "heads_accuracy",
    } <= set(whole[-1])
    assert "accuracy" not in whole[-1], "the U-shaped discriminator has no share and does not learn"
    assert whole[-1]["share_projected"] == pytest.approx(0.2, abs=0.01)


def test_a_generator_with_colour_learns_chroma(
    trainer: Callable[..., Trainer], small_recipe: Recipe, tmp_path: Path
) -> None:
    recipe = replace(
        small_recipe,
        generator=replace(small_recipe.generator, phases=2, colour=True),
        pixel=LossConfig(pixel=0.6, chroma=0.4),
        adversarial=LossConfig(pixel=0.5, chroma=0.3, adversarial=0.2),
    )
    run = trainer(check(recipe), "colour")
    before = [parameter.detach().clone() for parameter in run.generator.body[-1].parameters()]
    assert run.train()
    rows = smoke.losses_logged(tmp_path / "colour")
    assert all("loss_chroma" in row for row in rows)
    after = list(run.generator.body[-1].parameters())
    assert not torch.equal(before[0][16:], after[0][16:]), "the outputs of chroma did not learn"
    with pytest.raises(RecipeError, match="set phases = 2"):
        check(replace(recipe, generator=replace(recipe.generator, phases=1)))


def test_a_generator_of_blocks_learns_that_its_output_moves_with_its_input(
    trainer: Callable[..., Trainer], small_recipe: Recipe, tmp_path: Path
) -> None:
    shares = LossConfig(pixel=0.01, shift=0.99)
    recipe = replace(
        small_recipe,
        generator=replace(small_recipe.generator, phases=2, colour=True),
        pixel=shares,
        run=replace(small_recipe.run, pixel_part=1.0, steps=30, rate=3e-3, warmup=1, log_every=1),
    )
    run = trainer(check(recipe), "moved")
    with torch.no_grad():
        run.generator.body[-1].bias[5] += 0.05  # a mesh: one pixel of each block is lighter
    assert run.train()
    rows = smoke.losses_logged(tmp_path / "moved")
    assert rows[0]["loss_shift"] > 0.003
    assert rows[-1]["loss_shift"] < 0.6 * rows[0]["loss_shift"]
    with pytest.raises(RecipeError, match=r"generator.phases 1: its output moves with its input"):
        check(replace(recipe, generator=replace(recipe.generator, phases=1, colour=False)))


def test_judges_are_not_asked_before_they_learn(judged: Recipe) -> None:
    with pytest.raises(RecipeError, match=r"pixel.adversarial, feature and projected must be 0"):
        check(replace(judged, pixel=LossConfig(pixel=1.0, projected=0.2)))
