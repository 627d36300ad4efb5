"""scripts/evaluate: each measure has the value that its definition gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rings
import vapoursynth as vs

from benchmarks.quality import media, methods, metrics, prepare, score, table
from benchmarks.quality.store import Store


def test_identical_clips_score_the_best_there_is(case: prepare.Case) -> None:
    values = metrics.measure(case.reference, case.reference, case.frames)
    assert values["ssimulacra2"] == pytest.approx(100, abs=0.1)
    assert values["psnr_y"] == values["psnr_u"] == values["psnr_v"] == values["xpsnr"] == metrics.CAP
    assert values["temporal"] == 0
    assert values["vmaf"] is not None and values["vmaf"] > 95


@pytest.mark.slow
def test_every_measure_falls_with_quality(store: Store, folder: Path) -> None:
    good, bad = prepare.prepare(store, [prepare.Footage(folder / "rings.mkv")], prepare.PREPARATIONS["A"], 2)
    lanczos = methods.resizers()[1]
    better, worse = (score.score(store, made, lanczos).values for made in (good, bad))
    for name in metrics.NAMES:
        above, below = better[name], worse[name]
        assert above is not None and below is not None
        assert above < below if name == "temporal" else above > below, name


@pytest.mark.slow
def test_neg_sees_through_sharpening(store: Store, case: prepare.Case) -> None:
    plain = score.score(store, case, methods.resizers()[1]).values
    sharp = score.score(store, case, methods.sharpened_lanczos(methods.Unsharp(0.5, 1.0))).values
    gain, gain_neg = table.difference(sharp, plain)["vmaf"], table.difference(sharp, plain)["vmaf_neg"]
    assert gain is not None and gain_neg is not None
    assert gain > gain_neg


def test_each_plane_has_its_own_psnr(tmp_path: Path) -> None:
    clip = rings.moving(64, 48, 2)
    media.encode(clip, tmp_path / "reference.mkv")
    media.encode(vs.core.std.Expr(clip, ["", "x 1 +", "x 4 +"]), tmp_path / "output.mkv")
    values = metrics.measure(tmp_path / "reference.mkv", tmp_path / "output.mkv", 2)
    wanted = [metrics.CAP, *(pytest.approx(20 * np.log10(255 / step), abs=0.01) for step in (1, 4))]
    assert [values[name] for name in ("psnr_y", "psnr_u", "psnr_v")] == wanted


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
    fast = rings.moving(length=24).std.AssumeFPS(fpsnum=60, fpsden=1)
    media.encode(fast, tmp_path / "a.mkv")
    media.encode(media.load(tmp_path / "a.mkv"), tmp_path / "b.mkv")
    assert min(metrics.vmaf(tmp_path / "a.mkv", tmp_path / "b.mkv", 24)) > 95


def test_measure_refuses_another_size(case: prepare.Case) -> None:
    with pytest.raises(ValueError, match="its reference 192x128x4"):
        metrics.measure(case.reference, case.source, case.frames)
