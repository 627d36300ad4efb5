"""Owns the way between frame planes and tensors; knows no colours and no sessions.

A tensor is a C-contiguous array of shape (1, C, H, W); planes are 2-D float32 arrays (H, W) whose rows may be
further apart than W values, as VapourSynth aligns them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..model.rewrite.depth_to_space import Shuffle
from .tiles import Tile

__all__ = ["HALF_MAX", "Plane", "Tensor", "add", "clear", "equal", "finite", "read", "tame", "views", "write"]

type Plane = npt.NDArray[np.float32]
type Ramp = npt.NDArray[np.float32]
type Tensor = npt.NDArray[np.floating[Any]]

HALF_MAX = np.float32(65504)  # the largest number a half float holds
HALF_EXPONENT = np.uint16(0x7C00)  # all its bits are set in what is not finite


def views(frame: Any) -> list[Plane]:
    """The planes of a frame as arrays over its own memory, writable if the frame is."""
    return [np.asarray(frame[i]) for i in range(frame.format.num_planes)]


def read(picture: list[Plane], tile: Tile, out: Tensor, peak: float = 1.0) -> None:
    """Copies what `tile` covers of `picture` into `out`, shape (1, planes, tile height, tile width).

    White, 1.0 in the picture, becomes `peak`. What lies beyond the right and bottom edge is reflected.
    """
    x, y = tile.x, tile.y
    height, width = picture[0].shape
    inside = (min(y.size, height - y.start), min(x.size, width - x.start))
    rows = slice(y.start, y.start + inside[0])
    below = reflected(y.start + inside[0], y.start + y.size, height)
    beside = reflected(x.start + inside[1], x.start + x.size, width)
    for target, plane in zip(out[0], picture, strict=True):
        put(target[: inside[0], : inside[1]], plane[rows, x.start : x.start + inside[1]])
        if beside.size:
            put(target[: inside[0], inside[1] :], plane[rows, beside])
        if below.size:
            put(target[inside[0] :, : inside[1]], plane[below, x.start : x.start + inside[1]])
        if below.size and beside.size:
            put(target[inside[0] :, inside[1] :], plane[np.ix_(below, beside)])
    if peak != 1.0:
        out *= peak


def put(target: npt.NDArray[Any], values: npt.NDArray[Any]) -> None:
    """Copies, between float types if need be; half floats are kept finite."""
    if target.dtype == np.float16:
        values = np.clip(values, -HALF_MAX, HALF_MAX)
    np.copyto(target, values, casting="same_kind")


def reflected(start: int, end: int, length: int) -> npt.NDArray[np.intp]:
    """The places in [0, length) that start ... end - 1 fall on, reflected at both ends as often as needed."""
    period = max(1, 2 * (length - 1))
    place = np.arange(start, end) % period
    return np.minimum(place, period - place) if length > 1 else place * 0


def clear(picture: list[Plane]) -> None:
    """Sets all samples to 0."""
    for plane in picture:
        plane[...] = 0


def add(
    tensor: Tensor,
    tile: Tile,
    scale: int,
    picture: list[Plane],
    weights: tuple[Ramp, Ramp],
    peak: float = 1.0,
    shuffle: Shuffle | None = None,
) -> None:
    """Adds a tile's whole result to `picture`, weighted per column and per row; `peak` becomes 1.0."""
    x, y = tile.x, tile.y
    columns, rows = weights
    if shuffle:
        large = np.empty((1, len(picture), scale * y.size, scale * x.size), tensor.dtype)
        for i in range(len(picture)):
            shuffle.write(tensor[0], i, large[0, i])
        tensor = large
    for values, plane in zip(tensor[0], picture, strict=True):
        place = plane[scale * y.start : scale * (y.start + y.size), scale * x.start : scale * (x.start + x.size)]
        height, width = place.shape
        place += values[:height, :width] * (rows[:height, None] * (columns[:width] / np.float32(peak)))


def write(
    tensor: Tensor, tile: Tile, scale: int, picture: list[Plane], peak: float = 1.0, shuffle: Shuffle | None = None
) -> None:
    """Copies the part of a tile's result that it keeps into `picture`, whose sides are `scale` times larger.

    `tensor` has the shape (1, planes, scale * tile height, scale * tile width), or that before a `shuffle` by
    `scale`; `peak` becomes 1.0.
    """
    x, y = tile.x, tile.y
    for i, plane in enumerate(picture):
        place = plane[scale * y.keep : scale * y.keep_end, scale * x.keep : scale * x.keep_end]
        height, width = place.shape
        top, left = y.keep - y.start, x.keep - x.start
        if shuffle:
            cells = tensor[0, :, top : top + height // scale, left : left + width // scale]
            shuffle.write(cells, i, place)
        else:
            top, left = scale * top, scale * left
            np.copyto(place, tensor[0, i, top : top + height, left : left + width], casting="same_kind")
        if peak != 1.0:
            place /= peak


def finite(plane: npt.NDArray[Any]) -> bool:
    """True if no sample of a float plane is NaN, infinite, or beyond what a half float holds."""
    if plane.dtype == np.float16:
        return not bool(((plane.view(np.uint16) & HALF_EXPONENT) == HALF_EXPONENT).any())
    return bool(plane.max() <= HALF_MAX and plane.min() >= -HALF_MAX)  # NaN fails either


def tame(plane: npt.NDArray[Any]) -> None:
    """Makes every sample finite: NaN becomes 0, the rest is clipped to what a half float holds."""
    plane[np.isnan(plane)] = 0
    np.clip(plane, -HALF_MAX, HALF_MAX, out=plane)


def equal(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    """True if two planes hold the same bits. Most frames that differ do so in their middle rows already."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    bits = np.dtype(f"u{a.itemsize}")
    a, b = a.view(bits), b.view(bits)
    middle = slice(a.shape[0] // 2, a.shape[0] // 2 + 8)
    return bool(np.array_equal(a[middle], b[middle]) and np.array_equal(a, b))
