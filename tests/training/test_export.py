"""Export: the file is the trained network, says what it is, and nothing unfinished gets out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from generators import shaken
from msgspec.structs import replace

from training import smoke
from training.export import export
from training.export.export import ExportError
from training.loop.trainer import CHECKPOINT, Trainer
from training.networks.generator import Branched, LumaGenerator, catmull_rom, with_colour
from training.recipe import Recipe
from training.recipe.config import GeneratorConfig
from training.records import checkpoint
from training.records.checkpoint import CheckpointError
from vs_gansr.colour.tags import BT709_LUMA
from vs_gansr.model import library as runtime_model
from vs_gansr.model.metadata import Metadata
from vs_gansr.model.rewrite.int8 import quantise


def trained(config: GeneratorConfig) -> LumaGenerator:
    generator = shaken(config, 1)
    generator.slope = config.slope
    return generator


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize(("slope", "phases"), [(0.0, 1), (0.1, 1), (0.0, 2)])
def test_onnx_runtime_agrees_with_pytorch(scale: int, slope: float, phases: Literal[1, 2]) -> None:
    generator = trained(GeneratorConfig(scale=scale, width=16, convolutions=4, slope=slope, phases=phases))
    model = export.to_onnx(generator.plain(), Metadata())
    assert export.difference(model, generator) < 1e-4
    assert [o.version for o in model.opset_import] == [17]
    kinds = {node.op_type for node in model.graph.node}
    assert kinds == {"Clip", "Conv", "LeakyRelu" if slope else "Relu", "Pad", "Add", "DepthToSpace"}
    with torch.no_grad():
        generator.body[-1].bias.add_(0.01)
    assert export.difference(model, generator) > 1e-3, "the comparison would not notice a wrong weight"


@pytest.mark.slow
def test_exported_file_describes_itself(trainer: Callable[..., Trainer], small_recipe: Recipe, tmp_path: Path) -> None:
    trainer(small_recipe).train()
    made = export.export(tmp_path / "run" / CHECKPOINT, tmp_path / "smoke.onnx", "two cores")
    spec = runtime_model.load(str(made.path)).spec
    assert (spec.name, spec.scale, spec.radius, spec.licence, spec.precision) == ("smoke", 2, 3, "MIT", "fp32")
    assert spec.summary == small_recipe.summary
    said = {p.key: p.value for p in onnx.load(str(made.path)).metadata_props}
    assert said["gansr.training"].startswith(f"recipe smoke {small_recipe.digest()}, 10 steps (6 adversarial), 0 min")
    assert "two cores" in said["gansr.training"]
    session = onnxruntime.InferenceSession(str(made.path), providers=["CPUExecutionProvider"])
    picture = np.random.default_rng(0).random((1, 1, 11, 14), np.float32)
    gray = torch.from_numpy(picture).expand(1, 3, 11, 14)
    with torch.no_grad():
        expected = export.load_generator(tmp_path / "run" / CHECKPOINT)[0].parts(gray)[0].numpy()
    assert np.abs(np.asarray(session.run(None, {"input": picture})[0]) - expected).max() < 1e-4
    text = export.card(made, "two cores")
    for fact in (
        "# smoke",
        "3 convolutions 3x3, 16 features, ReLU",
        "MIT",
        "of luma, beside a 5x5 resize",
        "luma: `(1, 1, H, W)` to `(1, 1, 2H, 2W)`, float32 in [0, 1]",
        "No other network was a teacher or a judge.",
        "drawn-1.png",
        "`training/recipes/smoke.toml`",
    ):
        assert fact in text
    assert "drawn-2.png" not in text, "a held-out picture is listed as training material"


def exportable(trainer: Callable[..., Trainer], small_recipe: Recipe, tmp_path: Path) -> tuple[Trainer, Path]:
    """A run that has not begun, its activation at its end value, and its checkpoint."""
    run = trainer(small_recipe)
    run.generator.slope = 0.0
    run.save()
    return run, tmp_path / "run" / CHECKPOINT


def test_rounded_weights_are_those_of_the_int8_variant(
    trainer: Callable[..., Trainer], small_recipe: Recipe, tmp_path: Path
) -> None:
    _, checkpoint_file = exportable(trainer, small_recipe, tmp_path)
    state = torch.load(checkpoint_file, weights_only=False)
    plain = export.export(checkpoint_file, tmp_path / "plain.onnx", "a test").plain
    state["recipe"]["ship"] = {"rounded": True, "keep": ["conv0"]}
    torch.save(state, checkpoint_file)
    made = export.export(checkpoint_file, tmp_path / "rounded.onnx", "a test")
    assert np.array_equal(made.plain.convolutions[0][0], plain.convolutions[0][0])
    for (kernel, _), (before, _) in zip(made.plain.convolutions[1:], plain.convolutions[1:], strict=True):
        step = np.abs(before).max((1, 2, 3), keepdims=True) / 127
        assert np.abs(kernel - before).max() > 0 and (np.abs(kernel - before) <= 0.51 * step).all()
        assert np.allclose(kernel / step, np.round(kernel / step), atol=1e-3)
    int8 = onnx.load_model_from_string(
        quantise(made.path.read_bytes(), [np.ones((1, 1, 24, 24), np.float32)], ["conv0"])
    )
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in int8.graph.initializer}
    values, scale = stored["conv1.weight_quantized"], stored["conv1.weight_scale"]
    assert np.allclose(values * scale[:, None, None, None], made.plain.convolutions[1][0], atol=1e-6)


def test_weights_between_a_twin_and_the_run_ship(
    trainer: Callable[..., Trainer], small_recipe: Recipe, tmp_path: Path
) -> None:
    run, checkpoint_file = exportable(trainer, small_recipe, tmp_path)
    whole = onnx.load(str(export.export(checkpoint_file, tmp_path / "whole.onnx", "a test").path))
    twin = tmp_path / "twin.onnx"
    other = export.to_onnx(trained(run.generator.config).plain(), Metadata())
    onnx.save(other, str(twin))
    state = torch.load(checkpoint_file, weights_only=False)
    state["recipe"]["ship"] = {"twin": str(twin), "part": 0.25}
    torch.save(state, checkpoint_file)
    made = export.export(checkpoint_file, tmp_path / "mixed.onnx", "a test")
    mixed = onnx.load(str(made.path))
    for each, a, b in zip(mixed.graph.initializer, other.graph.initializer, whole.graph.initializer, strict=True):
        a, b, made = (onnx.numpy_helper.to_array(tensor) for tensor in (a, b, each))
        assert np.allclose(made, 0.75 * a + 0.25 * b, atol=1e-6)
    assert (
        "0.25 of these weights and 0.75 of twin.onnx's"
        in {p.key: p.value for p in mixed.metadata_props}["gansr.training"]
    )
    narrower = trained(replace(run.generator.config, convolutions=4))
    for bad, words in (
        (export.to_onnx(narrower.plain(), Metadata()).SerializeToString(), r"of another shape \(4 convolutions of 16"),
        (b"no network", "is not a float32 network of scripts/export"),
    ):
        twin.write_bytes(bad)
        with pytest.raises(ExportError, match=words):
            export.export(checkpoint_file, tmp_path / "bad.onnx", "a test")
    assert not (tmp_path / "bad.onnx").exists()


@pytest.mark.parametrize("scale", [2, 4])
def test_a_generator_with_colour_is_exported_and_trained_on(tmp_path: Path, scale: int) -> None:
    config = GeneratorConfig(scale=scale, width=16, convolutions=4, phases=2, colour=True)
    made = trained(config)
    model = export.to_onnx(made.plain(), Metadata())
    assert export.difference(model, made) < 1e-4
    onnx.save(model, str(tmp_path / "made.onnx"))
    other = LumaGenerator(config)
    other.adopt(export.from_onnx(tmp_path / "made.onnx")[0])
    assert export.difference(model, other) < 1e-4
    with torch.no_grad():
        made.body[-1].bias[-1].add_(0.01)
    assert export.difference(model, made) > 1e-3, "the comparison would not notice a wrong weight of chroma"


def test_a_generator_of_luma_grows_colour(tmp_path: Path) -> None:
    grey = trained(GeneratorConfig(width=16, convolutions=4, phases=2))
    colour = LumaGenerator(GeneratorConfig(width=16, convolutions=4, phases=2, colour=True))
    colour.adopt(with_colour(grey.plain()))
    picture, chroma = torch.rand(1, 3, 16, 12), torch.rand(1, 2, 8, 6)
    with torch.no_grad():
        luma, _, added = colour.parts(picture, chroma)
        inner = (..., slice(8, -8), slice(8, -8))  # edges are repeated otherwise
        assert torch.allclose(luma[inner], grey.parts(picture)[0][inner], atol=1e-5)
        flat = torch.full((1, 2, 8, 6), 0.3)
        assert torch.allclose(colour.chroma(flat, added), torch.full((1, 2, 16, 12), 0.3), atol=1e-5)


@pytest.mark.parametrize(("slope", "phases"), [(0.0, 1), (0.1, 1), (0.0, 2)])
def test_an_exported_network_can_be_trained_on(tmp_path: Path, slope: float, phases: Literal[1, 2]) -> None:
    config = GeneratorConfig(width=16, convolutions=4, slope=slope, phases=phases)
    made = trained(config)
    path = tmp_path / "made.onnx"
    onnx.save(export.to_onnx(made.plain(), Metadata(training="long")), str(path))
    plain, said = export.from_onnx(path)
    assert said == Metadata(training="long")
    other = LumaGenerator(config)
    other.adopt(plain)
    assert other.slope == pytest.approx(slope)
    picture = torch.rand(1, 3, 14, 10)
    with torch.no_grad():
        assert float((other(picture) - made(picture)).abs().max()) < 1e-5
    other(picture).square().sum().backward()
    layer = other.body[0]
    assert isinstance(layer, Branched)
    assert layer.direct.grad is not None and layer.squeeze.grad is not None
    assert float(layer.direct.grad.abs().sum()) > 0 and float(layer.squeeze.grad.abs().sum()) > 0
    with pytest.raises(ValueError, match="adopt: its kernels are"):
        LumaGenerator(GeneratorConfig(width=32, convolutions=4)).adopt(plain)
    foreign = tmp_path / "foreign.onnx"
    foreign.write_bytes(b"no network")
    with pytest.raises(ExportError, match=r"foreign\.onnx is not a float32 network of scripts/export"):
        export.from_onnx(foreign)


def test_a_network_of_rgb_is_trained_on_by_its_luma() -> None:
    """Files of before were the same bodies between RGB planes."""
    config = GeneratorConfig(width=16, convolutions=4)
    made = trained(config)
    plain = made.plain()
    weights = np.array(BT709_LUMA, np.float32).reshape(1, 3, 1, 1)
    (first, bias), *middle, (last, last_bias) = plain.convolutions
    cubic = catmull_rom(2).numpy()
    rgb = dataclasses.replace(
        plain,
        convolutions=((first * weights, bias), *middle, (np.tile(last, (3, 1, 1, 1)), np.tile(last_bias, 3))),
        resize=catmull_rom(2, 3).numpy() + np.tile(weights * (plain.resize - cubic), (3, 1, 1, 1)),
    )
    other = LumaGenerator(config)
    other.adopt(rgb)
    gray = torch.rand(1, 1, 11, 14).expand(1, 3, 11, 14)
    with torch.no_grad():
        assert float((other(gray) - made(gray)).abs().max()) < 1e-5


def test_unfinished_activations_are_refused(
    trainer: Callable[..., Trainer], small_recipe: Recipe, tmp_path: Path
) -> None:
    trainer(small_recipe).train(stop_at=2)
    with pytest.raises(ExportError, match=r"has slope 0.\d+ on its way to 0.0; train on"):
        export.export(tmp_path / "run" / CHECKPOINT, tmp_path / "x.onnx", "")
    assert not (tmp_path / "x.onnx").exists()
    with pytest.raises(CheckpointError, match=r"none\.pt"):
        export.export(tmp_path / "none.pt", tmp_path / "x.onnx", "")


def test_a_network_that_differs_is_refused(
    trainer: Callable[..., Trainer], small_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer(small_recipe).train()
    right = export.to_onnx

    def wrong(plain: export.FoldedGenerator, said: Metadata) -> onnx.ModelProto:
        *others, (kernel, bias) = plain.convolutions
        return right(dataclasses.replace(plain, convolutions=(*others, (kernel, bias + np.float32(0.001)))), said)

    monkeypatch.setattr(export, "to_onnx", wrong)
    with pytest.raises(ExportError, match=r"differ by 1\.\d\de-03, more than 1e-04"):
        export.export(tmp_path / "run" / CHECKPOINT, tmp_path / "x.onnx", "")


def test_a_run_trained_on_shows_in_the_state(trainer: Callable[..., Trainer], tmp_path: Path, material: Path) -> None:
    trainer(smoke.recipe(material)).train()
    state = checkpoint.load(tmp_path / "run" / CHECKPOINT)
    assert state["adversarial_from"] == 4
    assert state["versions"]["torch"] == torch.__version__.split("+")[0] or "torch" in state["versions"]
    assert len(state["data_sha256"]) == 64
