"""Owns colour inside the ONNX graph: builds the prologue and epilogue around a generator; runs nothing.

    in0, in1, in2 ── prologue ── generator ── epilogue ── out0, out1, out2
                                                 └─────── watch

The inputs are a frame's planes as they are stored, shape (1, 1, rows, columns), integer or float; so are the
outputs, `scale` times larger. `watch`, shape (1), is the sum of the first output plane before it is clamped: it is
finite exactly if every pixel of that plane is, and so if every pixel the generator gave is.

The prologue undoes the code range, brings chroma to luma size and applies the matrix, in one convolution for
chroma; the epilogue does the reverse, clamps, rounds half to even and casts. Both compute in float32 whatever the
generator computes in. Values outside [0, 1] pass through to the generator as zimg's do. A smaller depth than the
input's would need dithering by error diffusion, which no graph can do: callers take zimg's way there
(colour.needs_dither).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..colour.conversion import Matrix, Resampler, Side, downsampler, mirrored, upsampler
from ..colour.tags import Family
from ..errors import ModelError

__all__ = ["INPUTS", "OUTPUTS", "WATCH", "Generator", "obstacle", "wrap"]

INPUTS = ("in0", "in1", "in2")
OUTPUTS = ("out0", "out1", "out2")
WATCH = "watch"
PREFIX = "gansr."  # of every value the two ends add
OLDEST_OPSET = 13  # the operators below mean the same from here on

ONNX_TYPES = {
    np.dtype(np.uint8): TensorProto.UINT8,
    np.dtype(np.uint16): TensorProto.UINT16,
    np.dtype(np.float16): TensorProto.FLOAT16,
    np.dtype(np.float32): TensorProto.FLOAT,
}


@dataclass(frozen=True)
class Generator:
    """A network to wrap: picture (1, channels, H, W) in [0, peak] -> (1, channels, scale * H, scale * W).

    `multiple` is what H and W must be divisible by, `minimum` the least they may be; `half` is true where it takes
    and gives float16.
    """

    proto: onnx.ModelProto
    scale: int
    channels: int = 3
    peak: float = 1.0
    multiple: int = 1
    minimum: int = 1
    half: bool = False


def obstacle(generator: Generator, source: Side, target: Side) -> str | None:
    """Why these two ends cannot be built around `generator`, in a few words; None if they can."""
    opset = max((o.version for o in generator.proto.opset_import if o.domain in ("", "ai.onnx")), default=1)
    if opset < OLDEST_OPSET:
        return f"the model is of opset {opset}, colour in the graph needs {OLDEST_OPSET}"
    if target.family == Family.GRAY and target.matrix is None and generator.channels > 1:
        return "gray out of colours needs a matrix"
    return source.obstacle() or target.obstacle()


def wrap(generator: Generator, source: Side, target: Side, width: int, height: int) -> onnx.ModelProto:
    """The generator between planes of `source` at width x height and planes of `target` at `scale` times that.

    All shapes are static. Raises ModelError where `obstacle` has something to say.
    """
    reason = obstacle(generator, source, target)
    if reason:
        raise ModelError(f"colour cannot go into the graph: {reason}")
    inner = onnx.ModelProto()
    inner.CopyFrom(generator.proto)
    graph = inner.graph
    weights = {tensor.name for tensor in graph.initializer}
    [entry] = [value.name for value in graph.input if value.name not in weights]
    [exit_] = [value.name for value in graph.output]

    builder = Builder()
    scale = generator.scale
    step = generator.multiple
    height_run, width_run = (-(-max(side, generator.minimum) // step) * step for side in (height, width))
    padding = (height_run - height, width_run - width)
    picture = prologue(builder, source, generator, width, height)
    builder.extend(picture, (height, width), padding, entry, TensorProto.FLOAT16 if generator.half else None)
    split = len(builder.nodes)
    if any(padding):
        exit_ = builder.cropped(exit_, height * scale, width * scale)
    epilogue(builder, target, generator, exit_, width * scale, height * scale)

    nodes = [*builder.nodes[:split], *graph.node, *builder.nodes[split:]]
    inputs = [value_info(INPUTS[i], source.dtype, source.shape(i, width, height)) for i in range(source.planes)]
    outputs = [
        value_info(OUTPUTS[i], target.dtype, target.shape(i, width * scale, height * scale))
        for i in range(target.planes)
    ]
    outputs.append(helper.make_tensor_value_info(WATCH, TensorProto.FLOAT, [1]))
    joined = helper.make_graph(nodes, "gansr", inputs, outputs, [*graph.initializer, *builder.weights])
    joined.sparse_initializer.extend(graph.sparse_initializer)
    inner.graph.CopyFrom(joined)
    return inner


def value_info(name: str, dtype: np.dtype[np.generic], shape: tuple[int, int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, ONNX_TYPES[dtype], [1, 1, *shape])


class Builder:
    """Collects nodes and weights under names of their own."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._numbers = count()

    def op(self, kind: str, *inputs: str, name: str | None = None, **attributes: object) -> str:
        """Adds a node; returns the name of its only output."""
        output = name or f"{PREFIX}{kind.lower()}{next(self._numbers)}"
        self.nodes.append(
            helper.make_node(kind, list(inputs), [output], name=f"{PREFIX}{output.removeprefix(PREFIX)}", **attributes)
        )
        return output

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        """Adds a weight; returns its name."""
        name = f"{PREFIX}w{next(self._numbers)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value, dtype), name))
        return name

    def conv(self, value: str, kernel: Matrix, bias: Matrix | None = None, strides: tuple[int, int] = (1, 1)) -> str:
        """`value` convolved, without padding; `bias` per output channel."""
        weights = [self.constant(kernel)] if bias is None else [self.constant(kernel), self.constant(bias)]
        return self.op("Conv", value, *weights, strides=list(strides))

    def joined(self, values: list[str]) -> str:
        """The values side by side along the channel axis."""
        return values[0] if len(values) == 1 else self.op("Concat", *values, axis=1)

    def mirror(self, value: str, axis: int, length: int, before: int, after: int) -> str:
        """`value` with its borders mirrored outwards along `axis`, as zimg sees beyond them."""
        left, right = mirrored(length, before, after)
        return self.frame(value, axis, left, right)

    def frame(self, value: str, axis: int, left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]) -> str:
        """`value` between its own rows (or columns) `left` and `right`."""
        parts = [value]
        if len(left):
            parts.insert(0, self.op("Gather", value, self.constant(left, np.int64), axis=axis))
        if len(right):
            parts.append(self.op("Gather", value, self.constant(right, np.int64), axis=axis))
        return value if len(parts) == 1 else self.op("Concat", *parts, axis=axis)

    def cropped(self, value: str, height: int, width: int) -> str:
        """The top left part of a picture."""
        sizes = (self.constant(ends, np.int64) for ends in ([0, 0], [height, width], [2, 3]))
        return self.op("Slice", value, *sizes)

    def extend(self, value: str, size: tuple[int, int], padding: tuple[int, int], name: str, cast: int | None) -> None:
        """Gives `value` its final name, reflected at the bottom and right until it fits the network's size rule."""
        for axis, length, missing in zip((2, 3), size, padding, strict=True):
            grown = np.pad(np.arange(length), (0, missing), mode="reflect" if length > 1 else "edge")
            value = self.frame(value, axis, np.empty(0, np.int64), grown[length:].astype(np.int64))
        if cast is None:
            self.op("Identity", value, name=name)
        else:
            self.op("Cast", value, name=name, to=cast)


def prologue(builder: Builder, source: Side, generator: Generator, width: int, height: int) -> str:
    """Planes -> picture (1, channels, height, width), float32; returns its name."""
    matrix, shift = (generator.peak * part for part in source.to_rgb(generator.channels))
    planes = list(INPUTS[: source.planes])
    if source.dtype != np.float32:
        planes = [builder.op("Cast", plane, to=TensorProto.FLOAT) for plane in planes]
    if source.subsampling_w or source.subsampling_h:
        luma = builder.conv(planes[0], matrix[:, :1, None, None], shift)
        chroma = upsampled(builder, builder.joined(planes[1:]), source, matrix[:, 1:], width, height)
        return builder.op("Add", luma, chroma)
    return mixed(builder, builder.joined(planes), matrix, shift)


def upsampled(builder: Builder, chroma: str, source: Side, matrix: Matrix, width: int, height: int) -> str:
    """What two small chroma planes add to the picture, at luma size: one convolution, its channels spread out."""
    rows, columns = source.shape(1, width, height)
    down, across = (upsampler(1 << s, source.lead(axis)) for axis, s in enumerate(_log2(source)))
    chroma = builder.mirror(chroma, 2, rows, *down.margins(rows))
    chroma = builder.mirror(chroma, 3, columns, *across.margins(columns))
    channels = matrix.shape[0]
    kernel = np.einsum("oi,ph,qw->opqihw", matrix, down.taps, across.taps)
    grid = builder.conv(chroma, kernel.reshape(-1, *kernel.shape[3:]))
    if down.phases == across.phases:
        return builder.op("DepthToSpace", grid, blocksize=down.phases, mode="CRD")
    split = builder.constant([1, channels, down.phases, across.phases, rows, columns], np.int64)
    spread = builder.op("Transpose", builder.op("Reshape", grid, split), perm=[0, 1, 4, 2, 5, 3])
    return builder.op("Reshape", spread, builder.constant([1, channels, height, width], np.int64))


def mixed(builder: Builder, picture: str, matrix: Matrix, shift: Matrix) -> str:
    """matrix @ picture + shift in every pixel."""
    outputs, inputs = matrix.shape
    if inputs > 1 and np.any(matrix * (1 - np.eye(outputs, inputs))):
        return builder.conv(picture, matrix[:, :, None, None], shift)
    gain = matrix.sum(axis=1)  # one factor per channel, or one channel spread over all
    if np.any(gain != 1):
        picture = builder.op("Mul", picture, builder.constant(gain.reshape(1, -1, 1, 1)))
    elif outputs > inputs:
        picture = builder.joined([picture] * outputs)
    if np.any(shift):
        picture = builder.op("Add", picture, builder.constant(shift.reshape(1, -1, 1, 1)))
    return picture


def epilogue(builder: Builder, target: Side, generator: Generator, picture: str, width: int, height: int) -> None:
    """Picture (1, channels, height, width) -> the outputs."""
    if generator.half:
        picture = builder.op("Cast", picture, to=TensorProto.FLOAT)
    matrix, shift = target.from_rgb(generator.channels)
    matrix = matrix / generator.peak
    if target.subsampling_w or target.subsampling_h:
        values = [mixed(builder, picture, matrix[:1], shift[:1])]
        chroma = downsampled(builder, picture, target, matrix[1:], shift[1:], width, height)
        groups, watched = [(values[0], 1), (chroma, 2)], values[0]
    else:
        watched = mixed(builder, picture, matrix, shift)
        groups = [(watched, target.planes)]
    builder.op("Reshape", builder.op("ReduceSum", watched, keepdims=0), builder.constant([1], np.int64), name=WATCH)
    outputs = iter(OUTPUTS)
    for value, planes in groups:
        stored = quantised(builder, value, target)
        for i in range(planes):
            store(builder, stored, i, planes, next(outputs))


def downsampled(
    builder: Builder, picture: str, target: Side, matrix: Matrix, shift: Matrix, width: int, height: int
) -> str:
    """Two small chroma planes of a picture, one axis after the other, the matrix applied with the first."""
    value = picture
    for axis, length in ((1, width), (0, height)):
        factor = 1 << _log2(target)[axis]
        if factor > 1:
            filter_ = downsampler(factor, target.lead(axis))
            value = reduced(builder, value, axis, filter_, length, matrix, shift)
            matrix, shift = np.eye(2), np.zeros(2)  # the taps sum to 1: what is added once stays
    return value


def reduced(
    builder: Builder, value: str, axis: int, filter_: Resampler, length: int, matrix: Matrix, shift: Matrix
) -> str:
    """matrix @ value + shift, filtered and thinned along one axis (0 rows, 1 columns).

    One convolution computes what needs no pixel beyond the border; the few outputs that do are computed each from
    the strip it sees, its mirrored taps added up. That spares a copy of the whole picture with margins.
    """

    def convolved(source: str, taps: Matrix, stride: int = 1) -> str:
        kernel = matrix[:, :, None, None] * (taps[None, :] if axis else taps[:, None])
        return builder.conv(source, kernel, shift, (1, stride) if axis else (stride, 1))

    rows = filter_.dense(length)
    start, taps = filter_.aligned()
    first = -start // filter_.stride
    inside = max(0, (length - len(taps)) // filter_.stride + 1)
    parts = [convolved(value, taps, filter_.stride)] if inside else []
    for k in range(len(rows)):
        if not first <= k < first + inside:
            seen = np.flatnonzero(rows[k])
            begin, end = int(seen[0]), int(seen[-1]) + 1
            strip = builder.op("Slice", value, *(builder.constant([n], np.int64) for n in (begin, end, axis + 2)))
            parts.insert(k if k < first else len(parts), convolved(strip, rows[k, begin:end]))
    return parts[0] if len(parts) == 1 else builder.op("Concat", *parts, axis=axis + 2)


def quantised(builder: Builder, value: str, target: Side) -> str:
    """Values as the target stores them: clamped, rounded and cast."""
    if target.dtype == np.float32:
        return value
    if not target.is_float:
        value = builder.op("Clip", value, builder.constant(0.0), builder.constant(float(target.peak)))
        value = builder.op("Round", value)
    return builder.op("Cast", value, to=ONNX_TYPES[target.dtype])


def store(builder: Builder, value: str, index: int, planes: int, output: str) -> None:
    """Channel `index` of `value` as an output."""
    if planes == 1:
        builder.op("Identity", value, name=output)
        return
    start, end, axis = (builder.constant([n], np.int64) for n in (index, index + 1, 1))
    builder.op("Slice", value, start, end, axis, name=output)


def _log2(side: Side) -> tuple[int, int]:
    return side.subsampling_h, side.subsampling_w
