"""Copy between a plane and the planes of its cells with the plugin's native library.

A cell is a square of side x side samples. The planes of the cells of a plane, shape (side * H, side * W), are an array
of the shape (side * side, H, W) without gaps: one plane for each sample of a cell, row by row.
"""

from __future__ import annotations

import ctypes
import math
from functools import cache
from typing import Any

import vapoursynth as vs

from ..engine.planes import Plane, Tensor

__all__ = ["join", "split"]


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
