"""`gansr upscale` on real files keeps every field of the source except the picture's size."""

from __future__ import annotations

import hashlib
import os
import subprocess
from fractions import Fraction
from pathlib import Path

import footage
import pytest
import vapoursynth as vs
from encodes import FAST, frame_hashes, same_times, upscale
from footage import facts
from gansr_process import Gansr, one_line


@pytest.mark.slow
@pytest.mark.parametrize(("source_suffix", "suffix"), [("mp4", "mkv"), ("mkv", "mp4"), ("mp4", "mov"), ("ts", "mkv")])
def test_variable_rate_with_sound_keeps_every_time(
    gansr: Gansr, tmp_path: Path, point_model: Path, source_suffix: str, suffix: str
) -> None:
    source = footage.variable(tmp_path / f"in.{source_suffix}")
    before = facts(source)
    after = upscale(gansr, source, tmp_path / f"out.{suffix}", point_model)

    assert before.picture["frames"] == after.picture["frames"] == 60
    assert after.picture["size"] == (192, 128)
    assert len({b - a for a, b in zip(before.times[0], before.times[0][1:], strict=False)}) > 1, "not variable"
    exact = suffix != "mkv" and source_suffix != "mkv"  # Matroska counts in milliseconds
    same_times(before, after, 0, 0, exact)
    same_times(before, after, 1, 1, False)
    assert after.content[1] == before.content[1] or source_suffix == "ts" or suffix == "ts", "the sound changed"
    frame = Fraction(1, 30)
    assert abs((after.ends[0] - after.times[0][0]) - (after.ends[1] - max(after.times[1][0], 0))) < frame
    assert abs((after.ends[0] - after.times[0][0]) - (before.ends[0] - before.times[0][0])) < frame / 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["in [1] 'x' ü%03d.mkv", "#a:b;c,d.mkv", "-y.mkv"])
def test_names_that_mean_something_elsewhere(gansr: Gansr, tmp_path: Path, point_model: Path, name: str) -> None:
    source = footage.plain(tmp_path / "in.mkv", frames=2).rename(tmp_path / name)
    after = upscale(gansr, source, tmp_path / f"out {name}", point_model)
    assert after.picture["frames"] == 2 and after.kinds == ["video", "audio"]


def test_a_single_frame(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    source = tmp_path / "in.mkv"
    footage.ffmpeg(*footage.picture(frames=1), *footage.H264, "-pix_fmt", "yuv420p", source)
    assert upscale(gansr, source, tmp_path / "out.mkv", point_model).picture["frames"] == 1


def test_every_track_chapter_and_attachment_comes_along(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    source = footage.many_tracks(tmp_path / "in.mkv")
    before = facts(source)
    after = upscale(gansr, source, tmp_path / "out.mkv", point_model)

    assert after.kinds == before.kinds == ["video", "audio", "audio", "subtitle", "subtitle", "attachment"]
    assert after.codecs == ["hevc", *before.codecs[1:]]
    assert after.marks == before.marks
    assert after.content[1:] == before.content[1:]
    for key in ("language", "title", "filename", "mimetype"):
        assert [tags.get(key) for tags in after.tags] == [tags.get(key) for tags in before.tags], key
    assert after.chapters == before.chapters and len(after.chapters) == 2
    assert after.metadata["title"] == "A film"
    for place in range(5):
        same_times(before, after, place, place, False)
    footage.ffmpeg(
        f"-dump_attachment:{5}", tmp_path / "dumped", "-i", tmp_path / "out.mkv", "-t", "0", "-f", "null", "-"
    )
    assert (tmp_path / "dumped").read_bytes() == (tmp_path / "font.ttf").read_bytes()
    assert abs(after.ends[0] - after.ends[2]) < Fraction(1, 25)


@pytest.mark.slow
def test_mp4_gets_subtitles_in_its_own_form_and_no_attachment_unasked(
    gansr: Gansr, tmp_path: Path, point_model: Path
) -> None:
    source = footage.many_tracks(tmp_path / "in.mkv")
    refused = gansr("upscale", source, tmp_path / "out.mp4", "--model", point_model, "-q")
    assert refused.returncode == 1
    line = one_line(refused.stderr)
    assert "out.mp4 cannot hold" in line and "font.ttf" in line and "--drop" in line
    assert "audio track" not in line and "subtitle track" not in line, "tracks that are not at fault"
    assert not (tmp_path / "out.mp4").exists()

    after = upscale(gansr, source, tmp_path / "out.mp4", point_model, "--drop", "attachments")
    assert after.codecs[:5] == ["hevc", "aac", "flac", "mov_text", "mov_text"]
    assert [tags.get("language") for tags in after.tags[1:5]] == ["eng", "deu", "eng", "jpn"]
    assert [chapter[2] for chapter in after.chapters] == ["One", "Two"]
    assert after.metadata["title"] == "A film"


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "encoder"), [("mp4", "x265"), ("mkv", "x264"), ("mkv", "x265")])
def test_cover_art_comes_along_and_delays_nothing(
    gansr: Gansr, tmp_path: Path, point_model: Path, suffix: str, encoder: str
) -> None:
    plain, source = footage.plain(tmp_path / "plain.mp4"), tmp_path / "in.mp4"
    still = [*footage.picture("64x64", frames=1), "-map", "0", "-map", "1:v"]
    footage.ffmpeg("-i", plain, *still, "-c", "copy", "-c:v:1", "mjpeg", "-disposition:v:1", "attached_pic", source)
    before = facts(source)
    output = tmp_path / f"out.{suffix}"
    after = upscale(gansr, source, output, point_model, "--encoder", encoder)
    assert before.kinds.count("video") == after.kinds.count("video") == 2
    cover = next(n for n, marks in enumerate(after.marks) if "attached_pic" in marks)
    assert sorted(after.content[1:]) == sorted(before.content[1:])
    assert after.picture["frames"] == 20
    assert after.times[0][0] == 0 and (suffix == "mp4" or after.tags[cover]["filename"] == "cover.jpg")
    listing = subprocess.run([footage.FFMPEG, "-i", str(output)], capture_output=True, text=True).stderr
    assert "start: 0.000000" in listing


@pytest.mark.slow
def test_printed_script_makes_the_same_frames(gansr: Gansr, tmp_path: Path, small_model: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=6)
    words = ["--height", "100", "--depth", "10", "--model", small_model]
    printed = gansr("upscale", source, tmp_path / "out.mkv", "--script-only", *words)
    assert (printed.returncode, printed.stderr) == (0, "")
    assert not (tmp_path / "out.mkv").exists()
    (tmp_path / "clip.vpy").write_text(printed.stdout)
    vspipe = Path(vs.__file__).parent / "vspipe"
    with (tmp_path / "clip.y4m").open("wb") as y4m:
        subprocess.run([vspipe, "-c", "y4m", tmp_path / "clip.vpy", "-"], stdout=y4m, check=True)

    upscale(gansr, source, tmp_path / "out.mkv", small_model, *map(str, words[:4]), "--params", "lossless=1")
    expected = frame_hashes(tmp_path / "clip.y4m")
    assert len(set(expected)) == 6
    assert frame_hashes(tmp_path / "out.mkv") == expected


def test_names_that_are_no_utf8(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    """Also a source whose transparency is lost, which is said."""
    name = os.fsdecode(b"n\xff")
    alpha = ["-vf", "format=yuva444p10le", "-c:v", "prores_ks", "-profile:v", "4444", tmp_path / "in.mov"]
    footage.ffmpeg(*footage.picture(frames=2), *alpha)
    (tmp_path / "in.mov").rename(tmp_path / f"{name}.mov")
    done = gansr("upscale", tmp_path / f"{name}.mov", tmp_path / f"{name}.mkv", "--model", point_model, *FAST)
    assert done.returncode == 0, done.stderr
    assert "alpha plane (transparency) is not carried" in done.stderr
    assert facts(tmp_path / f"{name}.mkv").picture["frames"] == 2
    printed = gansr("upscale", tmp_path / f"{name}.mov", tmp_path / "o.mkv", "--script-only", "--model", point_model)
    assert r"n\xff.mov', track=0" in printed.stdout, printed.stderr


def test_a_script_that_cannot_be_printed_is_one_line(gansr: Gansr, tmp_path: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=2)
    (tmp_path / "text.mkv").write_text("no film")
    for path, words, said in (
        (source, ["--model", "nonsense"], 'Upscale: unknown model "nonsense"'),
        (source, ["--strength", "7", "-v"], "strength 7"),
        (tmp_path / "text.mkv", [], "cannot be read as video"),
    ):
        done = gansr("upscale", path, tmp_path / "out.mkv", "--script-only", *words)
        assert (done.returncode, done.stdout) == (1, "") and said in one_line(done.stderr)


@pytest.mark.slow
def test_depth_follows_the_source_and_dithers_only_downwards(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    deep, flat = footage.hdr(tmp_path / "deep.mkv"), footage.plain(tmp_path / "flat.mp4", frames=3)
    assert upscale(gansr, flat, tmp_path / "a.mkv", point_model).picture["format"] == "yuv420p"
    assert upscale(gansr, flat, tmp_path / "b.mkv", point_model, "--depth", "10").picture["format"] == "yuv420p10le"
    assert upscale(gansr, deep, tmp_path / "c.mkv", point_model, "--depth", "8").picture["format"] == "yuv420p"
    scripts = {
        name: gansr("upscale", path, tmp_path / "x.mkv", "--script-only", "--height", "90", "--depth", depth,
                    "--model", point_model).stdout
        for name, path, depth in (("up", flat, "10"), ("same", flat, "8"), ("down", deep, "8"))
    }  # fmt: skip
    assert [name for name, text in scripts.items() if "error_diffusion" in text] == ["down"]


def test_options_reach_the_encoder(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=4)
    words = ["--crf", "33", "--params", "bframes=1", "--", "-x265-params", "keyint=77", "-metadata", "comment=hello"]
    after = upscale(gansr, source, tmp_path / "out.mkv", point_model, *words)
    text = (tmp_path / "out.mkv").read_bytes()
    for option in (b"crf=33.0", b"bframes=1", b"keyint=77"):
        assert option in text, option
    assert after.metadata["comment"] == "hello"


@pytest.mark.slow
def test_notes_name_what_was_assumed_and_progress_is_plain_lines(
    gansr: Gansr, tmp_path: Path, point_model: Path
) -> None:
    source = footage.variable(tmp_path / "in.mp4")
    done = gansr("upscale", source, tmp_path / "out.mkv", "--model", point_model, *FAST)
    lines = done.stderr.splitlines()
    assert any(line.startswith("note: Upscale: frame 0 does not say its matrix") for line in lines)
    assert any(line.startswith("60/60 frames, 100.0 %") for line in lines)
    assert "\r" not in done.stderr and "\x1b" not in done.stderr
    assert lines[-1].startswith(f"{tmp_path / 'out.mkv'}: 60 frames of 192x128 in ")
    assert not any("return value" in line for line in lines), "an inner matter of the source filter"


@pytest.mark.slow
def test_sound_that_starts_earlier_or_later_stays_in_place(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    plain = footage.plain(tmp_path / "plain.mkv")
    for delay in ("-0.32", "0.32"):
        source, output = tmp_path / f"in{delay}.mkv", tmp_path / f"out{delay}.mkv"
        footage.ffmpeg(
            "-i", plain, "-itsoffset", delay, "-i", plain, "-map", "0:v", "-map", "1:a", "-c", "copy", source
        )
        before, after = facts(source), upscale(gansr, source, output, point_model)
        assert abs(before.times[1][0] - before.times[0][0]) > Fraction(1, 4)
        same_times(before, after, 0, 0, False)
        same_times(before, after, 1, 1, False)


def test_avi_with_unknown_times_at_a_constant_rate(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    source = tmp_path / "in.avi"
    footage.ffmpeg(*footage.picture(), *footage.tone(0.8), "-c:v", "mpeg4", "-bf", "2", "-c:a", "mp3", source)
    after = upscale(gansr, source, tmp_path / "out.mkv", point_model)
    assert after.picture["frames"] == 20
    gaps = {round(b - a, 3) for a, b in zip(after.times[0], after.times[0][1:], strict=False)}
    assert gaps == {Fraction(40, 1000)}


def test_lossless_content_is_hashed_over_real_pictures(tmp_path: Path) -> None:
    """The hash above tells different pictures apart."""
    path = footage.plain(tmp_path / "in.mp4", frames=4)
    hashes = frame_hashes(path)
    assert len(set(hashes)) == 4 and hashes[0] != hashlib.md5(b"").hexdigest()
