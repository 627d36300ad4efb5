"""Owns the record kept of one tensor while a graph is walked, and the arithmetic on it that the rules share.

A network is followed at one concrete size without computing a pixel. For every tensor the walk keeps its shape
and, per axis of the picture, the first and last input row (column) that each of its elements depends on.
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

type Bounds = npt.NDArray[np.int32]  # (2, ...): first row and minus the last one, so that min() joins both
type Rule = Callable[["Walk", onnx.NodeProto, list["Trace"]], list["Trace"]]  # walk, node, operands -> results

NOTHING = np.int32(1 << 29)  # the bounds of what does not depend on the picture
NO_TAP = -(1 << 40)
SMALL = 4096  # elements up to which a constant's value is kept
LARGEST = 1 << 23  # elements of bounds held for one tensor


class UnknownError(Exception):
    """The graph does something no rule is written for; nothing can be said of its reach."""


@dataclass
class Trace:
    """One tensor."""

    shape: tuple[int, ...]  # elements along each axis
    reach: tuple[Bounds, Bounds]  # along the picture's rows and columns; length 1 on axes they do not vary on
    value: npt.NDArray[Any] | None = None  # itself if it is constant and small
    itemsize: int = 4  # bytes of an element

    @property
    def dependent(self) -> bool:
        """True where any element depends on the picture."""
        return any(bool((r < NOTHING).any()) for r in self.reach)


@dataclass
class Walk:
    """What is found on the way."""

    opset: int  # the version of the operators
    tensors: dict[str, Trace] = field(default_factory=dict)  # by name
    reflected: dict[str, int] = field(default_factory=dict)  # by tensor: its pixels that a reflecting pad takes
    steady: bool = True  # False: the result depends on the place in the picture


def bounds(shape: Sequence[int] = ()) -> tuple[Bounds, Bounds]:
    """Bounds of something constant with as many axes as `shape`."""
    empty = np.full((2, *(1 for _ in shape)), NOTHING, np.int32)
    return empty, empty


ABSENT = Trace((), bounds())  # stands for an optional operand that was left out


def constant(value: npt.NDArray[Any]) -> Trace:
    """The record of a constant, with its value if it is small."""
    return Trace(value.shape, bounds(value.shape), value if value.size <= SMALL else None, value.itemsize)


def constant_tensor(tensor: onnx.TensorProto) -> Trace:
    """The same of a weight as ONNX keeps it."""
    shape = tuple(int(d) for d in tensor.dims)
    if math.prod(shape) <= SMALL:
        return constant(numpy_helper.to_array(tensor))
    return Trace(shape, bounds(shape))


def given(inputs: list[Trace], index: int) -> Trace | None:
    """Input number `index`, None where it was left out."""
    return inputs[index] if index < len(inputs) and inputs[index] is not ABSENT else None


def numbers(trace: Trace | None) -> list[int] | None:
    """A constant operand as whole numbers; UnknownError where it is not constant."""
    if trace is None:
        return None
    if trace.value is None:
        raise UnknownError("an operand that is not constant")
    return [int(v) for v in np.atleast_1d(trace.value)]


def either(node: onnx.NodeProto, inputs: list[Trace], name: str, index: int) -> list[int] | None:
    """A list that older operator sets keep in an attribute and newer ones in an input."""
    listed = attribute(node, name)
    return [int(v) for v in listed] if listed is not None else numbers(given(inputs, index))


def positive(axes: Iterable[int], rank: int) -> list[int]:
    """Axes counted from the front, of a tensor with `rank` of them."""
    return [a % rank for a in axes]


def within(elements: int, node: onnx.NodeProto) -> None:
    """UnknownError where a rule would have to write out more than it should."""
    if elements > LARGEST:
        raise UnknownError(f"{node.op_type} {node.name} makes {elements} elements")


def lowest(r: Bounds, axes: Iterable[int]) -> Bounds:
    """The bounds of all elements along `axes` together; the axes stay, with length 1."""
    joined: Bounds = r.min(axis=tuple(a + 1 for a in axes), keepdims=True)
    return joined


def spread(trace: Trace, axes: Iterable[int]) -> list[Bounds]:
    """The bounds with `axes` written out to their full length."""
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
    """The bounds with length 1 along every axis they do not vary on."""
    for a in range(1, r.ndim):
        if r.shape[a] > 1 and bool((r == r.take([0], a)).all()):
            r = r.take([0], a)
    return r


def pair_of(bounds: Iterable[Bounds]) -> tuple[Bounds, Bounds]:
    """The bounds along rows and columns as a tuple."""
    y, x = bounds
    return y, x


def gather_taps(r: Bounds, axis: int, taps: npt.NDArray[Any], size: int) -> Bounds:
    """For each row of `taps`, the bounds of all the places it names, as if the tensor's edge went on outside.

    NO_TAP names no place. What lies outside is no part of the picture, but whoever looks there sees past its edge.
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
