"""Rules for operators that compute: which input elements each output element depends on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from ..rewrite.graph_view import attribute
from .movement import transposed
from .trace import (
    ABSENT,
    NO_TAP,
    Rule,
    Trace,
    UnknownError,
    Walk,
    bounds,
    either,
    gather_taps,
    given,
    lowest,
    numbers,
    pair_of,
    positive,
    within,
)


def elementwise(state: Walk, node: onnx.NodeProto, inputs: list[Trace]) -> list[Trace]:
    """Elementwise operators with broadcasting: an output element depends on the elements of all operands at its
    position.
    """
    present = [t for t in inputs if t is not ABSENT]
    shape = np.broadcast_shapes(*(t.shape for t in present))
    reach = [bounds(shape)[0], bounds(shape)[1]]
    for t in present:
        for k in range(2):
            r = t.reach[k]
            r = r.reshape(2, *(1 for _ in range(len(shape) - len(t.shape))), *r.shape[1:])
            reach[k] = np.minimum(reach[k], r)
    varying = {a for r in reach for a in range(len(shape)) if r.shape[a + 1] > 1}
    for t in present:
        offset = len(shape) - len(t.shape)
        if not t.dependent and any(a >= offset and t.shape[a - offset] > 1 for a in varying):
            state.steady = False  # a constant that varies over the picture makes the result depend on the position
    return [Trace(shape, pair_of(reach), itemsize=max(t.itemsize for t in present))]


def unary(state: Walk, node: onnx.NodeProto, inputs: list[Trace]) -> list[Trace]:
    """Operators on one tensor: an output element depends on the input element at its position; other operands are
    parameters.
    """
    if any(t.dependent for t in inputs[1:]):
        raise UnknownError(f"{node.op_type} with parameters that depend on the picture")
    size = {"QuantizeLinear": 1, "DequantizeLinear": 4}.get(node.op_type, inputs[0].itemsize)
    if node.op_type == "Cast":
        size = helper.tensor_dtype_to_np_dtype(attribute(node, "to")).itemsize
    return [Trace(inputs[0].shape, inputs[0].reach, itemsize=size)] + [ABSENT for _ in node.output[1:]]


def window(node: onnx.NodeProto, spatial: tuple[int, ...], kernel: list[int]) -> tuple[list[int], list[int], list[int]]:
    """Return the strides, dilations and pads (all before, then all after) of a convolution or pooling node."""
    rank = len(spatial)
    strides = list(attribute(node, "strides", [1] * rank))
    dilations = list(attribute(node, "dilations", [1] * rank))
    pads = list(attribute(node, "pads", [0] * 2 * rank))
    auto = attribute(node, "auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        for i in range(rank):
            out = -(-spatial[i] // strides[i])
            total = max(0, (out - 1) * strides[i] + dilations[i] * (kernel[i] - 1) + 1 - spatial[i])
            small, large = total // 2, total - total // 2
            pads[i], pads[i + rank] = (small, large) if auto == "SAME_UPPER" else (large, small)
    if min(strides) < 1 or min(dilations) < 1 or min(kernel) < 1:
        raise UnknownError(f"{node.op_type} {node.name} with strides {strides}, dilations {dilations}")
    return strides, dilations, pads


def slide(state: Walk, node: onnx.NodeProto, t: Trace, kernel: list[int], channels: int | None) -> Trace:
    """Slide a window over rows and columns, as convolution and pooling do. `channels` None keeps the number of
    channels.
    """
    spatial = t.shape[2:]
    strides, dilations, pads = window(node, spatial, kernel)
    rank = len(spatial)
    reach = list(t.reach)
    shape = [t.shape[0], t.shape[1] if channels is None else channels]
    if channels is not None:
        reach = [lowest(r, [1]) for r in reach]
    for i, (size, k, s, d) in enumerate(zip(spatial, kernel, strides, dilations, strict=True)):
        whole = size + pads[i] + pads[i + rank] - d * (k - 1) - 1
        out = (-(-whole // s) if attribute(node, "ceil_mode", 0) else whole // s) + 1
        if out < 1:
            raise UnknownError(f"{node.op_type} {node.name} leaves nothing of {spatial}")
        shape.append(out)
        within(out * k, node)
        taps = np.arange(out)[:, None] * s - pads[i] + np.arange(k) * d
        reach = [gather_taps(r, i + 3, taps, size) for r in reach]
    return Trace(tuple(shape), pair_of(reach), itemsize=t.itemsize)


def conv(state: Walk, node: onnx.NodeProto, inputs: list[Trace]) -> list[Trace]:
    """Conv, ConvInteger and QLinearConv."""
    weight = inputs[3] if node.op_type == "QLinearConv" else inputs[1]
    if weight.dependent or len(inputs[0].shape) != len(weight.shape):
        raise UnknownError(f"{node.op_type} {node.name} with computed weights")
    out = slide(state, node, inputs[0], list(weight.shape[2:]), weight.shape[0])
    out.itemsize = {"ConvInteger": 4}.get(node.op_type, inputs[0].itemsize)
    return [out]


def pool(state: Walk, node: onnx.NodeProto, inputs: list[Trace]) -> list[Trace]:
    """Pooling over windows."""
    return [slide(state, node, inputs[0], list(attribute(node, "kernel_shape")), None)]


def conv_transpose(state: Walk, node: onnx.NodeProto, inputs: list[Trace]) -> list[Trace]:
    """ConvTranspose."""
    t, weight = inputs[0], inputs[1]
    if weight.dependent or attribute(node, "output_shape") or attribute(node, "auto_pad", "NOTSET") != "NOTSET":
        raise UnknownError(f"ConvTranspose {node.name} with a computed kernel or shape")
    kernel, rank = list(weight.shape[2:]), len(t.shape) - 2
    strides, dilations, pads = window(node, t.shape[2:], kernel)
    extra = list(attribute(node, "output_padding", [0] * rank))
    shape = [t.shape[0], weight.shape[1] * attribute(node, "group", 1)]
    reach = [lowest(r, [1]) for r in t.reach]
    for i, (size, k, s, d) in enumerate(zip(t.shape[2:], kernel, strides, dilations, strict=True)):
        out = s * (size - 1) + extra[i] + d * (k - 1) + 1 - pads[i] - pads[i + rank]
        shape.append(out)
        within(out * k, node)
        reached = np.arange(out)[:, None] + pads[i] - np.arange(k) * d
        taps = np.where(reached % s == 0, reached // s, NO_TAP)
        reach = [gather_taps(r, i + 3, taps, size) for r in reach]
    return [Trace(tuple(shape), pair_of(reach), itemsize=t.itemsize)]


def shuffle(state: Walk, node: onnx.NodeProto, inputs: list[Trace]) -> list[Trace]:
    """DepthToSpace and SpaceToDepth. All channels at one position get the same bounds."""
    t, block = inputs[0], attribute(node, "blocksize")
    n, c, h, w = t.shape
    reach = [lowest(r, [1]) for r in t.reach]
    up = node.op_type == "DepthToSpace"
    if (c % block**2) if up else (h % block or w % block):
        raise UnknownError(f"{node.op_type} {node.name} of {t.shape}")
    for axis, size in ((3, h), (4, w)):
        steps = np.arange(size * block) // block if up else np.arange(size).reshape(-1, block)
        reach = [gather_taps(r, axis, steps.reshape(-1, 1) if up else steps, size) for r in reach]
    shape = (n, c // block**2, h * block, w * block) if up else (n, c * block**2, h // block, w // block)
    return [Trace(shape, pair_of(reach), itemsize=t.itemsize)]


def resize(state: Walk, node: onnx.NodeProto, inputs: list[Trace]) -> list[Trace]:
    """Resize and Upsample."""
    t, rank = inputs[0], len(inputs[0].shape)
    scales, sizes = (given(inputs, 1), None) if node.op_type == "Upsample" else (given(inputs, 2), given(inputs, 3))
    if state.opset == 10 and node.op_type == "Resize":
        scales, sizes = given(inputs, 1), None
    axes = positive(attribute(node, "axes", range(rank)), rank)
    old = node.op_type == "Upsample" or state.opset == 10
    transform = attribute(node, "coordinate_transformation_mode", "asymmetric" if old else "half_pixel")
    listed = attribute(node, "scales") if scales is None and sizes is None else None
    if scales is not None and scales.value is not None and scales.value.size:
        listed = [float(v) for v in scales.value]
    elif sizes is not None:
        wanted = numbers(sizes) or []
        listed = [Fraction(b, t.shape[a]) for a, b in zip(axes, wanted, strict=True)]
    if listed is None or attribute(node, "keep_aspect_ratio_policy", "stretch") != "stretch":
        raise UnknownError(f"{node.op_type} {node.name} by a computed amount")
    shape, reach = list(t.shape), list(t.reach)
    for a, s in zip(axes, listed, strict=True):
        scale = Fraction(s).limit_denominator(4096)
        if scale == 1:
            continue
        if scale <= 0 or a < 2 or transform not in ("half_pixel", "pytorch_half_pixel", "asymmetric"):
            raise UnknownError(f"{node.op_type} {node.name} with {transform}")
        shape[a] = math.floor(t.shape[a] * scale)
        within(shape[a], node)
        taps = resize_taps(node, shape[a], scale, transform)
        reach = [gather_taps(r, a + 1, np.clip(taps, 0, t.shape[a] - 1), t.shape[a]) for r in reach]
    return [Trace(tuple(shape), pair_of(reach), itemsize=t.itemsize)]


def resize_taps(node: onnx.NodeProto, length: int, scale: Fraction, transform: str) -> npt.NDArray[np.int64]:
    """Return the input positions that each output position of a resized axis depends on, in exact arithmetic."""
    p, q = scale.numerator, scale.denominator
    o = np.arange(length)
    numerator = 2 * o * q if transform == "asymmetric" else (2 * o + 1) * q - p
    whole, rest = np.divmod(numerator, 2 * p)
    mode = attribute(node, "mode", "nearest")
    if mode == "nearest":
        rounding = attribute(node, "nearest_mode", "round_prefer_floor") if node.op_type == "Resize" else "floor"
        up = {"floor": rest < 0, "ceil": rest > 0, "round_prefer_floor": rest > p}.get(rounding, rest >= p)
        nearest: npt.NDArray[np.int64] = (whole + up)[:, None]
        return nearest
    before, after = {"linear": (0, 1), "bilinear": (0, 1), "cubic": (1, 2)}[mode]
    if attribute(node, "antialias", 0) and scale < 1:
        reachable = math.ceil((after + 1) / scale)
        before, after = reachable, reachable
        rest = np.ones_like(rest)
    offsets = np.arange(-before, after + 1)
    taps: npt.NDArray[np.int64] = whole[:, None] + np.where(rest[:, None] > 0, offsets, 0)
    return taps


def over_axes(axes_of: Callable[[onnx.NodeProto, list[Trace]], Iterable[int]]) -> Rule:
    """Return a rule for operators that mix all elements along some axes and keep the shape: softmax, normalisations."""

    def rule(state: Walk, node: onnx.NodeProto, inputs: list[Trace]) -> list[Trace]:
        t = inputs[0]
        axes = positive(axes_of(node, inputs), len(t.shape))
        joined = pair_of(lowest(r, axes) for r in t.reach)
        return [Trace(t.shape, joined, itemsize=t.itemsize)] + [ABSENT for _ in node.output[1:]]

    return rule


def reduce(state: Walk, node: onnx.NodeProto, inputs: list[Trace]) -> list[Trace]:
    """Reductions over axes, and pooling over the whole picture."""
    t = inputs[0]
    rank = len(t.shape)
    if node.op_type.startswith("Global"):
        axes: list[int] = list(range(2, rank))
    elif node.op_type.startswith("Arg"):
        axes = [attribute(node, "axis", 0)]
    else:
        found = either(node, inputs, "axes", 1)
        axes = found if found else ([] if attribute(node, "noop_with_empty_axes", 0) else list(range(rank)))
    axes = positive(axes, rank)
    keep = bool(attribute(node, "keepdims", 1))
    shape = tuple(1 if a in axes else n for a, n in enumerate(t.shape) if keep or a not in axes)
    gone = () if keep else tuple(a + 1 for a in axes)
    return [Trace(shape, pair_of(lowest(r, axes).squeeze(gone) for r in t.reach), itemsize=t.itemsize)]


def matmul(state: Walk, node: onnx.NodeProto, inputs: list[Trace]) -> list[Trace]:
    """MatMul, Gemm and QLinearMatMul."""
    a, b = inputs[0], inputs[3 if node.op_type == "QLinearMatMul" else 1]
    if min(len(a.shape), len(b.shape)) < 2:
        raise UnknownError(f"{node.op_type} of shapes {a.shape} and {b.shape}")
    if node.op_type == "Gemm":
        a, b = (transposed(t, [1, 0]) if attribute(node, k, 0) else t for t, k in ((a, "transA"), (b, "transB")))
    if a.shape[-1] != b.shape[-2]:
        raise UnknownError(f"{node.op_type} of shapes {a.shape} and {b.shape}")
    shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
    reach = []
    for ra, rb in zip(a.reach, b.reach, strict=True):
        left, right = lowest(ra, [len(a.shape) - 1]), lowest(rb, [len(b.shape) - 2])
        pair = [r.reshape(2, *(1 for _ in range(len(shape) + 1 - r.ndim)), *r.shape[1:]) for r in (left, right)]
        reach.append(np.minimum(*pair))
    return [Trace(shape, pair_of(reach), itemsize=a.itemsize)]


def axis_on(node: onnx.NodeProto, inputs: list[Trace]) -> list[int]:
    """Return the one axis of softmax and similar operators."""
    return [attribute(node, "axis", -1)]


def axes_from(node: onnx.NodeProto, inputs: list[Trace]) -> range:
    """Return the axes that a layer normalisation covers."""
    rank = len(inputs[0].shape)
    return range(attribute(node, "axis", -1) % rank, rank)


UNARY = (
    "Abs BatchNormalization Cast Ceil Celu Clip Cos DequantizeLinear Dropout Elu Erf Exp Floor Gelu HardSigmoid "
    "HardSwish Identity IsInf IsNaN LeakyRelu Log Mish Neg Not QuantizeLinear Reciprocal Relu Round Selu Sigmoid Sign "
    "Sin Softplus Softsign Sqrt Swish Tanh ThresholdedRelu"
)
BROADCAST = (
    "Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul Or PRelu Pow Sub Sum Where Xor"
)
REDUCE = (
    "ArgMax ArgMin GlobalAveragePool GlobalLpPool GlobalMaxPool ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp "
    "ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare"
)
COMPUTATION: dict[str, Rule] = {
    **dict.fromkeys(UNARY.split(), unary),
    **dict.fromkeys(BROADCAST.split(), elementwise),
    **dict.fromkeys(REDUCE.split(), reduce),
    **dict.fromkeys(("Conv", "ConvInteger", "QLinearConv"), conv),
    **dict.fromkeys(("AveragePool", "MaxPool", "LpPool"), pool),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), shuffle),
    **dict.fromkeys(("Resize", "Upsample"), resize),
    **dict.fromkeys(("MatMul", "Gemm", "QLinearMatMul"), matmul),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax", "LpNormalization"), over_axes(axis_on)),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), over_axes(axes_from)),
    "InstanceNormalization": over_axes(lambda node, inputs: range(2, len(inputs[0].shape))),
    "GroupNormalization": over_axes(lambda node, inputs: range(1, len(inputs[0].shape))),
    "LRN": over_axes(lambda node, inputs: [1]),
    "ConvTranspose": conv_transpose,
}
