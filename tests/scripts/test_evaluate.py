"""scripts/evaluate: preparation, methods, metrics, store, table and strips, on a small clip made here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import networks
import numpy as np
import pytest
import vapoursynth as vs
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import evaluate  # noqa: E402
from evaluation import media, methods, metrics, prepare, score, strips, table  # noqa: E402
from evaluation.store import Store, content, stored  # noqa: E402

WIDTH, HEIGHT, LENGTH = 192, 132, 4


def luma(clip: vs.VideoNode) -> np.ndarray:
    return metrics.luma(clip)


def moving(width: int = WIDTH, height: int = HEIGHT, length: int = LENGTH) -> vs.VideoNode:
    """YUV420P8: rings and a chequer under fine grain, sliding by a pixel and a half a frame."""
    blank = vs.core.std.BlankClip(format=vs.YUV420P8, width=width, height=height, length=length, fpsnum=25, fpsden=1)
    grain = np.random.default_rng(1).normal(0, 6, (height, width))

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        y, x = np.mgrid[:height, :width]
        x = x + 1.5 * n
        rings = 60 * np.sin(np.hypot(x - width / 2, y - height / 2) ** 1.5 / 12)
        chequer = 40 * (((x // 12) + (y // 12)) % 2)
        np.asarray(out[0])[:] = np.clip(110 + rings + chequer + grain, 16, 235)
        for plane in (1, 2):
            np.asarray(out[plane])[:] = np.clip(128 + 40 * np.cos(x[::2, ::2] / 20 * plane), 16, 240)
        return out

    return media.tagged(blank.std.ModifyFrame(blank, fill))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Material: one clip whose height is no multiple of 8, and one picture."""
    path = tmp_path_factory.mktemp("material")
    media.encode(moving(), path / "rings.mkv")
    rng = np.random.default_rng(3)
    Image.fromarray(rng.integers(0, 256, (70, 100, 3), np.uint8)).resize((200, 140)).save(path / "still.png")
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def case(store: Store, folder: Path) -> prepare.Case:
    return prepare.prepare(store, [folder / "rings.mkv"], prepare.PREPARATIONS["A"], 2)[1]


# ---------------------------------------------------------------- preparation


def test_lossless_file_gives_back_every_sample(tmp_path: Path) -> None:
    clip = moving()
    media.encode(clip, tmp_path / "x.mkv")
    for before, after in zip(clip.frames(), media.load(tmp_path / "x.mkv").frames(), strict=True):
        for plane in range(3):
            np.testing.assert_array_equal(np.asarray(before[plane]), np.asarray(after[plane]))


def test_file_says_its_colours_and_is_bit_for_bit_repeatable(tmp_path: Path) -> None:
    for codec in (media.LOSSLESS, *(codec for p in prepare.PREPARATIONS.values() for _, codec in p.conditions)):
        media.encode(moving(), tmp_path / "a.mkv", codec)
        media.encode(moving(), tmp_path / "b.mkv", codec)
        assert (tmp_path / "a.mkv").read_bytes() == (tmp_path / "b.mkv").read_bytes(), codec
        props = vs.core.bs.VideoSource(str(tmp_path / "a.mkv"), cachemode=0).get_frame(0).props
        assert (props["_Matrix"], props["_Range"], props["_ChromaLocation"]) == (1, 0, 0), codec


def test_failing_ffmpeg_is_an_error_in_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="nonsense"):
        media.encode(moving(), tmp_path / "x.mkv", ("-c:v", "nonsense"))


def test_reference_is_cropped_cut_and_at_most_1280_wide() -> None:
    long = moving(length=2).std.Loop(40)
    clip = prepare.reference(long)
    assert (clip.width, clip.height, clip.num_frames) == (192, 128, 24)
    np.testing.assert_array_equal(luma(clip)[0], luma(long)[prepare.FIRST_FRAME, :128])
    assert prepare.reference(moving(length=50)).num_frames == 20
    wide = prepare.reference(vs.core.std.BlankClip(format=vs.YUV420P8, width=1920, height=1090, length=1))
    assert (wide.width, wide.height) == (1280, 720)
    odd = prepare.reference(vs.core.std.BlankClip(format=vs.RGB24, width=101, height=67, length=1))
    assert (odd.width, odd.height) == (96, 64)
    with pytest.raises(ValueError, match="too small"):
        prepare.reference(moving(96, 10))


def test_reference_of_another_matrix_and_range_becomes_bt709_limited() -> None:
    full = vs.core.std.BlankClip(format=vs.YUV420P8, width=64, height=64, length=1, color=[255, 128, 128])
    white = prepare.reference(full.std.SetFrameProps(_Matrix=6, _Range=1))
    assert np.unique(luma(white)).tolist() == [235]
    red = vs.core.std.BlankClip(format=vs.RGB24, width=64, height=64, length=1, color=[255, 0, 0])
    assert np.unique(luma(prepare.reference(red))).tolist() == [63]  # 16 + 219 * 0.2126


@pytest.mark.parametrize("factor", [2, 4])
def test_area_averaging_is_the_mean_of_blocks(factor: int) -> None:
    clip = moving(height=128)
    before = luma(clip)
    blocks = before.reshape(LENGTH, 128 // factor, factor, WIDTH // factor, factor)
    error = np.abs(luma(prepare.shrink_area(clip, factor)) - blocks.mean((2, 4)))
    assert error.max() <= 0.501


@pytest.mark.parametrize("shrink", [p.shrink for p in prepare.PREPARATIONS.values()])
def test_shrinking_moves_no_plane(shrink: prepare.Shrink) -> None:
    """Enlarged again by zimg, every plane lies where it lay, to a twentieth of its pixels; grain is averaged away."""
    clip = media.tagged(moving(128, 128, 1).std.BoxBlur(hradius=4, vradius=4)).std.Loop(16)
    again = methods.bicubic(shrink(clip, 2), 2)
    for plane in range(3):
        before, after = (
            np.mean([np.asarray(f[plane]).astype(float)[8:-8, 8:-8] for f in c.frames()], 0) for c in (clip, again)
        )
        for axis in (0, 1):
            slope = np.gradient(before, axis=axis)
            if slope.std() > 0.2:  # chroma varies along x only
                assert abs(((after - before) * slope).sum() / (slope**2).sum()) < 0.05, (plane, axis)


def test_grain_is_the_same_each_time_and_another_each_frame() -> None:
    still = moving(length=1).std.Loop(2)
    shrink = prepare.PREPARATIONS["C"].shrink
    first, again = luma(shrink(still, 2)), luma(shrink(still, 2))
    np.testing.assert_array_equal(first, again)
    spread = np.std(first[0] - first[1]) / np.sqrt(2)
    assert spread == pytest.approx(prepare.GRAIN[0], rel=0.1)


def test_every_preparation_gives_cases_of_the_right_size(store: Store, folder: Path) -> None:
    files = prepare.material(folder)
    assert [file.name for file in files] == ["rings.mkv", "still.png"]
    for preparation in prepare.PREPARATIONS.values():
        for factor in (2, 4):
            for made in prepare.prepare(store, files, preparation, factor, 3):
                small, large = made.load_source(), made.load_reference()
                assert (small.width * factor, small.height * factor) == (large.width, large.height)
                assert small.num_frames == large.num_frames == made.frames == (3 if made.clip == "rings" else 1)
                close = metrics.psnr(luma(large), luma(methods.lanczos(small, factor)))
                assert close > 12, made  # the same picture, not another frame or range


def test_prepared_files_are_made_once(store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = prepare.prepare(store, prepare.material(folder), prepare.PREPARATIONS["A"], 2)
    monkeypatch.setattr(media, "encode", None)
    assert prepare.prepare(store, prepare.material(folder), prepare.PREPARATIONS["A"], 2) == cases


# ---------------------------------------------------------------- methods


def test_unsharp_of_nothing_is_lanczos_and_of_more_is_sharper(case: prepare.Case) -> None:
    source = case.load_source()
    plain = luma(methods.lanczos(source, 2))
    assert np.abs(luma(methods.sharpened(methods.Unsharp(0.0, 1.0))(source, 2)) - plain).max() <= 1
    sharp = luma(methods.sharpened(methods.Unsharp(1.0, 1.0))(source, 2))
    assert np.abs(np.diff(sharp)).mean() > 1.1 * np.abs(np.diff(plain)).mean()
    assert sharp.mean() == pytest.approx(plain.mean(), abs=0.3)


def test_unsharp_mask_is_the_formula() -> None:
    """Against a direct computation on a clip whose Lanczos enlargement is flat but for one column."""
    blank = vs.core.std.BlankClip(format=vs.YUV420P8, width=32, height=32, length=1, color=[100, 128, 128])

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        np.asarray(out[0])[:, 16] = 150
        return out

    source = media.tagged(blank.std.ModifyFrame(blank, fill))
    large = source.resize.Lanczos(64, 64, format=vs.GRAYS, filter_param_a=3)
    row = np.asarray(large.get_frame(0)[0])[32].astype(float) * 219 + 16
    taps = np.exp(-0.5 * (np.arange(-3, 4) / 1.0) ** 2)
    blurred = np.convolve(row, taps / taps.sum(), "same")
    expected = (row + 0.5 * (row - blurred))[8:-8]
    result = luma(methods.sharpened(methods.Unsharp(0.5, 1.0))(source, 2))[0, 32, 8:-8]
    assert np.abs(result - expected).max() < 0.51


def test_search_finds_the_best_neighbourhood(case: prepare.Case, tmp_path: Path) -> None:
    def rate(unsharp: methods.Unsharp) -> float:
        start = min(score.SEARCH_STEP // 2, case.frames - 1)
        pick = np.s_[start :: score.SEARCH_STEP]
        enlarged = methods.sharpened(unsharp)(case.load_source()[pick], 2)
        return metrics.ssimulacra2(case.load_reference()[pick], enlarged)

    found = score.best_unsharp(Store(tmp_path), [case])
    best = rate(found)
    a, s = score.AMOUNTS.index(found.amount), score.SIGMAS.index(found.sigma)
    for amount in score.AMOUNTS[max(a - 1, 0) : a + 2]:
        for sigma in score.SIGMAS[max(s - 1, 0) : s + 2]:
            assert rate(methods.Unsharp(amount, sigma)) <= best + 1e-9


@pytest.mark.parametrize(("scale", "factor"), [(2, 2), (4, 2), (2, 4)])
def test_network_of_any_scale_comes_out_at_the_wanted_size(
    case: prepare.Case, tmp_path: Path, scale: int, factor: int
) -> None:
    model = networks.point(tmp_path / "point.onnx", scale)
    source = case.load_source()
    ours = methods.network(model)(source, factor)
    rgb = source.resize.Bicubic(format=vs.RGBS, **media.CATMULL_ROM).resize.Point(
        source.width * scale, source.height * scale
    )
    expected = rgb.resize.Bicubic(
        source.width * factor, source.height * factor, format=vs.YUV420P8, matrix=1, range=0, chromaloc=0,
        **media.CATMULL_ROM,
    )  # fmt: skip
    assert ours.format.id == vs.YUV420P8
    assert np.abs(luma(ours) - luma(expected)).max() <= 1


def test_colour_can_be_lanczos(case: prepare.Case, tmp_path: Path) -> None:
    ours = methods.ours("point", networks.point(tmp_path / "point.onnx", 2))
    other = methods.colourless(ours)
    assert other.name == "point, Lanczos' chroma" and other.identity != ours.identity
    source = case.load_source()
    made, own, plain = (m(source, 2).get_frame(0) for m in (other.upscale, ours.upscale, methods.lanczos))
    assert np.array_equal(np.asarray(made[0]), np.asarray(own[0]))
    assert not np.array_equal(np.asarray(made[1]), np.asarray(own[1]))
    for chroma in (1, 2):
        assert np.array_equal(np.asarray(made[chroma]), np.asarray(plain[chroma]))


# ---------------------------------------------------------------- metrics


def test_identical_clips_score_the_best_there_is(case: prepare.Case) -> None:
    values = metrics.measure(case.reference, case.reference, case.frames)
    assert values["ssimulacra2"] == pytest.approx(100, abs=0.1)
    assert values["psnr_y"] == values["xpsnr"] == metrics.CAP
    assert values["temporal"] == 0
    assert values["vmaf"] is not None and values["vmaf"] > 95


def test_every_measure_falls_with_quality(store: Store, folder: Path) -> None:
    good, bad = prepare.prepare(store, [folder / "rings.mkv"], prepare.PREPARATIONS["A"], 2)
    lanczos = methods.resizers()[1]
    better, worse = (score.score(store, made, lanczos).values for made in (good, bad))
    for name in metrics.NAMES:
        above, below = better[name], worse[name]
        assert above is not None and below is not None
        assert above < below if name == "temporal" else above > below, name


def test_neg_sees_through_sharpening(store: Store, case: prepare.Case) -> None:
    plain = score.score(store, case, methods.resizers()[1]).values
    sharp = score.score(store, case, methods.sharpened_lanczos(methods.Unsharp(0.5, 1.0))).values
    gain, gain_neg = table.difference(sharp, plain)["vmaf"], table.difference(sharp, plain)["vmaf_neg"]
    assert gain is not None and gain_neg is not None
    assert gain > gain_neg


def test_psnr_and_temporal_delta_by_hand() -> None:
    reference = np.zeros((3, 8, 8), np.float32)
    output = reference.copy()
    output[1] += 2  # one frame brighter: it comes and it goes
    assert metrics.temporal_delta(reference, output) == pytest.approx(2.0)
    assert metrics.psnr(reference[1:2], output[1:2]) == pytest.approx(10 * np.log10(255**2 / 4))
    assert metrics.psnr(reference, output) == pytest.approx((2 * 100 + 10 * np.log10(255**2 / 4)) / 3)
    assert metrics.temporal_delta(reference + 9, reference) == 0  # a constant offset does not flicker
    assert metrics.temporal_delta(reference[:1], output[:1]) is None


def test_vmaf_refuses_another_number_of_frames(case: prepare.Case) -> None:
    with pytest.raises(RuntimeError, match="expected 9"):
        metrics.vmaf(case.reference, case.reference, 9)


def test_vmaf_pairs_frames_by_number_not_by_time(tmp_path: Path) -> None:
    """Matroska rounds times to milliseconds, which would pair a 60 fps frame with its neighbour."""
    fast = moving(length=24).std.AssumeFPS(fpsnum=60, fpsden=1)
    media.encode(fast, tmp_path / "a.mkv")
    media.encode(media.load(tmp_path / "a.mkv"), tmp_path / "b.mkv")
    assert min(metrics.vmaf(tmp_path / "a.mkv", tmp_path / "b.mkv", 24)) > 95


def test_measure_refuses_another_size(case: prepare.Case) -> None:
    with pytest.raises(ValueError, match="its reference 192x128x4"):
        metrics.measure(case.reference, case.source, case.frames)


# ---------------------------------------------------------------- store, table, strips


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
    left, top, w, h = strips.detail(luma(reference)[0])
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


# ---------------------------------------------------------------- command line


@pytest.fixture
def command(folder: Path, store: Store, tmp_path: Path) -> Callable[..., int]:
    def run(*extra: str) -> int:
        places = ("--material", str(folder), "--cache", str(store.root), "--json", str(tmp_path / "report.json"))
        return evaluate.main([*extra, *places])

    return run


def test_command_measures_models_and_anchors(
    command: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "anchors").mkdir()
    networks.point(tmp_path / "anchors" / "other.onnx", 4)
    mine = networks.compact(tmp_path / "mine.onnx", 8, 4)
    options = (str(mine), "--preparations", "A,B", "--anchors", str(tmp_path / "anchors"), "--quick")
    assert command(*options, "--strips", str(tmp_path / "strips")) == 0
    shown = capsys.readouterr()
    assert "## Preparation A, halved" in shown.out and "## Preparation B, halved" in shown.out
    assert "other, rings crf26" in shown.err
    report = json.loads((tmp_path / "report.json").read_text())
    names = ["bicubic", "Lanczos", "Lanczos, sharpened", "other", "mine"]
    assert [list(part["means"]) for part in report] == [names, names]
    means = report[0]["means"]
    assert means["Lanczos, sharpened"]["ssimulacra2"] >= means["Lanczos"]["ssimulacra2"]
    assert means["mine"]["ssimulacra2"] < means["Lanczos"]["ssimulacra2"]  # random weights
    assert sorted(p.name for p in (tmp_path / "strips").iterdir()) == [
        "rings-A-crf18.png", "rings-A-crf26.png", "rings-B-crf28.png",
        "still-A-crf18.png", "still-A-crf26.png", "still-B-crf28.png",
    ]  # fmt: skip
    assert command(*options) == 0
    again = capsys.readouterr()
    assert again.out == shown.out and again.err == ""  # nothing was measured twice


def test_command_evaluates_at_scale_four(
    command: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = networks.point(tmp_path / "four.onnx", 4, metadata={"scale": "4"})
    assert command(str(mine), "--preparations", "A", "--scale", "4", "--no-anchors", "--quick", "--chroma") == 0
    shown = capsys.readouterr().out
    assert "## Preparation A, quartered" in shown and "four, Lanczos' chroma" in shown


def test_command_refuses_what_it_does_not_know(
    command: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("no-such-model") == 2
    assert 'unknown model "no-such-model"' in capsys.readouterr().err
    assert command("--preparations", "A,Z", "--no-anchors") == 2
    assert "'Z' is unknown; use some of A,B,C" in capsys.readouterr().err
    assert evaluate.main(["--material", str(tmp_path)]) == 2
    assert "name a folder" in capsys.readouterr().err


def test_wrapper_runs_from_another_folder(folder: Path, store: Store, tmp_path: Path) -> None:
    networks.point(tmp_path / "named-from-here.onnx")
    options = ("--preparations", "A", "--quick", "--no-anchors", "--json", "out.json", "--cache", str(store.root))
    done = subprocess.run(
        [str(ROOT / "scripts" / "evaluate"), "named-from-here.onnx", "--material", str(folder), *options],
        cwd=tmp_path, env={**os.environ, "GANSR_PYTHON": sys.executable}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "named-from-here" in done.stdout
    assert (tmp_path / "out.json").is_file()


def test_networks_of_others_on_real_clips(shared: Path, tmp_path: Path) -> None:
    """What anchors/README.md reports: RealCUGAN wins VMAF over Lanczos and loses SSIMULACRA2."""
    store = Store(tmp_path)
    made = prepare.prepare(store, [shared / "data/eval/clips/juggle.mp4"], prepare.PREPARATIONS["A"], 2, 2)[0]
    base = score.score(store, made, methods.resizers()[1]).values
    network = methods.anchor(shared / "anchors" / "realcugan-se-2x-conservative.onnx")
    over = table.difference(score.score(store, made, network).values, base)
    assert over["vmaf"] is not None and over["ssimulacra2"] is not None
    assert over["vmaf"] > 2
    assert over["ssimulacra2"] < -2
