"""Owns the two ends of a network that is given stored samples: a scale each, and a watch; runs nothing.

    input ── Cast ── Mul, Add ── network ─┬─ Mul, Add ── Clip, Round, Cast ── output
                                          └─ watch

All of the ends compute in float32, whatever the network computes in. `watch`, shape (1,), is the sum of what the
network gave: it is finite exactly if every number of it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from ...errors import ModelError
from ..library import ModelSpec

__all__ = ["FLOAT32", "INPUT", "OUTPUT", "WATCH", "Samples", "wrap"]

INPUT, OUTPUT, WATCH = "gansr.input", "gansr.output", "gansr.watch"
OLDEST_OPSET = 13  # the operators used here mean the same from there on

ONNX_TYPES = {
    np.dtype(np.uint8): TensorProto.UINT8,
    np.dtype(np.uint16): TensorProto.UINT16,
    np.dtype(np.float16): TensorProto.FLOAT16,
    np.dtype(np.float32): TensorProto.FLOAT,
}


@dataclass(frozen=True)
class Samples:
    """How a plane's samples are stored: black is `offset`, white `offset + span`."""

    dtype: np.dtype[np.generic]
    """uint8, uint16, float16 or float32."""
    offset: float = 0.0
    """What stands for black."""
    span: float = 1.0
    """From black to white."""
    peak: int = 0
    """The largest number an integer sample may hold; without meaning for floats."""


FLOAT32 = Samples(np.dtype(np.float32))


def wrap(
    proto: onnx.ModelProto, spec: ModelSpec, source: Samples, target: Samples, width: int, height: int
) -> onnx.ModelProto:
    """The network between planes of `source`, (1, C, height, width), and of `target`, `scale` times as large.

    `proto` may be in half precision inside; its own input and output are what `spec` says. Shapes are static. Raises
    ModelError for an opset that is too old.
    """
    opset = max((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), default=1)
    if opset < OLDEST_OPSET:
        raise ModelError(f"the model is of opset {opset}, its ends need {OLDEST_OPSET}; export it anew")
    wrapped = onnx.ModelProto()
    wrapped.CopyFrom(proto)
    graph, scale = wrapped.graph, spec.scale or 1
    weights: list[onnx.TensorProto] = []
    before: list[onnx.NodeProto] = []
    after: list[onnx.NodeProto] = []

    def op(nodes: list[onnx.NodeProto], kind: str, value: str, *others: npt.ArrayLike, **said: object) -> str:
        name = f"gansr.{kind.lower()}{len(before) + len(after)}"
        for i, other in enumerate(others):
            weights.append(numpy_helper.from_array(np.asarray(other), f"{name}.{i}"))
        inputs = [value, *(f"{name}.{i}" for i in range(len(others)))]
        nodes.append(helper.make_node(kind, inputs, [name], name=name, **said))
        return name

    value = INPUT
    if source.dtype != np.float32:
        value = op(before, "Cast", value, to=TensorProto.FLOAT)
    value = scaled(op, before, value, spec.peak / source.span, -source.offset * spec.peak / source.span)
    if spec.half_input:
        value = op(before, "Cast", value, to=TensorProto.FLOAT16)
    before.append(helper.make_node("Identity", [value], [spec.input], name="gansr.enter"))

    value = spec.output
    if spec.half_input:
        value = op(after, "Cast", value, to=TensorProto.FLOAT)
    total = op(after, "ReduceSum", value, keepdims=0)
    after.append(helper.make_node("Reshape", [total, "gansr.one"], [WATCH], name=WATCH))
    weights.append(numpy_helper.from_array(np.array([1], np.int64), "gansr.one"))
    value = scaled(op, after, value, target.span / spec.peak, target.offset)
    if np.issubdtype(target.dtype, np.integer):
        value = op(after, "Clip", value, np.float32(0), np.float32(target.peak))
        value = op(after, "Round", value)
    if target.dtype != np.float32:
        value = op(after, "Cast", value, to=ONNX_TYPES[target.dtype])
    after.append(helper.make_node("Identity", [value], [OUTPUT], name="gansr.leave"))

    large = [1, spec.channels, height * scale, width * scale]
    ends = [
        helper.make_tensor_value_info(INPUT, ONNX_TYPES[source.dtype], [1, spec.inputs, height, width]),
        helper.make_tensor_value_info(OUTPUT, ONNX_TYPES[target.dtype], large),
        helper.make_tensor_value_info(WATCH, TensorProto.FLOAT, [1]),
    ]
    nodes = [*before, *graph.node, *after]
    joined = helper.make_graph(nodes, "gansr", ends[:1], ends[1:], [*graph.initializer, *weights])
    joined.sparse_initializer.extend(graph.sparse_initializer)
    graph.CopyFrom(joined)
    return wrapped


def scaled(op: object, nodes: list[onnx.NodeProto], value: str, gain: float, shift: float) -> str:
    """value * gain + shift, as few nodes as that takes."""
    assert callable(op)
    if gain != 1:
        value = op(nodes, "Mul", value, np.float32(gain))
    if shift:
        value = op(nodes, "Add", value, np.float32(shift))
    return value
