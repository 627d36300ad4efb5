"""Blend the weights of two networks with the same layers."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from ...errors import ModelError

__all__ = ["between"]


def between(start: onnx.ModelProto, end: onnx.ModelProto, part: float, name: str) -> onnx.ModelProto:
    """Return `end` with each float weight replaced by `start` + `part` * (`end` - `start`), `part` from 0 to 1.

    If both networks were trained from the same weights, the networks between them work as well (X. Wang et al.,
    ESRGAN, arXiv 1809.00219, section 3.4). `name` is the model's name in messages. Raises ModelError where the layers
    or the shapes of the weights differ.
    """
    if [shape(node) for node in start.graph.node] != [shape(node) for node in end.graph.node]:
        raise ModelError(f'model "{name}" and its faithful model differ in their layers; use texture=1')
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in start.graph.initializer}
    mixed = onnx.ModelProto()
    mixed.CopyFrom(end)
    for tensor in mixed.graph.initializer:
        a, b = weights.get(tensor.name), numpy_helper.to_array(tensor)
        if a is None or (a.shape, a.dtype) != (b.shape, b.dtype):
            raise ModelError(
                f'model "{name}" and its faithful model differ in the weight "{tensor.name}"; use texture=1'
            )
        if np.issubdtype(b.dtype, np.floating):
            value = (1 - part) * a.astype(np.float64) + part * b.astype(np.float64)
            tensor.CopyFrom(numpy_helper.from_array(value.astype(b.dtype), tensor.name))
    return mixed


def shape(node: onnx.NodeProto) -> tuple[object, ...]:
    """Return everything that defines a layer except its weights."""
    return node.op_type, *node.input, *node.output, *(each.SerializeToString() for each in node.attribute)
