"""Scripts and images as sources, overridden tags, interlaced frames, filters, and stored settings."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import footage
import pytest
from footage import facts
from gansr_process import Gansr, one_line

from vs_gansr.cli.common import CommandError
from vs_gansr.cli.upscale.arguments import MATRICES, named
from vs_gansr.cli.upscale.job import UpscaleJob
from vs_gansr.cli.upscale.job.kept_options import stored
from vs_gansr.cli.upscale.script import filters
from vs_gansr.cli.upscale.source.clip import first_number

FAST = ["--preset", "ultrafast", "--encoder", "x264"]
SCRIPT = """
import vapoursynth as vs
from pathlib import Path
print("a script may print")
assert Path("beside.txt").exists(), "not in its own folder"
clip = vs.core.std.BlankClip(format=vs.YUV420P8, width=64, height=48, length=12, fpsnum=24, color=[90, 120, 130])
clip.std.SetFrameProps(_Matrix=1, _Primaries=1, _Transfer=1).set_output()
"""


def interlaced(path: Path, size: str = "96x96", frames: int = 20) -> Path:
    """Top field first, MPEG-2."""
    tff = ["-vf", "format=yuv420p,setfield=tff", "-flags", "+ilme+ildct", "-c:v", "mpeg2video"]
    footage.ffmpeg(*footage.picture(size, "30000/1001", frames), *tff, path)
    return path


def test_a_script_is_a_source(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    (tmp_path / "beside.txt").touch()
    script, sound = tmp_path / "a script.vpy", footage.many_tracks(tmp_path / "in.mkv")
    script.write_text(SCRIPT)
    done = gansr("upscale", script, tmp_path / "out.mkv", "--model", point_model, *FAST)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    alone = facts(tmp_path / "out.mkv")
    assert alone.kinds == ["video"] and alone.picture["size"] == (128, 96) and alone.picture["frames"] == 12
    assert (alone.picture["matrix"], alone.picture["primaries"]) == (1, 1)
    assert abs(alone.ends[0] - Fraction(1, 2)) < Fraction(1, 100)
    words = ["--as-is", "--tracks", str(sound), "--depth", "10", *FAST]
    done = gansr("upscale", script, tmp_path / "as-is.mkv", *words)
    assert done.returncode == 0, done.stderr
    beside = facts(tmp_path / "as-is.mkv")
    assert beside.picture["size"] == (64, 48) and beside.picture["format"] == "yuv420p10le"
    assert beside.kinds == facts(sound).kinds and beside.metadata["title"] == "A film"
    refused = gansr("upscale", script, tmp_path / "no.mkv", "--script-only")
    assert refused.returncode == 1 and "is already a script" in one_line(refused.stderr)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nothing_like_it", "line 1: ModuleNotFoundError"),
        ("clip = (", "line 1: '(' was never closed"),
        ("import vapoursynth as vs\nvs.core.std.BlankClip(width=-1)", "line 2: Error: BlankClip"),
        ("x = 1", "sets no video output 0"),
    ],
)
def test_a_script_that_fails_says_where(gansr: Gansr, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.vpy").write_text(text)
    done = gansr("upscale", tmp_path / "bad.vpy", tmp_path / "out.mkv", "-q")
    assert done.returncode == 1 and said in one_line(done.stderr) and "bad.vpy" in done.stderr


@pytest.mark.slow
def test_numbered_images_are_a_source(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    footage.ffmpeg(*footage.picture(frames=5), "-start_number", "7", tmp_path / "im%03d.png")
    words = ["--fps", "24", "--chroma", "420", "--model", point_model, *FAST]
    done = gansr("upscale", tmp_path / "im%03d.png", tmp_path / "out.mkv", *words)
    assert done.returncode == 0, done.stderr
    after = facts(tmp_path / "out.mkv")
    assert after.picture["frames"] == 5 and after.picture["size"] == (192, 128)
    assert after.times[0][4] - after.times[0][0] == Fraction(167, 1000)
    without = gansr("upscale", tmp_path / "im%03d.png", tmp_path / "o.mkv", "-q")
    assert "give --fps" in one_line(without.stderr)
    (tmp_path / "im009.png").unlink()
    with pytest.raises(CommandError, match=r"im009\.png is missing"):
        first_number(str(tmp_path / "im%03d.png"))
    with pytest.raises(CommandError, match="no file matches"):
        first_number(str(tmp_path / "no%03d.png"))


@pytest.mark.slow
def test_tags_that_lie_are_put_right(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=3)
    words = [
        "--matrix",
        "bt2020ncl",
        "--primaries",
        "2020",
        "--transfer",
        "st2084",
        "--range",
        "full",
        "--sar",
        "16:11",
    ]
    done = gansr("upscale", source, tmp_path / "out.mkv", "--model", point_model, *words, *FAST)
    assert done.returncode == 0, done.stderr
    after = facts(tmp_path / "out.mkv").picture
    assert (after["matrix"], after["primaries"], after["transfer"], after["range"]) == (9, 9, 16, 2)
    assert after["sar"] == Fraction(16, 11)
    assert named(MATRICES)("BT709") == named(MATRICES)("1") == 1
    wrong = gansr("upscale", source, tmp_path / "o.mkv", "--matrix", "bt7009")
    assert wrong.returncode == 2 and "is unknown; use one of: rgb, 709" in wrong.stderr


@pytest.mark.slow
def test_interlaced_frames(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    source = interlaced(tmp_path / "in.mkv")
    refused = gansr("upscale", source, tmp_path / "no.mkv", "-q")
    assert "is interlaced (top field first)" in one_line(refused.stderr) and "--field ivtc" in refused.stderr
    for field, frames in (("progressive", 20), ("deinterlace", 20), ("bob", 40), ("ivtc", 16)):
        output = tmp_path / f"{field}.mkv"
        done = gansr("upscale", source, output, "--field", field, "--model", point_model, *FAST)
        assert done.returncode == 0, done.stderr
        after = facts(output)
        assert after.picture["frames"] == frames and not after.picture["interlaced"]
        assert abs(after.ends[0] - 20 * Fraction(1001, 30000)) < Fraction(1, 200), field
    assert "note: bwdif.Bwdif" in gansr("upscale", source, tmp_path / "x.mkv", "--field", "bob", "--frames", "2",
                                        "--model", point_model, *FAST).stderr  # fmt: skip


@pytest.mark.parametrize(
    ("stamps", "field", "times", "divisor"),
    [
        ([0, 40, 80], "", (0, 40, 80), 1),
        ([0, 40, 90], "bob", (0, 40, 80, 130, 180, 230), 2),
        ([0, 33, 67, 100, 133, 167, 200], "ivtc", (0, 166, 334, 499, 668, 800), 4),
    ],
)
def test_times_of_frames_between_frames(stamps: list[int], field: str, times: tuple[int, ...], divisor: int) -> None:
    assert filters.shown(stamps, field) == (times, divisor)


@pytest.mark.slow
def test_noise_bands_and_grain_as_one_number_each(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=3)
    words = ["--denoise", "4", "--deband", "2", "--grain", "1.5", "--model", point_model, *FAST]
    done = gansr("upscale", source, tmp_path / "out.mkv", *words)
    assert done.returncode == 0, done.stderr
    assert facts(tmp_path / "out.mkv").picture["size"] == (192, 128)
    printed = gansr("upscale", source, tmp_path / "o.mkv", "--script-only", *words).stdout
    calls = [line.split("core.")[1].split("(")[0] for line in printed.splitlines() if "core." in line][1:]
    assert calls == ["zsmooth.FluxSmoothST", "gansr.Upscale", "vszip.Deband", "vszip.Deband", "resize.Spline36"]
    assert "dither_type='error_diffusion'" in printed and "vs.YUV420P16" in printed


def test_settings_are_kept(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=2)
    preset = tmp_path / "film.toml"
    preset.write_text('encoder = "x264"\npreset = "ultrafast"\ncrf = 31.5\ngrain = 1.0\nextra = ["-tune", "grain"]\n')
    first = tmp_path / "first.mp4"
    done = gansr("upscale", source, first, "--preset-file", preset, "--model", point_model, "--crf", "33")
    assert done.returncode == 0, done.stderr
    line = "gansr upscale --encoder=x264 --crf=33 --preset=ultrafast --grain=1 --model=point -- -tune grain"
    assert facts(first).metadata["comment"] == line
    again = gansr("upscale", source, tmp_path / "again.mkv", "--like", first, "--model", point_model, "--grain", "0")
    assert again.returncode == 0, again.stderr
    after = facts(tmp_path / "again.mkv")
    assert after.codecs[0] == "h264" and after.metadata["gansr"] == line.replace("--grain=1 ", "")
    assert b"crf=33.0" in (tmp_path / "again.mkv").read_bytes()
    assert "no options are stored in this file" in one_line(
        gansr("upscale", source, tmp_path / "x.mkv", "--like", source).stderr
    )
    alone = gansr("upscale", source, tmp_path / "alone.mp4", "--model", point_model, *FAST, "--", "-metadata", "gansr=")
    assert alone.returncode == 0 and "comment" not in facts(tmp_path / "alone.mp4").metadata, alone.stderr
    preset.write_text("crff = 3\n")
    assert '"crff" is not an option' in one_line(
        gansr("upscale", source, tmp_path / "x.mkv", "--preset-file", preset).stderr
    )


def test_stored_settings_hold_no_path() -> None:
    assert stored(UpscaleJob("/a/in.mkv", "/a/out.mkv", model="/home/me/net.onnx", width=64)).endswith(
        "--width=64 --model=net"
    )


def test_a_name_with_a_dash_in_front(gansr: Gansr, tmp_path: Path) -> None:
    done = gansr("upscale", "-x.mkv", tmp_path / "out.mkv")
    assert done.returncode == 1 and "write ./-x.mkv" in one_line(done.stderr)
