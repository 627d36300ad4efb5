"""Owns what is refused of an ONNX file before anything is made of it: other things than networks, and traps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import onnx

from ..errors import ModelError
from .metadata import MOST_FRAMES, Metadata
from .rewrite.graph_view import attribute, inputs, weights

__all__ = ["NetworkInput", "check_graph", "entry"]

MOST_MARGINS = 16
LARGEST_MARGIN = 1 << 20  # pixels that Pad may add or take; shape inference aborts the process over some beyond
FLOATS = (  # types of an output; UNDEFINED where the file does not say
    onnx.TensorProto.UNDEFINED,
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.DOUBLE,
)
ENDLESS = ("Loop", "Scan")  # how often they run is decided while they run


@dataclass(frozen=True)
class NetworkInput:
    """A network's input: `frames` pictures of `channels` each, stacked."""

    name: str  # of the tensor
    channels: int  # of one picture: 3 or 1
    frames: int  # an odd number
    aligned: bool  # True: luma of three frames, the outer ones moved onto the middle one
    fixed: tuple[int, int] | None  # (width, height) in pixels where no other size is allowed
    half: bool  # True: float16, else float32


def entry(proto: onnx.ModelProto, name: str, said: Metadata) -> NetworkInput:
    """The input of the network called `name`, which says `said` of itself.

    ModelError unless the graph maps one picture to one picture, or a few neighbouring ones to that in the middle.
    """
    graph = proto.graph
    if not graph.node or not graph.input or not graph.output:
        raise ModelError(f'model "{name}" is not an ONNX network: it has no nodes, inputs or outputs')
    entries = inputs(graph)
    if len(entries) != 1 or len(graph.output) != 1:
        raise ModelError(
            f'model "{name}" has {len(entries)} inputs and {len(graph.output)} outputs, one of each is needed'
        )
    tensor = entries[0].type.tensor_type
    dims = [d.dim_value if d.dim_value > 0 else None for d in tensor.shape.dim]  # some exporters write -1 for free
    if len(dims) != 4 or tensor.elem_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16):
        raise ModelError(f'model "{name}" takes no 4-dimensional float picture (NCHW) as its input')
    stacked = dims[1] or first_channels(graph, entries[0].name)
    channels, frames = pictures_of(stacked, name, said)
    width, height = dims[3] or dims[2], dims[2] or dims[3]
    fixed = (width, height) if width and height else None
    half = tensor.elem_type == onnx.TensorProto.FLOAT16
    if graph.output[0].type.tensor_type.elem_type not in FLOATS:
        kind = onnx.TensorProto.DataType.Name(graph.output[0].type.tensor_type.elem_type).lower()
        raise ModelError(
            f'model "{name}" gives {kind} numbers; float16, float32 or float64 are needed: '
            "export it without its last Cast"
        )
    return NetworkInput(entries[0].name, channels, frames, bool(said.aligned), fixed, half)


def pictures_of(stacked: int | None, name: str, said: Metadata) -> tuple[int, int]:
    """Channels of one picture and the number of pictures in `stacked` input channels. ModelError for others."""
    if said.frames is not None:
        channels = (stacked or 0) // said.frames
        if channels not in (1, 3) or channels * said.frames != stacked or not said.frames % 2:
            raise ModelError(
                f'model "{name}" has {stacked or "a free number of"} input channels and says gansr.frames '
                f"{said.frames}; an odd number of frames with 1 or 3 channels each is supported"
            )
    elif stacked is None or not (stacked == 1 or stacked % 6 == 3):
        raise ModelError(
            f'model "{name}" has {stacked or "a free number of"} input channels, 1 or 3 are supported, '
            "and 3 for each of an odd number of frames"
        )
    else:
        channels = min(3, stacked)
    frames = stacked // channels
    if frames > MOST_FRAMES:
        raise ModelError(f'model "{name}" takes {frames} frames at once, more than {MOST_FRAMES}')
    if said.aligned and (channels, frames) != (1, 3):
        raise ModelError(
            f'model "{name}" says gansr.aligned and takes {frames} frames with {channels} channels each; '
            "luma of three frames is what is aligned: say gansr.frames 3"
        )
    return channels, frames


def first_channels(graph: onnx.GraphProto, name: str) -> int | None:
    """The channels that the convolution reading the input wants, for files that leave their number free."""
    kernels = weights(graph)
    for node in graph.node:
        if node.op_type == "Conv" and len(node.input) > 1 and node.input[0] == name and node.input[1] in kernels:
            group, dims = attribute(node, "group", 1), kernels[node.input[1]].dims
            return int(dims[1] * group) if isinstance(group, int) and len(dims) == 4 else None
    return None


def check_graph(proto: onnx.ModelProto, name: str) -> None:
    """ModelError for what no picture's network needs and a hostile file may hold, wherever it hides."""
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
            raise ModelError(f'model "{name}" contains {node.op_type}, which may run for ever; export it without loops')
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
    """The largest absolute value of a short list of whole numbers; 0 for anything else."""
    if tensor.data_type != onnx.TensorProto.INT64 or math.prod(tensor.dims) > MOST_MARGINS:
        return 0
    try:
        return max(map(abs, onnx.numpy_helper.to_array(tensor).ravel().tolist()), default=0)
    except Exception:  # damaged: ONNX Runtime says how
        return 0
