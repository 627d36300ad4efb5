"""Take a network's final depth-to-space out of the graph, to do it while the result is written to the frame.

ONNX Runtime's DepthToSpace takes a tenth of the time of an int8 generator on the CPU, and its result has to be copied
into the frame again. Copying each channel to its positions in the frame does both at once.

Kernels for CPUs compute convolutions for 16 output channels at a time. The 4 channels before the depth-to-space of a
2x network of luma take as long as 16, so `widen` lets each position compute 4 neighbours in a row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from .graph_view import GraphView, attribute, copied, forget_shapes

__all__ = ["Shuffle", "channels_last", "take_out", "widen", "widened"]

LANES = 16  # output channels that a convolution computes at a time


@dataclass(frozen=True)
class Shuffle:
    """ONNX's depth-to-space from (1, C * block**2 or more, H, W) to (1, C, block * H, block * W)."""

    block: int  # pixels; width and height of the square that one position becomes
    mode: str  # ONNX's: "CRD" or "DCR"
    channels: int  # number of input channels, without padding
    neighbours: int = 1  # how many positions of a row `widen` has joined

    def channel(self, plane: int, row: int, column: int) -> int:
        """Return the channel that holds pixel (row, column) of each block x block square of `plane`."""
        if self.mode == "CRD":
            return (plane * self.block + row) * self.block + column
        planes = self.channels // self.block**2
        return (row * self.block + column) * planes + plane

    def shape(self, width: int, height: int) -> list[int]:
        """Return the shape of the output after `widen` and `channels_last`, for width x height positions."""
        return [1, height, -(-width // self.neighbours), self.channels * self.neighbours]

    def write(self, cells: npt.NDArray[Any], plane: int, place: npt.NDArray[Any], left: int = 0, top: int = 0) -> None:
        """Fill `place`, a part of the result's `plane`, with what begins at (`left`, `top`) in input positions.

        `cells` has the shape (channels or more, H, W), or what follows the 1 of `shape`.
        """
        height, width = (length // self.block for length in place.shape)
        for row in range(self.block):
            to = place[row :: self.block]
            if self.neighbours > 1:  # what lies side by side in the result does so in `cells`
                size = self.neighbours * self.block * cells.itemsize
                runs = cells[top : top + height].view(f"V{size}")[..., plane * self.block + row]
                if runs.shape[1] * size == to.shape[1] * to.itemsize and to.dtype == cells.dtype:
                    np.copyto(to.view(runs.dtype), runs)
                    continue
                line = np.ascontiguousarray(runs).view(cells.dtype)
                np.copyto(to, line[:, left * self.block : (left + width) * self.block], casting="same_kind")
                continue
            for column in range(self.block):
                source = cells[self.channel(plane, row, column), top : top + height, left : left + width]
                np.copyto(to[:, column :: self.block], source, casting="same_kind")


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
    elif (channels := channels_made(view, source) or channels_inferred(proto, source)) is None:
        return None
    if source not in view.makers or any(node not in removed for node in view.readers[source]):
        return None
    for node in removed:
        view.replace(node)
    view.finish()
    end.name = source
    forget_shapes(proto.graph)
    return Shuffle(block, mode, channels)


def widen(proto: onnx.ModelProto, shuffle: Shuffle, width: int) -> Shuffle | None:
    """Let the convolutions at the end of the graph, which `shuffle` was taken out of, compute several positions of a
    row, `width` positions wide, as one.

    Their kernels become wider, with zeros beside, and step over as many columns. Returns the shuffle for the output
    after `channels_last`; None where that would be no quicker, the graph is unchanged then.
    """
    view = GraphView(proto)
    block, count = shuffle.block, LANES // shuffle.channels
    ends = last_convolutions(view, proto.graph.output[0].name)
    if count < 2 or not ends:
        return None
    planes = shuffle.channels // block**2
    order = [[shuffle.channel(p, row, x) for x in range(block)] for p in range(planes) for row in range(block)]

    def repeated(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return what belongs to the channels, once for each neighbour: neighbours inside a plane's row."""
        each = np.repeat(values[order][:, np.newaxis], count, 1)
        if values.ndim < 4:
            return each.reshape(-1)
        wide = np.zeros((*each.shape[:-1], each.shape[-1] + count - 1), values.dtype)
        for i in range(count):
            wide[:, i, ..., i : i + each.shape[-1]] = each[:, i]
        return wide.reshape(-1, *wide.shape[3:])

    def constant(name: str) -> str:
        values = view.array(name)
        assert values is not None
        return view.constant(repeated(values), values.dtype) if values.size > 1 else name

    for conv in ends:
        scaled = []
        for i, name in enumerate(conv.input[1:], 1):
            maker = view.makers.get(name)
            conv.input[i] = view.name() if maker else constant(name)
            if maker:
                constants = [constant(each) for each in maker.input]
                scaled.append(helper.make_node("DequantizeLinear", constants, [conv.input[i]], axis=0))
        top, left, bottom, right = attribute(conv, "pads", [0] * 4)
        wide = {"pads": [top, left, bottom, right - width % -count], "strides": [1, count]}
        kept = [a for a in conv.attribute if a.name not in ("pads", "strides", "kernel_shape")]
        del conv.attribute[:]
        conv.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in wide.items())])
        view.replace(conv, *scaled, conv)
    view.finish()
    return replace(shuffle, neighbours=count)


def widened(proto: onnx.ModelProto, block: int, width: int) -> tuple[onnx.ModelProto, Shuffle | None]:
    """Return a copy of the network without its final depth-to-space by `block`, changed by `widen`, and what was taken
    out; `proto` itself and None where that would be no quicker."""
    other = copied(proto)
    taken = take_out(other)
    wide = widen(other, taken, width) if taken and taken.block == block else None
    return (other, wide) if wide else (proto, None)


def channels_last(proto: onnx.ModelProto) -> None:
    """Move the channels of the first output, (1, C, H, W), to the end. Runtimes whose convolutions keep them there
    copy nothing for that."""
    end = proto.graph.output[0]
    name = GraphView(proto).name()
    proto.graph.node.append(helper.make_node("Transpose", [end.name], [name], perm=[0, 2, 3, 1]))
    end.name = name


def last_convolutions(view: GraphView, name: str) -> list[onnx.NodeProto]:
    """Return the convolutions whose sum, or one, is the value `name`; none if anything but constants shapes them."""
    node = view.makers.get(name)
    if node is None or len(view.readers.get(name, [])) > 1:
        return []
    if node.op_type == "Add":
        parts = [last_convolutions(view, each) for each in node.input]
        return [conv for part in parts for conv in part] if all(parts) else []
    usual = {"group": 1, "auto_pad": "NOTSET", "strides": [1, 1], "dilations": [1, 1]}
    if node.op_type != "Conv" or any(attribute(node, key, value) != value for key, value in usual.items()):
        return []
    for each in node.input[1:]:
        maker = view.makers.get(each)
        scaled = maker is not None and maker.op_type == "DequantizeLinear" and attribute(maker, "axis", 1) == 0
        values = [view.array(name) for name in (maker.input if maker is not None and scaled else [each])]
        if any(value is None for value in values) or (len(values) > 2 and np.any(values[2])):  # 0 must mean 0
            return []
    return [node]


def channels_cut(view: GraphView, name: str) -> int | None:
    """Return the number of channels kept, if a Slice of the first channels makes `name`; else None."""
    node = view.makers.get(name)
    if node is None or node.op_type != "Slice" or len(node.input) != 4:
        return None
    begin, end, axis = (view.array(n) for n in node.input[1:])
    if begin is None or end is None or axis is None:
        return None
    return int(end[0]) if (begin.tolist(), axis.tolist()) == ([0], [1]) and end[0] > 0 else None


def channels_made(view: GraphView, name: str) -> int | None:
    """Return the number of channels of a sum of convolutions; None if the value is something else. Inference would
    take 10 ms in a new process."""
    for conv in last_convolutions(view, name)[:1]:
        maker = view.makers.get(conv.input[1])
        return int(view.weights[maker.input[0] if maker else conv.input[1]].dims[0])
    return None


def channels_inferred(proto: onnx.ModelProto, name: str) -> int | None:
    """Return the number of channels of a value by shape inference; None if it is unknown."""
    inferred = onnx.shape_inference.infer_shapes(proto)
    for value in inferred.graph.value_info:
        if value.name == name:
            dims = value.type.tensor_type.shape.dim
            return dims[1].dim_value or None if len(dims) == 4 else None
    return None
