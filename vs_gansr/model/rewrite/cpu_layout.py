"""Rewrite a graph so that CPUs run it faster; its values change only by rounding. This module runs nothing.

ONNX Runtime's convolution kernels for CPUs work on blocks of 8 or 16 channels. They are fast while the operators
between them keep that layout: Relu, LeakyRelu, Add of two tensors and Conv do; PRelu and Mul by a number do not. This
module replaces PRelu and Mul by operators that do.

Not done here, because ONNX Runtime does it once sizes are static or because it gained nothing: folding constants and
shape arithmetic (ONNX Runtime leaves 105 of a SwinIR's 2531 nodes), reshapes, Sub and Div as convolutions, keeping x
* sigmoid(x) unfused.
"""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx.version_converter
from onnx import helper, numpy_helper

from .graph_view import (
    GraphView,
    attribute,
    constant_value,
    has_graphs,
    opset,
    put_nodes,
    without_weight_inputs,
)

__all__ = ["BLOCKED", "for_cpu", "modern", "tidy"]

type Array = npt.NDArray[np.floating[Any]]

BLOCK = 16  # channels; the layout is lost with any other number
OPSET = 17  # networks of opset 12 and earlier are converted to this version
BLOCKED = platform.machine().lower() in ("x86_64", "amd64")  # kernels of other processors have no such layout


def for_cpu(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Change `proto` in place so that it keeps the CPU's blocked layout, and return it."""
    tidy(proto)
    graph = GraphView(proto)
    for node in graph.nodes:
        if node.op_type == "PRelu":
            rewrite_prelu(graph, node)
        elif node.op_type == "Mul":
            rewrite_scaling(graph, node)
    graph.finish()
    return proto


def modern(proto: onnx.ModelProto, wanted: int = 13) -> onnx.ModelProto:
    """Return an equal network of opset `wanted` or later whose weights are not inputs; it may be `proto` itself.

    The opset stays where ONNX's converter fails and where conversion would move pixels: the converter treats the
    linear enlargement of opsets before 11 like the later one. Int8 and the samples at the graph's ends need the newer
    opset.
    """
    version = opset(proto)
    moved = version < 11 and any(
        node.op_type in ("Upsample", "Resize") and attribute(node, "mode", "nearest") != "nearest"
        for node in proto.graph.node
    )
    if version < wanted and not moved:
        try:
            converted = onnx.version_converter.convert_version(proto, OPSET if version < 13 else wanted)
        except Exception:  # unknown operator; whoever needs a later opset reports it
            return proto
        converted.metadata_props.extend(p for p in proto.metadata_props if p not in converted.metadata_props)
        proto = converted
    return without_weight_inputs(proto)


def tidy(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Change `proto` in place: Constant nodes become initializers and Identity nodes disappear. Return it."""
    graph = proto.graph
    outputs = {value.name for value in graph.output}
    constants = {tensor.name for tensor in graph.initializer}
    renamed: dict[str, str] = {}
    kept = []
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = renamed.get(name, name)
        value = constant_value(node) if node.op_type == "Constant" else None
        if value is not None and node.output[0] not in outputs:
            graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
            constants.add(node.output[0])
        elif node.op_type == "Identity" and node.output[0] not in outputs and not has_graphs(proto):
            renamed[node.output[0]] = node.input[0]
        else:
            kept.append(node)
    if len(kept) < len(graph.node):
        put_nodes(graph, kept)
    return proto


def channels(graph: GraphView, name: str) -> int | None:
    """Return the number of channels of a value; None if it is unknown or no multiple of BLOCK."""
    while name in graph.makers:
        node = graph.makers[name]
        if node.op_type == "Conv":
            kernel = graph.weights.get(node.input[1])
            count = kernel.dims[0] if kernel is not None else 0
            return count if count and count % BLOCK == 0 else None
        if node.op_type not in ("Relu", "LeakyRelu", "PRelu", "Sigmoid", "Tanh", "Add", "Sub", "Mul", "Div"):
            return None
        computed = [n for n in node.input if n in graph.makers]
        if not computed:
            return None
        name = computed[0]
    return None


def number(graph: GraphView, name: str) -> Array | None:
    """Return the float32 constant called `name`; None if it is anything else."""
    value = graph.array(name)
    return value if value is not None and value.dtype == np.float32 else None


def depthwise(graph: GraphView, source: str, target: str, factor: Array) -> onnx.NodeProto:
    """Return a depthwise convolution that computes target = factor * source for each channel."""
    inputs = [source, graph.constant(factor.reshape(-1, 1, 1, 1))]
    return helper.make_node("Conv", inputs, [target], name=graph.name(), group=factor.size, kernel_shape=[1, 1])


def rewrite_prelu(graph: GraphView, node: onnx.NodeProto) -> None:
    """Replace PRelu(x, s) by x + Relu((s - 1) x) if s <= 1, else by x + (1 - s) Relu(-x); by LeakyRelu if s is one
    number.

    This follows from the definition (He et al. 2015, arXiv 1502.01852): x for x >= 0, s x below.
    """
    slope = number(graph, node.input[1])
    if slope is None:
        return
    source, target = node.input[0], node.output[0]
    if slope.size and np.all(slope == slope.flat[0]):
        graph.replace(node, helper.make_node("LeakyRelu", [source], [target], alpha=float(slope.flat[0])))
        return
    count = channels(graph, source)
    per_channel = slope.ndim >= 3 and slope.shape[-2:] == (1, 1) and slope.size == slope.shape[-3]
    if count is None or not per_channel or slope.size != count:
        return
    slopes = slope.reshape(-1)
    below, rectified, scaled = graph.name(), graph.name(), graph.name()
    if slopes.max() <= 1:
        graph.replace(
            node,
            depthwise(graph, source, below, slopes - 1),
            helper.make_node("Relu", [below], [rectified]),
            helper.make_node("Add", [source, rectified], [target]),
        )
    else:
        graph.replace(
            node,
            depthwise(graph, source, below, -np.ones_like(slopes)),
            helper.make_node("Relu", [below], [rectified]),
            depthwise(graph, rectified, scaled, 1 - slopes),
            helper.make_node("Add", [source, scaled], [target]),
        )


def rewrite_scaling(graph: GraphView, node: onnx.NodeProto) -> None:
    """Replace the multiplication in the scaling of a residual block, c * (a + b) + x, by a convolution.

    ONNX Runtime itself merges a multiplication after a convolution into the weights.
    """
    for source, other in (node.input[:2], node.input[1::-1]):
        value = number(graph, other)
        if value is None or value.size != 1 or source not in graph.makers:
            continue
        users = graph.readers.get(node.output[0], [])
        count = channels(graph, source)
        if count and graph.makers[source].op_type == "Add" and [user.op_type for user in users] == ["Add"]:
            factor = np.full(count, value.flat[0], np.float32)
            graph.replace(node, depthwise(graph, source, node.output[0], factor))
        return
