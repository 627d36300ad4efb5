"""A run: exact resume, recipes that may not change under it, and real lost games that stop it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch
from msgspec.structs import replace

from training import smoke
from training.export import export
from training.loop.balance import BalanceError
from training.loop.trainer import CHECKPOINT, PIXEL, Trainer
from training.networks.generator import Branched
from training.recipe import Recipe, RecipeError
from training.recipe.config import AdversaryConfig, GuardConfig, ShipConfig
from training.records.checkpoint import load
from training.records.run_log import LOG, read

Make = Callable[..., Trainer]


@pytest.mark.parametrize("bf16", [False, True])
def test_resumed_run_repeats_an_unbroken_one(trainer: Make, small_recipe: Recipe, tmp_path: Path, bf16: bool) -> None:
    assert trainer(small_recipe, "whole", bf16=bf16).train()
    for stop in (2, 5, 7):
        assert not trainer(small_recipe, "broken", bf16=bf16).train(stop_at=stop)
    assert trainer(small_recipe, "broken", bf16=bf16).train()
    whole, broken = (smoke.losses_logged(tmp_path / name) for name in ("whole", "broken"))
    assert whole == broken
    assert len(whole) == small_recipe.run.steps
    a, b = (load(tmp_path / name / CHECKPOINT) for name in ("whole", "broken"))
    for part in ("generator", "mean"):
        assert all(torch.equal(value, b[part][key]) for key, value in a[part].items())


def test_steps_logged_after_the_last_checkpoint_are_not_logged_twice(
    trainer: Make, small_recipe: Recipe, tmp_path: Path
) -> None:
    trainer(small_recipe).train(stop_at=4)
    with (tmp_path / "run" / LOG).open("a") as log:
        log.write('{"step": 4, "rate": 1.0}\n{"step": 5, "ra')
    before = (tmp_path / "run" / LOG).read_text()
    trainer(small_recipe).train()
    assert (tmp_path / "run" / LOG).read_text().startswith(before), "a log is only ever added to"
    steps = [row["step"] for row in smoke.losses_logged(tmp_path / "run")]
    assert steps == list(range(small_recipe.run.steps))


def test_a_log_without_a_checkpoint_is_kept(trainer: Make, small_recipe: Recipe, tmp_path: Path) -> None:
    trainer(small_recipe).train(stop_at=3)
    before = (tmp_path / "run" / LOG).read_text()
    (tmp_path / "run" / CHECKPOINT).unlink()
    trainer(small_recipe).train(stop_at=2)
    assert (tmp_path / "run" / LOG).read_text().startswith(before)
    assert [row["step"] for row in smoke.losses_logged(tmp_path / "run")] == [0, 1]


@pytest.mark.slow
def test_measurements_survive_a_resume_once_each(trainer: Make, small_recipe: Recipe, tmp_path: Path) -> None:
    trainer(small_recipe, sample_every=2).train(stop_at=4)
    assert trainer(small_recipe, sample_every=2).train()
    measured = [row["step"] for row in read(tmp_path / "run" / LOG) if "held_psnr_y" in row]
    assert measured == [2, 4, 6, 8, 10]


def test_both_networks_learn_and_the_average_follows(trainer: Make, small_recipe: Recipe) -> None:
    run = trainer(small_recipe)
    networks = (run.generator, run.adversary.network)
    # a bias of a head shifts real and made logits alike, so a relativistic game never moves it
    learning = [p for net in networks for name, p in net.named_parameters() if p.numel() and "heads" not in name]
    before = [p.detach().clone() for p in learning]
    run.train()
    assert all(not torch.equal(a, b) for a, b in zip(before, learning, strict=True))
    kernel, mean, start = (t.detach() for t in (run.generator.skip, run.mean.skip, before[0]))
    assert not torch.equal(kernel, mean)
    assert float((kernel - mean).abs().max()) < float((kernel - start).abs().max())
    assert run.generator.slope == 0


def test_logged_shares_are_the_recipes(trainer: Make, small_recipe: Recipe, tmp_path: Path) -> None:
    trainer(small_recipe).train()
    row = smoke.losses_logged(tmp_path / "run")[-1]
    assert row["share_adversarial"] == pytest.approx(0.15)
    assert row["share_temporal"] == pytest.approx(0.1)
    for key in ("accuracy", "accuracy_real", "accuracy_made", "gradient_adversarial", "gradient_pixel", "penalty"):
        assert key in row or key == "penalty"


@pytest.mark.parametrize("where", ["everywhere", "texture"])
def test_the_adversary_is_heard_where_the_recipe_says(
    trainer: Make, small_recipe: Recipe, where: Literal["everywhere", "texture"]
) -> None:
    """On an even picture with one edge there is no texture, so that nothing is heard there alone."""
    run = trainer(replace(small_recipe, adversary=AdversaryConfig(where=where)), warmup=1)
    low, high = run.fetch(0)
    for pictures in (low, high):
        pictures[:] = 60
        pictures[..., : pictures.shape[-1] // 2] = 180
    run.adversarial_from, run.step = 0, 8
    run.train_step(low, high)
    assert (run.balancer.norms["adversarial"] > 0) == (where == "everywhere")


def test_what_ships_may_be_said_later(trainer: Make, small_recipe: Recipe) -> None:
    trainer(small_recipe).train(stop_at=2)
    assert trainer(replace(small_recipe, ship=ShipConfig(twin="twin.onnx", part=0.5))).step == 2


def test_another_recipe_in_the_same_folder_is_refused(trainer: Make, small_recipe: Recipe) -> None:
    trainer(small_recipe).train(stop_at=2)
    other = replace(small_recipe, adversary=AdversaryConfig(rate=1e-5))
    with pytest.raises(RecipeError, match=r"begun with another recipe \(adversary differ\)"):
        trainer(other)


def test_a_twin_starts_from_another_runs_average(trainer: Make, small_recipe: Recipe, tmp_path: Path) -> None:
    trainer(small_recipe, "first").train()
    start = load(tmp_path / "first" / CHECKPOINT)["mean"]
    twin = trainer(small_recipe, "twin", init=str(tmp_path / "first" / CHECKPOINT))
    assert all(torch.equal(start[key], value) for key, value in twin.generator.state_dict().items())


def test_a_run_starts_from_an_exported_network(trainer: Make, small_recipe: Recipe, tmp_path: Path) -> None:
    trainer(small_recipe, "first").train()
    export.export(tmp_path / "first" / CHECKPOINT, tmp_path / "first.onnx", "two cores")
    more = trainer(small_recipe, "more", init=str(tmp_path / "first.onnx"))
    picture = torch.rand(1, 3, 12, 12)
    with torch.no_grad():
        before = export.load_generator(tmp_path / "first" / CHECKPOINT)[0](picture)
        assert float((more.generator(picture) - before).abs().max()) < 1e-5
    assert more.origin.startswith(f"first.onnx (recipe smoke {small_recipe.digest()}, 10 steps")
    wider = replace(small_recipe, generator=replace(small_recipe.generator, width=32, convolutions=5))
    with torch.no_grad():
        grown = trainer(wider, "wider", init=str(tmp_path / "first.onnx")).generator(picture)
    assert float((grown - before).abs().mean()) < 0.01
    smaller = replace(small_recipe, generator=replace(small_recipe.generator, convolutions=2))
    with pytest.raises(RecipeError, match=r"run\.init .*first\.onnx: grow: 16 features x 3 convolutions do not fit"):
        trainer(smaller, "smaller", init=str(tmp_path / "first.onnx"))


def test_a_generator_dead_before_its_last_layer_stops_the_run(trainer: Make, small_recipe: Recipe) -> None:
    recipe = replace(small_recipe, generator=replace(small_recipe.generator, start_slope=0.0))
    run = trainer(recipe, steps=200, pixel_part=1.0)
    last_hidden = run.generator.body[-2]
    assert isinstance(last_hidden, Branched)
    with torch.no_grad():
        last_hidden.bias.fill_(-50.0)
    with pytest.raises(BalanceError, match=r"collapsed onto its resize: 0\.0% of the last hidden layer alive"):
        run.train()


def test_a_discriminator_that_wins_always_stops_the_run(trainer: Make, small_recipe: Recipe) -> None:
    recipe = replace(
        small_recipe,
        adversary=AdversaryConfig(rate=3e-3, penalty_weight=0.0),
        guard=GuardConfig(accuracy=(0.0, 0.9), patience=3),
    )
    run = trainer(recipe, steps=400, pixel_part=0.01, adversarial_rate=0.0)
    with torch.no_grad():
        run.generator.body[-1].bias.fill_(-0.5)  # a generator far too dark to win
    with pytest.raises(BalanceError, match="the discriminator tells all apart"):
        run.train()


def test_a_run_by_the_clock_ends_and_is_annealed(trainer: Make, small_recipe: Recipe, tmp_path: Path) -> None:
    assert trainer(small_recipe, steps=0, minutes=0.05, sample_every=0).train()
    rows = read(tmp_path / "run" / LOG)
    rates = [row["rate"] for row in rows if "rate" in row]
    assert rates[-1] < 0.5 * max(rates)
    assert any("accuracy" in row for row in rows)
    assert 3 <= rows[-1]["elapsed"] < 60
    assert "held_ssimulacra2" in rows[-1]
    assert list((tmp_path / "run" / "samples").glob("*.png"))
    assert list((tmp_path / "run" / "tensorboard").iterdir())


def test_the_pixel_loss_twin_is_kept(trainer: Make, small_recipe: Recipe, tmp_path: Path) -> None:
    trainer(small_recipe).train()
    twin = load(tmp_path / "run" / PIXEL)
    assert twin["step"] == 4
    assert twin["adversarial_from"] == -1
    assert not (tmp_path / "run" / PIXEL).with_suffix(".pt.writing").exists()


def test_a_stage_of_playing_only(trainer: Make, small_recipe: Recipe, tmp_path: Path) -> None:
    """pixel_part = 0 on top of another run's average, as general-2x is made."""
    trainer(small_recipe, "first").train()
    recipe = replace(small_recipe, generator=replace(small_recipe.generator, start_slope=0.0))
    run = trainer(recipe, "second", init=str(tmp_path / "first" / CHECKPOINT), pixel_part=0.0)
    assert run.train()
    rows = smoke.losses_logged(tmp_path / "second")
    assert all("accuracy" in row and row["slope"] == 0 for row in rows)
    assert load(tmp_path / "second" / CHECKPOINT)["origin"].startswith("smoke at step 10, file SHA-256 ")
    smaller = replace(recipe, generator=replace(recipe.generator, convolutions=2))
    with pytest.raises(RecipeError, match=r"run\.init .* do not fit into 16 x 2"):
        trainer(smaller, "third", init=str(tmp_path / "first" / CHECKPOINT))


def test_a_stop_asked_for_is_clean(trainer: Make, small_recipe: Recipe, tmp_path: Path) -> None:
    """What Ctrl-C and SIGTERM set: the step in hand is finished and saved, and nothing is lost."""
    run = trainer(small_recipe, checkpoint_every=1000)
    whole = run.train_step

    def step(*batch: torch.Tensor) -> dict[str, float]:
        run.stopping = run.step == 3
        return whole(*batch)

    run.train_step = step  # type: ignore[method-assign]
    assert not run.train()
    assert load(tmp_path / "run" / CHECKPOINT)["step"] == 4
    assert trainer(small_recipe, checkpoint_every=1000).step == 4
