"""Convert frame samples to a network's values and back inside its graph. This module knows no video formats.

    stored samples -- Cast -- Mul -- Add -- Clip -- network -- Cast -- Mul -- Add -- Clip -- Round -- Cast -- samples
                                                       +------ ReduceSum -- watch

Both conversions compute in float32, whatever the network's precision, and leave out nodes that would change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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

__all__ = ["OperatorChain", "Samples", "luma_channels", "wrap"]

OLDEST_OPSET = 7  # the first with Mul and Add of a tensor and a number
OLDEST_CLIP = 11  # the first whose Clip takes its bounds as inputs
OLDEST_ROUND = 11  # the first with Round, which integer samples need
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

    dtype: np.dtype[Any]  # type of the codes: uint8, uint16, float16 or float32
    scale: float = 1.0  # codes between black and white
    offset: float = 0.0  # the code of black
    peak: float = 1.0  # the largest code that may be stored; for integers only, floats are not clipped
    chroma: tuple[float, float] | None = None  # scale and offset of chroma, no colour being 0.5; None: there is none
    carrier: np.dtype[Any] | None = None  # what the codes are in the graph's input or output, where not their own type

    def __post_init__(self) -> None:
        if self.dtype not in TYPES:
            raise ValueError(f"Samples: dtype {self.dtype} is unsupported; use one of {', '.join(map(str, TYPES))}")

    @classmethod
    def float32(cls, white: float = 1.0) -> Samples:
        """Return unclipped float32 samples with the given value of white."""
        return cls(np.dtype(np.float32), scale=white)

    @classmethod
    def integer(cls, bits: int, full_range: bool) -> Samples:
        """Return integer samples of 8 to 16 bits for luma, gray or RGB.

        The codes are full range (0 to 2**bits - 1) or limited range (16 to 235 at 8 bits).
        """
        dtype, peak = np.dtype(np.uint8 if bits == 8 else np.uint16), float((1 << bits) - 1)
        if full_range:
            return cls(dtype, peak, 0.0, peak)
        return cls(dtype, float(219 << (bits - 8)), float(16 << (bits - 8)), peak)

    def of(self, channel: int, channels: int) -> Samples:
        """Return how channel number `channel` of `channels` is stored: of a tensor of 4:2:0, or of one without
        chroma."""
        if self.chroma is None or channel < luma_channels(channels):
            return self
        return replace(self, scale=self.chroma[0], offset=self.chroma[1])

    @property
    def exceeds_white(self) -> bool:
        """True if codes can be below black or above white."""
        return not self.is_integer or self.offset > 0 or self.peak > self.scale

    @property
    def is_integer(self) -> bool:
        """True if codes are integers, clipped to 0 ... peak and rounded half to even."""
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
    channels: int = 0,
) -> onnx.ModelProto:
    """Return a copy of the network that reads samples like `source` and writes samples like `target`.

    `shape` is the static shape of the input, (1, C, H, W). `takes` and `gives` are the ranges of the network's own
    input and output. `clamp` clamps the input to `takes`. `channels` is the number of output channels, needed where
    `target` has chroma. The first output is the network's, in its own shape. `watch`
    adds a second output, float32 of shape (1,): the sum of all values, finite exactly if they all are (unless the sum
    itself exceeds float32). Read the names of input and outputs from the result's graph. Raises ModelError for opsets
    that lack an operator: 6 and earlier, with integer output 10 and earlier.
    """
    oldest = OLDEST_ROUND if target.is_integer else OLDEST_OPSET
    if opset(proto) < oldest:
        raise ModelError(
            f"the network has ONNX opset {opset(proto)}; opset {oldest} or later is needed: export it again"
        )
    proto = without_weight_inputs(copied(proto))
    [entry] = inputs(proto.graph)
    fixed_size(proto, entry.name, shape)
    view = GraphView(proto)
    made = proto.graph.output[0]
    entering, leaving = (TYPES[samples.carrier or samples.dtype] for samples in (source, target))
    before = OperatorChain(view, entering)
    span = takes.white - takes.black
    scale, offset = per_channel(source, shape[1])
    before.linear(span / scale, takes.black - offset * span / scale)
    if clamp and source.exceeds_white and not _clamps(view, entry.name, takes):
        before.clip(takes.black, takes.white)
    before.cast(entry.type.tensor_type.elem_type)
    after = OperatorChain(view, output_type(proto))
    scale, offset = per_channel(target, channels)
    factor = scale / (gives.white - gives.black)
    after.linear(factor, offset - gives.black * factor)
    if target.is_integer:
        after.clip(0.0, target.peak)
        after.op("Round")
    after.cast(leaving)

    begin = view.name("stored") if before.steps else entry.name
    end = view.name("result") if after.steps else made.name
    nodes = [*before.nodes(begin, entry.name), *proto.graph.node, *after.nodes(made.name, end)]
    outputs = [helper.make_tensor_value_info(end, leaving, [None] * 4)]
    if watch:
        outputs.append(helper.make_tensor_value_info(view.name("watch"), TensorProto.FLOAT, [1]))
        nodes += _sum(view, after.given).nodes(made.name, outputs[-1].name)
    entry.name = begin
    entry.type.tensor_type.elem_type = entering
    put_nodes(proto.graph, nodes)
    del proto.graph.output[:]
    proto.graph.output.extend(outputs)
    return proto


def luma_channels(channels: int) -> int:
    """Return how many of the channels of a tensor of 4:2:0 are luma: two of three."""
    return channels * 2 // 3


def per_channel(samples: Samples, channels: int) -> tuple[Any, Any]:
    """Return scale and offset of the samples: numbers, or for 4:2:0 arrays of shape (1, `channels`, 1, 1)."""
    if samples.chroma is None:
        return samples.scale, samples.offset
    stored = [samples.of(channel, channels) for channel in range(channels)]
    shape = (1, channels, 1, 1)
    return np.reshape([s.scale for s in stored], shape), np.reshape([s.offset for s in stored], shape)


def _sum(view: GraphView, kind: int) -> OperatorChain:
    """Return the operators that sum all values of ONNX type `kind`, in float32, to a tensor of shape (1,)."""
    total = OperatorChain(view, kind)
    total.cast(TensorProto.FLOAT)
    total.op("ReduceSum", keepdims=0)
    total.op("Reshape", view.constant([1], np.int64))
    return total


def _clamps(view: GraphView, name: str, takes: ValueRange) -> bool:
    """Return True if only Clip nodes with bounds inside `takes` read the network's input."""
    readers = view.readers.get(name, [])
    bounds = [clip_bounds(view, node) if node.op_type == "Clip" else None for node in readers]
    return bool(bounds) and all(b is not None and takes.black <= b[0] and b[1] <= takes.white for b in bounds)


class OperatorChain:
    """A chain of operators with one input and one output each; operators that change nothing are left out."""

    def __init__(self, view: GraphView, kind: int) -> None:
        self.view = view  # the graph that gets the operators
        self.given = self.kind = kind  # ONNX types of the chain's input and of its output
        self.steps: list[tuple[str, tuple[str, ...], dict[str, Any]]] = []  # (operator, constants, attributes)

    def op(self, operator: str, *constants: str, **attributes: Any) -> None:
        """Append an operator."""
        self.steps.append((operator, constants, attributes))

    def cast(self, kind: int) -> None:
        """Append a Cast to the ONNX type `kind` unless the value has it."""
        if kind != self.kind:
            self.op("Cast", to=kind)
            self.kind = kind

    def clip(self, least: float, most: float) -> None:
        """Append a Clip from `least` to `most`, in float32."""
        self.cast(TensorProto.FLOAT)
        if opset(self.view.proto) < OLDEST_CLIP:
            self.op("Clip", min=least, max=most)
        else:
            self.op("Clip", self.view.constant(least), self.view.constant(most))

    def linear(self, factor: Any, shift: Any) -> None:
        """Append factor * value + shift, in float32."""
        if np.any(factor != 1) or np.any(shift != 0):
            self.cast(TensorProto.FLOAT)
        if np.any(factor != 1):
            self.op("Mul", self.view.constant(factor))
        if np.any(shift != 0):
            self.op("Add", self.view.constant(shift))

    def nodes(self, begin: str, end: str) -> list[onnx.NodeProto]:
        """Return the nodes that lead from the value `begin` to the value `end`."""
        values = [begin, *(self.view.name(operator.lower()) for operator, _, _ in self.steps[1:]), end]
        return [
            helper.make_node(operator, [value, *constants], [result], name=f"{result}.{operator}", **attributes)
            for (operator, constants, attributes), value, result in zip(self.steps, values, values[1:], strict=False)
        ]
