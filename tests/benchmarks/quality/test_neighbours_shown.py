"""Networks of several frames get the real neighbours where single frames are shown or compared."""

from __future__ import annotations

from pathlib import Path

import networks
import numpy as np
import pytest
from PIL import Image

from benchmarks import sheets
from benchmarks.quality import blind, int8, methods, prepare, scenes, strips
from benchmarks.quality.metrics import luma


@pytest.fixture
def before(tmp_path: Path) -> methods.Method:
    """A network that takes the frame before in place of the frame."""
    return methods.ours("before", networks.mix_of_three(tmp_path / "before.onnx", (1.0, 0.0, 0.0)))


def test_strips(case: prepare.Case, before: methods.Method, tmp_path: Path) -> None:
    middle = case.frames // 2
    picture = np.asarray(Image.open(strips.write(tmp_path / "strips", case, [before])))
    box = sheets.richest(sheets.slopes(luma(case.load_reference()[middle])[0]), strips.CROP)
    want, alone = (
        np.asarray(sheets.crop(sheets.rgb(before.upscale(clip, 2), n), box, 192))
        for clip, n in ((case.load_source(), middle), (case.load_source()[middle], 0))
    )
    left, top = 2 * sheets.GAP + want.shape[1], sheets.GAP + sheets.LABEL
    shown = picture[top : top + want.shape[0], left : left + want.shape[1]]
    assert np.array_equal(shown, want) and not np.array_equal(want, alone)


def test_sheets_to_rank(case: prepare.Case, before: methods.Method) -> None:
    place = blind.Place(scenes.of_cases([case])[0], "edges", (16, 16, 112, 112))
    [(_, crops)] = blind.crops_of([place], [before])
    for shown, n in zip(crops["before"], (case.frames // 2, case.frames // 2 + 1), strict=True):
        want = sheets.rgb(before.upscale(case.load_source(), 2), n).crop(place.box)
        assert np.array_equal(np.asarray(shown), np.asarray(want))


def test_int8_against_float32(case: prepare.Case, tmp_path: Path) -> None:
    """A variant that shows the previous frame is noticed, although few frames are compared."""
    path = networks.mix_of_three(tmp_path / "m.onnx", (0.0, 1.0, 0.0))
    variant = networks.mix_of_three(tmp_path / "m.int8.onnx", (1.0, 0.0, 0.0))
    places = range(0, case.frames, max(1, case.frames // int8.FRAMES))
    a, b = (methods.ours("m", each).upscale(case.load_source(), 2) for each in (path, variant))
    errors = []
    for n in places:
        with a.get_frame(n) as one, b.get_frame(n) as other:
            errors.append(np.mean((int8.planes(one) - int8.planes(other)) ** 2))
    want = 10 * np.log10(255**2 / np.mean(errors))
    assert int8.loss(str(path), case, "CPU").decibels == pytest.approx(want, abs=1e-6)
