"""Generators of three frames: shown what is shown at run time, begun from one frame, exported so that they run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import vapoursynth as vs
from generators import shaken
from msgspec.structs import replace

from training import command, recipe, smoke
from training.export import export, int8
from training.loop.trainer import CHECKPOINT, Trainer
from training.material import pool
from training.material.codec import clip_of
from training.material.luma import luma_of
from training.material.neighbours import pictures, seen_luma, with_neighbours
from training.networks.generator import LumaGenerator
from training.recipe import RecipeError
from training.recipe.config import GeneratorConfig
from vs_gansr.engine import probe
from vs_gansr.model import library
from vs_gansr.model.metadata import Metadata

THREE = GeneratorConfig(width=16, convolutions=3, frames=3, start_slope=0.0)


def panning(length: int = 4) -> np.ndarray:
    """(length, 48, 64, 3) uint8: a camera that moves 2 pixels right and 1 down a frame."""
    rng = np.random.default_rng(0)
    whole = rng.integers(40, 220, (18, 22, 3)).repeat(4, 0).repeat(4, 1).astype(np.uint8)
    return np.stack([whole[n : n + 48, 2 * n : 2 * n + 64] for n in range(length)])


def test_neighbours_are_those_of_the_plugin() -> None:
    frames = panning()
    seen = with_neighbours(frames)
    assert seen.shape == (4, 48, 64, 5) and seen.dtype == np.float16
    assert np.array_equal(pictures(seen), frames)
    luma = luma_of(frames)
    assert np.abs(seen[1:, 10:-10, 10:-10, 3].astype(np.float32) - luma[1:, 10:-10, 10:-10]).max() < 0.1  # undone
    assert np.abs(seen[0, ..., 3].astype(np.float32) - luma[0]).max() < 0.1  # the end
    clip = clip_of(vs.GRAYS, [[plane / np.float32(255)] for plane in luma], {})
    with clip.gansr.Align().get_frame(2) as frame:
        for place, plane in ((3, 0), (4, 2)):
            assert np.abs(seen[2, ..., place] / 255.0 - np.asarray(frame[plane])).max() < 1e-3
        order = np.stack([np.asarray(frame[i]) for i in range(3)])
    assert np.abs(seen_luma(seen[2], 3) - order).max() < 1e-3
    assert np.array_equal(seen_luma(seen[2], 1)[0], luma[2] / np.float32(255))


def test_it_begins_as_the_single_frame_it_came_from() -> None:
    one, three = shaken(replace(THREE, frames=1)), shaken(THREE, 1)
    three.adopt(one.plain())
    x = torch.rand(2, 5, 9, 7)
    with torch.no_grad():
        assert torch.allclose(three(x), one(x[:, :3]), atol=1e-5)
        assert torch.equal(one(x), one(x[:, :3]))  # the control passes the neighbours over
    three(x).square().mean().backward()
    gradient = three.body[0].direct.grad
    assert all(float(gradient[:, n].abs().max()) > 0 for n in range(3)), "the neighbours cannot gain a say"


def test_what_one_frame_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="adopt: its kernels are"):
        LumaGenerator(replace(THREE, frames=1)).adopt(shaken(THREE).plain())


def test_the_file_is_the_network_and_says_what_it_sees(tmp_path: Path) -> None:
    generator = shaken(THREE)
    generator.slope = 0.0
    said = Metadata(scale=2, frames=3, aligned=1, radius=3, multiple=1)
    model = export.to_onnx(generator.plain(), said)
    assert export.difference(model, generator) < 1e-4
    (tmp_path / "t3.onnx").write_bytes(model.SerializeToString())
    plain, _ = export.from_onnx(tmp_path / "t3.onnx")
    again = LumaGenerator(THREE)
    again.adopt(plain)
    x = torch.rand(1, 5, 8, 8)
    with torch.no_grad():
        assert torch.allclose(again(x), generator(x), atol=1e-5)
        swapped = torch.cat([x[:, :3], x[:, 4:5], x[:, 3:4]], 1)
        assert not torch.allclose(generator(swapped), generator(x), atol=1e-4)
    spec = probe.describe(library.load(str(tmp_path / "t3.onnx"))).spec
    assert (spec.channels, spec.frames, spec.aligned, spec.scale) == (1, 3, True, 2)


@pytest.fixture(scope="module")
def made(material: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pool/ of three frames, a run of a few steps in run/ and its smoke.onnx."""
    folder = tmp_path_factory.mktemp("three")
    settings = smoke.recipe(material, frames=3)
    parts = [pool.load(pool.build(settings, part, folder / "pool", workers=1)) for part in (False, True)]
    Trainer(settings, folder / "run", *parts).train()
    export.export(folder / "run" / CHECKPOINT, folder / "smoke.onnx", "a test")
    return folder


@pytest.mark.slow
def test_a_run_of_three_frames_ends_in_the_plugin(made: Path) -> None:
    rows = smoke.losses_logged(made / "run")
    assert len(rows) == 10 and {"loss_temporal", "accuracy"} <= set(rows[-1])
    clip = clip_of(vs.GRAY8, [[luma.astype(np.uint8)] for luma in luma_of(panning(3))], {"_Range": 1})
    out = clip.gansr.Upscale(str(made / "smoke.onnx"), provider="CPU", precision="fp32")
    alone = clip[1:2].gansr.Upscale(str(made / "smoke.onnx"), provider="CPU", precision="fp32")
    with out.get_frame(1) as a, alone.get_frame(0) as b:
        assert a.width == 128 and not np.array_equal(np.asarray(a[0]), np.asarray(b[0]))


@pytest.mark.slow
def test_the_pool_of_three_frames_serves_the_control(made: Path, material: Path, ready: pool.Pool) -> None:
    """The same material for both, and the same as a pool of one frame has."""
    three = smoke.recipe(material, frames=3)
    assert pool.folder(command.control(three), False, made / "pool") == pool.folder(three, False, made / "pool")
    assert pool.folder(three, False, material / "pool") != pool.folder(command.control(three), False, material / "pool")
    seen = pool.load(pool.folder(three, False, made / "pool"))
    assert np.array_equal(seen.high, ready.high) and np.array_equal(pictures(seen.low), ready.low)
    low, high = seen.batch(1, 2, 4, 32, 2)
    other, same = ready.batch(1, 2, 4, 32, 2)
    assert low.shape == (4, 5, 16, 16) and np.array_equal(low[:, :3], other) and np.array_equal(high, same)


def test_control_is_the_recipe_but_for_one_frame(material: Path) -> None:
    three = smoke.recipe(material, frames=3)
    one = command.control(three)
    assert one.name == "smoke-control" and one.generator == replace(three.generator, frames=1)
    assert replace(one, name=three.name, summary=three.summary, generator=three.generator) == three
    with pytest.raises(RecipeError, match=r"generator.frames is 1"):
        command.control(one)


@pytest.mark.slow
def test_calibration_pictures_are_aligned_triples(made: Path, material: Path) -> None:
    folder = pool.folder(smoke.recipe(material, frames=3), False, made / "pool")
    low = pool.load(folder).low
    triples = int8.pictures(folder, 3, 3)
    assert [triple.shape for triple in triples] == [(1, 3, 32, 32)] * 3
    assert np.allclose(triples[0][0, 0], low[0, low.shape[1] // 2, ..., 3].astype(np.float32) / 255)
    assert int8.pictures(folder, 2)[0].shape == (1, 1, 32, 32)
    twin = int8.quantise((made / "smoke.onnx").read_bytes(), triples)
    assert min(int8.apart((made / "smoke.onnx").read_bytes(), twin, triples)) > 25


def test_the_trial_can_be_read() -> None:
    settings = recipe.load("training/recipes/trials/general-2x-psnr-t3.toml")
    assert settings.generator.frames == 3 and settings.pixel.temporal > 0 and settings.run.clip > 1
