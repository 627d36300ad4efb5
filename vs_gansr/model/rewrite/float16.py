"""Make a half-precision copy of a generator and find the nodes that have to stay in float32.

ONNX Runtime's converter does the conversion. It clips weights that exceed float16 and lets activations overflow, so
this module first finds the nodes concerned, from their weights and from a short run on the CPU. Adjacent nodes in
float32 are connected directly; the converter alone would cast the values between them to float16 and back.
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
LARGEST = 65504.0  # the largest finite float16
HEADROOM = 4.0  # pictures may cause larger activations than the probes do
LARGEST_PROBE = 1 << 24  # samples in a probe picture at most
PROBE = 48  # pixels; width and height of the probe pictures


def convert(proto: onnx.ModelProto, takes: ValueRange = UNIT, keep: frozenset[str] | None = None) -> onnx.ModelProto:
    """Return a copy in float16 with unchanged input and output types; nodes named in `keep` stay float32.

    `takes` is the value range of the input. `keep` is the result of `overflowing` unless it is given. Raises
    ModelError where the conversion fails.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    copy = name_nodes(copied(proto))
    if keep is None:
        keep = overflowing(copy, takes)
    try:
        halved: onnx.ModelProto = convert_float_to_float16(copy, keep_io_types=True, node_block_list=sorted(keep))
    except Exception as error:
        raise ModelError(
            f"the model cannot be converted to half precision: {one_line(error)}; use precision fp32"
        ) from error
    rejoin(halved.graph)
    sort_nodes(halved.graph)  # the converter appends its casts at the end
    return halved


def is_half(proto: onnx.ModelProto) -> bool:
    """Return True if the network's weights are float16 already."""
    return any(tensor.data_type == TensorProto.FLOAT16 and len(tensor.dims) == 4 for tensor in proto.graph.initializer)


def overflowing(proto: onnx.ModelProto, takes: ValueRange = UNIT) -> frozenset[str]:
    """Return the names of the nodes that exceed float16, in a weight or in an activation on small pictures.

    `takes` is the value range of the input. If the network cannot run on such pictures, only the weights are checked.
    """
    limit = LARGEST / HEADROOM
    heavy = {t.name for t in proto.graph.initializer if t.data_type == TensorProto.FLOAT and largest(t) > LARGEST}
    hot = {name for name, value in activations(proto, takes).items() if not value <= limit}
    return frozenset(
        node.name for node in proto.graph.node if heavy & set(node.input) or hot & {*node.input, *node.output}
    )


def largest(tensor: onnx.TensorProto) -> float:
    """Return the largest absolute value of a weight."""
    return float(np.abs(numpy_helper.to_array(tensor)).max(initial=0.0))


def activations(proto: onnx.ModelProto, takes: ValueRange) -> dict[str, float]:
    """Return the largest absolute value of every float activation over two pictures: noise, and black and white dots.

    Returns {} where the network cannot run on such pictures.
    """
    probe = copied(proto)
    graph = probe.graph
    [entry] = inputs(graph)
    dims = [
        d.dim_value if d.dim_value > 0 else side  # some exporters write -1 for a free size
        for d, side in zip(entry.type.tensor_type.shape.dim, (1, 3, PROBE, PROBE), strict=False)
    ]
    if math.prod(dims) > LARGEST_PROBE:  # a network of a large fixed size
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
                value = np.abs(result).max(initial=0.0)  # NaN counts as infinite
                found[name] = max(found.get(name, 0.0), float(value)) if value == value else np.inf
    except Exception as error:  # for example a size rule; the check of the output still finds overflows
        log.debug("activations were not checked for overflow: %s", one_line(error))
        return {}
    return found


def rejoin(graph: onnx.GraphProto) -> None:
    """Remove casts from float32 to float16 and back: readers of the second cast read the value before the first."""
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
