"""scripts/evaluate: cached results, tables and strips."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import networks
import numpy as np
import pytest
import vapoursynth as vs
from PIL import Image

from benchmarks import sheets
from benchmarks.quality import methods, metrics, prepare, score, strips, table, texture
from benchmarks.quality.store import Store, content, stored
from benchmarks.quality.suites import FIDELITY, TEXTURE


def test_store_keeps_what_was_computed(tmp_path: Path) -> None:
    store = Store(tmp_path / "kept")
    path = store.path("results", ".json", "a", 1)
    calls = []

    def compute() -> int:
        calls.append(1)
        return len(calls)

    assert [stored(store, path, compute), stored(store, path, compute)] == [1, 1]
    assert stored(store, path, compute, fresh=True) == 2
    assert store.path("results", ".json", "a", 2) != path
    with pytest.raises(RuntimeError), store.writing(path) as scratch:
        scratch.write_text("half")
        raise RuntimeError
    assert json.loads(path.read_text()) == 2
    assert sorted(p.name for p in path.parent.iterdir()) == [path.name]
    assert (tmp_path / "kept" / ".gitignore").read_text() == "*\n"


@pytest.mark.slow
def test_anchor_output_is_kept_and_own_output_is_not(case: prepare.Case, tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    model = networks.point(tmp_path / "point.onnx")
    theirs, ours = methods.anchor(model), methods.ours("mine", model)
    first = score.score(store, case, theirs)
    assert score.score(store, case, ours).values == pytest.approx(first.values)
    assert len(list((store.root / "outputs").iterdir())) == 1
    assert {p.name for p in store.root.iterdir()} == {".gitignore", "outputs", "fidelity", "texture"}

    def never(clip: vs.VideoNode, factor: int) -> vs.VideoNode:
        raise AssertionError("upscaled again")

    other = [replace(FIDELITY, depends=lambda: ("other code",)), TEXTURE]  # results are void, outputs are not
    assert score.score(store, case, replace(theirs, upscale=never), other) == first
    assert score.score(store, case, replace(ours, upscale=never), [TEXTURE]).values.keys() == texture.NAMES.keys()
    with pytest.raises(AssertionError):
        score.score(store, case, replace(ours, upscale=never), other)


def test_key_follows_the_content_of_the_model(tmp_path: Path) -> None:
    model = networks.point(tmp_path / "a.onnx")
    other = networks.compact(tmp_path / "b.onnx")
    assert methods.ours("x", model).identity != methods.ours("x", other).identity
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(model.read_bytes())
    assert methods.ours("y", copy).identity == methods.ours("x", model).identity
    copy.write_bytes(other.read_bytes())
    content.cache_clear()
    assert methods.ours("y", copy).identity == methods.ours("x", other).identity


def test_key_follows_every_module_that_a_frame_goes_through(tmp_path: Path) -> None:
    for name in ("top.py", "engine/deep.py", "engine/below/deeper.py", "train/trainer.py", "native/shim.c"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("before")
    before = methods.sources(tmp_path)
    assert set(before) == {"top.py", "engine/deep.py", "engine/below/deeper.py"}
    for name in before:
        (tmp_path / name).write_text("after")
        content.cache_clear()
        changed = methods.sources(tmp_path)
        assert {other for other in before if changed[other] != before[other]} == {name}
        (tmp_path / name).write_text("before")
    content.cache_clear()
    (tmp_path / "train" / "trainer.py").write_text("after")
    assert methods.sources(tmp_path) == before


def row(method: str, clip: str, value: float, temporal: float | None = 1.0) -> score.Row:
    values = dict.fromkeys((*metrics.NAMES, *texture.NAMES), value)
    return score.Row(method, clip, "crf18", {**values, "temporal": temporal})


def test_table_has_means_and_differences_to_lanczos(tmp_path: Path) -> None:
    rows = (row("Lanczos", "a", 50), row("Lanczos", "b", 70), row("new", "a", 53), row("new", "b", 75, None))
    result = table.Result(prepare.PREPARATIONS["A"], 2, "amount 1, radius 1", rows)
    text = table.markdown([result])
    mean, each = text.split("### fidelity, each")
    assert "| new | 64.00 (+4.00) |" in mean and "| Lanczos | 60.00 (+0.00) |" in mean
    assert "### texture, mean of 2: all" in mean and "without" not in mean
    assert "| a | crf18 | new | 53.00 (+3.00) |" in each and "### texture, each" in each
    assert "1.00 (+0.00) |" in mean and "75.00 (+5.00) |  |" in each
    table.write_json(tmp_path / "deep" / "x.json", [result])
    report = json.loads((tmp_path / "deep" / "x.json").read_text())[0]
    assert report["means"]["all"]["new"]["vmaf_neg"] == report["means"]["all"]["new"]["coherence"] == 64
    assert report["over_lanczos"]["all"]["new"]["vmaf_neg"] == 4
    assert len(report["rows"]) == 4


def test_lettering_hides_nothing_and_filmed_clips_stand_apart(tmp_path: Path) -> None:
    gains = {"credits": 20.0, "ski": 1.0, "juggle": 3.0, "bbb_meadow": 5.0}
    rows = [row("Lanczos", clip, 50) for clip in gains] + [row("new", clip, 50 + gain) for clip, gain in gains.items()]
    result = table.Result(prepare.PREPARATIONS["A"], 2, "", tuple(rows))
    assert list(result.groups) == ["without lettering", "filmed", "drawn", "all"]
    table.write_json(tmp_path / "x.json", [result])
    over = json.loads((tmp_path / "x.json").read_text())[0]["over_lanczos"]
    assert {name: part["new"]["ssimulacra2"] for name, part in over.items()} == {
        "without lettering": 3.0, "filmed": 2.0, "drawn": 5.0, "all": 7.25,
    }  # fmt: skip
    assert table.markdown([result]).index("mean of 3: without lettering") < table.markdown([result]).index("of 4: all")


def test_strip_shows_the_detail_at_three_times_its_size(case: prepare.Case, tmp_path: Path) -> None:
    lanczos = methods.resizers()[1]
    picture = np.asarray(Image.open(strips.write(tmp_path, case, [lanczos])))
    width, height = strips.CROP[0] * 3, strips.CROP[1] * 3
    assert picture.shape == (height + sheets.LABEL + 2 * sheets.GAP, 3 * (width + sheets.GAP) + sheets.GAP, 3)
    reference = case.load_reference()[case.frames // 2]
    box = sheets.richest(sheets.slopes(metrics.luma(reference)[0]), strips.CROP)
    assert box is not None
    left, top, right, bottom = box
    frame = reference.resize.Bicubic(format=vs.RGB24).get_frame(0)
    expected = np.stack([np.asarray(frame[p]) for p in range(3)], -1)[top:bottom, left:right]
    x = picture.shape[1] - sheets.GAP - width
    first = sheets.GAP + sheets.LABEL
    shown = picture[first : first + height, x : x + width]
    np.testing.assert_array_equal(shown, expected.repeat(3, 0).repeat(3, 1))
    assert picture[:first].min() < 100  # labels
