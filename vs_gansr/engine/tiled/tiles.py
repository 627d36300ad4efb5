"""Compute the geometry of tiles: their size, their positions, and the part of each result that is kept.

All tiles of a plan have one size; those at the far edges are moved inwards, not padded. `overlap` is the margin on each
side of a tile. If it is at least the network's radius, and positions are multiples of its step, the joined result is
the untiled one. If the radius is unknown, neighbouring tiles are blended over all that they share (`ramps`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count, pairwise

import numpy as np
import numpy.typing as npt

from ...model.spec import round_up

__all__ = ["Span", "Tile", "fit", "plan", "ramps", "spans"]


@dataclass(frozen=True)
class Span:
    """One tile along one axis, in input pixels: it reads [start, start + size) and keeps [keep, keep_end)."""

    start: int  # first pixel that is read
    size: int  # pixels read
    keep: int  # first pixel whose result counts
    keep_end: int  # the pixel behind the last one whose result counts


@dataclass(frozen=True)
class Tile:
    """One tile: its columns and its rows."""

    x: Span  # its columns
    y: Span  # its rows


def spans(length: int, size: int, overlap: int, multiple: int = 1) -> list[Span]:
    """Covers `length` pixels with spans of `size`, each at least `overlap` wider than what it keeps of itself.

    `size` includes the overlap on both sides; it and `length` are multiples of `multiple`, and so is every start.
    Raises ValueError where size cannot hold the overlap or exceeds length.
    """
    step = (size - 2 * overlap) // multiple * multiple
    if size > length or length % multiple or size % multiple or (size < length and step <= 0):
        raise ValueError(f"spans of {size} with overlap {overlap} in steps of {multiple} cannot cover {length} pixels")
    starts = [0]
    while starts[-1] + size < length:
        starts.append(min(starts[-1] + step, length - size))
    cuts = [0, *((a + size + b) // 2 for a, b in pairwise(starts)), length]
    return [Span(start, size, keep, end) for start, (keep, end) in zip(starts, pairwise(cuts), strict=True)]


def plan(width: int, height: int, tile: tuple[int, int], overlap: tuple[int, int], multiple: int = 1) -> list[Tile]:
    """The tiles, row by row, for a picture of width x height; `tile` and `overlap` are (w, h) in pixels."""
    columns = spans(width, min(tile[0], width), overlap[0], multiple)
    rows = spans(height, min(tile[1], height), overlap[1], multiple)
    return [Tile(x, y) for y in rows for x in columns]


def fit(
    width: int, height: int, overlap: tuple[int, int], multiple: int, least: int, fits: Callable[[int, int], bool]
) -> tuple[int, int] | None:
    """Of the tiles (w, h) for which `fits(w, h)` is True, the one that needs the fewest computed pixels in all; None if
    there is none.

    width, height and `least`, the shortest side, are multiples of `multiple`. `fits` must hold for all smaller
    tiles where it holds for one.
    """
    best: tuple[int, tuple[int, int]] | None = None
    heights = sides(height, overlap[1], multiple, least)
    for columns, w in sides(width, overlap[0], multiple, least):
        place = bisect_left([h for _, h in heights], True, key=partial(fits, w))  # the tallest beside this width
        if place == len(heights):
            continue
        rows, h = heights[place]
        cost = columns * rows * w * h
        if best is None or cost < best[0]:
            best = cost, (w, h)
    return best[1] if best else None


def sides(length: int, overlap: int, multiple: int, least: int) -> list[tuple[int, int]]:
    """(number of tiles, side) for every useful number of tiles along one axis, longest side first.

    All in pixels: `length` of the axis, `overlap` on each side of a tile; sides are multiples of `multiple` and at
    least `least`, but for a single tile's.
    """
    found = [(1, length)]
    least = max(least, round_up(2 * overlap + multiple, multiple))
    for number in count(2):
        side = max(least, round_up(-(-(length + 2 * overlap * (number - 1)) // number), multiple))
        if side < found[-1][1]:
            step = (side - 2 * overlap) // multiple * multiple
            found.append((1 + -(-(length - side) // step), side))
        if side <= least:
            break
    return found


def ramps(row: list[Span], scale: int) -> list[npt.NDArray[np.float32]]:
    """One weight per output pixel for each span of a row: cosine squared where neighbours share, 1 elsewhere.

    The weights of all spans over one output pixel add up to 1.
    """
    length = row[-1].start + row[-1].size
    total = np.zeros(length * scale)
    weights = []
    for i, span in enumerate(row):
        place = (np.arange(span.size * scale) + 0.5) / scale
        weight = np.ones(span.size * scale)
        if i and row[i - 1].start + span.size > span.start:
            shared = row[i - 1].start + span.size - span.start
            weight *= np.sin(np.clip(place / shared, 0, 1) * np.pi / 2) ** 2
        if i + 1 < len(row) and span.start + span.size > row[i + 1].start:
            shared = span.start + span.size - row[i + 1].start
            weight *= np.sin(np.clip((span.size - place) / shared, 0, 1) * np.pi / 2) ** 2
        total[span.start * scale : (span.start + span.size) * scale] += weight
        weights.append(weight)
    return [
        (weight / total[span.start * scale : (span.start + span.size) * scale]).astype(np.float32)
        for span, weight in zip(row, weights, strict=True)
    ]
