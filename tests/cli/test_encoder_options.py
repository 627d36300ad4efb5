"""The user's encoder options are used, chained or refused by name."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import footage
import pytest
from command_fixtures import WITH_SVT_AV1
from gansr_process import Gansr, nothing_left, one_line

from vs_gansr.cli.common import CommandError
from vs_gansr.cli.upscale.ffmpeg.command import lit
from vs_gansr.cli.upscale.ffmpeg.options import check, divide
from vs_gansr.cli.upscale.ffmpeg.trials import refusal, translated
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


@pytest.mark.parametrize("encoder", ["x265", "x264", pytest.param("svt-av1", marks=WITH_SVT_AV1)])
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
        ("--encoder", "x264", "--", "-tune", "foo"): 'no tune "foo"',
        ("--crf", "99"): "x265 does not start",
    }
    for given, said in words.items():
        done = gansr("upscale", source, tmp_path / "out.mkv", *given)
        assert done.returncode == 1 and said in one_line(done.stderr), done.stderr
    nothing_left(tmp_path)


@WITH_SVT_AV1
def test_presets_of_svt_av1_are_numbers(gansr: Gansr, tmp_path: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=3)
    done = gansr("upscale", source, tmp_path / "out.mkv", "--encoder", "svt-av1", "--preset", "slow")
    assert done.returncode == 1 and 'svt-av1 has no preset "slow"; it has: -1, 0' in one_line(done.stderr)


def test_encoders_words_are_understood() -> None:
    assert refusal(["[libx264 @ 0x1] Error parsing option 'aq-mode = zz'."]).endswith('"aq-mode"')
    assert refusal(["Svt[warn]: a remark"]) == ""
    assert translated(["[libx264 @ 0x1] Error setting preset/tune slow/foo."]) == 'it has no tune "foo"'
    assert translated(["x265 [error]: Aq-Mode is out of range"]) == "Aq-Mode is out of range"
    assert translated(["[x] Value 77.000000 for parameter 'preset' out of range [-2 - 13]"]).startswith("preset 77 is")


@pytest.mark.parametrize(
    ("encoder", "params", "remedy"),
    [
        ("x265", "colorprim=bt2020:sar=4", "colorprim is not allowed, because gansr sets it.*use --primaries"),
        ("x265", "aq-mode=3:sar=4", "use --sar"),
        ("x265", "interlace=tff", "--field"),
        ("x265", "field=1", "--field"),
        ("x265", "output-depth=8", "use --depth"),
        ("x265", "fps=30", "keeps its own time"),
        ("x265", "crf=20", "use --crf"),
        ("x264", "fullrange=on", "use --range"),
        ("x264", "colormatrix=bt709", "use --matrix"),
        ("x264", "transfer=bt709", "use --transfer"),
        ("x264", "tff=1", "--field"),
        ("x264", "force_cfr=1", "keeps its own time"),
        ("svt-av1", "color-primaries=9", "use --primaries"),
        ("svt-av1", "matrix-coefficients=9:lp=1", "use --matrix"),
        ("x265", "deblock=-1:-1", "use a comma: deblock=-1,-1"),
        ("x264", "psy-rd=1.0:0.15", "use a comma: psy-rd=1.0,0.15"),
        ("x265", "no-sao", "write no-sao=1"),
    ],
)
def test_parameters_that_contradict_the_file_are_refused(encoder: str, params: str, remedy: str) -> None:
    with pytest.raises(CommandError, match=f"^--params: .*{remedy}"):
        check(UpscaleJob("in.mkv", "out.mkv", encoder=encoder, params=params))
    option = {"x265": "-x265-params", "x264": "-x264-params:v", "svt-av1": "-svtav1-params"}[encoder]
    with pytest.raises(CommandError, match=f"^{option}: .*{remedy}"):
        divide(UpscaleJob("in.mkv", "out.mkv", encoder=encoder, extra=(option, params)))


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (("-x264opts", "sar=4"), "use --sar"),
        (("-bsf:v", "h264_metadata=colour_primaries=9"), "use --primaries"),
        (("-bsf:v", "h264_metadata=level=4.1:sample_aspect_ratio=4/3"), "use --sar"),
        (("-field_order", "tt"), "--field"),
    ],
)
def test_what_contradicts_the_file_is_refused_behind_the_dashes(words: tuple[str, ...], remedy: str) -> None:
    with pytest.raises(CommandError, match=remedy):
        divide(UpscaleJob("in.mkv", "out.mkv", encoder="x264", extra=words))


@pytest.mark.parametrize("params", ["deblock=-1,-1:aq-mode=3", "zones=0,10,q=20:me=hex", "psy-rd=1.0,0.15", ""])
def test_other_parameters_are_taken(params: str) -> None:
    check(UpscaleJob("in.mkv", "out.mkv", encoder="x264", params=params))


def test_light_that_the_user_gives_is_not_contradicted() -> None:
    props = {"MasteringDisplayMaxLuminance": 1000.0, "ContentLightLevelMax": 800, "_Matrix": 9}
    job = UpscaleJob("in.mkv", "out.mkv", params="max-cll=1000,400")
    assert lit(job, props) == {"MasteringDisplayMaxLuminance": 1000.0, "_Matrix": 9}
    assert lit(UpscaleJob("in.mkv", "out.mkv"), props) == props
