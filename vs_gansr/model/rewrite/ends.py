"""Owns how samples as frames store them get into a network and out of it, inside its graph; knows no formats.

    stored samples -- Cast -- Mul -- Add -- network -- Cast -- Mul -- Add -- Clip -- Round -- Cast -- stored samples
                                               +------ ReduceSum -- watch

Both ends compute in float32 whatever the network computes in, and hold only the nodes that change something.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from ...errors import ModelError
from .graph_view import GraphView, copied, fixed_size, inputs, opset, put_nodes, without_weight_inputs

__all__ = ["Samples", "wrap"]

OLDEST_OPSET = 13  # the operators at the ends mean the same from here on
TYPES = {
    np.dtype(np.uint8): TensorProto.UINT8,
    np.dtype(np.uint16): TensorProto.UINT16,
    np.dtype(np.float16): TensorProto.FLOAT16,
    np.dtype(np.float32): TensorProto.FLOAT,
}


@dataclass(frozen=True)
class Samples:
    """How a frame stores a value whose black is 0 and whose white is 1: as the code scale * value + offset."""

    dtype: np.dtype[Any]  # of the codes: uint8, uint16, float16 or float32
    scale: float = 1.0  # codes between black and white
    offset: float = 0.0  # the code of black
    peak: float = 1.0  # the largest code that may be stored; for integers only, floats are not clipped

    def __post_init__(self) -> None:
        if self.dtype not in TYPES:
            raise ValueError(f"Samples: dtype {self.dtype} is none of {', '.join(map(str, TYPES))}")

    @classmethod
    def float32(cls, white: float = 1.0) -> Samples:
        """Float samples whose white is `white`, not clipped."""
        return cls(np.dtype(np.float32), scale=white)

    @classmethod
    def integer(cls, bits: int, full_range: bool) -> Samples:
        """Luma, gray or RGB of 8 to 16 bits: full range (0 to 2**bits - 1) or limited (16 to 235 at 8 bits)."""
        dtype, peak = np.dtype(np.uint8 if bits == 8 else np.uint16), float((1 << bits) - 1)
        if full_range:
            return cls(dtype, peak, 0.0, peak)
        return cls(dtype, float(219 << (bits - 8)), float(16 << (bits - 8)), peak)

    @property
    def is_integer(self) -> bool:
        """True where codes are whole numbers, clipped to 0 ... peak and rounded half to even."""
        return self.dtype.kind == "u"


def wrap(
    proto: onnx.ModelProto,
    source: Samples,
    target: Samples,
    shape: Sequence[int],
    network_peak: float = 1.0,
    watch: bool = False,
) -> onnx.ModelProto:
    """A copy of the network that takes samples as `source` stores them and gives them as `target` does.

    `shape` is the static one of its input, (1, C, H, W); `network_peak` the value that stands for white in the
    network itself. The first output is the network's, of whatever shape it has. With `watch` there is a second one,
    float32 of shape (1,): the sum of all that the network gave, finite exactly if every sample is (but for sums
    beyond float32). Names are those in the result's graph. Raises ModelError for operators older than opset 13.
    """
    if opset(proto) < OLDEST_OPSET:
        raise ModelError(
            f"stored samples cannot go into a network of opset {opset(proto)}, {OLDEST_OPSET} or later is needed"
        )
    proto = without_weight_inputs(copied(proto))
    [entry] = inputs(proto.graph)
    fixed_size(proto, entry.name, shape)
    view = GraphView(proto)
    kind = entry.type.tensor_type.elem_type
    made = proto.graph.output[0]
    before = OperatorChain(view, TYPES[source.dtype])
    before.linear(network_peak / source.scale, -source.offset * network_peak / source.scale)
    before.cast(kind)
    after = OperatorChain(view, made.type.tensor_type.elem_type or kind)
    after.linear(target.scale / network_peak, target.offset)
    if target.is_integer:
        after.cast(TensorProto.FLOAT)
        after.op("Clip", view.constant(0.0), view.constant(target.peak))
        after.op("Round")
    after.cast(TYPES[target.dtype])

    begin = view.name("stored") if before.steps else entry.name
    end = view.name("result") if after.steps else made.name
    nodes = [*before.nodes(begin, entry.name), *proto.graph.node, *after.nodes(made.name, end)]
    outputs = [helper.make_tensor_value_info(end, TYPES[target.dtype], [None] * 4)]
    if watch:
        total = OperatorChain(view, after.given)
        total.cast(TensorProto.FLOAT)
        total.op("ReduceSum", keepdims=0)
        total.op("Reshape", view.constant([1], np.int64))
        outputs.append(helper.make_tensor_value_info(view.name("watch"), TensorProto.FLOAT, [1]))
        nodes += total.nodes(made.name, outputs[-1].name)
    entry.name = begin
    entry.type.tensor_type.elem_type = TYPES[source.dtype]
    put_nodes(proto.graph, nodes)
    del proto.graph.output[:]
    proto.graph.output.extend(outputs)
    return proto


class OperatorChain:
    """Operators one behind the other, of one value each beside constants; those that change nothing are left out."""

    def __init__(self, view: GraphView, kind: int) -> None:
        self.view = view  # the graph they become part of
        self.given = self.kind = kind  # ONNX's types of the first operator's input, and of the last one's output
        self.steps: list[tuple[str, tuple[str, ...], dict[str, Any]]] = []  # operator, constants, attributes

    def op(self, operator: str, *constants: str, **attributes: Any) -> None:
        """One more operator."""
        self.steps.append((operator, constants, attributes))

    def cast(self, kind: int) -> None:
        """The value as ONNX's type `kind`."""
        if kind != self.kind:
            self.op("Cast", to=kind)
            self.kind = kind

    def linear(self, factor: float, shift: float) -> None:
        """factor * value + shift, in float32."""
        if factor != 1 or shift != 0:
            self.cast(TensorProto.FLOAT)
        if factor != 1:
            self.op("Mul", self.view.constant(factor))
        if shift != 0:
            self.op("Add", self.view.constant(shift))

    def nodes(self, begin: str, end: str) -> list[onnx.NodeProto]:
        """The operators between the values `begin` and `end`."""
        values = [begin, *(self.view.name(operator.lower()) for operator, _, _ in self.steps[1:]), end]
        return [
            helper.make_node(operator, [value, *constants], [result], name=f"{result}.{operator}", **attributes)
            for (operator, constants, attributes), value, result in zip(self.steps, values, values[1:], strict=False)
        ]
