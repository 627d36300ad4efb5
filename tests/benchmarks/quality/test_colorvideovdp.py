"""scripts/evaluate --cvvdp: ColorVideoVDP reacts to colour and flicker."""

from __future__ import annotations

from pathlib import Path

import pytest
import vapoursynth as vs

from benchmarks.quality import colorvideovdp, media, prepare


@pytest.mark.slow
def test_identical_clips_look_the_same_and_flicker_does_not(case: prepare.Case, tmp_path: Path) -> None:
    clip = case.load_reference()
    still = clip.std.FreezeFrames([0], [clip.num_frames - 1], [0])
    media.encode(still, tmp_path / "still.mkv")
    lighter = still.std.Expr(["x 4 +", "", ""])
    media.encode(lighter, tmp_path / "lighter.mkv")
    flicker = vs.core.std.Interleave([still[::2], lighter[::2]])
    media.encode(flicker, tmp_path / "flicker.mkv")
    jod = {
        name: colorvideovdp.measure(tmp_path / "still.mkv", tmp_path / f"{name}.mkv", case.frames)["cvvdp"]
        for name in ("still", "lighter", "flicker")
    }
    assert jod["still"] == pytest.approx(10)
    assert jod["flicker"] is not None and jod["lighter"] is not None
    assert jod["flicker"] < jod["lighter"] - 0.1 < 10


def test_colour_counts(case: prepare.Case, tmp_path: Path) -> None:
    media.encode(case.load_reference().std.Expr(["", "x 12 +", ""]), tmp_path / "tinted.mkv")
    tinted = colorvideovdp.measure(case.reference, tmp_path / "tinted.mkv", case.frames)["cvvdp"]
    assert tinted is not None and tinted < 9.7


def test_another_size_is_refused(case: prepare.Case) -> None:
    with pytest.raises(ValueError, match="its reference"):
        colorvideovdp.measure(case.reference, case.source, case.frames)
