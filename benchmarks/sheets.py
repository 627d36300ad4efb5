"""Draw contact sheets: crops of frames, enlarged, labelled and side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import vapoursynth as vs
from PIL import Image, ImageDraw, ImageFont

ZOOM = 3
"""How much larger a pixel is shown."""
GAP = 6
"""Pixels of paper between tiles and around them."""
LABEL = 26
"""Height of a row's labels, where it has any."""
PAPER, INK = (250, 250, 250), (20, 20, 20)

Box = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels of the large frame."""


@dataclass(frozen=True)
class Tile:
    """One picture of a sheet."""

    label: str
    """Shown above it; may be empty."""
    picture: Image.Image


def rgb(clip: vs.VideoNode, n: int) -> Image.Image:
    """Frame n of a clip whose matrix is known, as a picture."""
    with clip.resize.Bicubic(format=vs.RGB24).get_frame(n) as frame:
        return Image.fromarray(np.stack([np.asarray(frame[plane]) for plane in range(3)], axis=-1))


def crop(frame: Image.Image, box: Box, width: int, zoom: int = ZOOM) -> Image.Image:
    """`box` of a frame `zoom` times enlarged, pixels kept square.

    `width` is that of the large frame, whose pixels `box` counts in; a smaller frame is shown at the same size.
    """
    left, top, right, bottom = box
    factor = frame.width / width
    where = (left * factor, top * factor, right * factor, bottom * factor)
    return frame.resize(((right - left) * zoom, (bottom - top) * zoom), Image.Resampling.NEAREST, box=where)


def sheet(tiles: Sequence[Tile], columns: int) -> Image.Image:
    """Tiles of one size in rows of `columns`; rows without a label are packed closer.

    Raises ValueError without tiles.
    """
    if not tiles:
        raise ValueError("sheet: there are no tiles to lay out")
    width, height = tiles[0].picture.size
    rows = [tiles[first : first + columns] for first in range(0, len(tiles), columns)]
    heads = [LABEL if any(tile.label for tile in row) else 0 for row in rows]
    size = (GAP + min(columns, len(tiles)) * (width + GAP), GAP + sum(heads) + len(rows) * (height + GAP))
    page = Image.new("RGB", size, PAPER)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(16)
    top = GAP
    for row, head in zip(rows, heads, strict=True):
        for column, tile in enumerate(row):
            left = GAP + column * (width + GAP)
            pen.text((left, top + 2), tile.label, INK, font)
            page.paste(tile.picture, (left, top + head))
        top += head + height + GAP
    return page


def sheet_size(tile: tuple[int, int], count: int, columns: int) -> tuple[int, int]:
    """Width and height of a sheet of `count` labelled tiles of a width and height."""
    width, height = tile
    return GAP + min(columns, count) * (width + GAP), GAP + -(-count // columns) * (LABEL + height + GAP)


def slopes(luma: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """How busy each pixel of a (height, width) plane is: |difference| from its left and its upper neighbour."""
    plane = luma.astype(np.float32)
    busy = np.zeros(plane.shape, np.float32)
    busy[:, 1:] += np.abs(np.diff(plane, axis=1))
    busy[1:] += np.abs(np.diff(plane, axis=0))
    return busy


def richest(weights: npt.NDArray[Any], size: tuple[int, int], taken: Sequence[Box] = (), step: int = 8) -> Box | None:
    """The window of `size` (width, height), on a grid of `step` pixels, with the largest sum of `weights`.

    The window is cut to the plane where that is smaller; windows that overlap one of `taken` do not count, and where
    all do, there is None.
    """
    rows, columns = weights.shape
    width, height = min(size[0], columns), min(size[1], rows)
    total = np.pad(weights.cumsum(0, np.float64).cumsum(1), ((1, 0), (1, 0)))
    sums = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    sums = sums[::step, ::step]
    for left, top, right, bottom in taken:
        first_row, first_column = (max(0, (at - side) // step + 1) for at, side in ((top, height), (left, width)))
        sums[first_row : -(-bottom // step), first_column : -(-right // step)] = -1
    if sums.max() < 0:
        return None
    row, column = np.unravel_index(np.argmax(sums), sums.shape)
    left, top = int(column) * step, int(row) * step
    return left, top, left + width, top + height
