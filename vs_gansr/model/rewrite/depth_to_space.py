"""Take a network's final depth-to-space out of the graph, to do it while the result is written to the frame.

ONNX Runtime's DepthToSpace takes a tenth of the time of an int8 generator on the CPU, and its result has to be copied
into the frame again. Copying each channel to its positions in the frame does both at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from .graph_view import GraphView, attribute, forget_shapes

__all__ = ["Shuffle", "take_out"]


@dataclass(frozen=True)
class Shuffle:
    """ONNX's depth-to-space from (1, C * block**2 or more, H, W) to (1, C, block * H, block * W)."""

    block: int  # pixels; width and height of the square that one position becomes
    mode: str  # ONNX's: "CRD" or "DCR"
    channels: int  # number of input channels, without padding

    def channel(self, plane: int, row: int, column: int) -> int:
        """Return the channel that holds pixel (row, column) of each block x block square of `plane`."""
        if self.mode == "CRD":
            return (plane * self.block + row) * self.block + column
        planes = self.channels // self.block**2
        return (row * self.block + column) * planes + plane

    def write(self, cells: npt.NDArray[Any], plane: int, place: npt.NDArray[Any]) -> None:
        """Fill `place`, shape (block * H, block * W), with one plane of `cells`, shape (channels or more, H, W)."""
        for row in range(self.block):
            for column in range(self.block):
                source = cells[self.channel(plane, row, column)]
                np.copyto(place[row :: self.block, column :: self.block], source, casting="same_kind")


def take_out(proto: onnx.ModelProto) -> Shuffle | None:
    """Remove the graph's final DepthToSpace and a Slice before it that drops padding channels.

    Returns the removed operation, or None if there is none; the graph is unchanged then.
    """
    view = GraphView(proto)
    end = proto.graph.output[0]
    last = view.makers.get(end.name)
    if last is None or last.op_type != "DepthToSpace":
        return None
    mode, block = attribute(last, "mode", "DCR"), attribute(last, "blocksize", 0)
    if mode not in ("DCR", "CRD") or block < 1:  # the file is damaged; ONNX Runtime reports it
        return None
    removed, source = [last], last.input[0]
    channels = channels_cut(view, source)
    if channels is not None:
        removed.append(view.makers[source])
        source = removed[-1].input[0]
    elif (channels := channels_inferred(proto, source)) is None:
        return None
    if source not in view.makers or any(node not in removed for node in view.readers[source]):
        return None
    for node in removed:
        view.replace(node)
    view.finish()
    end.name = source
    forget_shapes(proto.graph)
    return Shuffle(block, mode, channels)


def channels_cut(view: GraphView, name: str) -> int | None:
    """Return the number of channels kept, if a Slice of the first channels makes `name`; else None."""
    node = view.makers.get(name)
    if node is None or node.op_type != "Slice" or len(node.input) != 4:
        return None
    begin, end, axis = (view.array(n) for n in node.input[1:])
    if begin is None or end is None or axis is None:
        return None
    return int(end[0]) if (begin.tolist(), axis.tolist()) == ([0], [1]) and end[0] > 0 else None


def channels_inferred(proto: onnx.ModelProto, name: str) -> int | None:
    """Return the number of channels of a value by shape inference; None if it is unknown."""
    inferred = onnx.shape_inference.infer_shapes(proto)
    for value in inferred.graph.value_info:
        if value.name == name:
            dims = value.type.tensor_type.shape.dim
            return dims[1].dim_value or None if len(dims) == 4 else None
    return None
