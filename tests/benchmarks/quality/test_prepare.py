"""scripts/evaluate: files, references and preparations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rings
import vapoursynth as vs

from benchmarks.quality import media, methods, metrics, prepare
from benchmarks.quality.store import Store


def test_lossless_file_gives_back_every_sample(tmp_path: Path) -> None:
    clip = rings.moving()
    media.encode(clip, tmp_path / "x.mkv")
    for before, after in zip(clip.frames(), media.load(tmp_path / "x.mkv").frames(), strict=True):
        for plane in range(3):
            np.testing.assert_array_equal(np.asarray(before[plane]), np.asarray(after[plane]))


def test_file_says_its_colours_and_is_bit_for_bit_repeatable(tmp_path: Path) -> None:
    for codec in (media.LOSSLESS, *(codec for p in prepare.PREPARATIONS.values() for _, codec in p.conditions)):
        media.encode(rings.moving(), tmp_path / "a.mkv", codec)
        media.encode(rings.moving(), tmp_path / "b.mkv", codec)
        assert (tmp_path / "a.mkv").read_bytes() == (tmp_path / "b.mkv").read_bytes(), codec
        props = vs.core.bs.VideoSource(str(tmp_path / "a.mkv"), cachemode=0).get_frame(0).props
        assert (props["_Matrix"], props["_Range"], props["_ChromaLocation"]) == (1, 0, 0), codec


def test_failing_ffmpeg_is_an_error_in_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="nonsense"):
        media.encode(rings.moving(), tmp_path / "x.mkv", ("-c:v", "nonsense"))


def test_reference_is_cropped_cut_and_at_most_1280_wide() -> None:
    long = rings.moving(length=2).std.Loop(40)
    clip = prepare.reference(long)
    assert (clip.width, clip.height, clip.num_frames) == (192, 128, 24)
    np.testing.assert_array_equal(metrics.luma(clip)[0], metrics.luma(long)[prepare.FIRST_FRAME, :128])
    assert prepare.reference(rings.moving(length=50)).num_frames == 20
    wide = prepare.reference(vs.core.std.BlankClip(format=vs.YUV420P8, width=1920, height=1090, length=1))
    assert (wide.width, wide.height) == (1280, 720)
    odd = prepare.reference(vs.core.std.BlankClip(format=vs.RGB24, width=101, height=67, length=1))
    assert (odd.width, odd.height) == (96, 64)
    with pytest.raises(ValueError, match="too small"):
        prepare.reference(rings.moving(96, 10))


def test_lossy_material_is_halved(store: Store, folder: Path) -> None:
    assert prepare.reference(rings.moving(192, 132), halved=True).width == 96
    assert prepare.reference(rings.moving(2600 // 8 * 8, 16 * 8, 1), halved=True).width == 1280
    whole, half = (
        prepare.prepare(store, [prepare.Footage(folder / "rings.mkv", halved)], prepare.PREPARATIONS["A"], 2)[0]
        for halved in (False, True)
    )
    assert (whole.load_reference().width, half.load_reference().width) == (192, 96)


def test_a_clip_turned_by_its_metadata_stands_upright(shared: Path) -> None:
    clip = prepare.reference(media.read(shared / "data/eval/filmed/selfie.mp4"), halved=True)
    assert (clip.width, clip.height) == (536, 720)


def test_reference_of_another_matrix_and_range_becomes_bt709_limited() -> None:
    full = vs.core.std.BlankClip(format=vs.YUV420P8, width=64, height=64, length=1, color=[255, 128, 128])
    white = prepare.reference(full.std.SetFrameProps(_Matrix=6, _Range=1))
    assert np.unique(metrics.luma(white)).tolist() == [235]
    red = vs.core.std.BlankClip(format=vs.RGB24, width=64, height=64, length=1, color=[255, 0, 0])
    assert np.unique(metrics.luma(prepare.reference(red))).tolist() == [63]  # 16 + 219 * 0.2126


@pytest.mark.parametrize("factor", [2, 4])
def test_area_averaging_is_the_mean_of_blocks(factor: int) -> None:
    clip = rings.moving(height=128)
    before = metrics.luma(clip)
    blocks = before.reshape(rings.LENGTH, 128 // factor, factor, rings.WIDTH // factor, factor)
    error = np.abs(metrics.luma(prepare.shrink_area(clip, factor)) - blocks.mean((2, 4)))
    assert error.max() <= 0.501


@pytest.mark.parametrize("shrink", [p.shrink for p in prepare.PREPARATIONS.values()])
def test_shrinking_moves_no_plane(shrink: prepare.Shrink) -> None:
    """Enlarged again by zimg, every plane lies where it lay, to a twentieth of its pixels; grain is averaged away."""
    clip = media.tagged(rings.moving(128, 128, 1).std.BoxBlur(hradius=4, vradius=4)).std.Loop(16)
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
    still = rings.moving(length=1).std.Loop(2)
    shrink = prepare.PREPARATIONS["C"].shrink
    first, again = metrics.luma(shrink(still, 2)), metrics.luma(shrink(still, 2))
    np.testing.assert_array_equal(first, again)
    spread = np.std(first[0] - first[1]) / np.sqrt(2)
    assert spread == pytest.approx(prepare.GRAIN[0], rel=0.1)


@pytest.mark.slow
def test_every_preparation_gives_cases_of_the_right_size(store: Store, folder: Path) -> None:
    files = prepare.material(folder)
    assert [footage.path.name for footage in files] == ["rings.mkv", "still.png"]
    for preparation in prepare.PREPARATIONS.values():
        for factor in (2, 4):
            for made in prepare.prepare(store, files, preparation, factor, 3):
                small, large = made.load_source(), made.load_reference()
                assert (small.width * factor, small.height * factor) == (large.width, large.height)
                assert small.num_frames == large.num_frames == made.frames == (3 if made.clip == "rings" else 1)
                close = metrics.psnr(metrics.luma(large), metrics.luma(methods.lanczos(small, factor)))
                assert close > 12, made  # the same picture, not another frame or range


def test_material_may_be_a_single_file(folder: Path) -> None:
    assert prepare.material(folder / "still.png", halved=True) == [prepare.Footage(folder / "still.png", halved=True)]
    with pytest.raises(FileNotFoundError, match=r"none\.png; name a folder that has some, or a file"):
        prepare.material(folder / "none.png")


def test_prepared_files_are_made_once(store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = prepare.prepare(store, prepare.material(folder), prepare.PREPARATIONS["A"], 2)
    monkeypatch.setattr(media, "encode", None)
    assert prepare.prepare(store, prepare.material(folder), prepare.PREPARATIONS["A"], 2) == cases
