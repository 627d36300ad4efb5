"""Owns what all rewrites of graphs share: finding one's way in an ONNX graph, and changing it in place.

A value is whatever a graph has a name for: its inputs, its weights, and what its nodes make.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from graphlib import TopologicalSorter
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

__all__ = [
    "GraphView",
    "attribute",
    "clip_bounds",
    "constant_value",
    "copied",
    "fixed_size",
    "forget_shapes",
    "has_graphs",
    "inputs",
    "name_nodes",
    "opset",
    "output_type",
    "put_nodes",
    "sort_nodes",
    "weights",
    "without_weight_inputs",
]

type Array = npt.NDArray[Any]

PREFIX = "gansr."  # of every name that is added


def copied(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that shares nothing with the original."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    return copy


def opset(proto: onnx.ModelProto) -> int:
    """The version of ONNX's own operators that the network is written in; 1 where it says none."""
    return max((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), default=1)


def output_type(proto: onnx.ModelProto) -> int:
    """ONNX's type of the network's only output, inferred where the file does not say it; 0 if that fails."""
    kind = int(proto.graph.output[0].type.tensor_type.elem_type)
    return kind or int(onnx.shape_inference.infer_shapes(proto).graph.output[0].type.tensor_type.elem_type)


def weights(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """The graph's constants (initializers) by name."""
    return {tensor.name: tensor for tensor in graph.initializer}


def inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """The graph's inputs; old files list their weights among them, which are left out here."""
    constants = weights(graph)
    return [value for value in graph.input if value.name not in constants]


def attribute(node: onnx.NodeProto, name: str, otherwise: Any = None) -> Any:
    """A node's attribute, text as str; `otherwise` where the node has none of that name, or a damaged one."""
    for each in node.attribute:
        if each.name == name:
            try:
                value = helper.get_attribute_value(each)
                return value.decode() if isinstance(value, bytes) else value
            except ValueError:  # of no type, or no text
                return otherwise
    return otherwise


def constant_value(node: onnx.NodeProto) -> Array | None:
    """The tensor of a Constant node, None if it holds anything else."""
    tensor = attribute(node, "value")
    return None if tensor is None else numpy_helper.to_array(tensor)


def has_graphs(proto: onnx.ModelProto) -> bool:
    """True if a node holds a graph of its own, which may use any name of the outer one."""
    return any(a.g.node or a.graphs for node in proto.graph.node for a in node.attribute)


def reads(node: onnx.NodeProto) -> Iterator[str]:
    """Names of the values a node reads, those its subgraphs take from around them included."""
    yield from node.input
    for each in node.attribute:
        for graph in (each.g, *each.graphs):
            for inner in graph.node:
                yield from reads(inner)


# ---- Changes in place


def name_nodes(proto: onnx.ModelProto) -> onnx.ModelProto:
    """`proto`, in which every node gets a name of its own, so that it can be spoken of."""
    taken = Counter(node.name for node in proto.graph.node)
    numbers = count()
    for node in proto.graph.node:
        if not node.name or taken[node.name] > 1:
            node.name = next(name for n in numbers if (name := f"{node.op_type}_{n}") not in taken)
    return proto


def sort_nodes(graph: onnx.GraphProto) -> None:
    """Puts every node behind those it reads from, as ONNX wants it."""
    nodes = list(graph.node)
    makers = {name: i for i, node in enumerate(nodes) for name in node.output}
    sorter: TopologicalSorter[int] = TopologicalSorter()
    for i, node in enumerate(nodes):
        sorter.add(i, *sorted({makers[name] for name in reads(node) if name in makers}))
    put_nodes(graph, [nodes[i] for i in sorter.static_order()])


def put_nodes(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> None:
    """Makes `nodes`, some of them the graph's own, the nodes of the graph."""
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def without_weight_inputs(proto: onnx.ModelProto) -> onnx.ModelProto:
    """`proto`, whose weights are no inputs any more."""
    graph = proto.graph
    entries = inputs(graph)
    if len(entries) < len(graph.input):
        del graph.input[:]
        graph.input.extend(entries)
        proto.ir_version = max(proto.ir_version, 4)  # before that, weights had to be inputs
    return proto


def fixed_size(proto: onnx.ModelProto, name: str, shape: Sequence[int]) -> onnx.ModelProto:
    """`proto`, whose input `name` has the static `shape`; all other shapes follow from it."""
    value = next(v for v in proto.graph.input if v.name == name)
    for dim, size in zip(value.type.tensor_type.shape.dim, shape, strict=True):
        dim.dim_value = size
    forget_shapes(proto.graph)
    return proto


def forget_shapes(graph: onnx.GraphProto) -> None:
    """Removes what the graph says of the shapes of its results, which are about to change."""
    del graph.value_info[:]
    graph.output[0].type.tensor_type.ClearField("shape")


class GraphView:
    """A network's graph: who makes and who reads each value, its constants, and names for new ones.

    Nodes are told apart by identity. `replace` and `op` take effect with `finish`; constants are added at once.
    """

    def __init__(self, proto: onnx.ModelProto) -> None:
        self.proto = proto  # the whole file, changed in place
        self.graph: onnx.GraphProto = proto.graph  # its graph
        self.nodes = list(proto.graph.node)  # as they were in the beginning, held so that they keep their identity
        self.weights = weights(proto.graph)  # constants by name, those added here included
        self.makers = {name: node for node in self.nodes for name in node.output}  # by the value they make
        self.readers: dict[str, list[onnx.NodeProto]] = {}  # by the value they read
        for node in self.nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self._taken = {*self.weights, *self.makers, *self.readers, *(v.name for v in proto.graph.input)}
        self._numbers = count()
        self._replaced: dict[int, list[onnx.NodeProto]] = {}

    def name(self, kind: str = "") -> str:
        """A name that nothing has, telling `kind`."""
        name = next(n for i in self._numbers if (n := f"{PREFIX}{kind}{i}") not in self._taken)
        self._taken.add(name)
        return name

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        """Adds a constant; returns its name."""
        name = self.name("constant")
        tensor = numpy_helper.from_array(np.ascontiguousarray(value, dtype).reshape(np.shape(value)), name)
        self.graph.initializer.append(tensor)
        self.weights[name] = self.graph.initializer[-1]
        return name

    def array(self, name: str) -> Array | None:
        """The constant called `name`, None if there is none."""
        tensor = self.weights.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def set_array(self, name: str, value: Array) -> None:
        """Gives the constant called `name` another value."""
        self.weights[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value), name))

    def replace(self, node: onnx.NodeProto, *nodes: onnx.NodeProto) -> None:
        """Puts `nodes` where `node` is; none at all takes it out."""
        self._replaced[id(node)] = list(nodes)
        for new in nodes:
            for name in new.output:
                self.makers[name] = new

    def finish(self) -> None:
        """Carries the replacements out, and drops constants that nothing reads any more."""
        if not self._replaced:
            return
        put_nodes(self.graph, [new for node in self.nodes for new in self._replaced.get(id(node), [node])])
        used = {name for node in self.graph.node for name in node.input} | {value.name for value in self.graph.output}
        left = [tensor for tensor in self.graph.initializer if tensor.name in used or has_graphs(self.proto)]
        del self.graph.initializer[:]
        self.graph.initializer.extend(left)
        del self.graph.value_info[:]


def clip_bounds(view: GraphView, node: onnx.NodeProto) -> tuple[float, float] | None:
    """The smallest and largest value that a Clip node lets through; None where they are not constant."""
    if len(node.input) < 2:  # before opset 11 they are attributes
        return float(attribute(node, "min", -np.inf)), float(attribute(node, "max", np.inf))
    bounds = []
    for name, open_end in zip((*node.input[1:], "")[:2], (-np.inf, np.inf), strict=True):
        value = view.array(name)
        if value is None and name in view.makers and view.makers[name].op_type == "Constant":
            value = constant_value(view.makers[name])
        if name and (value is None or value.size != 1):
            return None
        bounds.append(float(value.reshape(-1)[0]) if value is not None else open_end)
    return bounds[0], bounds[1]
