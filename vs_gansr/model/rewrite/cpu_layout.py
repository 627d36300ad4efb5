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
from onnx import TensorProto, helper, numpy_helper

__all__ = ["BLOCKED", "for_cpu", "modern", "tidy"]

type Array = npt.NDArray[np.floating[Any]]

BLOCK = 16  # channels; with any other number the layout is lost anyway
OPSET = 17  # what older networks are brought to
BLOCKED = platform.machine().lower() in ("x86_64", "amd64")  # other processors' kernels have no such layout


def for_cpu(proto: onnx.ModelProto) -> onnx.ModelProto:
    """`proto`, changed in place: equal in value, in a form that keeps the CPU's blocked layout."""
    tidy(proto)
    graph = Graph(proto)
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
    opset = max((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), default=1)
    moved = opset < 11 and any(
        node.op_type in ("Upsample", "Resize") and any(a.name == "mode" and a.s != b"nearest" for a in node.attribute)
        for node in proto.graph.node
    )
    if opset < 13 and not moved:
        try:
            converted = onnx.version_converter.convert_version(proto, OPSET)
        except Exception:  # an operator that it does not know: whoever needs a later opset says so
            return proto
        converted.metadata_props.extend(p for p in proto.metadata_props if p not in converted.metadata_props)
        proto = converted
    weights = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in weights]
    if len(inputs) < len(proto.graph.input):
        del proto.graph.input[:]
        proto.graph.input.extend(inputs)
        proto.ir_version = max(proto.ir_version, 4)  # before that, weights had to be inputs
    return proto


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
        del graph.node[:]
        graph.node.extend(kept)
    return proto


def constant_value(node: onnx.NodeProto) -> Array | None:
    """The tensor of a Constant node, None if it holds anything else."""
    return next((numpy_helper.to_array(a.t) for a in node.attribute if a.name == "value"), None)


def has_graphs(proto: onnx.ModelProto) -> bool:
    """True if a node holds a graph of its own, which may use any name of the outer one."""
    return any(a.g.node or a.graphs for node in proto.graph.node for a in node.attribute)


class Graph:
    """A graph being rewritten: who makes and uses each tensor, and which nodes replace others."""

    def __init__(self, proto: onnx.ModelProto) -> None:
        self.proto = proto
        self.nodes = list(proto.graph.node)  # held, because they are told apart by identity
        self.weights = {tensor.name: tensor for tensor in proto.graph.initializer}
        self.makers = {name: node for node in self.nodes for name in node.output}
        self.users: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self.users.setdefault(name, []).append(node)
        self._replaced: dict[int, list[onnx.NodeProto]] = {}
        self._count = 0

    def value(self, name: str) -> Array | None:
        """The constant called `name` if it is float32, else None."""
        tensor = self.weights.get(name)
        if tensor is None or tensor.data_type != TensorProto.FLOAT:
            return None
        found: Array = numpy_helper.to_array(tensor)
        return found

    def constant(self, value: Array) -> str:
        """A new float32 constant's name."""
        name = self.name()
        tensor = numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name)
        self.proto.graph.initializer.append(tensor)
        self.weights[name] = tensor
        return name

    def name(self) -> str:
        """A name that nothing has."""
        self._count += 1
        return f"gansr_rewritten_{self._count}"

    def channels(self, name: str) -> int | None:
        """The channels of a tensor, found through what keeps their number; None if not found or not in blocks."""
        while name in self.makers:
            node = self.makers[name]
            if node.op_type == "Conv":
                weights = self.weights.get(node.input[1])
                count = weights.dims[0] if weights is not None else 0
                return count if count and count % BLOCK == 0 else None
            if node.op_type not in ("Relu", "LeakyRelu", "PRelu", "Sigmoid", "Tanh", "Add", "Sub", "Mul", "Div"):
                return None
            made = [n for n in node.input if n in self.makers]
            if not made:
                return None
            name = made[0]
        return None

    def replace(self, node: onnx.NodeProto, *nodes: onnx.NodeProto) -> None:
        """Puts `nodes` where `node` is."""
        self._replaced[id(node)] = list(nodes)
        for new in nodes:
            for name in new.output:
                self.makers[name] = new

    def finish(self) -> None:
        """Carries the replacements out."""
        if not self._replaced:
            return
        graph = self.proto.graph
        nodes = [new for node in self.nodes for new in self._replaced.get(id(node), [node])]
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(copies)
        used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
        left = [tensor for tensor in graph.initializer if tensor.name in used or has_graphs(self.proto)]
        del graph.initializer[:]
        graph.initializer.extend(left)
        del graph.value_info[:]


def depthwise(graph: Graph, source: str, target: str, factor: Array) -> onnx.NodeProto:
    """target = factor * source, channel by channel, as a convolution."""
    inputs = [source, graph.constant(factor.reshape(-1, 1, 1, 1))]
    return helper.make_node("Conv", inputs, [target], name=graph.name(), group=factor.size, kernel_shape=[1, 1])


def rewrite_prelu(graph: Graph, node: onnx.NodeProto) -> None:
    """PRelu(x, s) = x + Relu((s - 1) x) where s <= 1, and x + (1 - s) Relu(-x) anywhere; LeakyRelu if s is one number.

    Follows from the definition (He et al. 2015, arXiv 1502.01852): x for x >= 0, s x below.
    """
    slope = graph.value(node.input[1])
    if slope is None:
        return
    source, target = node.input[0], node.output[0]
    if slope.size and np.all(slope == slope.flat[0]):
        graph.replace(node, helper.make_node("LeakyRelu", [source], [target], alpha=float(slope.flat[0])))
        return
    channels = graph.channels(source)
    per_channel = slope.ndim >= 3 and slope.shape[-2:] == (1, 1) and slope.size == slope.shape[-3]
    if channels is None or not per_channel or slope.size != channels:
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


def rewrite_scaling(graph: Graph, node: onnx.NodeProto) -> None:
    """The scaling of a residual block, c * (a + b) + x, with the multiplication as a convolution.

    ONNX Runtime itself takes the one behind a convolution into its weights.
    """
    for source, other in (node.input[:2], node.input[1::-1]):
        value = graph.value(other)
        if value is None or value.size != 1 or source not in graph.makers:
            continue
        users = graph.users.get(node.output[0], [])
        channels = graph.channels(source)
        if channels and graph.makers[source].op_type == "Add" and [user.op_type for user in users] == ["Add"]:
            factor = np.full(channels, value.flat[0], np.float32)
            graph.replace(node, depthwise(graph, source, node.output[0], factor))
        return
