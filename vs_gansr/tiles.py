"""Owns the geometry of tiles: where each begins, and which part of its result is kept; no pixels here.

Every tile of a plan has the same size, so that one session of static shape serves all of them. Tiles at the
far edges are moved inwards rather than padded. `overlap` is the margin on each side of a tile that is computed
and thrown away, so neighbours share twice as much; where it is at least the network's receptive-field radius
the joined result equals the untiled one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Span", "Tile", "plan", "spans"]


@dataclass(frozen=True)
class Span:
    """One tile along one axis, in input pixels: it reads [start, start + size) and keeps [keep, keep_end)."""

    start: int
    size: int
    keep: int
    keep_end: int


@dataclass(frozen=True)
class Tile:
    """One tile: its columns and its rows."""

    x: Span
    y: Span


def spans(length: int, size: int, overlap: int) -> list[Span]:
    """Covers `length` pixels with spans of `size`, each at least `overlap` wider than what it keeps of itself.

    `size` includes the overlap on both sides. Raises ValueError where size cannot hold it or exceeds length.
    """
    if size > length or (size < length and size <= 2 * overlap):
        raise ValueError(f"span of {size} with overlap {overlap} cannot cover {length}")
    starts = [0]
    while starts[-1] + size < length:
        starts.append(min(starts[-1] + size - 2 * overlap, length - size))
    cuts = [0, *((a + size + b) // 2 for a, b in pairwise(starts)), length]
    return [Span(start, size, keep, end) for start, (keep, end) in zip(starts, pairwise(cuts), strict=True)]


def plan(width: int, height: int, tile: tuple[int, int], overlap: tuple[int, int]) -> list[Tile]:
    """The tiles, row by row, for a picture of width x height; `tile` and `overlap` are (w, h) in pixels."""
    columns = spans(width, min(tile[0], width), overlap[0])
    rows = spans(height, min(tile[1], height), overlap[1])
    return [Tile(x, y) for y in rows for x in columns]
