"""What a user adds to the encoder's command line: kept, chained or refused by name, and never swallowed."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import footage
import pytest
from gansr_process import Gansr, nothing_left, one_line

from vs_gansr.cli.common import CommandError
from vs_gansr.cli.upscale.encoder_options import divide, refusal, translated
from vs_gansr.cli.upscale.job import UpscaleJob


def test_a_filter_of_the_user_s_keeps_shape_and_colours(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    source = footage.anamorphic(tmp_path / "in.mkv")
    before = footage.facts(source).picture
    words = ["--preset", "ultrafast", "--", "-vf", "hflip", "-bsf:v", "hevc_metadata=level=5.1"]
    done = gansr("upscale", source, tmp_path / "out.mkv", "--model", point_model, *words)
    assert done.returncode == 0, done.stderr
    after = footage.facts(tmp_path / "out.mkv").picture
    assert after["sar"] == before["sar"] == Fraction(16, 11)
    for name in ("matrix", "primaries", "transfer", "range", "frames"):
        assert after[name] == before[name], name


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["-c:v", "libx264"], "use --encoder"),
        (["-vcodec", "copy"], "use --encoder"),
        (["-pix_fmt", "yuv420p"], "use --depth"),
        (["-aspect", "4:3"], "use --sar"),
        (["-colorspace:v", "bt709"], "use --matrix"),
        (["-r", "25"], "keeps its own time"),
        (["-t", "3"], "use --end or --frames"),
        (["-map", "0:a"], "use --drop"),
        (["-an"], "use --drop sound"),
        (["-filter_complex", "hflip"], ".vpy"),
        (["second.mkv"], "begin with"),
    ],
)
def test_what_would_replace_ours_is_refused(words: list[str], remedy: str) -> None:
    with pytest.raises(CommandError, match=remedy) as caught:
        divide(UpscaleJob("in.mkv", "out.mkv", extra=tuple(words)))
    assert words[0] in str(caught.value)


def test_what_concerns_the_sound_is_the_user_s() -> None:
    words = ("-c:a", "aac", "-b:a", "128k", "-filter:a", "volume=2", "-x264-params", "a=b", "-metadata", "x=y")
    divided = divide(UpscaleJob("in.mkv", "out.mkv", encoder="x264", params="c=d", extra=words))
    assert divided.params == ("c=d", "a=b") and not divided.filters
    assert divided.rest == (*words[:6], *words[8:])


@pytest.mark.parametrize("encoder", ["x265", "x264", "svt-av1"])
def test_an_unknown_parameter_is_named(gansr: Gansr, tmp_path: Path, encoder: str) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=3)
    done = gansr("upscale", source, tmp_path / "out.mkv", "--encoder", encoder, "--params", "foo=bar")
    assert done.returncode == 1
    line = one_line(done.stderr)
    assert encoder in line and "parameter" in line and '"foo"' in line
    nothing_left(tmp_path)


def test_unknown_presets_and_tunes_are_named(gansr: Gansr, tmp_path: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=3)
    words = {
        ("--preset", "foo"): 'x265 has no preset "foo"; it has: ultrafast',
        ("--encoder", "svt-av1", "--preset", "slow"): 'svt-av1 has no preset "slow"; it has: -1, 0',
        ("--encoder", "x264", "--", "-tune", "foo"): 'no tune "foo"',
        ("--crf", "99"): "x265 does not start",
    }
    for given, said in words.items():
        done = gansr("upscale", source, tmp_path / "out.mkv", *given)
        assert done.returncode == 1 and said in one_line(done.stderr), done.stderr
    nothing_left(tmp_path)


def test_encoders_words_are_understood() -> None:
    assert refusal(["[libx264 @ 0x1] Error parsing option 'aq-mode = zz'."]).endswith('"aq-mode"')
    assert refusal(["Svt[warn]: a remark"]) == ""
    assert translated(["[libx264 @ 0x1] Error setting preset/tune slow/foo."]) == 'it has no tune "foo"'
    assert translated(["x265 [error]: Aq-Mode is out of range"]) == "Aq-Mode is out of range"
    assert translated(["[x] Value 77.000000 for parameter 'preset' out of range [-2 - 13]"]).startswith("preset 77 is")
