"""Draws what the numbers speak of: one detail of a clip, enlarged, by every method side by side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import vapoursynth as vs
from PIL import Image, ImageDraw, ImageFont

from benchmarks.quality.methods import Method
from benchmarks.quality.metrics import luma
from benchmarks.quality.prepare import Case

ZOOM = 3
CROP = (128, 96)
"""Width and height of the detail in pixels of the reference, multiples of 8."""
COLUMNS = 4
LABEL = 26
MARGIN = 6

Pixels = npt.NDArray[np.uint8]


def write(folder: Path, case: Case, methods: Sequence[Method]) -> Path:
    """Writes `<clip>-<preparation>-<condition>.png`: input, every method, reference, from the middle frame."""
    middle = case.frames // 2
    low = case.load_source()[middle]
    reference = case.load_reference()[middle]
    left, top, width, height = detail(luma(reference)[0])

    def cut(clip: vs.VideoNode, shrunk: int = 1) -> Image.Image:
        box = (left // shrunk, top // shrunk, (left + width) // shrunk, (top + height) // shrunk)
        return Image.fromarray(_rgb(clip)).crop(box).resize((width * ZOOM, height * ZOOM), Image.Resampling.NEAREST)

    tiles = [("input", cut(low, case.factor))]
    tiles += [(method.name, cut(method.upscale(low, case.factor))) for method in methods]
    tiles.append(("reference", cut(reference)))
    folder.mkdir(parents=True, exist_ok=True)
    scale = f"-{case.factor}x" if case.factor != 2 else ""
    path = folder / f"{case.clip}-{case.preparation}-{case.condition}{scale}.png"
    sheet(tiles).save(path)
    return path


def detail(plane: npt.NDArray[np.float32]) -> tuple[int, int, int, int]:
    """(left, top, width, height) of the window with the largest mean gradient, on a grid of 8 pixels.

    `plane` is (height, width) luma; the window is CROP, or the whole plane where that is smaller.
    """
    rows, columns = plane.shape
    width, height = min(CROP[0], columns), min(CROP[1], rows)
    slope = np.zeros(plane.shape, np.float64)
    slope[:, 1:] += np.abs(np.diff(plane, axis=1))
    slope[1:] += np.abs(np.diff(plane, axis=0))
    total = np.pad(slope.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    sums = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    top, left = np.unravel_index(np.argmax(sums[::8, ::8]), sums[::8, ::8].shape)
    return int(left) * 8, int(top) * 8, width, height


def sheet(tiles: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """Labelled tiles of one size in rows of up to COLUMNS."""
    width, height = tiles[0][1].size
    columns = min(COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    page = Image.new("RGB", (columns * (width + MARGIN) + MARGIN, rows * (height + LABEL + MARGIN)), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(16)
    for index, (label, tile) in enumerate(tiles):
        x = MARGIN + index % columns * (width + MARGIN)
        y = index // columns * (height + LABEL + MARGIN)
        draw.text((x, y + 3), label, "black", font)
        page.paste(tile, (x, y + LABEL))
    return page


def _rgb(clip: vs.VideoNode) -> Pixels:
    frame = clip.resize.Bicubic(format=vs.RGB24, matrix_in=1, range_in=0).get_frame(0)
    return np.stack([np.asarray(frame[plane]) for plane in range(3)], axis=-1)
