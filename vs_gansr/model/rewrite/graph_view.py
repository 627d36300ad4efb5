"""Owns what the rewrites of graphs share: reading an ONNX graph and changing it in place; knows no networks."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

__all__ = ["fixed_size"]


def fixed_size(proto: onnx.ModelProto, name: str, shape: Sequence[int]) -> onnx.ModelProto:
    """`proto`, changed in place: its input `name` has the static `shape`, and all other shapes follow from it."""
    value = next(v for v in proto.graph.input if v.name == name)
    for dim, size in zip(value.type.tensor_type.shape.dim, shape, strict=True):
        dim.dim_value = size
    del proto.graph.value_info[:]
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    return proto
