"""Owns the way between frame planes and tensors; knows no colours and no sessions.

A tensor is a C-contiguous array of shape (1, C, H, W); planes are 2-D float32 arrays (H, W) whose rows may be
further apart than W values, as VapourSynth aligns them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .tiles import Tile

__all__ = ["Plane", "Tensor", "read", "views", "write"]

type Plane = npt.NDArray[np.float32]
type Tensor = npt.NDArray[np.floating[Any]]


def views(frame: Any) -> list[Plane]:
    """The planes of a frame as arrays over its own memory, writable if the frame is."""
    return [np.asarray(frame[i]) for i in range(frame.format.num_planes)]


def read(picture: list[Plane], tile: Tile, out: Tensor, peak: float = 1.0) -> None:
    """Copies what `tile` covers of `picture` into `out`, shape (1, planes, tile height, tile width).

    White, 1.0 in the picture, becomes `peak`. What lies beyond the right and bottom edge is reflected.
    """
    x, y = tile.x, tile.y
    for i, plane in enumerate(picture):
        piece = plane[y.start : y.start + y.size, x.start : x.start + x.size]
        missing = ((0, y.size - piece.shape[0]), (0, x.size - piece.shape[1]))
        if any(after for _, after in missing):
            piece = np.pad(piece, missing, mode="reflect")
        np.copyto(out[0, i], piece, casting="same_kind")
    if peak != 1.0:
        out *= peak


def write(tensor: Tensor, tile: Tile, scale: int, picture: list[Plane], peak: float = 1.0) -> None:
    """Copies the part of a tile's result that it keeps into `picture`, whose sides are `scale` times larger.

    `tensor` has the shape (1, planes, scale * tile height, scale * tile width); `peak` becomes 1.0.
    """
    x, y = tile.x, tile.y
    for i, plane in enumerate(picture):
        place = plane[scale * y.keep : scale * y.keep_end, scale * x.keep : scale * x.keep_end]
        top, left = scale * (y.keep - y.start), scale * (x.keep - x.start)
        piece = tensor[0, i, top : top + place.shape[0], left : left + place.shape[1]]
        np.copyto(place, piece, casting="same_kind")
        if peak != 1.0:
            place /= peak
