"""Export a checkpoint: fold it, write ONNX, compare with PyTorch, write the card."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional as F

from vs_gansr.common import files
from vs_gansr.model import metadata
from vs_gansr.model.metadata import Metadata

from .. import recipe
from ..material import data
from ..networks.generator import FoldedGenerator, LumaGenerator, left_sited, of_luma
from ..recipe.config import ShipConfig
from ..records import checkpoint

OPSET = 17
"""Of the ONNX files."""
TOLERANCE = 1e-4
"""Largest difference between ONNX Runtime and PyTorch, where white is 1."""


class ExportError(RuntimeError):
    """The exported network is not the trained one; the message gives the difference."""


@dataclass(frozen=True)
class ExportedModel:
    """What was written, and what it came from."""

    path: Path
    """The file."""
    plain: FoldedGenerator
    """The network in it."""
    settings: recipe.Recipe
    """The run's recipe."""
    state: dict[str, Any]
    """The run's checkpoint."""
    difference: float
    """The largest from PyTorch that was found, where white is 1."""


class _Graph:
    """Nodes and weights in the order they are written."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def constant(self, name: str, values: np.ndarray[Any, Any]) -> str:
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, kind: str, name: str, *sources: str, output: str = "", **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, list(sources), [output or name], name=name, **attributes))
        return output or name

    def convolution(self, name: str, source: str, kernel: Any, bias: Any = None, pad: int = 0, stride: int = 1) -> str:
        weights = [self.constant(f"{name}.weight", kernel)]
        weights += [] if bias is None else [self.constant(f"{name}.bias", bias)]
        kernel_shape, pads, strides = list(kernel.shape[2:]), [pad] * 4, [stride] * 2
        return self.node("Conv", name, source, *weights, kernel_shape=kernel_shape, pads=pads, strides=strides)


def blocks_to_pixels(kernel: np.ndarray[Any, Any], phases: int) -> np.ndarray[Any, Any]:
    """A kernel on the `phases`**2 planes of a picture's blocks as one on the picture itself, with as long a stride.

    (outputs, phases**2, k, k) to (outputs, 1, phases * k, phases * k).
    """
    outputs, _, high, wide = kernel.shape
    parts = kernel.reshape(outputs, phases, phases, high, wide).transpose(0, 3, 1, 4, 2)
    return parts.reshape(outputs, 1, phases * high, phases * wide)


def pixels_to_blocks(kernel: np.ndarray[Any, Any], phases: int) -> np.ndarray[Any, Any]:
    """Inverse of `blocks_to_pixels`."""
    outputs, _, high, wide = kernel.shape
    parts = kernel.reshape(outputs, high // phases, phases, wide // phases, phases).transpose(0, 2, 4, 1, 3)
    return parts.reshape(outputs, phases**2, high // phases, wide // phases)


def resize_of_blocks(resize: np.ndarray[Any, Any], scale: int, phases: int) -> np.ndarray[Any, Any]:
    """The resize kernel (scale**2, 1, 5, 5) of a pixel as that of a block of `phases` x `phases` pixels.

    The result is ((scale * phases)**2, 1, 4 + phases, 4 + phases), to be applied with a stride of `phases`.
    """
    side = scale * phases
    whole = np.zeros((side, side, 4 + phases, 4 + phases), np.float32)
    for y in range(side):
        for x in range(side):
            (down, v), (along, u) = divmod(y, scale), divmod(x, scale)
            whole[y, x, down : down + 5, along : along + 5] = resize[v * scale + u, 0]
    return whole.reshape(side**2, 1, *whole.shape[2:])


def resize_of_planes(plain: FoldedGenerator) -> np.ndarray[Any, Any]:
    """The resize beside the chain of a generator with colour as one convolution of the half-size grid's six planes:
    (outputs, 6, 5, 5), outputs being the pixels of a block's luma, of its U and of its V."""
    scale, phases = plain.scale, plain.phases
    cells, colours = (scale * phases) ** 2, scale**2
    kernel = np.zeros((cells + 2 * colours, phases**2 + 2, 5, 5), np.float32)
    # 6 pixels from 2 before the block on are the 3 blocks around it
    kernel[:cells, : phases**2, 1:4, 1:4] = pixels_to_blocks(resize_of_blocks(plain.resize, scale, phases), phases)
    for plane in (0, 1):
        first = cells + plane * colours
        kernel[first : first + colours, phases**2 + plane] = left_sited(scale).numpy()[:, 0]
    return kernel


def to_onnx(plain: FoldedGenerator, said: Metadata) -> onnx.ModelProto:
    """The folded generator as one graph, opset 17; `said` is what it says of itself.

    A generator of luma: `input` (1, 1, height, width) float32 luma in [0, 1] to `output` (1, 1, S * height, S * width),
    not clamped. One with colour works on the grid of 4:2:0's chroma: `input` (1, 6, height, width), the four luma
    samples of each place row by row, U and V, to `output` (1, 6 * S**2, height, width), the 2S x 2S luma samples of
    each place row by row, S x S of U and S x S of V; no colour is 0.5.
    """
    graph = _Graph()
    ends = [graph.constant(f"input.{end}", np.array(value, np.float32)) for end, value in (("least", 0), ("most", 1))]
    flow = graph.node("Clip", "clamp", "input", *ends, output="clamped")
    *hidden, last = plain.convolutions
    phases = plain.phases
    for index, (kernel, bias) in enumerate(hidden):
        if index == 0 and phases > 1 and not plain.colour:
            flow = graph.convolution("conv0", flow, blocks_to_pixels(kernel, phases), bias, phases, phases)
        else:
            flow = graph.convolution(f"conv{index}", flow, kernel, bias, 1)
        name = f"active{index}"
        flow = graph.node("LeakyRelu", name, flow, alpha=plain.slope) if plain.slope else graph.node("Relu", name, flow)
    added = graph.convolution(f"conv{len(hidden)}", flow, *last, 1)
    edge = plain.resize.shape[-1] // 2
    pads = graph.constant("pads", np.array([0, 0, edge, edge] * 2, np.int64))
    padded = graph.node("Pad", "pad", "input", pads, output="padded", mode="edge")
    if plain.colour:
        skip = graph.convolution("skip", padded, resize_of_planes(plain))
        graph.node("Add", "add", added, skip, output="output")
    else:
        resize = resize_of_blocks(plain.resize, plain.scale, phases) if phases > 1 else plain.resize
        skip = graph.convolution("skip", padded, resize, stride=phases)
        total = graph.node("Add", "add", added, skip, output="sum")
        graph.node("DepthToSpace", "shuffle", total, output="output", blocksize=plain.scale * phases, mode="CRD")

    def picture(name: str, planes: int, size: str) -> onnx.ValueInfoProto:
        sides = [f"{size}height", f"{size}width"]
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, planes, *sides])

    planes = (phases**2 + 2, len(plain.convolutions[-1][0])) if plain.colour else (1, 1)
    inputs = [picture("input", planes[0], "")]
    outputs = [picture("output", planes[1], "" if plain.colour else "large_")]
    whole = helper.make_graph(graph.nodes, "generator", inputs, outputs, graph.weights)
    model = helper.make_model(
        whole, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9, producer_name="vs-gansr"
    )
    metadata.write(model, said)
    onnx.checker.check_model(model, full_check=True)
    return model


def from_onnx(path: Path) -> tuple[FoldedGenerator, Metadata]:
    """The folded generator in a file that `export` wrote, and what the file says of itself.

    Raises:
        ExportError: the file is no such network.
    """
    try:
        model = onnx.load(str(path))
        said = metadata.read(model)
        values = {each.name: numpy_helper.to_array(each).astype(np.float32) for each in model.graph.initializer}
        depth = sum(name.startswith("conv") and name.endswith(".weight") for name in values)
        slopes = {helper.get_node_attr_value(n, "alpha") for n in model.graph.node if n.op_type == "LeakyRelu"} or {0.0}
        resize = values["skip.weight"]
        if resize.shape[1] > 3:  # colour: see resize_of_planes
            phases, scale = 2, round((len(resize) / 6) ** 0.5)
            resize = blocks_to_pixels(resize[: (scale * phases) ** 2, : phases**2, 1:4, 1:4], phases)
        else:
            shuffle = next(node for node in model.graph.node if node.op_type == "DepthToSpace")
            phases = resize.shape[-1] - 4
            scale = int(helper.get_node_attr_value(shuffle, "blocksize")) // phases
            if phases > 1:
                values["conv0.weight"] = pixels_to_blocks(values["conv0.weight"], phases)
        if phases > 1:
            rows = [v * scale * phases + u for v in range(scale) for u in range(scale)]
            resize = np.ascontiguousarray(resize[rows, :, :5, :5])
        plain = FoldedGenerator(
            tuple((values[f"conv{n}.weight"], values[f"conv{n}.bias"]) for n in range(depth)),
            resize,
            float(slopes.pop()),
            scale,
            phases,
        )
    except Exception as error:  # whatever another graph lacks
        raise ExportError(f"from_onnx: {path} is not a float32 network of scripts/export ({error})") from error
    return of_luma(plain), said


def between(twin: FoldedGenerator, trained: FoldedGenerator, ship: ShipConfig) -> FoldedGenerator:
    """The network whose weights lie `ship.part` of the way from those of `twin` to those of `trained`.

    Of use for networks that come from the same weights: X. Wang et al., ESRGAN, arXiv 1809.00219, section 3.4.

    Raises:
        ExportError: the two are of different shapes.
    """
    pairs = [(twin.resize, trained.resize)]
    for ours, theirs in zip(twin.convolutions, trained.convolutions, strict=False):
        pairs += zip(ours, theirs, strict=True)
    depths = len(twin.convolutions), len(trained.convolutions)
    if depths[0] != depths[1] or any(a.shape != b.shape for a, b in pairs):
        raise ExportError(
            f"export: ship.twin {ship.twin} is of another shape ({depths[0]} convolutions of "
            f"{len(twin.convolutions[0][0])} features, trained were {depths[1]} of {len(trained.convolutions[0][0])}); "
            "name a file of the same shape"
        )
    resize, *rest = ((1 - ship.part) * a + ship.part * b for a, b in pairs)
    return replace(trained, resize=resize, convolutions=tuple(zip(rest[::2], rest[1::2], strict=True)))


def rounded(plain: FoldedGenerator, keep: Collection[str]) -> FoldedGenerator:
    """The network with its kernels as their int8 variant holds them: for each output channel whole multiples of a
    127th of the largest weight. The convolutions named in `keep`, as conv0, and the resize stay as they are."""
    layers = []
    for number, (kernel, bias) in enumerate(plain.convolutions):
        step = np.abs(kernel).max((1, 2, 3), keepdims=True).clip(min=1e-12) / 127
        layers.append(
            (kernel if f"conv{number}" in keep else (np.round(kernel / step) * step).astype(np.float32), bias)
        )
    return replace(plain, convolutions=tuple(layers))


def difference(model: onnx.ModelProto, generator: LumaGenerator) -> float:
    """Largest absolute difference between `model` in ONNX Runtime and `generator` in PyTorch.

    Over four sizes, values in [-0.1, 1.1].
    """
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    worst = 0.0
    generator = generator.float().cpu()
    for height, width in ((1, 1), (7, 5), (32, 48), (65, 33)):
        phases, scale = generator.config.phases, generator.config.scale
        height, width = height * phases, width * phases
        picture = 1.2 * random.random((1, 1, height, width), np.float32) - 0.1
        gray = torch.from_numpy(picture).expand(1, 3, height, width)
        with torch.no_grad():
            if generator.config.colour:
                chroma = 1.2 * torch.from_numpy(random.random((1, 2, height // 2, width // 2), np.float32)) - 0.1
                luma, _, added = generator.parts(gray, chroma)
                large = generator.chroma(chroma, added).transpose(0, 1)
                planes = [F.pixel_unshuffle(luma, scale * phases), *F.pixel_unshuffle(large, scale)[:, None]]
                expected = torch.cat(planes, 1).numpy()
                picture = torch.cat([F.pixel_unshuffle(torch.from_numpy(picture), phases), chroma], 1).numpy()
            else:
                expected = generator.parts(gray)[0].numpy()
        made = np.asarray(session.run(None, {"input": picture})[0])
        if made.shape != expected.shape:
            raise ExportError(f"export: {width}x{height} gave {made.shape}, PyTorch {expected.shape}")
        worst = max(worst, float(np.abs(made - expected).max()))
    return worst


def load_generator(path: Path) -> tuple[LumaGenerator, recipe.Recipe, dict[str, Any]]:
    """The averaged generator of a checkpoint, its recipe and the whole state."""
    state = checkpoint.load(path)
    settings = recipe.from_dict(state["recipe"])
    generator = LumaGenerator(settings.generator)
    generator.load_state_dict(state["mean"])
    generator.slope = float(state["slope"])
    return generator.eval(), settings, state


def training_line(settings: recipe.Recipe, state: dict[str, Any], hardware: str) -> str:
    """One line of provenance for metadata and card: recipe, steps, time on `hardware` (in words), origin."""
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    adversarial = int(state["step"]) - int(state["adversarial_from"]) if int(state["adversarial_from"]) >= 0 else 0
    return (
        f"recipe {settings.name} {settings.digest()}, {state['step']} steps ({adversarial} adversarial), "
        f"{float(state['elapsed']) / 60:.0f} minutes on {hardware}, {date}"
        + (f"; started from {state['origin']}" if state.get("origin") else "")
        + _mixture(settings.ship)
        + ("; weights rounded for int8" if settings.ship.rounded else "")
    )


def _mixture(ship: ShipConfig) -> str:
    if not ship.twin:
        return ""
    twin = Path(ship.twin)
    digest = hashlib.sha256(twin.read_bytes()).hexdigest()
    return f"; {ship.part:g} of these weights and {1 - ship.part:g} of {twin.name}'s, file SHA-256 {digest}"


def export(source: Path, target: Path, hardware: str) -> ExportedModel:
    """Write `target` (.onnx) from the checkpoint `source`, after comparing both; `hardware` in words goes on record.

    Where the recipe names a twin (`ship`), the file has weights between the twin's and the trained ones. With
    `ship.rounded` they are rounded to what int8 holds.

    Raises:
        CheckpointError: no such checkpoint.
        ExportError: ONNX Runtime differs from PyTorch by more than 1e-4, the activation is still on its way to its end
            value, or the twin cannot be read or is of another shape.
    """
    generator, settings, state = load_generator(source)
    if generator.slope != settings.generator.slope:
        raise ExportError(
            f"export: {source} has slope {generator.slope:.3f} on its way to {settings.generator.slope}; "
            "train on to the end of the pixel-loss stage"
        )
    plain = generator.plain()
    if settings.ship.twin:
        plain = between(from_onnx(Path(settings.ship.twin))[0], plain, settings.ship)
    if settings.ship.rounded:
        plain = rounded(plain, settings.ship.keep)
    if settings.ship.twin or settings.ship.rounded:  # else the trained network itself is compared, which checks folding
        generator.adopt(plain)
    model = to_onnx(
        plain,
        Metadata(
            name=settings.name,
            summary=settings.summary,
            scale=plain.scale,
            colour="yuv420" if plain.colour else "luma",
            range=1.0,
            radius=len(plain.convolutions) if plain.colour else plain.radius,  # on the grid of its input
            multiple=1 if plain.colour else plain.phases,
            licence="MIT",
            precision="fp32",
            training=training_line(settings, state, hardware),
        ),
    )
    worst = difference(model, generator)
    if worst > TOLERANCE:
        raise ExportError(f"export: ONNX Runtime and PyTorch differ by {worst:.2e}, more than {TOLERANCE:.0e}")
    files.write(target, model.SerializeToString())
    return ExportedModel(target, plain, settings, state, worst)


def card(made: ExportedModel, hardware: str) -> str:
    """The model card in Markdown: what it is, what it was trained on and how; the evaluation is appended by hand."""
    settings, state = made.settings, made.state
    generator = settings.generator
    place = ", at half the input's size" if generator.phases > 1 else ""
    activation = "ReLU" if not generator.slope else f"LeakyReLU {generator.slope}"
    scale = generator.scale
    seen = "YUV 4:2:0, beside a resize" if generator.colour else "luma, beside a 5x5 resize"
    small, large = (
        ("6, H/2, W/2", f"{6 * scale**2}, H/2, W/2") if generator.colour else ("1, H, W", f"1, {scale}H, {scale}W")
    )
    planes = "luma in four phases, U and V" if generator.colour else "luma"
    judge = (
        "Losses compare features of EfficientNet-lite0 (Apache-2.0, trained on ImageNet); no other network was a "
        "teacher or a judge."
        if settings.pixel.looks or settings.adversarial.looks
        else "No other network was a teacher or a judge."
    )
    lines = [
        f"# {settings.name}",
        "",
        settings.summary + ".",
        "",
        "| | |",
        "|---|---|",
        f"| network | {generator.convolutions} convolutions 3x3, {generator.width} features, {activation}"
        f"{place}, of {seen} |",
        f"| input, output | {planes}: `(1, {small})` to `(1, {large})`, float32 in [0, 1] |",
        f"| multiply-adds per input pixel | {made.plain.multiply_adds:,} |",
        f"| parameters | {made.plain.resize.size + sum(w.size + b.size for w, b in made.plain.convolutions):,} |",
        "| licence | MIT |",
        f"| training | {training_line(settings, state, hardware)} |",
        f"| recipe | `training/recipes/{settings.name}.toml`, seed {settings.run.seed}; {_repeat(settings, state)} |",
        f"| data list SHA-256 | `{state['data_sha256']}` |",
        "| versions | " + ", ".join(f"{name} {number}" for name, number in state["versions"].items()) + " |",
        f"| file SHA-256 | `{hashlib.sha256(made.path.read_bytes()).hexdigest()}` |",
        f"| ONNX Runtime against PyTorch | {made.difference:.1e} at most |",
        "",
        "## Material",
        "",
        "Trained from scratch on the following and nothing else. "
        + judge
        + (" Stills under share-alike licences were left out." if "CC-BY-SA" in settings.data.exclude_licences else ""),
        "",
        *_attribution(settings),
        "",
        "",
    ]
    return "\n".join(lines)


def _repeat(settings: recipe.Recipe, state: dict[str, Any]) -> str:
    """How to make the same run independent of the clock."""
    steps, joined = int(state["step"]), int(state["adversarial_from"])
    if settings.run.steps:
        return "repeats step for step"
    part = f" and `run.pixel_part = {joined / steps:.4f}`" if joined > 0 else ""
    return (
        f"its schedule followed the clock; `run.steps = {steps}`{part} in place of minutes make as many of each stage"
    )


def _attribution(settings: recipe.Recipe) -> list[str]:
    used = {source.name for source in data.sources(settings.data) if not source.held_out}
    rows = data.manifest(settings.data)
    if not rows:
        return [f"- {name}" for name in sorted(used)]
    groups: dict[tuple[str, str], list[str]] = {}
    for name in sorted(used & set(rows)):
        groups.setdefault((rows[name]["repo"], rows[name]["licence"]), []).append(rows[name]["credit"])
    lines = ["| source | files | licence | credit |", "|---|---|---|---|"]
    for (repo, licence), credits in sorted(groups.items()):
        lines.append(f"| {repo} | {len(credits)} | {licence} | {', '.join(dict.fromkeys(filter(None, credits)))} |")
    lines += [f"| {Path(name).name} | 1 | see below | see below |" for name in sorted(used - set(rows))]
    return lines
