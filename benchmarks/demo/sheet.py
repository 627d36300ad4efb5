"""Owns the side-by-side picture: crops of several versions of a frame, enlarged and labelled; knows no video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ZOOM = 3
CROP = (156, 96)
"""Width and height of a crop, in pixels of the large frame."""

_GAP = 8
_HEAD = 34
_PAPER, _INK = (250, 250, 250), (20, 20, 20)


@dataclass(frozen=True)
class Version:
    """One column: a label and, per row, a whole RGB frame; `small` frames are enlarged to the others' size."""

    label: str
    frames: Sequence[Image.Image]


def sheet(versions: Sequence[Version], points: Sequence[tuple[float, float]], size: tuple[int, int]) -> Image.Image:
    """One row per point, one column per version: CROP pixels around the point at ZOOM times their size.

    `points` are in pixels of `size`, the large frame; a smaller frame is shown with square pixels.
    """
    w, h = min(CROP[0], size[0]), min(CROP[1], size[1])
    across, down = w * ZOOM + _GAP, h * ZOOM + _GAP
    paper = Image.new("RGB", (_GAP + across * len(versions), _HEAD + down * len(points)), _PAPER)
    pen = ImageDraw.Draw(paper)
    for column, version in enumerate(versions):
        x = _GAP + column * across
        pen.text((x, 6), version.label, fill=_INK, font=ImageFont.load_default(19))
        for row, (point, frame) in enumerate(zip(points, version.frames, strict=True)):
            left = min(max(round(point[0] - w / 2), 0), size[0] - w)
            top = min(max(round(point[1] - h / 2), 0), size[1] - h)
            factor = frame.width / size[0]
            box = (left * factor, top * factor, (left + w) * factor, (top + h) * factor)
            crop = frame.resize((w * ZOOM, h * ZOOM), Image.Resampling.NEAREST, box=box)
            paper.paste(crop, (x, _HEAD + row * down))
    return paper


def busiest(frame: Image.Image) -> list[tuple[float, float]]:
    """Centres of the most detailed crop of each quarter of a frame, none overlapping another; at least one."""
    luma = np.asarray(frame.convert("L"), np.float32)
    across = np.abs(np.diff(luma, axis=1))[:-1]
    detail = across + np.abs(np.diff(luma, axis=0))[:, :-1]
    w, h = CROP
    cells = {
        (x + w / 2, y + h / 2): float(detail[y : y + h, x : x + w].mean())
        for y in range(0, max(detail.shape[0] - h, 1), h // 4)
        for x in range(0, max(detail.shape[1] - w, 1), w // 4)
    }
    chosen: dict[tuple[bool, bool], tuple[float, float]] = {}
    for x, y in sorted(cells, key=lambda cell: -cells[cell]):
        quarter = (y > frame.height / 2, x > frame.width / 2)
        if quarter not in chosen and all(abs(x - a) >= w or abs(y - b) >= h for a, b in chosen.values()):
            chosen[quarter] = (x, y)
    return [chosen[quarter] for quarter in sorted(chosen)]
