"""Load networks from PyTorch files, weights only, and export them to ONNX.

No other module of vs_gansr imports torch; this one needs the extra [convert]. It handles no video and writes no output
file.

spandrel recognises the architectures. Whether a network accepts any size is determined by trial: an export counts as
free in size if it equals PyTorch at sizes it was not traced with; otherwise the export has the fixed size of one
tile.
"""

from __future__ import annotations

import math
import pickle
import re
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import spandrel
import torch

from ...engine.onnxruntime.provider import cpu_session
from ...errors import ModelError, one_line
from ...model.library import PYTORCH
from ...model.rewrite.graph_view import forget_shapes
from ...model.spec import round_up
from ..common import silenced

__all__ = ["CLOSE", "OnnxExport", "TorchNetwork", "difference", "export", "load"]

type Picture = npt.NDArray[np.float32]

TRACED = 64  # pixels; smallest width and height of the traced picture
MULTIPLES = (1, 2, 3, 4, 6, 7, 8, 12, 16, 24, 32, 48, 64)
CLOSE = 2e-4  # largest difference between an export and PyTorch, as a fraction of the output's largest value
INPUT, OUTPUT = "input", "output"
LACKING = (
    "DispatchError",
    "OnnxExporterError",
    "SymbolicValueError",
    "UnsupportedOperatorError",
)  # exceptions for an operator without ONNX equivalent, at any size


@dataclass(frozen=True)
class TorchNetwork:
    """A network loaded from a file, with spandrel's description and a function that runs it."""

    architecture: str  # spandrel's name of the architecture
    channels: int  # 3 or 1
    scale: int  # output size divided by input size
    step: int  # pixels; width and height are multiples of it
    unit: int  # pixels; multiple of `step` that also fits the attention windows
    least: int  # pixels; smallest width and height
    licence: str  # "" if it is not stated
    module: torch.nn.Module  # the network without spandrel's padding and clamping
    run: Callable[[Picture], Picture]  # (1, channels, H, W) in [0, 1] -> (1, channels, scale * H, scale * W), float32


@dataclass(frozen=True)
class OnnxExport:
    """A network exported to ONNX."""

    data: bytes
    multiple: int  # pixels; width and height are multiples of it
    fixed: tuple[int, int] | None  # the only (width, height) in pixels; None: sizes are free


def load(path: Path) -> TorchNetwork:
    """Return the network in `path`.

    Raises ModelError for a damaged file, a file that would run code, an unknown architecture, and a network that does
    not map images of 1 or 3 channels to images.
    """
    weights, licence = read(path)
    try:
        with silenced():
            found = spandrel.ModelLoader(device="cpu").load_from_state_dict(spandrel.canonicalize_state_dict(weights))
    except spandrel.UnsupportedModelError as error:
        known = ", ".join(sorted(str(a.architecture.name) for a in spandrel.MAIN_REGISTRY))
        raise ModelError(f'"{path.name}" has an architecture that spandrel does not know; it knows: {known}') from error
    except Exception as error:  # damaged weights fail in many places of spandrel and torch
        raise ModelError(f'"{path.name}" contains no usable weights: {one_line(error)}') from error
    name = str(found.architecture.name)
    if not isinstance(found, spandrel.ImageModelDescriptor):
        raise ModelError(f'"{path.name}" ({name}) needs a mask besides the picture; video has none')
    if found.input_channels != found.output_channels or found.input_channels not in (1, 3):
        raise ModelError(
            f'"{path.name}" ({name}) maps {found.input_channels} channels to {found.output_channels}; '
            "1 to 1 and 3 to 3 are supported"
        )
    module = Forward(found).float().eval()
    need = found.size_requirements
    step = max(1, need.multiple_of)
    unit = math.lcm(step, *windows(found.model))

    def run(picture: Picture) -> Picture:
        with torch.inference_mode():
            result: Picture = module(torch.from_numpy(picture)).numpy()
        return result

    return TorchNetwork(name, found.input_channels, found.scale, step, unit, need.minimum, licence, module, run)


def read(path: Path) -> tuple[dict[str, Any], str]:
    """Return a file's weights, as float32 tensors by name, and its licence ("": not stated). Raises ModelError."""
    kind = path.suffix.lower()
    if kind not in PYTORCH:
        raise ModelError(f'"{path.name}" is not a PyTorch file ({", ".join(PYTORCH)})')
    licence = ""
    try:
        if kind == ".safetensors":
            from safetensors import safe_open

            with safe_open(str(path), "pt") as opened:
                stated = opened.metadata() or {}
                weights: Any = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
            licence = stated.get("modelspec.license") or stated.get("license") or ""
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                weights = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ModelError(f'"{path}" does not exist') from error
    except pickle.UnpicklingError as error:
        raise ModelError(
            f'"{path.name}" is refused: it is damaged, or contains more than weights and could run code when opened; '
            "ask the author for a .safetensors file"
        ) from error
    except Exception as error:  # the readers raise their own types
        hint = "; TorchScript is code, ask the author for the weights" if "TorchScript" in str(error) else ""
        raise ModelError(f'"{path.name}" cannot be read: {one_line(error, 200)}{hint}') from error
    if not isinstance(weights, dict):
        raise ModelError(
            f'"{path.name}" contains a {type(weights).__name__} instead of a state dict (weights by name); ask the '
            "author for one"
        )
    return as_float(weights), licence


def as_float(weights: dict[str, Any]) -> dict[str, Any]:
    """Return `weights`, with their nesting, in float32 instead of half or double precision."""

    def one(value: Any) -> Any:
        if isinstance(value, dict):
            return as_float(value)
        return value.float() if torch.is_tensor(value) and value.is_floating_point() else value

    return {key: one(value) for key, value in weights.items()}


def windows(model: torch.nn.Module) -> list[int]:
    """Return the window sizes of attention layers, as far as the network states them."""
    found: set[int] = set()
    for module in model.modules():
        size = getattr(module, "window_size", None)
        for side in size if isinstance(size, (tuple, list)) else (size,):
            if isinstance(side, int) and 1 < side <= TRACED:
                found.add(side)
    return sorted(found)


class Forward(torch.nn.Module):
    """A network called as spandrel calls it, without padding and clamping."""

    def __init__(self, found: Any) -> None:
        super().__init__()
        self.model = found.model
        self._call = getattr(found, "_call_fn", None)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self._call(self.model, picture) if self._call else self.model(picture)
        return result


def export(source: TorchNetwork, tile: int) -> OnnxExport:
    """Return the network as ONNX, equal to PyTorch within CLOSE, with free sizes if possible, else at about tile x
    tile.

    Raises ModelError with the reason of each attempt where no way of exporting works.
    """
    side = round_up(max(TRACED, source.least), source.unit)
    fixed = round_up(max(tile, source.least), source.unit)
    failures: dict[str, str] = {}
    lacking: set[str] = set()
    for label, sides, free in (
        ("traced", (side, side), True),
        ("exported", (side, side + 2 * source.unit), True),
        ("traced", (fixed, fixed), False),
        ("exported", (fixed, fixed), False),
    ):
        if label in lacking:
            continue
        where = f"{label} with {'free' if free else 'fixed'} sizes"
        try:
            with silenced():
                make = trace if label == "traced" else capture
                data = make(source, sides, free)
                found = prove(source, data, sides, free)
        except Exception as error:  # exporters and runtimes raise their own types
            cause = origin(error)
            if type(cause).__name__ in LACKING:
                lacking.add(label)
            failures[where] = re.sub(r"\\x1b\[\d*m", "", one_line(cause, 160))  # without terminal colours
            continue
        if isinstance(found, OnnxExport):
            return found
        failures[where] = found
    why = "; ".join(f"{where}: {reason}" for where, reason in failures.items())
    raise ModelError(f"{source.architecture} cannot be exported to ONNX; tried: {why}")


def origin(error: BaseException) -> BaseException:
    """Return the first exception of the chain of causes."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def prove(source: TorchNetwork, data: bytes, sides: tuple[int, int], free: bool) -> OnnxExport | str:
    """Return the export with the sizes it is correct for, or a description of its fault."""
    session = cpu_session(data)
    height, width = sides
    wrong = compare(source, session, height, width)
    if wrong or not free:
        return wrong or OnnxExport(data, 1, (width, height))
    for multiple in sorted({source.step, source.unit, *(m for m in MULTIPLES if m % source.step == 0)}):
        least = round_up(max(source.least, 24), multiple)
        tries = ((least + multiple, least + 3 * multiple), (height + 3 * multiple, width + multiple))
        if not any(compare(source, session, round_up(h, multiple), round_up(w, multiple)) for h, w in tries):
            return OnnxExport(data, multiple, None)
    return "differs from PyTorch at sizes other than the traced one"


def compare(source: TorchNetwork, session: ort.InferenceSession, height: int, width: int) -> str | None:
    """Return how the export differs from PyTorch on one picture of noise; None if it does not."""
    picture = np.random.default_rng(height * 10007 + width).random((1, source.channels, height, width), np.float32)
    try:
        got = session.run(None, {INPUT: picture})[0]
    except Exception as error:  # the binding raises its own types
        return f"{width}x{height} fails: {one_line(error, 120)}"
    far = difference(got, source.run(picture))
    return None if far <= CLOSE else f"the result for {width}x{height} differs from PyTorch's by {far:.2g}"


def difference(got: Picture, want: Picture) -> float:
    """Return the largest difference relative to the largest value of `want`, at least 1; inf if shapes differ."""
    if got.shape != want.shape or not np.isfinite(got).all():
        return math.inf
    return float(np.abs(got - want).max() / max(1.0, float(np.abs(want).max())))


def trace(source: TorchNetwork, sides: tuple[int, int], free: bool) -> bytes:
    """Export by tracing: run the network on a picture of `sides` (height, width) and record its operators."""
    axes = {INPUT: {2: "height", 3: "width"}, OUTPUT: {2: "out_height", 3: "out_width"}} if free else None
    with tempfile.TemporaryDirectory(prefix="gansr-") as folder, torch.no_grad():
        target = Path(folder) / "traced.onnx"
        torch.onnx.export(
            source.module,
            (torch.rand(1, source.channels, *sides),),
            target,
            dynamo=False,
            opset_version=17,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes=axes,
        )
        return named(onnx.load(str(target)), free)


def capture(source: TorchNetwork, sides: tuple[int, int], free: bool) -> bytes:
    """Export with torch.export, which is slower than tracing but handles sizes that the network computes with."""
    dynamic = torch.export.Dim.DYNAMIC
    with torch.no_grad():
        program = torch.onnx.export(
            source.module,
            (torch.rand(1, source.channels, *sides),),
            dynamo=True,
            opset_version=18,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({2: dynamic, 3: dynamic},) if free else None,
            verbose=False,
        )
    if program is None:
        raise ModelError("the exporter returned nothing")
    return named(program.model_proto, free)


def named(proto: onnx.ModelProto, free: bool) -> bytes:
    """Return the model with its free sizes named height and width. Raises ModelError unless it has one input."""
    if len(proto.graph.input) != 1:
        raise ModelError(f"the export has {len(proto.graph.input)} inputs")
    if free:
        for dim, name in zip(proto.graph.input[0].type.tensor_type.shape.dim[2:], ("height", "width"), strict=True):
            dim.dim_param = name
        forget_shapes(proto.graph)
    data: bytes = proto.SerializeToString()
    return data
