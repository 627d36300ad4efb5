"""Owns the half-precision copy of a generator: which nodes may not be halved, and the conversion; knows no video.

ONNX Runtime's converter does the work. It clips weights that float16 cannot hold and lets activations overflow, so
the nodes concerned are found first, by their weights and by a tiny run on the CPU, and stay in float32. They are
joined directly where they touch: the converter alone would pass what is between them through float16.
"""

from __future__ import annotations

import logging
import math

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from ...errors import ModelError, one_line
from ..spec import ValueRange
from .graph_view import attribute, copied, inputs, name_nodes, sort_nodes, weights

__all__ = ["convert", "is_half", "overflowing"]

log = logging.getLogger("vs_gansr")

UNIT = ValueRange()
LARGEST = 65504.0  # of float16
HEADROOM = 4.0  # real pictures may excite more than the probes do
LARGEST_PROBE = 1 << 24  # samples of a picture that looks for overflow
PROBE = 48  # pixels a side of the pictures that look for overflow


def convert(proto: onnx.ModelProto, takes: ValueRange = UNIT, keep: frozenset[str] | None = None) -> onnx.ModelProto:
    """A copy in float16 whose inputs and outputs are as they were; nodes named in `keep` stay float32, too.

    `takes` is the range of the input; `keep` is what `overflowing` finds unless it is given. Raises ModelError where
    the network resists.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    copy = name_nodes(copied(proto))
    if keep is None:
        keep = overflowing(copy, takes)
    try:
        halved: onnx.ModelProto = convert_float_to_float16(copy, keep_io_types=True, node_block_list=sorted(keep))
    except Exception as error:
        raise ModelError(
            f"the model cannot be put into half precision: {one_line(error)}; use precision fp32"
        ) from error
    rejoin(halved.graph)
    sort_nodes(halved.graph)  # the converter appends its casts at the end
    return halved


def is_half(proto: onnx.ModelProto) -> bool:
    """True if the network's weights are float16 already."""
    return any(tensor.data_type == TensorProto.FLOAT16 and len(tensor.dims) == 4 for tensor in proto.graph.initializer)


def overflowing(proto: onnx.ModelProto, takes: ValueRange = UNIT) -> frozenset[str]:
    """Names of the nodes that float16 cannot hold: by a weight, or by an activation in a run on small pictures.

    `takes` is the range of the input. A network that does not run on such pictures is judged by its
    weights alone.
    """
    limit = LARGEST / HEADROOM
    heavy = {t.name for t in proto.graph.initializer if t.data_type == TensorProto.FLOAT and largest(t) > LARGEST}
    hot = {name for name, value in activations(proto, takes).items() if not value <= limit}
    return frozenset(
        node.name for node in proto.graph.node if heavy & set(node.input) or hot & {*node.input, *node.output}
    )


def largest(tensor: onnx.TensorProto) -> float:
    """The largest absolute value of a weight."""
    return float(np.abs(numpy_helper.to_array(tensor)).max(initial=0.0))


def activations(proto: onnx.ModelProto, takes: ValueRange) -> dict[str, float]:
    """The largest absolute value of every float activation over two pictures: noise, and black and white dots."""
    probe = copied(proto)
    graph = probe.graph
    [entry] = inputs(graph)
    dims = [
        d.dim_value if d.dim_value > 0 else side  # some exporters write -1 for free
        for d, side in zip(entry.type.tensor_type.shape.dim, (1, 3, PROBE, PROBE), strict=False)
    ]
    if math.prod(dims) > LARGEST_PROBE:  # of a fixed size
        return {}
    rng = np.random.default_rng(0)
    noise = rng.random(dims, np.float32)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    found: dict[str, float] = {}
    try:
        known = {value.name for value in graph.output} | weights(graph).keys()
        inferred = onnx.shape_inference.infer_shapes(probe).graph.value_info
        graph.output.extend(
            helper.make_tensor_value_info(value.name, TensorProto.FLOAT, None)
            for value in inferred
            if value.type.tensor_type.elem_type == TensorProto.FLOAT and value.name not in known
        )
        session = ort.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
        names = [value.name for value in session.get_outputs()]
        for picture in (noise, np.round(noise)):
            values = np.float32(takes.black) + np.float32(takes.white - takes.black) * picture
            for name, result in zip(names, session.run(None, {entry.name: values}), strict=True):
                value = np.abs(result).max(initial=0.0)  # NaN counts as the largest
                found[name] = max(found.get(name, 0.0), float(value)) if value == value else np.inf
    except Exception as error:  # a size rule, say: the watch on the output still tells
        log.debug("no probe for overflow: %s", one_line(error))
        return {}
    return found


def rejoin(graph: onnx.GraphProto) -> None:
    """Leaves out float32 -> float16 -> float32: the second cast's readers take the value before the first."""
    before = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == "Cast"
        and attribute(node, "to") == TensorProto.FLOAT16
        and node.name.endswith("_cast_to_fp16_node")
    }
    kept = {value.name for value in graph.output}
    instead = {
        node.output[0]: before[node.input[0]]
        for node in graph.node
        if node.op_type == "Cast" and attribute(node, "to") == TensorProto.FLOAT and node.input[0] in before
    }
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name in instead:
                node.input[i] = instead[name]
    used = kept.union(*(node.input for node in graph.node))
    dead = [node for node in graph.node if node.op_type == "Cast" and not used & set(node.output)]
    for node in dead:
        graph.node.remove(node)
