"""Networks as other people publish them: no metadata, names and shapes of any kind, each with a known result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from vs_gansr.engine import probe
from vs_gansr.model import library
from vs_gansr.model.spec import ModelSpec


def build(
    path: Path,
    nodes: list[onnx.NodeProto],
    weights: dict[str, np.ndarray],
    shape: list,
    kind: int = TensorProto.FLOAT,
    names: tuple[str, str] = ("x", "y"),
) -> Path:
    """A file as exporters leave it: input and output of any name and shape, no metadata."""
    entry = helper.make_tensor_value_info(names[0], kind, shape)
    leaving = helper.make_tensor_value_info(names[1], kind, None)
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "g", [entry], [leaving], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def enlarge(source: str, target: str, scale: int, kind: type = np.float32) -> tuple[onnx.NodeProto, np.ndarray]:
    node = helper.make_node(
        "Resize", [source, "", "sizes"], [target], mode="nearest", coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )  # fmt: skip
    return node, np.array([1, 1, scale, scale], np.float32)


def repeat(path: Path, shape: list, scale: int = 2, kind: int = TensorProto.FLOAT, names: tuple = ("x", "y")) -> Path:
    """A network that repeats pixels."""
    node, sizes = enlarge(*names, scale)
    return build(path, [node], {"sizes": sizes}, shape, kind, names)


def luma_net(path: Path, scale: int = 2) -> Path:
    """A luma network with a known answer: every pixel four times, inverted."""
    node, sizes = enlarge("x", "large", scale)
    nodes = [node, helper.make_node("Sub", ["one", "large"], ["y"])]
    return build(path, nodes, {"sizes": sizes, "one": np.float32(1)}, ["n", 1, "h", "w"])


def mixing_net(path: Path, weights: tuple[float, ...], scale: int = 1) -> Path:
    """A network of several frames with a known answer for all values: their weighted sum, repeated."""
    kernel = np.zeros((3, 3 * len(weights), 1, 1), np.float32)
    for frame, weight in enumerate(weights):
        for channel in range(3):
            kernel[channel, 3 * frame + channel] = weight
    node, sizes = enlarge("sum", "y", scale)
    nodes = [helper.make_node("Conv", ["x", "kernel"], ["sum"]), node]
    build(path, nodes, {"kernel": kernel, "sizes": sizes}, [1, 3 * len(weights), "h", "w"])
    proto = onnx.load(str(path))
    proto.metadata_props.add(key="gansr.clamp", value="0")
    onnx.save(proto, str(path))
    return path


def spec_of(path: Path) -> ModelSpec:
    return probe.describe(library.load(str(path))).spec
