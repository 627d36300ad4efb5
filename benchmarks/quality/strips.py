"""Draws what the numbers speak of: one detail of a clip, enlarged, by every method side by side."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from benchmarks.quality.methods import Method
from benchmarks.quality.metrics import luma
from benchmarks.quality.prepare import Case
from benchmarks.quality.scenes import Scene
from benchmarks.sheets import ZOOM, Tile, crop, rgb, richest, sheet, slopes

CROP = (128, 96)
"""Width and height of the detail in pixels of the reference, multiples of 8."""
COLUMNS = 4


def write(folder: Path, case: Case, methods: Sequence[Method]) -> Path:
    """Writes `<clip>-<preparation>-<condition>.png`: input, every method, reference, from the middle frame.

    The detail is the window of the reference with the largest mean gradient.
    """
    middle = case.frames // 2
    source, reference = case.load_source(), case.load_reference()[middle]
    box = richest(slopes(luma(reference)[0]), CROP)
    assert box is not None  # nothing is taken
    # Of the whole clip, so that networks of several frames see the neighbours.
    clips = {method.name: method.upscale(source, case.factor)[middle] for method in methods}
    clips = {"input": source[middle], **clips}
    clips["reference"] = reference
    tiles = [Tile(name, crop(rgb(clip, 0), box, reference.width)) for name, clip in clips.items()]
    folder.mkdir(parents=True, exist_ok=True)
    scale = f"-{case.factor}x" if case.factor != 2 else ""
    path = folder / f"{case.clip}-{case.preparation}-{case.condition}{scale}.png"
    sheet(tiles, min(COLUMNS, len(tiles))).save(path)
    return path


def native(path: Path, shown: Sequence[tuple[Scene, tuple[int, int]]], methods: Sequence[Method]) -> Path:
    """Writes one PNG: a row for each crop, with the source's own pixels first and then what each method makes of them.

    A crop is CROP pixels of the enlarged picture, its left upper corner beside its scene, shown at 300 %.
    """
    tiles: list[Tile] = []
    for row, (scene, corner) in enumerate(shown):
        box = (*corner, corner[0] + CROP[0], corner[1] + CROP[1])
        source = rgb(scene.source, scene.frames[0])
        pictures = {"source": crop(source, box, source.width * scene.factor)}
        for method in methods:
            made = scene.crops(box, method)[0]
            pictures[method.name] = made.resize((CROP[0] * ZOOM, CROP[1] * ZOOM), Image.Resampling.BICUBIC)
        tiles += [Tile("" if row else name, picture) for name, picture in pictures.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet(tiles, len(methods) + 1).save(path)
    return path
