"""Analyse a graph: receptive-field radius, size rule and memory use. This module runs no network.

The graph is walked (trace.py) at a few small sizes. The first and last input row that each output row depends on give
the receptive-field radius. The sizes of the tensors as functions of the picture's size give the size rule, the
smallest picture, and the bytes in use at each node for any size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from ..rewrite.graph_view import opset
from .movement import MOVEMENT
from .operators import COMPUTATION
from .trace import ABSENT, LARGEST, SMALL, Bounds, Trace, UnknownError, Walk, constant_tensor

__all__ = ["Study", "study", "walk"]

SIZES = (64, 96, 168, 240)  # pixels; sides walked first; the next is tried where a size rule forbids one
LARGEST_SIDE = 1024  # pixels; networks with a larger receptive field are not tiled exactly
LARGEST_STEP = 64
MOST_NODES = 20_000
MOST_WORK = 1 << 28  # elements of bounds written in one walk

RULES = MOVEMENT | COMPUTATION
OVERWRITES = "Add BatchNormalization Clip Div LeakyRelu Mul PRelu Relu Sigmoid Sub Sum Tanh"
VIEWS = "DequantizeLinear Dropout Flatten Identity Reshape Squeeze Unsqueeze"
FOLDED = (
    "Abs Add And Cast Ceil Concat ConstantOfShape Div Equal Expand Floor Gather Greater Identity Less Max Min Mod Mul "
    "Neg Not Or Pow Range ReduceMax ReduceMin ReduceProd ReduceSum Reshape Round Slice Split Sqrt Squeeze Sub "
    "Transpose Unsqueeze Where"
)
# Operators that ONNX Runtime computes in its blocked layout; other operators get a plain copy of their input.
BLOCKED = "AveragePool Concat Conv GlobalAveragePool GlobalMaxPool MaxPool QuantizeLinear"
IN_PLACE, FREE, FOLDABLE, UNCOPIED = (
    frozenset(names.split()) for names in (OVERWRITES, VIEWS, FOLDED, f"{BLOCKED} {OVERWRITES} {VIEWS}")
)


@dataclass(frozen=True)
class Study:
    """The results of analysing a graph."""

    radius: int | None = None  # input pixels that an output pixel sees to each side; None: all of them, or unknown
    multiple: int | None = None  # pixels; sides and tile positions are multiples of it; None: unknown
    minimum: int = 1  # pixels; smallest width and height
    memory: tuple[tuple[float, float, float, float], ...] = ()  # for `bytes`: coefficients of (1, h, w, h * w), by node

    def bytes(self, width: int, height: int) -> int | None:
        """Return the peak of bytes between input and output for a width x height picture; None if unknown."""
        if not self.memory:
            return None
        return int((np.array(self.memory) @ (1, height, width, height * width)).max())


def study(proto: onnx.ModelProto, name: str, channels: int, fixed: tuple[int, int] | None = None) -> Study:
    """Analyse the network whose input is called `name` and has shape (1, `channels`, height, width). Never raises.

    `fixed` is the only (width, height) that the network accepts, if there is one.
    """
    if fixed:
        return study_fixed(proto, name, channels, fixed)
    for side in SIZES:
        try:
            corners = [walk(proto, name, (1, channels, h, w)) for h in (side, 2 * side) for w in (side, 2 * side)]
        except UnknownError:
            continue
        multiple = size_rule(corners, side)
        if multiple is None:
            return Study(memory=tensor_memory(proto, corners, side))
        radius, multiple = radius_of(proto, name, channels, side, multiple)
        return Study(radius, multiple, smallest(corners, side, multiple), tensor_memory(proto, corners, side))
    return Study()


def study_fixed(proto: onnx.ModelProto, name: str, channels: int, fixed: tuple[int, int]) -> Study:
    """Analyse a network that accepts only one (width, height)."""
    width, height = fixed
    try:
        found = walk(proto, name, (1, channels, height, width))
    except UnknownError:
        return Study(None, 1)
    most = float(live_bytes(proto, found).max())
    return Study(outlook(found, proto.graph.output[0].name, height, width, 1)[0], 1, 1, ((most, 0.0, 0.0, 0.0),))


def walk(proto: onnx.ModelProto, name: str, shape: Sequence[int]) -> Walk:
    """Follow the graph from its input `name` of `shape` (1, C, H, W).

    Raises UnknownError where an operator has no rule or the graph is damaged or too large.
    """
    if len(proto.graph.node) > MOST_NODES:
        raise UnknownError(f"{len(proto.graph.node)} nodes")
    state = Walk(opset(proto))
    try:
        for weight in proto.graph.initializer:
            state.tensors[weight.name] = constant_tensor(weight)
    except Exception as error:
        raise UnknownError(f"a damaged weight: {error}") from error
    if max(shape) > LARGEST:
        raise UnknownError(f"a picture of {shape[3]}x{shape[2]}")
    rows = np.arange(shape[2], dtype=np.int32).reshape(1, 1, -1, 1)
    columns = np.arange(shape[3], dtype=np.int32).reshape(1, 1, 1, -1)
    state.tensors[name] = Trace(tuple(shape), (np.stack([rows, -rows]), np.stack([columns, -columns])))
    work = 0
    for node in proto.graph.node:
        outputs = step(state, node)
        work += sum(r.size for t in outputs for r in t.reach)
        if work > MOST_WORK:
            raise UnknownError("too large to follow")
        state.tensors.update(zip(node.output, outputs, strict=False))
    if proto.graph.output[0].name not in state.tensors:
        raise UnknownError("no output")
    return state


def step(state: Walk, node: onnx.NodeProto) -> list[Trace]:
    """Apply the rule of one node and return the traces of its outputs. Raises UnknownError where no rule applies."""
    if node.domain not in ("", "ai.onnx") or node.op_type not in RULES:
        raise UnknownError(f"no rule for {node.op_type}")
    try:
        inputs = [state.tensors[i] if i else ABSENT for i in node.input]
        outputs = RULES[node.op_type](state, node, inputs)
        fold(state, node, inputs, outputs)
    except UnknownError:
        raise
    except Exception as error:  # a damaged graph makes rules fail in many ways; all are handled alike
        raise UnknownError(f"{node.op_type} {node.name}: {type(error).__name__}: {error}") from error
    for trace in outputs:
        if max(r.size for r in trace.reach) > LARGEST:
            raise UnknownError(f"{node.op_type} {node.name} makes a tensor of shape {trace.shape}")
    return outputs


def fold(state: Walk, node: onnx.NodeProto, inputs: list[Trace], outputs: list[Trace]) -> None:
    """Compute small constants with ONNX's reference implementation and store them in `outputs`."""
    if node.op_type not in FOLDABLE or any(t.value is None and t is not ABSENT for t in inputs):
        return
    if any(o.value is not None or math.prod(o.shape) > SMALL for o in outputs):
        return
    from onnx.reference import ReferenceEvaluator

    feeds = {i: t.value for i, t in zip(node.input, inputs, strict=True) if t.value is not None}
    values = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), None) for n, v in feeds.items()
    ]
    graph = helper.make_graph([node], "fold", values, [helper.make_empty_tensor_value_info(n) for n in node.output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", state.opset)])
    with np.errstate(all="ignore"):
        computed = ReferenceEvaluator(model).run(None, feeds)
    for out, value in zip(outputs, computed, strict=False):
        out.value = np.asarray(value)


# ---- Receptive field


def radius_of(proto: onnx.ModelProto, name: str, channels: int, side: int, multiple: int) -> tuple[int | None, int]:
    """Return (radius, multiple) from walks at growing sizes, until a row sees less than the whole picture.

    Starts at `side` x `side` pixels. `multiple` is the divisor of sides that is known so far. The radius is None if
    unknown.
    """
    while side <= LARGEST_SIDE:
        try:
            found = walk(proto, name, (1, channels, side, side))
        except UnknownError:
            break
        radius, step = outlook(found, proto.graph.output[0].name, side, side, multiple)
        if radius is not None or not found.steady:
            return radius, step
        side *= 2
    return None, multiple


def outlook(found: Walk, output: str, height: int, width: int, multiple: int) -> tuple[int | None, int]:
    """Return (radius, step) as one walk over `height` x `width` pixels shows them.

    The radius is None if the walk does not show it. The step is the period in which the receptive field repeats, a
    multiple of `multiple`.
    """
    trace = found.tensors[output]
    if len(trace.shape) != 4 or 0 in trace.shape or trace.shape[2] % height or trace.shape[3] % width:
        return None, multiple
    if not found.steady:
        return None, multiple
    views = []
    for k, length in enumerate((height, width)):
        first, last = rows_seen(trace.reach[k], k + 2, trace.shape[k + 2], length)
        view = radius_along(first, last, multiple)
        if view is None:
            return None, multiple
        views.append(view)
    return max(radius for radius, _ in views), math.lcm(*(step for _, step in views))


def rows_seen(reach: Bounds, axis: int, outputs: int, length: int) -> tuple[npt.NDArray[np.int32], ...]:
    """Return the first and the last input row that the output rows above each input row depend on.

    The output has `outputs` rows along `axis` for `length` input rows. `reach` is Trace.reach for that axis.
    """
    joined = reach.min(axis=tuple(a + 1 for a in range(reach.ndim - 1) if a != axis))
    over = np.broadcast_to(joined, (2, outputs)).reshape(2, length, -1).min(axis=-1)
    place = np.arange(length, dtype=np.int32)
    return np.minimum(over[0], place), np.maximum(-over[1], place)


def radius_along(first: npt.NDArray[np.int32], last: npt.NDArray[np.int32], multiple: int) -> tuple[int, int] | None:
    """Return (radius, step) along one axis; None where every row sees the picture's edge or the rows follow no
    pattern.
    """
    length = len(first)
    place = np.arange(length)
    free = (first > 0) & (last < length - 1)
    middle = slice(length // 4, length - length // 4)
    if not free[middle].all():
        return None
    radius = int(max((place - first)[middle].max(), (last - place)[middle].max()))
    if (place - first > radius).any() or (last - place > radius).any():
        return None  # rows at the edge see further than rows inside: the network wraps around
    pattern = np.stack([first - place, last - place])[:, middle]
    for step in range(multiple, min(LARGEST_STEP, length // 4) + 1, multiple):
        if (pattern[:, step:] == pattern[:, :-step]).all():
            return radius, step
    return None


# ---- Accepted sizes


def slopes(corners: list[Walk], side: int) -> list[tuple[str, Fraction, int]]:
    """Return, for each tensor axis that grows with the picture, the tensor's name, its pixels per input pixel, and
    the remainder.

    `corners` are walks over pictures of `side` and 2 * `side` in each direction, ordered by height and then by width,
    smallest first.
    """
    base, wider, taller, _ = corners
    found = []
    for name, trace in base.tensors.items():
        for other in (wider, taller):
            for before, after in zip(trace.shape, other.tensors[name].shape, strict=False):
                if after > before:
                    slope = Fraction(after - before, side)
                    found.append((name, slope, math.floor(before - slope * side)))
    return found


def size_rule(corners: list[Walk], side: int) -> int | None:
    """Return the divisor of sides that keeps every tensor's size whole; None if there is none up to LARGEST_STEP."""
    multiple = math.lcm(*(slope.denominator for _, slope, _ in slopes(corners, side)))
    return multiple if multiple <= LARGEST_STEP else None


def smallest(corners: list[Walk], side: int, multiple: int) -> int:
    """Return the smallest side at which no tensor is empty and every reflecting Pad has enough pixels."""
    reflected = corners[0].reflected
    least = max(
        (math.ceil((reflected.get(name, 0) + 1 - rest) / slope) for name, slope, rest in slopes(corners, side)),
        default=1,
    )
    return max(1, -(-least // multiple)) * multiple


# ---- Memory


type Coefficients = tuple[tuple[float, float, float, float], ...]


def tensor_memory(proto: onnx.ModelProto, corners: list[Walk], side: int) -> Coefficients:
    """Return the coefficients for Study.memory: tensor sizes are bilinear in the picture's height and width."""
    points = [(1, h, w, h * w) for h in (side, 2 * side) for w in (side, 2 * side)]
    sums = np.stack([live_bytes(proto, found) for found in corners])
    rows = np.unique(np.round(np.linalg.solve(np.array(points, float), sums).T, 6), axis=0)
    rows = rows[np.argsort(-rows[:, 3])]
    return tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in rows[:64])


def live_bytes(proto: onnx.ModelProto, found: Walk) -> npt.NDArray[np.float64]:
    """Return the bytes of the tensors in use while each node runs, without the network's input and output.

    An elementwise operator overwrites its input if no other node reads it. A reshape takes no memory. The bytes that
    `scratch` returns for a node are added.
    """
    graph = proto.graph
    outside = {graph.output[0].name, *(value.name for value in graph.input)}
    last: dict[str, int] = {}
    for i, node in enumerate(graph.node):
        last.update((name, i) for name in node.input)
    root: dict[str, str] = {}
    first: dict[str, int] = {}
    size: dict[str, int] = {}
    until: dict[str, int] = {}
    for i, node in enumerate(graph.node):
        for name in node.output:
            trace = found.tensors.get(name)
            if trace is None or name in outside or trace.value is not None:
                continue
            source = root.get(node.input[0]) if node.input else None
            nbytes = math.prod(trace.shape) * trace.itemsize
            reuses = node.op_type in FREE or (node.op_type in IN_PLACE and until.get(source or "") == i)
            if source is not None and reuses:
                owner = source
            else:
                owner, first[name], size[name] = name, i, nbytes
            root[name] = owner
            until[owner] = max(until.get(owner, i), last.get(name, i))
    change = np.zeros(len(graph.node) + 1)
    for owner, start in first.items():
        change[start] += size[owner]
        change[until[owner] + 1] -= size[owner]
    return np.cumsum(change)[:-1] + [scratch(node, found, outside) for node in graph.node]


def scratch(node: onnx.NodeProto, found: Walk, outside: set[str]) -> int:
    """Return the bytes that a node needs besides its operands: a copy in another layout, or the columns of a
    ConvTranspose.
    """
    source = found.tensors.get(node.input[0]) if node.input else None
    if source is None or not source.dependent or node.op_type in UNCOPIED or node.input[0] in outside:
        return 0
    taken = math.prod(source.shape) * source.itemsize
    if node.op_type == "ConvTranspose":
        kernel = found.tensors[node.input[1]].shape[2:]
        places = math.prod(source.shape[2:])
        taken += math.prod([found.tensors[node.output[0]].shape[1], *kernel, places]) * source.itemsize
    return taken
