"""Look at the planes of frames, compare their samples, make samples finite, and copy between a plane and its cells.

A cell is a square of side x side samples. The planes of the cells of a plane, shape (side * H, side * W), are an array
of the shape (side * side, H, W) without gaps: one plane for each sample of a cell, row by row.
"""

from __future__ import annotations

import ctypes
import math
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import vapoursynth as vs

from ..engine.planes import HALF_MAX, Plane, Tensor

__all__ = ["clamp_nonfinite", "equal", "finite", "join", "split", "views"]

HALF_EXPONENT = np.uint16(0x7C00)  # all its bits are set in what is not finite


def views(frame: Any) -> list[Plane]:
    """The planes of a frame as arrays over its own memory, writable if the frame is."""
    return [np.asarray(frame[i]) for i in range(frame.format.num_planes)]


def finite(plane: npt.NDArray[Any]) -> bool:
    """True if no sample of a float plane is NaN, infinite, or beyond what a half float holds."""
    if plane.dtype == np.float16:
        return not bool(((plane.view(np.uint16) & HALF_EXPONENT) == HALF_EXPONENT).any())
    return bool(plane.max() <= HALF_MAX and plane.min() >= -HALF_MAX)  # NaN fails either


def clamp_nonfinite(plane: npt.NDArray[Any]) -> None:
    """Makes every sample finite: NaN becomes 0, the rest is clipped to what a half float holds."""
    plane[np.isnan(plane)] = 0
    np.clip(plane, -HALF_MAX, HALF_MAX, out=plane)


def equal(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    """True if the planes `a` and `b` hold the same bits, of one type and shape.

    Most frames that differ do so in their middle rows already.
    """
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    bits = np.dtype(f"u{a.itemsize}")
    a, b = a.view(bits), b.view(bits)
    middle = slice(a.shape[0] // 2, a.shape[0] // 2 + 8)
    return bool(np.array_equal(a[middle], b[middle]) and np.array_equal(a, b))


def join(cells: Tensor, plane: Plane) -> None:
    """Fill `plane` from the planes of its cells, which have the same type."""
    _call("gansrJoinCells", plane, cells)


def split(plane: Plane, cells: Tensor) -> None:
    """Fill the planes of the cells of `plane`, which have the same type."""
    _call("gansrSplitCells", plane, cells)


def _call(name: str, plane: Plane, cells: Tensor) -> None:
    count, height, width = cells.shape
    side = math.isqrt(count)
    assert plane.shape == (side * height, side * width) and side * side == count
    assert plane.dtype == cells.dtype and cells.flags.c_contiguous and plane.strides[1] == plane.itemsize
    getattr(_library(), name)(
        plane.ctypes.data, plane.strides[0], cells.ctypes.data, width, height, side, plane.itemsize
    )


@cache
def _library() -> Any:
    """The plugin's library, which this process has loaded already."""
    library = ctypes.CDLL(vs.core.core.gansr.plugin_path)
    for name in ("gansrJoinCells", "gansrSplitCells"):
        function = getattr(library, name)
        function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, *[ctypes.c_int] * 4]
        function.restype = None
    return library
