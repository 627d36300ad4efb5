"""scripts/evaluate: what is kept, tables and strips."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import networks
import numpy as np
import pytest
import vapoursynth as vs
from PIL import Image

from benchmarks.quality import methods, metrics, prepare, score, strips, table
from benchmarks.quality.store import Store, content, stored


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


def test_anchor_output_is_kept_and_own_output_is_not(
    case: prepare.Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "cache")
    model = networks.point(tmp_path / "point.onnx")
    theirs, ours = methods.anchor(model), methods.ours("mine", model)
    first = score.score(store, case, theirs)
    assert score.score(store, case, ours).values == pytest.approx(first.values)
    assert len(list((store.root / "outputs").iterdir())) == 1
    assert {p.name for p in store.root.iterdir()} == {".gitignore", "outputs", "results"}

    def never(clip: vs.VideoNode, factor: int) -> vs.VideoNode:
        raise AssertionError("upscaled again")

    monkeypatch.setattr(score, "_tools", lambda: ("other code",))  # results are void, outputs are not
    assert score.score(store, case, replace(theirs, upscale=never)) == first
    with pytest.raises(AssertionError):
        score.score(store, case, replace(ours, upscale=never))


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
    return score.Row(method, clip, "crf18", {**dict.fromkeys(metrics.NAMES, value), "temporal": temporal})


def test_table_has_means_and_differences_to_lanczos(tmp_path: Path) -> None:
    rows = (row("Lanczos", "a", 50), row("Lanczos", "b", 70), row("new", "a", 53), row("new", "b", 75, None))
    result = table.Result(prepare.PREPARATIONS["A"], 2, "amount 1, radius 1", rows)
    text = table.markdown([result])
    mean, each = text.split("### Each")
    assert "| new | 64.00 (+4.00) |" in mean and "| Lanczos | 60.00 (+0.00) |" in mean
    assert "| a | crf18 | new | 53.00 (+3.00) |" in each
    assert "1.00 (+0.00) |" in mean and each.strip().endswith("|  |")
    table.write_json(tmp_path / "deep" / "x.json", [result])
    report = json.loads((tmp_path / "deep" / "x.json").read_text())[0]
    assert report["means"]["new"]["vmaf_neg"] == 64
    assert report["over_lanczos"]["new"]["vmaf_neg"] == 4
    assert len(report["rows"]) == 4


def test_strip_shows_the_detail_at_three_times_its_size(case: prepare.Case, tmp_path: Path) -> None:
    lanczos = methods.resizers()[1]
    picture = np.asarray(Image.open(strips.write(tmp_path, case, [lanczos])))
    width, height = strips.CROP[0] * 3, strips.CROP[1] * 3
    assert picture.shape == (height + strips.LABEL + strips.MARGIN, 3 * (width + strips.MARGIN) + strips.MARGIN, 3)
    reference = case.load_reference()[case.frames // 2]
    left, top, w, h = strips.detail(metrics.luma(reference)[0])
    frame = reference.resize.Bicubic(format=vs.RGB24).get_frame(0)
    expected = np.stack([np.asarray(frame[p]) for p in range(3)], -1)[top : top + h, left : left + w]
    x = picture.shape[1] - strips.MARGIN - width
    shown = picture[strips.LABEL : strips.LABEL + height, x : x + width]
    np.testing.assert_array_equal(shown, expected.repeat(3, 0).repeat(3, 1))
    assert picture[: strips.LABEL].min() == 0  # labels


def test_detail_is_found() -> None:
    plane = np.full((320, 480), 90, np.float32)
    plane[104:200, 200:328] += np.random.default_rng(0).normal(0, 20, (96, 128))
    assert strips.detail(plane) == (200, 104, 128, 96)
    assert strips.detail(plane[:64, :80]) == (0, 0, 80, 64)
