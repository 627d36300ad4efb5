"""scripts/evaluate --cost and --plot: multiply-adds from files, times from separate processes, and their plot."""

from __future__ import annotations

import os
import pickle
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import networks
import numpy as np
import pytest
from late import late
from onnx import helper, numpy_helper
from paths import ROOT
from PIL import Image

from benchmarks.quality import cost, methods, metrics, plot, prepare, score, table, texture


@pytest.mark.parametrize(
    ("features", "convs", "expected"), [(8, 4, 9 * (3 * 8 + 2 * 8 * 8 + 8 * 12)), (16, 2, 9 * (3 * 16 + 16 * 12))]
)
def test_multiply_adds_by_hand(tmp_path: Path, features: int, convs: int, expected: int) -> None:
    assert cost.multiply_adds(networks.compact(tmp_path / "m.onnx", features, convs)) == expected


def test_multiply_adds_of_the_shipped_models_are_on_their_page() -> None:
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]*) \| [24] \| ([\d,]+) \|", page, re.MULTILINE)
    stated = {name: number for names, number in rows for name in re.findall(r"[a-z]+-\dx(?:-psnr)?", names)}
    files = [path for path in (ROOT / "models").glob("*.onnx") if ".int8" not in path.name]
    assert {name: int(number.replace(",", "")) for name, number in stated.items()} == {
        path.stem: cost.multiply_adds(path) for path in files
    }


def test_multiply_adds_count_input_pixels_and_say_nothing_of_what_they_cannot_tell(tmp_path: Path) -> None:
    assert cost.multiply_adds(networks.halved(tmp_path / "halved.onnx", 2)) == 16 * 4 / 4
    assert cost.multiply_adds(networks.point(tmp_path / "point.onnx")) == 0
    kernel = numpy_helper.from_array(np.ones((3, 3, 1, 1), np.float32), "kernel")
    nodes = [
        helper.make_node("Odd", ["input"], ["strange"], domain="somebody"),
        helper.make_node("Conv", ["strange", "kernel"], ["output"]),
    ]
    path = networks.save(tmp_path / "odd.onnx", nodes, [kernel])
    assert cost.multiply_adds(path) is None


def test_frames_are_timed_in_another_process(case: prepare.Case, tmp_path: Path) -> None:
    note = tmp_path / "note"
    ms = cost.milliseconds(partial(late, 0.05, note), case)
    assert 50 <= ms < 500
    assert int(note.read_text()) != os.getpid()


def test_methods_are_timed_on_what_moves(case: prepare.Case, tmp_path: Path) -> None:
    halved = methods.ours("halved", networks.halved(tmp_path / "halved.onnx"))
    field = [methods.masks()[0], methods.colourless(halved)]
    costs = cost.measure([replace(case, frames=1), case], field)
    assert (costs.clip, costs.size, list(costs.by_method)) == ("rings", (96, 64), [method.name for method in field])
    assert all(each.ms > 0 for each in costs.by_method.values())
    assert [each.multiply_adds for each in costs.by_method.values()] == [None, 16]
    with pytest.raises(ValueError, match="rings and all others are stills; add a clip of 2 frames or more"):
        cost.measure([replace(case, frames=1)], field)


def test_every_kind_of_method_can_go_to_another_process(tmp_path: Path) -> None:
    point = networks.point(tmp_path / "point.onnx")
    for method in (*methods.resizers(), *methods.masks(), methods.ours("x", point), methods.anchor(point)):
        assert pickle.loads(pickle.dumps(method)).name == method.name


@pytest.fixture
def results() -> list[table.Result]:
    def row(method: str, value: float) -> score.Row:
        return score.Row(method, "a", "crf18", dict.fromkeys((*metrics.NAMES, *texture.NAMES), value))

    rows = (row("Lanczos", 50), row("theirs", 53), row("mine", 54.5))
    return [table.Result(prepare.PREPARATIONS[name], 2, "", rows) for name in ("A", "soft")]


COSTS = cost.Costs("a", (96, 64), {
    "Lanczos": cost.Cost(0.5, None), "theirs": cost.Cost(400, 410_000), "mine": cost.Cost(60, 168_148),
})  # fmt: skip


def test_costs_stand_beside_what_is_gained(results: list[table.Result]) -> None:
    lines = table.cost_markdown(results, COSTS).splitlines()
    assert lines[0].startswith("## Cost: a, 96x64 in")
    assert lines[2] == "| method | multiply-adds an input pixel | ms a frame | A, all | soft, all |"
    assert lines[4:] == [
        "| Lanczos |  | 0.5 | +0.00 | +0.00 |",
        "| theirs | 410,000 | 400.0 | +3.00 | +3.00 |",
        "| mine | 168,148 | 60.0 | +4.50 | +4.50 |",
    ]


def test_plot_has_a_panel_for_each_preparation_and_every_method(results: list[table.Result], tmp_path: Path) -> None:
    groups = {"resizers": ["Lanczos"], "networks of others": ["theirs"], "ours": ["mine"]}
    drawn = plot.write(tmp_path / "deep" / "plot.svg", results, COSTS, groups)
    text = drawn.read_text()
    assert ElementTree.fromstring(text).tag.endswith("svg")
    for name in ("theirs", "mine", "preparation A", "preparation soft", "networks of others", "ms a frame, 96x64 in"):
        assert f"<!-- {name}" in text  # what is drawn as outlines stands in a comment before them
    with Image.open(plot.write(tmp_path / "plot.png", results, COSTS, groups)) as picture:
        assert picture.size == (1400, 500) and len(picture.convert("RGB").getcolors(1 << 20) or []) > 50
