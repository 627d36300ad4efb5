"""Rules for operators that move data or make constants and do not compute on pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from ..rewrite.graph_view import attribute
from .trace import (
    LARGEST,
    Rule,
    Trace,
    UnknownError,
    Walk,
    bounds,
    constant,
    constant_tensor,
    either,
    gather_taps,
    given,
    numbers,
    pair_of,
    positive,
    spread,
    squeezed,
    within,
)


def transposed(t: Trace, order: Sequence[int]) -> Trace:
    """Return `t` with its axes in the given order."""
    shape = tuple(t.shape[a] for a in order)
    return Trace(shape, pair_of(r.transpose(0, *(a + 1 for a in order)) for r in t.reach), itemsize=t.itemsize)


def transpose(state: Walk, node: onnx.NodeProto, inputs: list[Trace]) -> list[Trace]:
    """Transpose."""
    return [transposed(inputs[0], attribute(node, "perm", range(len(inputs[0].shape))[::-1]))]


def reshaped(t: Trace, shape: Sequence[int]) -> Trace:
    """Return `t` in another shape. Raises UnknownError where the numbers of elements differ."""
    if math.prod(shape) != math.prod(t.shape):
        raise UnknownError(f"{t.shape} cannot become {tuple(shape)}")
    reach = []
    for r in t.reach:
        if r.size == 2:
            reach.append(r.reshape(2, *(1 for _ in shape)))
        else:
            if 2 * math.prod(shape) > LARGEST:
                raise UnknownError(f"a tensor of shape {t.shape}")
            reach.append(squeezed(np.broadcast_to(r, (2, *t.shape)).reshape(2, *shape)))
    return Trace(tuple(shape), pair_of(reach), itemsize=t.itemsize)


def reshape(state: Walk, node: onnx.NodeProto, inputs: list[Trace]) -> list[Trace]:
    """Reshape, Flatten, Squeeze and Unsqueeze."""
    t = inputs[0]
    rank = len(t.shape)
    if node.op_type == "Reshape":
        wanted = either(node, inputs, "shape", 1) or []
        keep = not attribute(node, "allowzero", 0)
        wanted = [t.shape[i] if n == 0 and keep else n for i, n in enumerate(wanted)]
        if -1 in wanted:
            rest = -math.prod(wanted)
            wanted[wanted.index(-1)] = math.prod(t.shape) // rest
    elif node.op_type == "Flatten":
        axis = attribute(node, "axis", 1) % (rank + 1)
        wanted = [math.prod(t.shape[:axis]), math.prod(t.shape[axis:])]
    elif node.op_type == "Squeeze":
        found = either(node, inputs, "axes", 1)
        gone = [a for a, n in enumerate(t.shape) if n == 1] if found is None else positive(found, rank)
        wanted = [n for a, n in enumerate(t.shape) if a not in gone]
    else:
        added = either(node, inputs, "axes", 1) or []
        wanted = list(t.shape)
        for a in sorted(positive(added, rank + len(added))):
            wanted.insert(a, 1)
    return [reshaped(t, wanted)]


def expand(state: Walk, node: onnx.NodeProto, inputs: list[Trace]) -> list[Trace]:
    """Expand and Tile."""
    t, wanted = inputs[0], numbers(inputs[1]) or []
    if node.op_type == "Tile":
        reach = spread(t, [a for a, n in enumerate(wanted) if n > 1])
        shape = tuple(n * k for n, k in zip(t.shape, wanted, strict=True))
        if math.prod(shape) > LARGEST:
            raise UnknownError(f"a tensor of shape {shape}")
        return [Trace(shape, pair_of(squeezed(np.tile(r, (1, *wanted))) for r in reach), itemsize=t.itemsize)]
    shape = np.broadcast_shapes(t.shape, tuple(wanted))
    front = len(shape) - len(t.shape)
    reach = [r.reshape(2, *(1 for _ in range(front)), *r.shape[1:]) for r in t.reach]
    return [Trace(shape, pair_of(reach), itemsize=t.itemsize)]


def taken(t: Trace, axis: int, index: Any) -> Trace:
    """Return `t` with only the elements along `axis` that `index`, a slice or a list, selects."""
    length = len(range(t.shape[axis])[index]) if isinstance(index, slice) else len(index)
    reach = []
    for r in t.reach:
        where = (slice(None),) * (axis + 1) + (index,)
        reach.append(r if r.shape[axis + 1] == 1 else r[where])
    return Trace((*t.shape[:axis], length, *t.shape[axis + 1 :]), pair_of(reach), itemsize=t.itemsize)


def slices(state: Walk, node: onnx.NodeProto, inputs: list[Trace]) -> list[Trace]:
    """Slice."""
    t = inputs[0]
    starts, ends = either(node, inputs, "starts", 1), either(node, inputs, "ends", 2)
    if starts is None or ends is None:
        raise UnknownError(f"Slice {node.name} without bounds")
    axes = positive(either(node, inputs, "axes", 3) or range(len(starts)), len(t.shape))
    steps = numbers(given(inputs, 4)) or [1] * len(starts)
    for a, start, end, step in zip(axes, starts, ends, steps, strict=True):
        size = t.shape[a]
        stop: int | None = end
        if step < 0 and end < -size:
            stop = None
        t = taken(t, a, slice(start, stop, step))
    return [t]


def split(state: Walk, node: onnx.NodeProto, inputs: list[Trace]) -> list[Trace]:
    """Split."""
    t = inputs[0]
    axis = attribute(node, "axis", 0) % len(t.shape)
    parts = either(node, inputs, "split", 1)
    if parts is None:
        each = -(-t.shape[axis] // len(node.output))
        parts = [min(each, t.shape[axis] - i * each) for i in range(len(node.output))]
    ends = np.cumsum(parts).tolist()
    return [taken(t, axis, slice(end - n, end)) for n, end in zip(parts, ends, strict=True)]


def gather(state: Walk, node: onnx.NodeProto, inputs: list[Trace]) -> list[Trace]:
    """Gather."""
    t, index = inputs[0], inputs[1]
    axis = attribute(node, "axis", 0) % len(t.shape)
    flat = numbers(index) or []
    out = taken(t, axis, flat)
    shape = (*t.shape[:axis], *index.shape, *t.shape[axis + 1 :])
    return [out if len(index.shape) == 1 else reshaped(out, shape)]


def concat(state: Walk, node: onnx.NodeProto, inputs: list[Trace]) -> list[Trace]:
    """Concat."""
    axis = attribute(node, "axis") % len(inputs[0].shape)
    shape = list(inputs[0].shape)
    shape[axis] = sum(t.shape[axis] for t in inputs)
    reach = []
    for k in range(2):
        parts = [spread(t, [axis])[k] for t in inputs]
        common = np.broadcast_shapes(*((2, *(n if a != axis else 1 for a, n in enumerate(p.shape[1:]))) for p in parts))
        whole = [np.broadcast_to(p, (*common[: axis + 1], p.shape[axis + 1], *common[axis + 2 :])) for p in parts]
        reach.append(squeezed(np.concatenate(whole, axis + 1)))
    return [Trace(tuple(shape), pair_of(reach), itemsize=max(t.itemsize for t in inputs))]


def pad(state: Walk, node: onnx.NodeProto, inputs: list[Trace]) -> list[Trace]:
    """Pad, in every mode."""
    t, rank = inputs[0], len(inputs[0].shape)
    amounts = either(node, inputs, "pads", 1)
    axes = positive(numbers(given(inputs, 3)) or range(rank), rank)
    mode = attribute(node, "mode", "constant")
    if amounts is None or len(amounts) != 2 * len(axes):
        raise UnknownError(f"Pad {node.name} by a computed amount")
    for i, a in enumerate(axes):
        before, after = amounts[i], amounts[i + len(axes)]
        size = t.shape[a]
        if before == after == 0:
            continue
        if mode == "reflect":
            if max(before, after) >= size:
                raise UnknownError(f"Pad {node.name} reflects {max(before, after)} of {size}")
            state.reflected[node.input[0]] = max(before, after, state.reflected.get(node.input[0], 0))
        within(size + abs(before) + abs(after), node)
        place = np.arange(-before, size + after)
        if mode == "reflect":
            place = np.abs(place)
            place = np.where(place >= size, 2 * (size - 1) - place, place)
        elif mode == "edge":
            place = np.clip(place, 0, size - 1)
        elif mode == "wrap":
            place = place % size
        reach = [gather_taps(r, a + 1, place[:, None], size) for r in t.reach]
        t = Trace((*t.shape[:a], len(place), *t.shape[a + 1 :]), pair_of(reach), itemsize=t.itemsize)
    return [t]


def constant_node(state: Walk, node: onnx.NodeProto, inputs: list[Trace]) -> list[Trace]:
    """Constant and ConstantOfShape."""
    if node.op_type == "ConstantOfShape":
        return [Trace(shape := tuple(numbers(inputs[0]) or []), bounds(shape))]
    tensor = attribute(node, "value")
    if tensor is not None:
        return [constant_tensor(tensor)]
    for name in ("value_int", "value_ints", "value_float", "value_floats"):
        listed = attribute(node, name)
        if listed is not None:
            return [constant(np.asarray(listed, np.int64 if "int" in name else np.float32))]
    raise UnknownError(f"Constant {node.name} of another kind")


def shape_of(state: Walk, node: onnx.NodeProto, inputs: list[Trace]) -> list[Trace]:
    """Shape and Size."""
    shape = inputs[0].shape
    if node.op_type == "Size":
        return [constant(np.array(math.prod(shape), np.int64))]
    return [constant(np.array(shape[attribute(node, "start", 0) : attribute(node, "end", len(shape))], np.int64))]


def arange(state: Walk, node: onnx.NodeProto, inputs: list[Trace]) -> list[Trace]:
    """Range."""
    start, limit, step = (float(t.value) for t in inputs if t.value is not None)
    length = max(0, math.ceil((limit - start) / step))
    return [Trace((length,), bounds((length,)), itemsize=8)]


MOVEMENT: dict[str, Rule] = {
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), reshape),
    **dict.fromkeys(("Expand", "Tile"), expand),
    **dict.fromkeys(("Constant", "ConstantOfShape"), constant_node),
    **dict.fromkeys(("Shape", "Size"), shape_of),
    "Transpose": transpose,
    "Slice": slices,
    "Split": split,
    "Gather": gather,
    "Concat": concat,
    "Pad": pad,
    "Range": arange,
}
