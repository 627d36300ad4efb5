"""Load an ONNX generator as a PyTorch module, to compare speeds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import Tensor, nn

__all__ = ["OnnxModule"]


class OnnxModule(nn.Module):
    """Runs the nodes of a generator, (1, C, H, W) -> (1, C, S*H, S*W). ValueError for an operator it does not know."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        proto = onnx.load(path)
        graph = proto.graph
        self.constants: dict[str, np.ndarray] = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        self.steps: list[tuple[str, list[str], str, dict[str, Any]]] = []
        for node in graph.node:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            if node.op_type == "Constant":
                self.constants[node.output[0]] = numpy_helper.to_array(attributes["value"])
            elif node.op_type not in OPERATORS:
                raise ValueError(f"{path.name}: no PyTorch counterpart for {node.op_type}")
            else:
                self.steps.append((node.op_type, list(node.input), node.output[0], attributes))
        self.names: dict[str, str] = {}
        for i, (name, value) in enumerate(self.constants.items()):
            if value.dtype.kind == "f":
                self.register_buffer(f"w{i}", torch.from_numpy(value.copy()))
                self.names[name] = f"w{i}"
        [entry] = [value for value in graph.input if value.name not in self.constants]
        self.entry, self.exit = entry.name, graph.output[0].name
        self.channels: int = entry.type.tensor_type.shape.dim[1].dim_value
        """Of a picture that it takes."""

    def forward(self, picture: Tensor) -> Tensor:
        values: dict[str, Any] = {name: getattr(self, held) for name, held in self.names.items()}
        values[self.entry] = picture
        for kind, inputs, output, attributes in self.steps:
            given = [values.get(name, self.constants.get(name)) if name else None for name in inputs]
            values[output] = OPERATORS[kind](attributes, *given)
        result: Tensor = values[self.exit]
        return result


def conv(a: dict[str, Any], x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    pads = a.get("pads", [0, 0, 0, 0])
    if pads[:2] != pads[2:]:
        x, pads = F.pad(x, (pads[1], pads[3], pads[0], pads[2])), [0, 0]
    return F.conv2d(x, weight, bias, a.get("strides", [1, 1]), pads[:2], a.get("dilations", [1, 1]), a.get("group", 1))


def conv_transpose(a: dict[str, Any], x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    pads = a.get("pads", [0, 0, 0, 0])
    return F.conv_transpose2d(
        x, weight, bias, a.get("strides", [1, 1]), pads[:2], a.get("output_padding", [0, 0]), a.get("group", 1)
    )


def shuffle(a: dict[str, Any], x: Tensor) -> Tensor:
    size = int(a["blocksize"])
    if a.get("mode", b"DCR") == b"CRD":
        return F.pixel_shuffle(x, size)
    n, c, h, w = x.shape
    spread = x.reshape(n, size, size, c // size**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return spread.reshape(n, c // size**2, h * size, w * size)


def resize(a: dict[str, Any], x: Tensor, roi: Any = None, scales: Any = None, sizes: Any = None) -> Tensor:
    if scales is None or a.get("mode", b"nearest") not in (b"nearest", b"linear"):
        raise ValueError("Resize: only nearest and linear by a factor are known")
    if a.get("mode", b"nearest") == b"nearest":
        return F.interpolate(x, scale_factor=[float(s) for s in scales[2:]], mode="nearest")
    return F.interpolate(x, scale_factor=[float(s) for s in scales[2:]], mode="bilinear", align_corners=False)


def pad(a: dict[str, Any], x: Tensor, pads: Any, value: Any = None, axes: Any = None) -> Tensor:
    rank = x.dim()
    where = [int(i) % rank for i in axes] if axes is not None else list(range(rank))
    amounts = [(0, 0)] * rank
    for i, axis in enumerate(where):
        amounts[axis] = (int(pads[i]), int(pads[i + len(where)]))
    mode = a.get("mode", b"constant").decode()
    if mode == "constant":
        flat = [n for pair in reversed(amounts) for n in pair]
        return F.pad(x, flat, value=float(value) if value is not None else 0.0)
    flat = [n for pair in reversed(amounts[2:]) for n in pair]
    return F.pad(x, flat, mode={"edge": "replicate"}.get(mode, mode))


def slices(a: dict[str, Any], x: Tensor, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Tensor:
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        axis = int(axes[i]) if axes is not None else i
        length = x.shape[axis]
        begin, stop = (min(max(int(n) + length * (n < 0), 0), length) for n in (start, end))
        x = x.narrow(axis, begin, stop - begin)
    return x


OPERATORS: dict[str, Callable[..., Tensor]] = {
    "Add": lambda a, x, y: x + y,
    "Clip": lambda a, x, low=None, high=None: x.clamp(
        None if low is None else float(low), None if high is None else float(high)
    ),
    "Concat": lambda a, *x: torch.cat(x, int(a["axis"])),
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "DepthToSpace": shuffle,
    "GlobalAveragePool": lambda a, x: x.mean((2, 3), keepdim=True),
    "Identity": lambda a, x: x,
    "LeakyRelu": lambda a, x: F.leaky_relu(x, a.get("alpha", 0.01)),
    "Mul": lambda a, x, y: x * y,
    "PRelu": lambda a, x, slope: F.prelu(x, slope.flatten()),
    "Pad": pad,
    "Relu": lambda a, x: F.relu(x),
    "Resize": resize,
    "Sigmoid": lambda a, x: torch.sigmoid(x),
    "Slice": slices,
    "Sub": lambda a, x, y: x - y,
}
