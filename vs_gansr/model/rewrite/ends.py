"""Owns how samples as frames store them get into a network and out of it, inside its graph; knows no formats.

    stored samples -- Cast -- Mul -- Add -- Clip -- network -- Cast -- Mul -- Add -- Clip -- Round -- Cast -- samples
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
from ..spec import ValueRange
from .graph_view import (
    GraphView,
    clip_bounds,
    copied,
    fixed_size,
    inputs,
    opset,
    output_type,
    put_nodes,
    without_weight_inputs,
)

__all__ = ["Samples", "wrap"]

OLDEST_OPSET = 7  # Mul and Add of a tensor and a number
OLDEST_CLIP = 11  # Clip with its bounds as inputs
OLDEST_ROUND = 11  # Round, which integers need
UNIT = ValueRange()
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
    def exceeds_white(self) -> bool:
        """True where codes can be below black or above white."""
        return not self.is_integer or self.offset > 0 or self.peak > self.scale

    @property
    def is_integer(self) -> bool:
        """True where codes are whole numbers, clipped to 0 ... peak and rounded half to even."""
        return self.dtype.kind == "u"


def wrap(
    proto: onnx.ModelProto,
    source: Samples,
    target: Samples,
    shape: Sequence[int],
    takes: ValueRange = UNIT,
    gives: ValueRange = UNIT,
    clamp: bool = False,
    watch: bool = False,
) -> onnx.ModelProto:
    """A copy of the network that takes samples as `source` stores them and gives them as `target` does.

    `shape` is the static one of its input, (1, C, H, W); `takes` and `gives` are the ranges of the network's own input
    and output. With `clamp` no value outside of `takes` enters the network. The first output is the network's, of
    whatever shape it has. With `watch` there is a second one, float32 of shape (1,): the sum of all that the network
    gave, finite exactly if every sample is (but for sums beyond float32). Names are those in the result's graph.
    Raises ModelError for operators too old for the ends: of opset 6 and earlier, for integers of opset 10 and earlier.
    """
    oldest = OLDEST_ROUND if target.is_integer else OLDEST_OPSET
    if opset(proto) < oldest:
        raise ModelError(
            f"stored samples cannot go into a network of opset {opset(proto)}, {oldest} or later is needed"
        )
    proto = without_weight_inputs(copied(proto))
    [entry] = inputs(proto.graph)
    fixed_size(proto, entry.name, shape)
    view = GraphView(proto)
    kind = entry.type.tensor_type.elem_type
    made = proto.graph.output[0]
    before = OperatorChain(view, TYPES[source.dtype])
    span = takes.white - takes.black
    before.linear(span / source.scale, takes.black - source.offset * span / source.scale)
    if clamp and source.exceeds_white and not _clamps(view, entry.name, takes):
        before.clip(takes.black, takes.white)
    before.cast(kind)
    after = OperatorChain(view, output_type(proto))
    factor = target.scale / (gives.white - gives.black)
    after.linear(factor, target.offset - gives.black * factor)
    if target.is_integer:
        after.clip(0.0, target.peak)
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


def _clamps(view: GraphView, name: str, takes: ValueRange) -> bool:
    """True if all that reads the network's input are Clip nodes that let nothing outside of `takes` through."""
    readers = view.readers.get(name, [])
    bounds = [clip_bounds(view, node) if node.op_type == "Clip" else None for node in readers]
    return bool(bounds) and all(b is not None and takes.black <= b[0] and b[1] <= takes.white for b in bounds)


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

    def clip(self, least: float, most: float) -> None:
        """The value from `least` to `most`, in float32."""
        self.cast(TensorProto.FLOAT)
        if opset(self.view.proto) < OLDEST_CLIP:
            self.op("Clip", min=least, max=most)
        else:
            self.op("Clip", self.view.constant(least), self.view.constant(most))

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
