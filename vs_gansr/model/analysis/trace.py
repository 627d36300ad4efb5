"""The record kept for one tensor during a walk over a graph, and the arithmetic that the rules share.

A walk follows a network at one concrete size and computes no pixels. For each tensor it keeps the shape and, for rows
and columns of the picture, the first and last input row (column) that each element depends on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from ..rewrite.graph_view import attribute

type Bounds = npt.NDArray[np.int32]  # (2, ...): the first row and the negated last row, so that min() joins both
type Rule = Callable[["Walk", onnx.NodeProto, list["Trace"]], list["Trace"]]  # (walk, node, operands) -> results

NOTHING = np.int32(1 << 29)  # the bounds of an element that does not depend on the picture
NO_TAP = -(1 << 40)
SMALL = 4096  # elements; values of larger constants are not kept
LARGEST = 1 << 23  # elements of bounds kept for one tensor at most


class UnknownError(Exception):
    """The graph contains something that no rule covers, so its receptive field is unknown."""


@dataclass
class Trace:
    """What a walk knows about one tensor."""

    shape: tuple[int, ...]  # elements along each axis
    reach: tuple[Bounds, Bounds]  # bounds for rows and columns; axes without variation have length 1
    value: npt.NDArray[Any] | None = None  # the content of a small constant
    itemsize: int = 4  # bytes of one element

    @property
    def dependent(self) -> bool:
        """True if any element depends on the picture."""
        return any(bool((r < NOTHING).any()) for r in self.reach)


@dataclass
class Walk:
    """The state of a walk over a graph."""

    opset: int  # version of the ONNX operators
    tensors: dict[str, Trace] = field(default_factory=dict)  # by name
    reflected: dict[str, int] = field(default_factory=dict)  # by tensor name: pixels a reflecting Pad takes
    steady: bool = True  # False: the result depends on the position in the picture


def bounds(shape: Sequence[int] = ()) -> tuple[Bounds, Bounds]:
    """Return the bounds of a constant with as many axes as `shape`."""
    empty = np.full((2, *(1 for _ in shape)), NOTHING, np.int32)
    return empty, empty


ABSENT = Trace((), bounds())  # stands for an omitted optional operand


def constant(value: npt.NDArray[Any]) -> Trace:
    """Return the trace of a constant, with its value if it is small."""
    return Trace(value.shape, bounds(value.shape), value if value.size <= SMALL else None, value.itemsize)


def constant_tensor(tensor: onnx.TensorProto) -> Trace:
    """Return the trace of a weight stored as ONNX's TensorProto, with its value if it is small."""
    shape = tuple(int(d) for d in tensor.dims)
    if math.prod(shape) <= SMALL:
        return constant(numpy_helper.to_array(tensor))
    return Trace(shape, bounds(shape))


def given(inputs: list[Trace], index: int) -> Trace | None:
    """Return operand number `index`; None where it is omitted."""
    return inputs[index] if index < len(inputs) and inputs[index] is not ABSENT else None


def numbers(trace: Trace | None) -> list[int] | None:
    """Return a constant operand as a list of integers; None if it is omitted. Raises UnknownError where it is not
    constant.
    """
    if trace is None:
        return None
    if trace.value is None:
        raise UnknownError("an operand that is not constant")
    return [int(v) for v in np.atleast_1d(trace.value)]


def either(node: onnx.NodeProto, inputs: list[Trace], name: str, index: int) -> list[int] | None:
    """Return a list that older opsets store in the attribute `name` and newer ones in operand number `index`."""
    listed = attribute(node, name)
    return [int(v) for v in listed] if listed is not None else numbers(given(inputs, index))


def positive(axes: Iterable[int], rank: int) -> list[int]:
    """Return `axes` without negative numbers, for a tensor of `rank` axes."""
    return [a % rank for a in axes]


def within(elements: int, node: onnx.NodeProto) -> None:
    """Raise UnknownError where a rule would create more than LARGEST elements."""
    if elements > LARGEST:
        raise UnknownError(f"{node.op_type} {node.name} makes {elements} elements")


def lowest(r: Bounds, axes: Iterable[int]) -> Bounds:
    """Return the joined bounds of all elements along `axes`; these axes keep length 1."""
    joined: Bounds = r.min(axis=tuple(a + 1 for a in axes), keepdims=True)
    return joined


def spread(trace: Trace, axes: Iterable[int]) -> list[Bounds]:
    """Return the bounds expanded to full length along `axes`."""
    result = []
    for r in trace.reach:
        shape = list(r.shape)
        for a in axes:
            shape[a + 1] = trace.shape[a]
        if math.prod(shape) > LARGEST:
            raise UnknownError(f"a tensor of shape {trace.shape}")
        result.append(np.broadcast_to(r, shape))
    return result


def squeezed(r: Bounds) -> Bounds:
    """Return the bounds with length 1 along every axis on which they are constant."""
    for a in range(1, r.ndim):
        if r.shape[a] > 1 and bool((r == r.take([0], a)).all()):
            r = r.take([0], a)
    return r


def pair_of(bounds: Iterable[Bounds]) -> tuple[Bounds, Bounds]:
    """Return the bounds for rows and columns as a tuple."""
    y, x = bounds
    return y, x


def gather_taps(r: Bounds, axis: int, taps: npt.NDArray[Any], size: int) -> Bounds:
    """Return, for each row of `taps`, the joined bounds of the positions along `axis` that it lists.

    NO_TAP stands for no position. A position outside the tensor counts as one beyond the edge of the picture.
    """
    if r.shape[axis] == 1:
        return r
    if taps.size * (r.size // r.shape[axis]) > 2 * LARGEST:
        raise UnknownError("a window that is too large")
    found = np.moveaxis(r, axis, -1)[..., np.clip(taps, 0, size - 1)]
    edge = [(r[0].min(), NOTHING), (NOTHING, r[1].min())]
    for outside, values in zip(((taps < 0) & (taps != NO_TAP), taps >= size), edge, strict=True):
        found[:, ..., outside] = np.reshape(values, (2, *(1 for _ in found.shape[1 : -taps.ndim]), 1))
    found[..., taps == NO_TAP] = NOTHING
    result: Bounds = np.moveaxis(found.min(axis=-1), -1, axis)
    return result
