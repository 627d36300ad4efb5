"""Draws how steady pictures are: one column of a clip, frame beside frame, by every method side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import vapoursynth as vs
from PIL import Image

from benchmarks.quality.methods import Method
from benchmarks.quality.metrics import luma
from benchmarks.quality.prepare import Case
from benchmarks.sheets import Box, Tile, rgb, richest, sheet, slopes

HEIGHT = 112
"""Of the column in pixels of the reference, a multiple of 8."""
ZOOM = (8, 3)
"""How many pixels wide a frame is shown, and how high a pixel."""


def column(case: Case, height: int = HEIGHT) -> Box:
    """The column, one pixel wide: through the middle of the 8 pixels by `height` of the middle frame's reference with
    the largest mean gradient."""
    box = richest(slopes(luma(case.load_reference()[case.frames // 2])[0]), (8, height))
    assert box is not None  # nothing is taken
    left, top, right, bottom = box
    x = (left + right) // 2
    return x, top, x + 1, bottom


def over_time(clip: vs.VideoNode, box: Box) -> Image.Image:
    """What `box`, one pixel wide, shows in each frame of a clip, from left to right, enlarged by ZOOM."""
    shown = Image.new("RGB", (clip.num_frames, box[3] - box[1]))
    for n in range(clip.num_frames):
        shown.paste(rgb(clip, n).crop(box), (n, 0))
    return shown.resize((ZOOM[0] * shown.width, ZOOM[1] * shown.height), Image.Resampling.NEAREST)


def write(folder: Path, case: Case, methods: Sequence[Method]) -> Path:
    """Writes `<clip>-<preparation>-<condition>-over-time.png`: the reference's column, then every method's."""
    box = column(case)
    clips = {"reference": case.load_reference()}
    clips |= {method.name: method.upscale(case.load_source(), case.factor) for method in methods}
    tiles = [Tile(name, over_time(clip, box)) for name, clip in clips.items()]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{case.clip}-{case.preparation}-{case.condition}-over-time.png"
    sheet(tiles, len(tiles)).save(path)
    return path
