"""Owns the int8 twin of a convolutional generator: which layers become integers, and in what shape.

Convolutions between the first and the last compute on 8 bit integers (unsigned activations, signed weights with a
scale per output channel), in ONNX's QDQ form. A convolution that leads from the input straight to the output, the
resize beside the body, stays float32: it carries the picture itself, of which the body only changes little. Ranges
are the smallest and largest values seen on the calibration pictures.

Channel counts decide speed: VNNI kernels take input channels in fours and output channels in sixteens, so the first
convolution gets an empty fourth channel and the last as many empty channels as it lacks, cut off again before
depth-to-space.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from ...errors import ModelError
from .. import metadata
from ..metadata import Metadata

__all__ = ["align_channels", "quantise"]

INPUT_STEP, OUTPUT_STEP = 4, 16
PASSED_THROUGH = {"Add", "Slice", "DepthToSpace", "Pad", "Identity"}


def quantise(data: bytes, pictures: Iterable[npt.NDArray[np.float32]]) -> bytes:
    """The int8 twin of the network in `data`, calibrated on `pictures`, each (1, C, H, W) float32 in the network's own
    value range. Metadata is kept, `gansr.precision` becomes `int8`.

    Raises ModelError where there is no convolution to quantise, or no picture.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    proto = onnx.load_model_from_string(data)
    name = next((value.name for value in proto.graph.input), "input")
    beside = [node.name for node in name_nodes(proto) if node.op_type == "Conv" and is_beside(proto, node)]
    inner = [n.name for n in proto.graph.node if n.op_type == "Conv" and n.name not in beside]
    if not inner:
        raise ModelError("the model has no convolutions between input and output to quantise")
    align_channels(proto)
    source = Pictures(name, pictures)
    if source.first is None:
        raise ModelError("quantising needs at least one calibration picture")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "int8.onnx"
        quantize_static(
            proto,
            str(target),
            source,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Relu", "LeakyRelu"],
            nodes_to_exclude=beside,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        made = onnx.load(str(target))
    del made.metadata_props[:]
    made.metadata_props.extend(proto.metadata_props)
    metadata.write(made, Metadata(precision="int8"))
    result: bytes = made.SerializeToString()
    return result


class Pictures:
    """Calibration pictures in the form ONNX Runtime's calibrator asks for."""

    def __init__(self, name: str, pictures: Iterable[npt.NDArray[np.float32]]) -> None:
        self._name = name
        self._rest: Iterator[npt.NDArray[np.float32]] = iter(pictures)
        self.first = next(self._rest, None)
        self._begun = False

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        """The next picture by input name, or None at the end."""
        if not self._begun:
            self._begun = True
            return None if self.first is None else {self._name: self.first}
        picture = next(self._rest, None)
        return None if picture is None else {self._name: picture}

    def set_range(self, start_index: int, end_index: int) -> None:
        """Pictures are taken one by one in any case."""


def name_nodes(proto: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The graph's nodes, each with a name of its own."""
    for index, node in enumerate(proto.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
    return list(proto.graph.node)


def is_beside(proto: onnx.ModelProto, conv: onnx.NodeProto) -> bool:
    """True for a convolution with no other before it and none after it."""
    makers = {out: node for node in proto.graph.node for out in node.output}
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in proto.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)

    def clear(names: Iterable[str], step: Any) -> bool:
        """True if the walk from `names` meets nothing but operators that compute no features."""
        waiting = list(names)
        while waiting:
            for node in step(waiting.pop()):
                if node.op_type not in PASSED_THROUGH:
                    return False
                waiting += node.input if step is before else node.output
        return True

    def before(name: str) -> list[onnx.NodeProto]:
        return [makers[name]] if name in makers else []

    def after(name: str) -> list[onnx.NodeProto]:
        return users.get(name, [])

    return clear(conv.input[:1], before) and clear(conv.output, after)


def align_channels(proto: onnx.ModelProto) -> None:
    """Fills the channels of the first convolution's input to a multiple of 4, and of those before a final
    depth-to-space to a multiple of 16, with zeros. The function stays the same."""
    graph = proto.graph
    del graph.value_info[:]  # what it says of the channels is about to be wrong
    weights = {tensor.name: tensor for tensor in graph.initializer}
    _pad_first(proto, weights)
    shuffle = graph.node[-1]
    if shuffle.op_type != "DepthToSpace":
        return
    convs, waiting = [], [shuffle.input[0]]
    while waiting:  # everything the shuffled tensor is the sum of
        name = waiting.pop()
        node = next((n for n in graph.node if name in n.output), None)
        if node is not None and node.op_type == "Add" and not set(node.input) & set(weights):
            waiting += node.input
        elif node is not None and node.op_type == "Conv" and len(node.input) == 3 and not _attribute(node, "group", 1):
            convs.append(node)
        else:
            return
    channels = weights[convs[0].input[1]].dims[0]
    missing = -channels % OUTPUT_STEP
    if not missing:
        return
    for conv in convs:
        for index in (1, 2):
            tensor = weights[conv.input[index]]
            values = numpy_helper.to_array(tensor)
            edges = [(0, missing)] + [(0, 0)] * (values.ndim - 1)
            tensor.CopyFrom(numpy_helper.from_array(np.pad(values, edges), tensor.name))
    for label, number in (("from", 0), ("to", channels), ("axis", 1)):
        graph.initializer.append(numpy_helper.from_array(np.array([number], np.int64), f"cut_{label}"))
    cut = helper.make_node(
        "Slice", [shuffle.input[0], "cut_from", "cut_to", "cut_axis"], ["cut_channels"], name="cut_channels"
    )
    shuffle.input[0] = "cut_channels"
    graph.node.insert(len(graph.node) - 1, cut)


def _pad_first(proto: onnx.ModelProto, weights: dict[str, onnx.TensorProto]) -> None:
    graph = proto.graph
    name, place = graph.input[0].name, 0
    for index, node in enumerate(graph.node):
        if node.op_type == "Clip" and node.input[0] == name:  # before a body that is to see [0, 1] only
            name, place = node.output[0], index + 1
            break
    readers = [n for n in graph.node if n.op_type == "Conv" and n.input[0] == name]
    first = [n for n in readers if not is_beside(proto, n)]
    missing = -weights[first[0].input[1]].dims[1] % INPUT_STEP if len(first) == 1 else 0
    if not missing or _attribute(first[0], "group", 1):
        return
    tensor = weights[first[0].input[1]]
    values = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(np.pad(values, [(0, 0), (0, missing), (0, 0), (0, 0)]), tensor.name))
    edges = np.array([0, 0, 0, 0, 0, missing, 0, 0], np.int64)
    graph.initializer.append(numpy_helper.from_array(edges, "empty_channels"))
    graph.node.insert(
        place, helper.make_node("Pad", [name, "empty_channels"], ["filled_input"], name="filled_input", mode="constant")
    )
    first[0].input[0] = "filled_input"


def _attribute(node: onnx.NodeProto, name: str, usual: int) -> int:
    """The attribute's distance from its usual value."""
    return next((attribute.i - usual for attribute in node.attribute if attribute.name == name), 0)
