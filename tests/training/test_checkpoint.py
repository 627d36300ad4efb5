"""Checkpoints: whole or absent under SIGKILL at any moment, loud when the disk refuses, and never code."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace

from training import smoke
from training.loop.trainer import CHECKPOINT, Trainer
from training.material import pool
from training.recipe import Recipe
from training.records import checkpoint
from training.records.checkpoint import CheckpointError
from training.records.run_log import LOG, read

KILLS = 20
INTERVAL = 2


def test_round_trip_and_versions(tmp_path: Path) -> None:
    state = {"step": 3, "weights": torch.arange(4.0), "versions": checkpoint.versions()}
    checkpoint.save(tmp_path / "c.pt", state)
    back = checkpoint.load(tmp_path / "c.pt")
    assert torch.equal(back["weights"], state["weights"])
    assert back["step"] == 3
    assert {"python", "torch", "av", "numpy"} <= set(back["versions"])
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]


def test_a_failed_save_raises_and_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.pt"
    checkpoint.save(path, {"step": 1})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"checkpoint.save: .*c.pt: .*No space left.*free the disk"):
        checkpoint.save(path, {"step": 2})
    assert checkpoint.load(path)["step"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut short"])
def test_unreadable_files_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"checkpoint.load: .*bad.pt"):
        checkpoint.load(tmp_path / "bad.pt")
    with pytest.raises(CheckpointError, match=r"none.pt"):
        checkpoint.load(tmp_path / "none.pt")


def test_no_code_is_run_from_a_file(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (os.mkdir, (str(tmp_path / "pwned"),))

    torch.save({"step": 1, "evil": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError):
        checkpoint.load(tmp_path / "evil.pt")
    assert not (tmp_path / "pwned").exists()


def endless(recipe: Recipe, folder: Path, base: Path) -> None:
    """What the killed process does: train on until it dies."""
    torch.set_num_threads(1)
    training, held_out = (pool.load(pool.folder(recipe, part, base)) for part in (False, True))
    Trainer(recipe, folder, training, held_out).train()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL and forkserver are POSIX")
def test_sigkill_at_random_moments(material: Path, tmp_path: Path) -> None:
    """20 kills: every checkpoint is readable, and none loses more than one interval of what was logged."""
    recipe = smoke.recipe(material, steps=100_000)
    run = replace(recipe.run, checkpoint_every=INTERVAL, pixel_part=0.99, crop=16)
    recipe = replace(recipe, run=run)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["training.loop.trainer"])
    chance = random.Random(11)
    folder = tmp_path / "run"
    last = -1
    for _ in range(KILLS):
        process = context.Process(target=endless, args=(recipe, folder, material / "pool"))
        process.start()
        try:
            deadline = time.monotonic() + 120
            while _step(folder) <= last and time.monotonic() < deadline:
                assert process.is_alive(), f"the run ended by itself, exit code {process.exitcode}"
                time.sleep(0.05)
            time.sleep(chance.uniform(0, 0.25))
        finally:
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        step = _step(folder)
        assert step > last, "the run did not get further"
        last = step
        logged = len(read(folder / LOG))
        assert logged <= step + INTERVAL + 1, f"{logged} steps were logged, only {step} saved"
    Trainer(recipe, folder, *(pool.load(pool.folder(recipe, part, material / "pool")) for part in (False, True)))
    left = sorted(p.name for p in folder.iterdir() if p.suffix == ".pt")
    assert left == [CHECKPOINT], "going on did not remove what killed writers left"


def _step(folder: Path) -> int:
    path = folder / CHECKPOINT
    return int(checkpoint.load(path)["step"]) if path.is_file() else -1
