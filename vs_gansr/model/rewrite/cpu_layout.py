"""Owns graph rewrites that keep a network's values and make it faster on the CPU; runs nothing, knows no files.

ONNX Runtime's CPU kernels for convolutions work on channels in blocks of 8 or 16 and are fast as long as what lies
between them keeps that layout: Relu, LeakyRelu, Add of two tensors and convolutions do, PRelu and multiplication by
a number do not. So the latter are expressed by the former here. Values change by rounding only.

Tried and left out because ONNX Runtime does it itself once sizes are static, or because nothing came of it: folding
constants and shape arithmetic (a SwinIR of 2531 nodes is left with 105), reshapes, Sub and Div as convolutions,
x * sigmoid(x) kept unfused.
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

BLOCK = 16  # channels; with any other number the layout is lost anyway
OPSET = 17  # what older networks are brought to
BLOCKED = platform.machine().lower() in ("x86_64", "amd64")  # other processors' kernels have no such layout


def for_cpu(proto: onnx.ModelProto) -> onnx.ModelProto:
    """`proto`, changed in place: equal in value, in a form that keeps the CPU's blocked layout."""
    tidy(proto)
    graph = GraphView(proto)
    for node in graph.nodes:
        if node.op_type == "PRelu":
            rewrite_prelu(graph, node)
        elif node.op_type == "Mul":
            rewrite_scaling(graph, node)
    graph.finish()
    return proto


def modern(proto: onnx.ModelProto) -> onnx.ModelProto:
    """An equal network, `proto` itself or another: of opset 13 or later, as int8 and colour in the graph need it, and
    with its weights no inputs.

    Its opset stays where ONNX's converter fails, or would move pixels: it takes the linear enlargement of opsets
    before 11 for that of later ones.
    """
    version = opset(proto)
    moved = version < 11 and any(
        node.op_type in ("Upsample", "Resize") and attribute(node, "mode", "nearest") != "nearest"
        for node in proto.graph.node
    )
    if version < 13 and not moved:
        try:
            converted = onnx.version_converter.convert_version(proto, OPSET)
        except Exception:  # an operator that it does not know: whoever needs a later opset says so
            return proto
        converted.metadata_props.extend(p for p in proto.metadata_props if p not in converted.metadata_props)
        proto = converted
    return without_weight_inputs(proto)


def tidy(proto: onnx.ModelProto) -> onnx.ModelProto:
    """`proto`, changed in place: constants are initializers and nothing is merely passed on by Identity."""
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
    """The channels of a value, found through what keeps their number; None if not found or not in blocks."""
    while name in graph.makers:
        node = graph.makers[name]
        if node.op_type == "Conv":
            kernel = graph.weights.get(node.input[1])
            count = kernel.dims[0] if kernel is not None else 0
            return count if count and count % BLOCK == 0 else None
        if node.op_type not in ("Relu", "LeakyRelu", "PRelu", "Sigmoid", "Tanh", "Add", "Sub", "Mul", "Div"):
            return None
        made = [n for n in node.input if n in graph.makers]
        if not made:
            return None
        name = made[0]
    return None


def number(graph: GraphView, name: str) -> Array | None:
    """The float32 constant called `name`, None if it is anything else."""
    value = graph.array(name)
    return value if value is not None and value.dtype == np.float32 else None


def depthwise(graph: GraphView, source: str, target: str, factor: Array) -> onnx.NodeProto:
    """target = factor * source, channel by channel, as a convolution."""
    inputs = [source, graph.constant(factor.reshape(-1, 1, 1, 1))]
    return helper.make_node("Conv", inputs, [target], name=graph.name(), group=factor.size, kernel_shape=[1, 1])


def rewrite_prelu(graph: GraphView, node: onnx.NodeProto) -> None:
    """PRelu(x, s) = x + Relu((s - 1) x) where s <= 1, and x + (1 - s) Relu(-x) anywhere; LeakyRelu if s is one number.

    Follows from the definition (He et al. 2015, arXiv 1502.01852): x for x >= 0, s x below.
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
    """The scaling of a residual block, c * (a + b) + x, with the multiplication as a convolution.

    ONNX Runtime itself takes the one behind a convolution into its weights.
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
