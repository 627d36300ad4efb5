"""Parts of a film, stills and wipes have the requested frames with their sound."""

from __future__ import annotations

from argparse import ArgumentTypeError
from fractions import Fraction
from pathlib import Path

import av
import footage
import numpy as np
import pytest
import vapoursynth as vs
from footage import facts
from gansr_process import Gansr, one_line

from vs_gansr.cli.common import CommandError
from vs_gansr.cli.upscale.arguments import moment
from vs_gansr.cli.upscale.job import UpscaleJob
from vs_gansr.cli.upscale.script.steps import chosen, enlarged_plainly

FAST = ["--preset", "ultrafast", "--encoder", "x264"]
MS = Fraction(1, 1000)


def job(**given: object) -> UpscaleJob:
    return UpscaleJob("in.mkv", "out.mkv", **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "span"),
    [
        ({"start": 0.4}, (10, 100)),
        ({"end": 0.4}, (0, 10)),
        ({"start": 1.0, "end": 2.0}, (25, 50)),
        ({"start": 1.0, "frames": 3}, (25, 28)),
        ({"frames": 500}, (0, 100)),
        ({"test": 1.0}, (37, 62)),
        ({"test": 60.0}, (0, 100)),
    ],
)
def test_which_frames_are_meant(given: dict[str, float], span: tuple[int, int]) -> None:
    stamps = [1000 + 40 * n for n in range(100)]
    assert chosen(job(**given), stamps, MS, Fraction(1)) == span


def test_a_part_without_frames_is_refused() -> None:
    with pytest.raises(CommandError, match=r"last one is shown at 3\.96 s"):
        chosen(job(start=5.0), [40 * n for n in range(100)], MS, Fraction(0))


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("1:30.5", 90.5), ("10s", 10), ("0:01:00", 60)])
def test_times_as_people_write_them(text: str, seconds: float) -> None:
    assert moment(text) == seconds
    with pytest.raises(ArgumentTypeError, match="is not a time"):
        moment("ten")


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_part_has_its_own_sound_and_chapters(gansr: Gansr, tmp_path: Path, point_model: Path, suffix: str) -> None:
    source = footage.many_tracks(tmp_path / "in.mkv")
    words = ["--start", "0.4", "--end", "0.8", *FAST, *(["--drop", "attachments"] if suffix == "mp4" else [])]
    done = gansr("upscale", source, tmp_path / f"out.{suffix}", "--model", point_model, *words)
    assert done.returncode == 0, done.stderr
    before, after = facts(source), facts(tmp_path / f"out.{suffix}")
    assert after.picture["frames"] == 10 and after.times[0][0] <= MS
    for track in after.of("audio"):
        assert abs(after.times[track][0]) < Fraction(3, 100) and abs(after.ends[track] - Fraction(4, 10)) < Fraction(
            1, 20
        )
    start, end, title = after.chapters[-1]
    assert (start, title) == (0, "Two") and end <= Fraction(1, 2)
    assert len(before.times[0]) == 25 and all(chapter[1] == 0 for chapter in after.chapters[:-1])
    script = gansr("upscale", source, "o.mkv", "--script-only", "--model", point_model, *words).stdout
    assert "clip = core.std.Trim(clip, first=10, last=19)" in script


@pytest.mark.slow
def test_stills_and_a_wipe(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=20)
    done = gansr("upscale", source, tmp_path / "out.mkv", "--model", point_model, "--stills", "2", "--frames", "8")
    assert done.returncode == 0, done.stderr
    stills = sorted(path.name for path in tmp_path.glob("*.png"))
    assert stills == [f"out.frame{n:06}.{p}.png" for n in (2, 6) for p in (100, 300)]
    assert not (tmp_path / "out.mkv").exists()
    with av.open(str(tmp_path / stills[0])) as png:
        whole = next(png.decode(video=0)).to_ndarray(format="rgb24")
    assert whole.shape == (128, 384, 3)
    left, right = whole[:, :192], whole[:, 192:]
    assert np.abs(left.astype(int) - right).mean() < 12, "not the same moment"
    assert (left != right).any(), "the source is not beside the result"

    done = gansr("upscale", source, tmp_path / "wipe.mkv", "--model", point_model, "--compare", *FAST)
    assert done.returncode == 0, done.stderr
    with av.open(str(tmp_path / "wipe.mkv")) as video:
        frames = [frame.to_ndarray(format="gray") for frame in video.decode(video=0)]
    assert len(frames) == 20 and frames[0].shape == (128, 192)
    bars = [int(np.argmax(frame.astype(float).mean(axis=0))) for frame in frames]
    assert bars == sorted(bars) and bars[-1] > bars[0] + 20, "the line does not move"


def test_impossible_parts_are_one_line(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=3)
    done = gansr("upscale", source, tmp_path / "out.mkv", "--model", point_model, "--start", "9")
    assert done.returncode == 1 and "no frame lies in the part asked for" in one_line(done.stderr)
    assert gansr("upscale", source, tmp_path / "out.mkv", "--start", "soon").returncode == 2
    both = gansr("upscale", source, tmp_path / "out.mkv", "--test", "1s", "--start", "1")
    assert both.returncode == 1 and "omit one of them" in one_line(both.stderr)


@pytest.mark.parametrize("matrix", [1, 6])
def test_both_sides_of_a_comparison_have_one_matrix(matrix: int) -> None:
    """Of RGB sources, whose result has the matrix that goes with its size."""
    source = vs.core.std.BlankClip(format=vs.RGB24, width=32, height=32, length=1, color=[200, 40, 90])
    result = source.resize.Bicubic(64, 64, format=vs.YUV444P8, matrix=matrix)
    plain = enlarged_plainly(source, result)
    assert plain.get_frame(0).props["_Matrix"] == matrix
    for plane in range(3):
        assert (
            np.abs(np.asarray(plain.get_frame(0)[plane]).astype(int) - np.asarray(result.get_frame(0)[plane])).max()
            <= 1
        )
