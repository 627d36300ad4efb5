"""A film rendered in chunks equals the film rendered at once: frames, times and tracks."""

from __future__ import annotations

import os
import shutil
from fractions import Fraction
from pathlib import Path

import footage
import networks
import pytest
from command_fixtures import WITH_SVT_AV1
from encodes import FAST, KEPT, LOSSLESS, frame_hashes, in_chunks, same_times
from footage import facts
from gansr_process import Gansr, named, one_line


@pytest.mark.slow
@pytest.mark.parametrize(("source_suffix", "suffix"), [("mp4", "mkv"), ("mkv", "mp4"), ("mp4", "mov"), ("ts", "mkv")])
def test_variable_rate_with_sound_keeps_every_frame_and_time(
    gansr: Gansr, tmp_path: Path, point_model: Path, source_suffix: str, suffix: str
) -> None:
    source = footage.variable(tmp_path / f"in.{source_suffix}")
    whole, joined = tmp_path / f"whole.{suffix}", tmp_path / f"out.{suffix}"
    assert gansr("upscale", source, whole, "--model", point_model, "--chunk", "0", *LOSSLESS).returncode == 0
    before, once, after = facts(source), facts(whole), in_chunks(gansr, source, joined, point_model, *LOSSLESS)
    assert after.picture == once.picture and after.picture["frames"] == 60
    assert frame_hashes(joined) == frame_hashes(whole)
    assert after.times == once.times and after.content[1] == once.content[1]
    assert [round(end, 3) for end in after.ends] == [round(end, 3) for end in once.ends]
    exact = suffix != "mkv" and source_suffix != "mkv"  # Matroska counts in milliseconds
    same_times(before, after, 0, 0, exact)


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["x265", "x264", pytest.param("svt-av1", marks=WITH_SVT_AV1)])
@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_hdr10_and_colours_are_what_one_piece_has(
    gansr: Gansr, tmp_path: Path, point_model: Path, encoder: str, suffix: str
) -> None:
    short = footage.hdr(tmp_path / "short.mkv")
    source = tmp_path / "in.mkv"
    footage.ffmpeg("-stream_loop", "3", "-i", short, "-c", "copy", source)
    words = ["--encoder", encoder, "--preset", "12" if encoder == "svt-av1" else "superfast"]
    whole, joined = tmp_path / f"whole.{suffix}", tmp_path / f"out.{suffix}"
    assert gansr("upscale", source, whole, "--model", point_model, "--chunk", "0", *words).returncode == 0
    once, after = facts(whole), in_chunks(gansr, source, joined, point_model, *words)
    assert after.picture == once.picture and after.picture["frames"] == 48
    assert after.picture["light"]["light"] == [1000.0, 400.0]
    assert {key: after.picture[key] for key in KEPT} == {key: facts(source).picture[key] for key in KEPT}
    assert after.times == once.times


@pytest.mark.slow
def test_a_network_of_three_frames_sees_beyond_its_chunk(gansr: Gansr, tmp_path: Path) -> None:
    """At the borders of chunks the frames are those of the film in one piece, neighbours and all."""
    model = networks.mix_of_three(tmp_path / "t3.onnx", (0.5, 0.0, 0.5))
    source, whole, joined = footage.plain(tmp_path / "in.mp4", frames=40), tmp_path / "whole.mkv", tmp_path / "out.mkv"
    assert gansr("upscale", source, whole, "--model", model, "--chunk", "0", *LOSSLESS).returncode == 0
    in_chunks(gansr, source, joined, model, *LOSSLESS)
    assert frame_hashes(joined) == frame_hashes(whole)


@pytest.mark.slow
def test_tracks_chapters_attachments_and_options_once_at_the_end(
    gansr: Gansr, tmp_path: Path, point_model: Path
) -> None:
    source = footage.many_tracks(tmp_path / "in.mkv")
    before = facts(source)
    after = in_chunks(
        gansr, source, tmp_path / "out.mkv", point_model, *FAST, "--params", "bframes=1", "--",
        "-x265-params", "keyint=77", "-metadata", "comment=hello",
    )  # fmt: skip
    assert after.kinds == before.kinds and after.codecs == ["hevc", *before.codecs[1:]]
    assert after.marks == before.marks and after.content[1:] == before.content[1:]
    for key in ("language", "title", "filename", "mimetype"):
        assert [tags.get(key) for tags in after.tags] == [tags.get(key) for tags in before.tags], key
    assert after.chapters == before.chapters and len(after.chapters) == 2
    for place in range(5):
        same_times(before, after, place, place, False)
    text = (tmp_path / "out.mkv").read_bytes()
    assert b"bframes=1" in text and b"keyint=77" in text
    assert after.metadata["comment"] == "hello" and after.metadata["title"] == "A film"


@pytest.mark.slow
@pytest.mark.parametrize("delay", ["-0.32", "0.32"])
def test_sound_that_starts_earlier_or_later(gansr: Gansr, tmp_path: Path, point_model: Path, delay: str) -> None:
    plain = footage.plain(tmp_path / "plain.mkv", frames=40)
    source = tmp_path / "in.mkv"
    footage.ffmpeg("-i", plain, "-itsoffset", delay, "-i", plain, "-map", "0:v", "-map", "1:a", "-c", "copy", source)
    before, after = facts(source), in_chunks(gansr, source, tmp_path / "out.mkv", point_model, *FAST)
    assert abs(before.times[1][0] - before.times[0][0]) > Fraction(1, 4)
    same_times(before, after, 0, 0, False)
    same_times(before, after, 1, 1, False)


@pytest.mark.slow
def test_open_start(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    """A source cut in the middle of a GOP: its first packets have no frames."""
    full, source = tmp_path / "full.ts", tmp_path / "in.ts"
    gop = ["-c:v", "libx264", "-preset", "fast", "-g", "12", "-x264-params", "open-gop=1:scenecut=0"]
    footage.ffmpeg(*footage.picture(frames=80), *footage.tone(3.2), "-pix_fmt", "yuv420p", *gop, "-c:a", "aac", full)
    data = full.read_bytes()
    source.write_bytes(data[len(data) // 500 * 188 :])
    words = ["--accept-damage", *LOSSLESS]
    whole = tmp_path / "whole.mkv"
    done = gansr("upscale", source, whole, "--model", point_model, "--chunk", "0", *words)
    assert done.returncode == 0, done.stderr
    once, after = facts(whole), in_chunks(gansr, source, tmp_path / "out.mkv", point_model, *words)
    assert frame_hashes(tmp_path / "out.mkv") == frame_hashes(whole)
    assert after.times == once.times and after.picture == once.picture


@pytest.mark.slow
def test_two_workers_make_the_same_packets(gansr: Gansr, tmp_path: Path, small_model: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=60)
    one = in_chunks(gansr, source, tmp_path / "one.mkv", small_model, "--preset", "superfast")
    two = in_chunks(gansr, source, tmp_path / "two.mkv", small_model, "--preset", "superfast", "--workers", "2")
    assert one.content == two.content and one.times == two.times and one.picture["frames"] == 60


@pytest.mark.parametrize("words", [["--", "-b:v", "1M"], ["--params", "bitrate=1000"], ["--", "-maxrate", "1M"]])
def test_what_counts_over_the_whole_film_is_refused(
    gansr: Gansr, tmp_path: Path, point_model: Path, words: list[str]
) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=50)
    done = gansr("upscale", source, tmp_path / "out.mkv", "--model", point_model, "--chunk", "0.6", "-q", *words)
    assert done.returncode == 1 and "--chunk 0" in one_line(done.stderr)
    assert not list(tmp_path.glob("*.gansr")) and not named(tmp_path)


@pytest.mark.slow
def test_a_short_clip_makes_no_folder(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=10)
    shutil.copy(source, tmp_path / "other.mp4")
    os.mkdir(tmp_path / "there.mkv.gansr")  # noqa: PTH102
    for name in ("out.mkv", "there.mkv"):
        done = gansr("upscale", source, tmp_path / name, "--model", point_model, *FAST)
        assert done.returncode == 0, done.stderr
