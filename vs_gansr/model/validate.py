"""Refuse ONNX files that hold no image network or that could harm the process, before anything else reads them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import onnx

from ..errors import ModelError
from .metadata import COLOUR_420, MOST_FRAMES, Metadata
from .rewrite.graph_view import attribute, inputs, weights
from .spec import CHANNELS_420

__all__ = ["NetworkInput", "check_graph", "entry"]

MOST_MARGINS = 16
LARGEST_MARGIN = 1 << 20  # pixels that one Pad may add or remove; shape inference aborts the process on larger amounts
FLOATS = (  # accepted types of the output; UNDEFINED: the file does not say
    onnx.TensorProto.UNDEFINED,
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.DOUBLE,
)
ENDLESS = ("Loop", "Scan")  # operators whose number of iterations is known only at run time


@dataclass(frozen=True)
class NetworkInput:
    """A network's input: `frames` stacked pictures of `channels` channels each."""

    name: str  # name of the input tensor
    channels: int  # channels of one picture: 3, 1 or 6
    frames: int  # number of pictures, odd
    fixed: tuple[int, int] | None  # the only accepted (width, height) in pixels; None: sizes are free
    half: bool  # True: float16, else float32


def entry(proto: onnx.ModelProto, name: str, described: Metadata) -> NetworkInput:
    """Return the input of the network called `name`, whose metadata is `described`.

    Raises ModelError unless the graph maps one picture, or an odd number of neighbouring pictures, to one picture.
    """
    graph = proto.graph
    if not graph.node or not graph.input or not graph.output:
        raise ModelError(f'model "{name}" is not an ONNX network: it has no nodes, inputs or outputs')
    entries = inputs(graph)
    if len(entries) != 1 or len(graph.output) != 1:
        raise ModelError(
            f'model "{name}" has {len(entries)} inputs and {len(graph.output)} outputs; exactly one of each is needed: '
            "export it without the others"
        )
    tensor = entries[0].type.tensor_type
    dims = [d.dim_value if d.dim_value > 0 else None for d in tensor.shape.dim]  # -1: free, in some exporters
    if len(dims) != 4 or tensor.elem_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16):
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
        raise ModelError(
            f'model "{name}" has no 4-dimensional (NCHW) input of float16 or float32, but {kind} of {len(dims)} '
            "dimensions; export it with such an input"
        )
    stacked = dims[1] or first_channels(graph, entries[0].name)
    channels, frames = pictures_of(stacked, name, described)
    width, height = dims[3] or dims[2], dims[2] or dims[3]
    fixed = (width, height) if width and height else None
    half = tensor.elem_type == onnx.TensorProto.FLOAT16
    if graph.output[0].type.tensor_type.elem_type not in FLOATS:
        kind = onnx.TensorProto.DataType.Name(graph.output[0].type.tensor_type.elem_type).lower()
        raise ModelError(
            f'model "{name}" outputs {kind}; float16, float32 or float64 is needed: export it without the final Cast'
        )
    return NetworkInput(entries[0].name, channels, frames, fixed, half)


def pictures_of(stacked: int | None, name: str, described: Metadata) -> tuple[int, int]:
    """Return (channels of one picture, number of pictures) for `stacked` input channels.

    Raises ModelError where the channels cannot be divided that way or contradict the metadata.
    """
    if described.colour == COLOUR_420:
        if stacked != CHANNELS_420 or described.frames not in (None, 1):
            raise ModelError(
                f'model "{name}" declares gansr.colour "{COLOUR_420}" in its metadata, which needs {CHANNELS_420} '
                f"input channels of one frame (4 luma, U, V), but it has {stacked or 'a free number of'} input channels"
                f"{f' of {described.frames} frames' if described.frames else ''}; correct the metadata or the network"
            )
        return CHANNELS_420, 1
    if described.frames is not None:
        channels = (stacked or 0) // described.frames
        if channels not in (1, 3) or channels * described.frames != stacked or not described.frames % 2:
            raise ModelError(
                f'model "{name}" has {stacked or "a free number of"} input channels and its gansr.frames is '
                f"{described.frames}; an odd number of frames with 1 or 3 channels each is supported"
            )
    elif stacked is None or not (stacked == 1 or stacked % 6 == 3):
        raise ModelError(
            f'model "{name}" has {stacked or "a free number of"} input channels; supported are 1 or 3, '
            "or 3 for each of an odd number of frames"
        )
    else:
        channels = min(3, stacked)
    frames = stacked // channels
    if frames > MOST_FRAMES:
        raise ModelError(f'model "{name}" takes {frames} frames at once; at most {MOST_FRAMES} are supported')
    return channels, frames


def first_channels(graph: onnx.GraphProto, name: str) -> int | None:
    """Return the input channels of the convolution that reads the input; used where the file leaves their number
    free.

    Returns None where no convolution with constant weights reads the input.
    """
    kernels = weights(graph)
    for node in graph.node:
        if node.op_type == "Conv" and len(node.input) > 1 and node.input[0] == name and node.input[1] in kernels:
            group, dims = attribute(node, "group", 1), kernels[node.input[1]].dims
            return int(dims[1] * group) if isinstance(group, int) and len(dims) == 4 else None
    return None


def check_graph(proto: onnx.ModelProto, name: str) -> None:
    """Raise ModelError for endless loops, external weights and huge Pad amounts, in the main graph and in all nested
    ones.
    """
    nodes = [*proto.graph.node, *(node for function in proto.functions for node in function.node)]
    tensors: list[onnx.TensorProto] = []
    named: dict[str, onnx.TensorProto] = {}
    margins: set[str] = set()
    graphs = [proto.graph]
    while nodes or graphs:
        while graphs:
            graph = graphs.pop()
            tensors += graph.initializer
            named |= weights(graph)
            tensors += (part for sparse in graph.sparse_initializer for part in (sparse.values, sparse.indices))
            nodes += graph.node if graph is not proto.graph else ()
        if not nodes:
            break
        node = nodes.pop()
        if node.op_type in ENDLESS:
            raise ModelError(f'model "{name}" contains {node.op_type}, which may run forever; export it without loops')
        if node.op_type == "Pad":
            margins |= set(node.input[1:2])
        elif node.op_type == "Constant":
            named |= {output: a.t for output in node.output for a in node.attribute if a.name == "value"}
        for a in node.attribute:
            tensors += [a.t, *a.tensors, a.sparse_tensor.values, a.sparse_tensor.indices]
            graphs += [g for g in (a.g, *a.graphs) if g.node or g.initializer or g.sparse_initializer]
    if any(t.data_location == onnx.TensorProto.EXTERNAL or t.external_data for t in tensors):
        raise ModelError(f'model "{name}" keeps its weights in another file; save it as one self-contained file')
    for margin in sorted(margins & named.keys()):
        if largest_whole(named[margin]) > LARGEST_MARGIN:
            raise ModelError(f'model "{name}" pads by more than {LARGEST_MARGIN} pixels; its file is damaged')


def largest_whole(tensor: onnx.TensorProto) -> int:
    """Return the largest absolute value of a short int64 tensor; 0 for any other tensor."""
    if tensor.data_type != onnx.TensorProto.INT64 or math.prod(tensor.dims) > MOST_MARGINS:
        return 0
    try:
        return max(map(abs, onnx.numpy_helper.to_array(tensor).ravel().tolist()), default=0)
    except Exception:  # the tensor is damaged: ONNX Runtime reports how
        return 0
