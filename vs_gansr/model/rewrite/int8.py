"""Make the int8 variant of a convolutional generator.

Convolutions between the first and the last compute on 8-bit integers (unsigned activations, signed weights with one
scale per output channel), in ONNX's QDQ form. A convolution that leads directly from the input to the output, which
resizes the picture, stays float32: it carries the picture, to which the other layers add small changes. The
quantisation ranges are the smallest and largest values over the calibration pictures.

The number of channels decides the speed: VNNI kernels take input channels in groups of 4 and output channels in
groups of 16. The input of the first convolution is therefore padded to a multiple of 4 channels and the output of the
last one to a multiple of 16; the padding is removed before depth-to-space.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from ...errors import ModelError
from .. import metadata
from ..metadata import Metadata
from .graph_view import GraphView, attribute, inputs, name_nodes

__all__ = ["align_channels", "quantise", "with_float_end"]

INPUT_STEP, OUTPUT_STEP = 4, 16
# Operators between the last convolution and the output; those of the second line mix two networks.
MOVED = {"Add", "Slice", "DepthToSpace", "Identity"} | {"Sub", "Mul", "Concat", "SpaceToDepth"}
PASSED_THROUGH = {"Add", "Slice", "DepthToSpace", "Pad", "Identity"}


def quantise(data: bytes, pictures: Iterable[npt.NDArray[np.float32]], keep: Collection[str] = ()) -> bytes:
    """Return the int8 variant of the network in `data`.

    `pictures` are for calibration, each (1, C, H, W) float32 in the network's own value range. Convolutions named in
    `keep` stay float32. Metadata is kept; `gansr.precision` becomes `int8`.

    Raises ModelError where there is no convolution to quantise, or no picture.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    proto = onnx.load_model_from_string(data)
    name = next((value.name for value in inputs(proto.graph)), "input")
    view = GraphView(name_nodes(proto))
    convolutions = [node for node in view.nodes if node.op_type == "Conv"]
    beside = [node.name for node in convolutions if node.name in keep or is_beside(view, node)]
    inner = [node.name for node in convolutions if node.name not in beside]
    if not inner:
        raise ModelError(
            "the model has no convolutions to quantise (those beside its input and output stay float32); omit --int8"
        )
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
        variant = onnx.load(str(target))
    del variant.metadata_props[:]
    variant.metadata_props.extend(proto.metadata_props)
    metadata.write(variant, Metadata(precision="int8"))
    result: bytes = variant.SerializeToString()
    return result


def with_float_end(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Change `proto` in place: remove the rounding of values from which only moves and sums make the picture. Return
    it.

    This suits runtimes whose integer convolutions can output floats at no cost; other runtimes need the rounding to
    recognise an integer convolution. Rounding that clips at zero may replace a ReLU and stays.
    """
    view = GraphView(proto)
    waiting = [value.name for value in proto.graph.output]
    ends: set[int] = set()  # nodes after which only moves and sums follow
    while waiting:
        node = view.makers.get(waiting.pop())
        if node is not None and node.op_type in MOVED and id(node) not in ends:
            ends.add(id(node))
            waiting += node.input
    for node in [node for node in view.nodes if id(node) in ends]:
        for i, name in enumerate(node.input):
            back = view.makers.get(name)
            rounding = (
                view.makers.get(back.input[0]) if back is not None and back.op_type == "DequantizeLinear" else None
            )
            if rounding is not None and rounding.op_type == "QuantizeLinear" and not _clips(view, rounding):
                node.input[i] = rounding.input[0]
                if all(id(reader) in ends for reader in view.readers[name]):
                    view.replace(back)
                    if view.readers[rounding.output[0]] == [back]:
                        view.replace(rounding)
    view.finish()
    return proto


def _clips(view: GraphView, rounding: onnx.NodeProto) -> bool:
    """Return True if a QuantizeLinear outputs nothing below zero, or if that is unknown."""
    zero = view.weights.get(rounding.input[2]) if len(rounding.input) > 2 else None
    if zero is None:
        return True
    integers = numpy_helper.to_array(zero)
    return bool((integers == np.iinfo(integers.dtype).min).any())


class Pictures:
    """Calibration pictures as an ONNX Runtime CalibrationDataReader."""

    def __init__(self, name: str, pictures: Iterable[npt.NDArray[np.float32]]) -> None:
        self._name = name
        self._rest: Iterator[npt.NDArray[np.float32]] = iter(pictures)
        self.first = next(self._rest, None)  # (1, channels, height, width); None if there are no pictures
        self._begun = False

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        """Return the next picture by input name; None at the end."""
        if not self._begun:
            self._begun = True
            return None if self.first is None else {self._name: self.first}
        picture = next(self._rest, None)
        return None if picture is None else {self._name: picture}

    def set_range(self, start_index: int, end_index: int) -> None:
        """Do nothing: pictures are read one at a time anyway."""


def is_beside(view: GraphView, conv: onnx.NodeProto) -> bool:
    """Return True for a convolution that leads directly from the input to the output, with no layer before or after
    it.
    """

    def clear(names: Iterable[str], step: Callable[[str], list[onnx.NodeProto]]) -> bool:
        """Return True if the walk from `names` meets only operators that compute no features."""
        waiting = list(names)
        while waiting:
            for node in step(waiting.pop()):
                if node.op_type not in PASSED_THROUGH:
                    return False
                waiting += node.input if step is before else node.output
        return True

    def before(name: str) -> list[onnx.NodeProto]:
        return [view.makers[name]] if name in view.makers else []

    def after(name: str) -> list[onnx.NodeProto]:
        return view.readers.get(name, [])

    return clear(conv.input[:1], before) and clear(conv.output, after)


def align_channels(proto: onnx.ModelProto) -> None:
    """Pad the channels of the first convolution's input to a multiple of 4, and the channels before a final
    depth-to-space to a multiple of 16, with zeros. The network's result stays the same.
    """
    view = GraphView(proto)
    fill_first(view)
    fill_last(view)
    view.finish()
    del proto.graph.value_info[:]  # the stored shapes are wrong now


def fill_first(view: GraphView) -> None:
    """Pad the input of the only first convolution, after a Clip if there is one."""
    name = view.graph.input[0].name
    name = next((node.output[0] for node in view.readers.get(name, []) if node.op_type == "Clip"), name)
    first = [n for n in view.readers.get(name, []) if n.op_type == "Conv" and not is_beside(view, n)]
    missing = -view.weights[first[0].input[1]].dims[1] % INPUT_STEP if len(first) == 1 else 0
    if not missing or attribute(first[0], "group", 1) != 1:
        return
    pad_weight(view, first[0].input[1], 1, missing)
    filled = view.name("filled")
    amounts = view.constant([0, 0, 0, 0, 0, missing, 0, 0], np.int64)
    pad = helper.make_node("Pad", [name, amounts], [filled], name=filled, mode="constant")
    view.replace(first[0], pad, first[0])
    first[0].input[0] = filled


def fill_last(view: GraphView) -> None:
    """Pad the output of the convolutions whose sum is the input of the final depth-to-space, and slice the padding
    off.
    """
    shuffle = view.nodes[-1]
    if shuffle.op_type != "DepthToSpace":
        return
    convs, waiting = [], [shuffle.input[0]]
    while waiting:
        node = view.makers.get(waiting.pop())
        if node is not None and node.op_type == "Add" and not set(node.input) & view.weights.keys():
            waiting += node.input
        elif node is not None and node.op_type == "Conv" and len(node.input) == 3 and attribute(node, "group", 1) == 1:
            convs.append(node)
        else:
            return
    channels = view.weights[convs[0].input[1]].dims[0]
    missing = -channels % OUTPUT_STEP
    if not missing:
        return
    for conv in convs:
        for name in conv.input[1:]:
            pad_weight(view, name, 0, missing)
    cut = view.name("cut")
    bounds = [view.constant([place], np.int64) for place in (0, channels, 1)]
    view.replace(shuffle, helper.make_node("Slice", [shuffle.input[0], *bounds], [cut], name=cut), shuffle)
    shuffle.input[0] = cut


def pad_weight(view: GraphView, name: str, axis: int, missing: int) -> None:
    """Append `missing` zeros to a constant along `axis`."""
    values = numpy_helper.to_array(view.weights[name])
    edges = [(0, missing if a == axis else 0) for a in range(values.ndim)]
    view.set_array(name, np.pad(values, edges))
