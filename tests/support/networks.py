"""Small ONNX networks for the tests: some with a known result, some as heavy as a real generator."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def save(
    path: Path,
    nodes: list,
    weights: list,
    channels: int = 3,
    metadata: dict[str, str] | None = None,
    made: int | None = None,
) -> Path:
    """Writes a network `input` -> `output` with free height and width, as many channels out as in or `made`."""
    x = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, channels, "height", "width"])
    y = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, made or channels, "out_height", "out_width"])
    graph = helper.make_graph(nodes, "test", [x], [y], weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for key, value in (metadata or {}).items():
        proto.metadata_props.add(key=f"gansr.{key}", value=value)
    onnx.save(proto, str(path))
    return path


def point(path: Path, scale: int = 2, channels: int = 3, metadata: dict[str, str] | None = None) -> Path:
    """A generator that repeats pixels of any value, to test conversions."""
    sizes = numpy_helper.from_array(np.array([1, 1, scale, scale], np.float32), "sizes")
    node = helper.make_node(
        "Resize",
        ["input", "", "sizes"],
        ["output"],
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    return save(path, [node], [sizes], channels, {"clamp": "0", **(metadata or {})})


def compact(
    path: Path,
    features: int = 16,
    convs: int = 8,
    scale: int = 2,
    seed: int = 0,
    slope: float | None = None,
    skip: bool = False,
    metadata: dict[str, str] | None = None,
    made: int = 3,
) -> Path:
    """A stack of `convs` 3x3 convolutions with ReLU (or LeakyReLU of `slope`) and depth-to-space, random weights;
    with `skip` as our generators are, beside a 5x5 convolution of the input. Receptive-field radius `convs`."""
    rng = np.random.default_rng(seed)
    widths = [3] + [features] * (convs - 1) + [made * scale * scale]
    nodes, weights = [], []

    def conv(source: str, label: str, inputs: int, outputs: int, size: int) -> str:
        kernel = rng.normal(0, (2 / (size * size * inputs)) ** 0.5, (outputs, inputs, size, size))
        bias = rng.normal(0, 0.05, outputs)
        weights.append(numpy_helper.from_array(kernel.astype(np.float32), f"w{label}"))
        weights.append(numpy_helper.from_array(bias.astype(np.float32), f"b{label}"))
        pads = [size // 2] * 4
        nodes.append(helper.make_node("Conv", [source, f"w{label}", f"b{label}"], [f"c{label}"], pads=pads))
        return f"c{label}"

    last = "input"
    for i, (a, b) in enumerate(pairwise(widths)):
        last = conv(last, str(i), a, b, 3)
        if i < convs - 1:
            kind = {"alpha": slope} if slope is not None else {}
            nodes.append(helper.make_node("LeakyRelu" if kind else "Relu", [last], [f"r{i}"], **kind))
            last = f"r{i}"
    if skip:
        nodes.append(helper.make_node("Add", [last, conv("input", "skip", 3, widths[-1], 5)], ["sum"]))
        last = "sum"
    nodes.append(helper.make_node("DepthToSpace", [last], ["output"], blocksize=scale, mode="CRD"))
    return save(path, nodes, weights, 3, {"scale": str(scale), "radius": str(convs)} | (metadata or {}), made)


def halved(path: Path, multiple: int = 2) -> Path:
    """A luma network with a body at 1/`multiple` of the size, which sides must be divisible by; it repeats every pixel
    2 x 2 times."""
    large = 2 * multiple
    kernel = np.zeros((large * large, multiple * multiple, 1, 1), np.float32)
    for y in range(large):
        for x in range(large):
            kernel[y * large + x, y // 2 * multiple + x // 2] = 1
    nodes = [
        helper.make_node("SpaceToDepth", ["input"], ["phases"], blocksize=multiple),
        helper.make_node("Conv", ["phases", "kernel"], ["body"]),
        helper.make_node("DepthToSpace", ["body"], ["output"], blocksize=large),
    ]
    metadata = {"multiple": str(multiple), "colour": "luma"}
    return save(path, nodes, [numpy_helper.from_array(kernel, "kernel")], 1, metadata)


THREE = {"frames": "3", "colour": "luma"}


def mix_of_three(path: Path, weights: tuple[float, float, float], metadata: dict[str, str] = THREE) -> Path:
    """A network of luma of three frames with a known answer: their weighted sum, every pixel four times."""
    kernel = numpy_helper.from_array(np.array(weights, np.float32).reshape(1, 3, 1, 1), "kernel")
    sizes = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "sizes")
    how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    nodes = [
        helper.make_node("Conv", ["input", "kernel"], ["sum"]),
        helper.make_node("Resize", ["sum", "", "sizes"], ["output"], **how),
    ]
    return save(path, nodes, [kernel, sizes], 3, metadata, made=1)


def compact_of_three(path: Path, features: int = 8, convs: int = 4, **options: bool) -> Path:
    """`compact` of luma of three frames."""
    return compact(path, features, convs, metadata=THREE, made=1, **options)
