"""Read the range of a network's output from the last nodes of its graph."""

from __future__ import annotations

import onnx

from ..rewrite.graph_view import GraphView, clip_bounds

__all__ = ["signed_output"]

MOVED = {"Identity", "Cast", "Reshape", "Transpose", "Slice", "DepthToSpace", "Resize", "Upsample"}


def signed_output(proto: onnx.ModelProto) -> bool:
    """Return True if the output ranges from -1 to 1 because it comes from a Tanh or from a Clip with these bounds."""
    view = GraphView(proto)
    name = proto.graph.output[0].name
    seen: set[str] = set()
    while name in view.makers and name not in seen:
        seen.add(name)
        node = view.makers[name]
        if node.op_type == "Tanh" or (node.op_type == "Clip" and clip_bounds(view, node) == (-1.0, 1.0)):
            return True
        if node.op_type not in MOVED or not node.input:
            return False
        name = node.input[0]
    return False
