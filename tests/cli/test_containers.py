"""What containers and bare streams say of a film, and what becomes of it: captions, lengths, rates, tags, tracks."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from captions import CAPTIONED
from command_fixtures import WITH_SVT_AV1
from footage import H264, facts, ffmpeg, picture, plain, tone
from gansr_process import Gansr, one_line

from vs_gansr.cli import ffmpeg as ffmpegs
from vs_gansr.cli.common import CommandError
from vs_gansr.cli.upscale.ffmpeg import trials
from vs_gansr.cli.upscale.job import UpscaleJob

AS_IS = ["--as-is", "--preset", "ultrafast", "--encoder", "x264"]


@pytest.mark.parametrize(
    "file", [pytest.param(file, marks=WITH_SVT_AV1) if file == "av1.mkv" else file for file in CAPTIONED]
)
def test_captions_are_noted_once(gansr: Gansr, tmp_path: Path, file: str) -> None:
    CAPTIONED[file](tmp_path / file)
    done = gansr("upscale", tmp_path / file, tmp_path / "out.mkv", *AS_IS)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("closed captions inside the picture's stream (CEA-608 or 708)") == 1, done.stderr
    assert facts(tmp_path / "out.mkv").picture["frames"] == 20


ENCODED = {
    "in.flv": [*H264, "-c:a", "aac"],
    "in.mxf": ["-c:v", "mpeg2video", "-g", "1", "-c:a", "pcm_s16le", "-ar", "48000"],
    "in.wmv": ["-c:v", "wmv2", "-g", "1", "-c:a", "wmav2"],
}


@pytest.mark.parametrize("file", ENCODED)
def test_a_header_tells_of_a_file_that_ends_early(gansr: Gansr, tmp_path: Path, file: str) -> None:
    whole = tmp_path / f"whole{Path(file).suffix}"
    ffmpeg(*picture(frames=100), *tone(4), "-pix_fmt", "yuv420p", *ENCODED[file], whole)
    assert gansr("upscale", whole, tmp_path / "whole.mkv", *AS_IS, "-q").returncode == 0
    (tmp_path / file).write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    refused = gansr("upscale", tmp_path / file, tmp_path / "out.mkv", *AS_IS, "-q")
    assert refused.returncode == 1 and "is damaged: " in one_line(refused.stderr), refused.stderr
    if file != "in.flv":  # its last packets may be damaged besides
        assert "its header promises 4." in refused.stderr


@pytest.mark.parametrize("file", ["in.mjpeg", pytest.param("in.obu", marks=WITH_SVT_AV1)])
def test_a_bare_stream_without_a_rate_needs_one(gansr: Gansr, tmp_path: Path, file: str) -> None:
    codec = ["-c:v", "mjpeg"] if file == "in.mjpeg" else ["-c:v", "libsvtav1", "-preset", "11"]
    ffmpeg(*picture(), "-pix_fmt", "yuv420p", "-strict", "-1", *codec, tmp_path / file)
    refused = gansr("upscale", tmp_path / file, tmp_path / "out.mkv", *AS_IS, "-q")
    assert refused.returncode == 1 and "has no frame rate; give --fps" in refused.stderr
    done = gansr("upscale", tmp_path / file, tmp_path / "out.mkv", *AS_IS, "--fps", "50")
    assert done.returncode == 0, done.stderr
    assert [round(float(time), 2) for time in facts(tmp_path / "out.mkv").times[0][:3]] == [0, 0.02, 0.04]


def test_a_rate_that_is_given_counts_for_a_bare_stream(gansr: Gansr, tmp_path: Path) -> None:
    """Its header says 25; MPEG-2 on discs for PAL has been slowed down to 24 in many a film."""
    ffmpeg(*picture(), "-c:v", "mpeg2video", "-bf", "2", tmp_path / "in.m2v")
    for words, second in (([], 0.04), (["--fps", "24"], 0.042)):
        done = gansr("upscale", tmp_path / "in.m2v", tmp_path / "out.mkv", *AS_IS, "-y", *words)
        assert done.returncode == 0, done.stderr
        times = facts(tmp_path / "out.mkv").times[0]
        assert len(times) == 20 and round(float(times[1] - times[0]), 3) == second


def test_tags_of_tracks_that_have_no_place_are_named(gansr: Gansr, tmp_path: Path) -> None:
    source = tmp_path / "in.mkv"
    sound = ["-metadata:s:a", "artist=Me", "-metadata:s:a", "title=Comment", "-metadata:s:a", "BPS=128000"]
    ffmpeg(
        *picture(), *tone(0.8), "-pix_fmt", "yuv420p", *H264, "-c:a", "aac", *sound, "-metadata:s:v", "scene=5", source
    )
    done = gansr("upscale", source, tmp_path / "out.mp4", *AS_IS)
    assert "note: tags that .mp4 does not know are not carried: scene of video track 0" in done.stderr
    assert "artist of audio track 1" in done.stderr and "BPS" not in done.stderr.upper().replace("128000", "")
    assert facts(tmp_path / "out.mp4").tags[1]["name"] == "Comment"
    assert "does not know" not in gansr("upscale", source, tmp_path / "out.mkv", *AS_IS).stderr


def test_tracks_beside_a_film_are_refused(gansr: Gansr, tmp_path: Path) -> None:
    source = plain(tmp_path / "in.mp4", frames=3)
    ffmpeg(*tone(0.2), tmp_path / "sound.wav")
    refused = gansr("upscale", source, tmp_path / "out.mkv", *AS_IS, "--tracks", tmp_path / "sound.wav")
    assert refused.returncode == 1
    assert f"--tracks is for scripts and images, {source} has its own tracks" in one_line(refused.stderr)


@pytest.mark.skipif(os.name != "posix", reason="the stand-in encoder is a shell script")
@pytest.mark.parametrize(
    ("ending", "said"), [("kill -ABRT $$", "SIGABRT, a crash"), ("sleep 60", "not done with a few")]
)
def test_an_encoder_that_fails_on_a_small_picture_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, said: str
) -> None:
    """x265 3.5 crashes on pictures of 27 lines and fewer and hangs on those of 28 to 31."""
    program = tmp_path / "ffmpeg"
    program.write_text(f"#!/bin/sh\nexec 2>/dev/null\n{ending}\n")
    program.chmod(0o755)
    monkeypatch.setattr(trials, "PATIENCE", 0.5)
    tool = replace(ffmpegs.choose("x265"), path=str(program))
    with pytest.raises(CommandError) as error:
        trials.try_size(UpscaleJob("in.mkv", "out.mkv"), tool, 640, 28, "yuv420p")
    assert "x265 does not encode pictures of 640x28 pixels" in str(error.value) and said in str(error.value)
