"""Read an ONNX graph and change it in place; all rewrites use this module.

A value is anything that has a name in a graph: an input, a weight, or a node's output.
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
    "signed_output",
    "sort_nodes",
    "weights",
    "without_weight_inputs",
]

type Array = npt.NDArray[Any]

PREFIX = "gansr."  # starts every added name
MOVED = {"Identity", "Cast", "Reshape", "Transpose", "Slice", "DepthToSpace", "Resize", "Upsample"}


def copied(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return an independent copy."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    return copy


def opset(proto: onnx.ModelProto) -> int:
    """Return the version of ONNX's own operators that the network uses; 1 where the file states none."""
    return max((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), default=1)


def output_type(proto: onnx.ModelProto) -> int:
    """Return the ONNX type of the network's only output; inferred where the file does not state it, 0 if that fails."""
    kind = int(proto.graph.output[0].type.tensor_type.elem_type)
    return kind or int(onnx.shape_inference.infer_shapes(proto).graph.output[0].type.tensor_type.elem_type)


def weights(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """Return the graph's constants (initializers) by name."""
    return {tensor.name: tensor for tensor in graph.initializer}


def inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """Return the graph's inputs without the weights, which old files list among them."""
    constants = weights(graph)
    return [value for value in graph.input if value.name not in constants]


def attribute(node: onnx.NodeProto, name: str, otherwise: Any = None) -> Any:
    """Return a node's attribute, text as str; `otherwise` where it is missing or damaged."""
    for each in node.attribute:
        if each.name == name:
            try:
                value = helper.get_attribute_value(each)
                return value.decode() if isinstance(value, bytes) else value
            except ValueError:  # the attribute has no type, or no valid text
                return otherwise
    return otherwise


def constant_value(node: onnx.NodeProto) -> Array | None:
    """Return the tensor of a Constant node; None if it holds anything else."""
    tensor = attribute(node, "value")
    return None if tensor is None else numpy_helper.to_array(tensor)


def has_graphs(proto: onnx.ModelProto) -> bool:
    """Return True if a node contains a subgraph, which may use any name of the outer graph."""
    return any(a.g.node or a.graphs for node in proto.graph.node for a in node.attribute)


def reads(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the names of the values that a node reads, including those its subgraphs read from outside."""
    yield from node.input
    for each in node.attribute:
        for graph in (each.g, *each.graphs):
            for inner in graph.node:
                yield from reads(inner)


# ---- Changes in place


def name_nodes(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Give every node of `proto` a unique name, and return `proto`."""
    taken = Counter(node.name for node in proto.graph.node)
    numbers = count()
    for node in proto.graph.node:
        if not node.name or taken[node.name] > 1:
            node.name = next(name for n in numbers if (name := f"{node.op_type}_{n}") not in taken)
    return proto


def sort_nodes(graph: onnx.GraphProto) -> None:
    """Sort the nodes so that each one follows the nodes it reads from, as ONNX requires."""
    nodes = list(graph.node)
    makers = {name: i for i, node in enumerate(nodes) for name in node.output}
    sorter: TopologicalSorter[int] = TopologicalSorter()
    for i, node in enumerate(nodes):
        sorter.add(i, *sorted({makers[name] for name in reads(node) if name in makers}))
    put_nodes(graph, [nodes[i] for i in sorter.static_order()])


def put_nodes(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> None:
    """Replace the graph's nodes by `nodes`, which may include some of its own."""
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def without_weight_inputs(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Remove the weights from the inputs of `proto`, and return `proto`."""
    graph = proto.graph
    entries = inputs(graph)
    if len(entries) < len(graph.input):
        del graph.input[:]
        graph.input.extend(entries)
        proto.ir_version = max(proto.ir_version, 4)  # earlier versions require weights among the inputs
    return proto


def fixed_size(proto: onnx.ModelProto, name: str, shape: Sequence[int]) -> onnx.ModelProto:
    """Give the input `name` of `proto` the static `shape`, clear all other shapes, and return `proto`."""
    value = next(v for v in proto.graph.input if v.name == name)
    for dim, size in zip(value.type.tensor_type.shape.dim, shape, strict=True):
        dim.dim_value = size
    forget_shapes(proto.graph)
    return proto


def forget_shapes(graph: onnx.GraphProto) -> None:
    """Clear the stored shapes of the graph's results."""
    del graph.value_info[:]
    graph.output[0].type.tensor_type.ClearField("shape")


class GraphView:
    """A network's graph with its constants, with the nodes that make and read each value, and with unused names.

    Nodes are compared by identity. `replace` takes effect with `finish`; constants are added at once.
    """

    def __init__(self, proto: onnx.ModelProto) -> None:
        self.proto = proto  # the whole file, changed in place
        self.graph: onnx.GraphProto = proto.graph  # its graph
        self.nodes = list(proto.graph.node)  # the nodes at the start, kept so that their identities stay valid
        self.weights = weights(proto.graph)  # constants by name, including added ones
        self.makers = {name: node for node in self.nodes for name in node.output}  # nodes by the value they make
        self.readers: dict[str, list[onnx.NodeProto]] = {}  # nodes by the value they read
        for node in self.nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self._taken = {*self.weights, *self.makers, *self.readers, *(v.name for v in proto.graph.input)}
        self._numbers = count()
        self._replaced: dict[int, list[onnx.NodeProto]] = {}

    def name(self, kind: str = "") -> str:
        """Return an unused name that contains `kind`."""
        name = next(n for i in self._numbers if (n := f"{PREFIX}{kind}{i}") not in self._taken)
        self._taken.add(name)
        return name

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        """Add a constant and return its name."""
        name = self.name("constant")
        tensor = numpy_helper.from_array(np.ascontiguousarray(value, dtype).reshape(np.shape(value)), name)
        self.graph.initializer.append(tensor)
        self.weights[name] = self.graph.initializer[-1]
        return name

    def array(self, name: str) -> Array | None:
        """Return the constant called `name`; None if there is none."""
        tensor = self.weights.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def set_array(self, name: str, value: Array) -> None:
        """Set the content of the constant called `name`."""
        self.weights[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value), name))

    def replace(self, node: onnx.NodeProto, *nodes: onnx.NodeProto) -> None:
        """Replace `node` by `nodes`; without `nodes`, remove it."""
        self._replaced[id(node)] = list(nodes)
        for new in nodes:
            for name in new.output:
                self.makers[name] = new

    def finish(self) -> None:
        """Carry out the replacements and remove constants that no node reads."""
        if not self._replaced:
            return
        put_nodes(self.graph, [new for node in self.nodes for new in self._replaced.get(id(node), [node])])
        used = {name for node in self.graph.node for name in node.input} | {value.name for value in self.graph.output}
        left = [tensor for tensor in self.graph.initializer if tensor.name in used or has_graphs(self.proto)]
        del self.graph.initializer[:]
        self.graph.initializer.extend(left)
        del self.graph.value_info[:]


def clip_bounds(view: GraphView, node: onnx.NodeProto) -> tuple[float, float] | None:
    """Return the smallest and the largest value that a Clip node lets through; None where they are not constant."""
    if len(node.input) < 2:  # opsets before 11 have attributes
        return float(attribute(node, "min", -np.inf)), float(attribute(node, "max", np.inf))
    bounds = []
    for name, open_end in zip((*node.input[1:], "")[:2], (-np.inf, np.inf), strict=True):
        try:
            value = view.array(name)
        except ValueError:  # a damaged tensor: whoever runs the graph says so
            return None
        if value is None and name in view.makers and view.makers[name].op_type == "Constant":
            value = constant_value(view.makers[name])
        if name and (value is None or value.size != 1):
            return None
        bounds.append(float(value.reshape(-1)[0]) if value is not None else open_end)
    return bounds[0], bounds[1]


def signed_output(proto: onnx.ModelProto) -> bool:
    """Return True if the output ranges from -1 to 1 because it comes from a Tanh, a Softsign or a Clip with these
    bounds."""
    view = GraphView(proto)
    name = proto.graph.output[0].name
    seen: set[str] = set()
    while name in view.makers and name not in seen:
        seen.add(name)
        node = view.makers[name]
        if node.op_type in ("Tanh", "Softsign") or (node.op_type == "Clip" and clip_bounds(view, node) == (-1.0, 1.0)):
            return True
        if node.op_type not in MOVED or not node.input:
            return False
        name = node.input[0]
    return False
