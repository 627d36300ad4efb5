"""scripts/steady: a verdict that follows the numbers, and pictures of a column over time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import vapoursynth as vs
from PIL import Image

from benchmarks import sheets
from benchmarks.quality import media, methods, metrics, prepare, slices, steady
from benchmarks.quality.metrics import Values
from benchmarks.quality.temporal_mean import steadied


def measured(temporal: float | None, ssimulacra2: float, vmaf_neg: float) -> Values:
    return {"temporal": temporal, "ssimulacra2": ssimulacra2, "vmaf_neg": vmaf_neg}


def test_the_verdict_follows_the_numbers(case: prepare.Case) -> None:
    lanczos = measured(1.75, 50, 70)
    cases = [
        (case, {"Lanczos": lanczos, "one": measured(2.0, 60, 80), "three": measured(three, *more)})
        for three, more in ((1.5, (60.5, 80)), (1.8, (59, 81)))
    ]
    text = steady.report(cases)
    assert "| temporal delta | | Lanczos | one | three |" in text and f"| {case.clip} | A {case.condition} |" in text
    assert "temporal delta 17.5 % less in the mean (10.0 to 25.0), at least 12 % on 1, below Lanczos' on 1;" in text
    assert "SSIMULACRA2 -0.25 in the mean (-1.00 to +0.50), not below on 1." in text
    assert "VMAF-NEG +0.50 in the mean (+0.00 to +1.00), not below on 2." in text
    with pytest.raises(ValueError, match="temporal is undefined"):
        steady.judge(lanczos, measured(None, 1, 1), lanczos)


def test_clips_are_the_filmed_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, names in (("clips", ("ski.mp4", "credits.mp4")), ("filmed", ("ducks.mp4",))):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).touch()
    monkeypatch.setattr(steady, "CLIPS", tmp_path / "clips")
    monkeypatch.setattr(steady, "FILMED", tmp_path / "filmed")
    assert [(each.path.stem, each.halved) for each in steady.filmed()] == [("ski", False), ("ducks", True)]
    assert [each.path.stem for each in steady.filmed(["ducks"])] == ["ducks"]
    with pytest.raises(ValueError, match="credits is no filmed clip; use some of ski, ducks"):
        steady.filmed(["credits"])


def test_a_column_over_time(case: prepare.Case, tmp_path: Path) -> None:
    lanczos = methods.resizers()[1]
    picture = np.asarray(Image.open(slices.write(tmp_path, case, [lanczos])))
    x, top, right, bottom = slices.column(case)
    assert right == x + 1 and bottom - top == slices.HEIGHT
    wide, high = slices.ZOOM
    height, width = (bottom - top) * high, case.frames * wide
    for place, clip in enumerate((case.load_reference(), lanczos.upscale(case.load_source(), 2))):
        left, upper = sheets.GAP + place * (width + sheets.GAP), sheets.GAP + sheets.LABEL
        shown = picture[upper : upper + height, left : left + width]
        for n in range(case.frames):
            want = np.asarray(sheets.rgb(clip, n))[top:bottom, x]
            assert np.array_equal(shown[::high, n * wide], want), (place, n)
        assert np.array_equal(shown, shown[::high, ::wide].repeat(high, 0).repeat(wide, 1))


def test_the_mean_over_time_calms_grain_and_leaves_cuts_alone() -> None:
    """Grain that is new in every frame loses half of its spread; frames that have nothing in common stay."""
    chance = np.random.default_rng(1)
    y, x = np.mgrid[:96, :128]
    still = 120 + 50 * np.sin(x / 9) * np.cos(y / 7)
    grainy = [np.clip(still + chance.normal(0, 3, still.shape), 16, 235) for _ in range(9)]
    cut = [np.full(still.shape, 40.0 if n % 2 else 200.0) for n in range(9)]
    calm = metrics.luma(steadied(_clip(grainy)))[2:-2] - still
    assert 0.4 < calm.std() / 3 < 0.65 and abs(calm.mean()) < 0.3
    assert np.abs(metrics.luma(steadied(_clip(cut))) - np.stack(cut)).max() <= 1


def _clip(pictures: list[np.ndarray]) -> vs.VideoNode:
    blank = vs.core.std.BlankClip(format=vs.YUV420P8, width=128, height=96, length=len(pictures), color=[0, 90, 150])

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        np.asarray(out[0])[:] = np.rint(pictures[n])
        return out

    return media.tagged(blank.std.ModifyFrame(blank, fill))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "general-2x-psnr has nothing beside it"),
        (["--repair", "clasic"], "--repair clasic is unknown; use some of model,classic,mean"),
        (["--repair", "mean", "--preparations", "A,D"], "--preparations D is unknown; use some of A,B,C"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        steady.main(["general-2x-psnr", *arguments])
    assert said in capsys.readouterr().err
