"""Each frame has its time although the container does not state times or durations."""

from __future__ import annotations

from pathlib import Path

import footage
import pytest
from footage import facts, ffmpeg
from gansr_process import Gansr, one_line
from old_files import DRAWN, encoded, h264, hurt, shown_by_ffmpeg

from vs_gansr.cli.upscale.source.stream import display_times

AS_IS = ["--as-is", "--preset", "ultrafast", "--encoder", "x264"]


def same_times(output: Path, wanted: list[float]) -> None:
    """Every frame is there, and at its time."""
    after = facts(output)
    times = [float(time) for time in after.times[0]]
    assert len(times) == len(wanted)
    off = [round(a - times[0] - (b - wanted[0]), 3) for a, b in zip(times, wanted, strict=True)]
    assert [error for error in off[:-1] if abs(error) > 0.002] == []
    assert abs(off[-1]) < 0.02  # ffmpeg guesses the last one in telecined film
    if "audio" in after.kinds:
        assert abs(times[0] - wanted[0]) < 0.01, "out of step with the sound"


@pytest.mark.parametrize("name", DRAWN)
def test_frames_are_shown_when_players_show_them(gansr: Gansr, tmp_path: Path, name: str) -> None:
    file, draw = DRAWN[name]
    draw(tmp_path / file)
    done = gansr("upscale", tmp_path / file, tmp_path / "out.mkv", *AS_IS)
    assert done.returncode == 0, done.stderr
    same_times(tmp_path / "out.mkv", shown_by_ffmpeg(tmp_path / file))


def test_a_part_of_such_a_file(gansr: Gansr, tmp_path: Path) -> None:
    source = encoded(tmp_path / "in.avi", *h264("-bf", "2"))
    done = gansr("upscale", source, tmp_path / "out.mkv", *AS_IS, "--start", "0.5", "--end", "1")
    assert done.returncode == 0, done.stderr
    whole = shown_by_ffmpeg(source)
    part = [time for time in whole if 0.5 <= time < 1]
    same_times(tmp_path / "out.mkv", [time - part[0] for time in part])
    refused = gansr("upscale", source, tmp_path / "no.mkv", *AS_IS, "--fps", "30", "-q")
    assert "has timestamps; omit --fps" in one_line(refused.stderr)


@pytest.mark.parametrize(("frames", "codec"), [("0", "libx264"), ("2", "mpeg4"), ("0", "mjpeg")])
def test_damage_is_found_and_the_rest_keeps_its_times(gansr: Gansr, tmp_path: Path, frames: str, codec: str) -> None:
    whole = encoded(tmp_path / "whole.avi", "-c:v", codec, "-bf", frames, "-g", "12", "-c:a", "mp3")
    source = hurt(tmp_path / "in.avi", whole, 20, 26)
    refused = gansr("upscale", source, tmp_path / "out.mkv", *AS_IS, "-q")
    assert refused.returncode == 1 and "frames cannot be decoded, the first at " in one_line(refused.stderr)
    done = gansr("upscale", source, tmp_path / "out.mkv", *AS_IS, "--accept-damage")
    assert done.returncode == 0, done.stderr
    times = [round(float(time), 2) for time in facts(tmp_path / "out.mkv").times[0]]
    true = [round(time, 2) for time in shown_by_ffmpeg(whole)]
    assert set(times) <= set(true) and 28 <= len(times) < 40 and times[-1] == true[-1]


@pytest.mark.parametrize("file", ["in.avi", "in.webm", "in.mkv"])
def test_a_file_that_ends_early_is_found_out(gansr: Gansr, tmp_path: Path, file: str) -> None:
    codecs = ["-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libvorbis"] if file == "in.webm" else h264("-bf", "0")
    whole = encoded(tmp_path / f"whole{Path(file).suffix}", *codecs)
    (tmp_path / file).write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    refused = gansr("upscale", tmp_path / file, tmp_path / "out.mkv", *AS_IS, "-q")
    assert refused.returncode == 1 and "its header promises 1.6 s" in one_line(refused.stderr)


def with_subtitle(path: Path, end: str) -> Path:
    """A film of 1.6 s whose only subtitle is shown until `end`."""
    text, film = path.with_suffix(".srt"), path.with_name(f"film{path.suffix}")
    text.write_text(f"1\n00:00:00,500 --> {end}\nGood evening.\n")
    encoded(film, *h264("-bf", "0"))
    form = {".mp4": "mov_text"}.get(path.suffix, "srt")
    ffmpeg("-i", film, "-i", text, "-map", "0", "-map", "1", "-c", "copy", "-c:s", form, path)
    return path


@pytest.mark.parametrize("file", ["in.mkv", "in.mp4"])
@pytest.mark.parametrize("end", ["00:00:02,300", "00:20:00,000"])
def test_other_tracks_may_outlast_the_picture(gansr: Gansr, tmp_path: Path, file: str, end: str) -> None:
    source = with_subtitle(tmp_path / file, end)
    words = ["--drop", "subtitles"] if end > "00:10" else []
    done = gansr("upscale", source, tmp_path / "out.mkv", *AS_IS, "-q", *words)
    assert (done.returncode, done.stderr) == (0, "")


def test_sound_may_outlast_the_picture(gansr: Gansr, tmp_path: Path) -> None:
    source, sound = encoded(tmp_path / "in.mkv", *h264("-bf", "0")), tmp_path / "sound.mkv"
    ffmpeg("-i", source, *footage.tone(8), "-map", "0:v", "-map", "1:a", "-c:v", "copy", sound)
    assert gansr("upscale", sound, tmp_path / "long.mkv", *AS_IS).returncode == 0
    after = facts(tmp_path / "long.mkv")
    assert float(after.ends[1]) > 7.9 and float(after.ends[0]) < 1.7


def test_a_long_subtitle_hides_no_damage(gansr: Gansr, tmp_path: Path) -> None:
    whole = with_subtitle(tmp_path / "whole.mkv", "00:20:00,000")
    source = tmp_path / "in.mkv"
    source.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    refused = gansr("upscale", source, tmp_path / "out.mkv", *AS_IS, "-q")
    assert refused.returncode == 1 and "its header promises 1200.0 s" in one_line(refused.stderr)


def test_pictures_come_out_of_a_decoder_in_order() -> None:
    assert display_times([0, 2, 3, 4], 0) == (0, 2, 3, 4)
    assert display_times([0, 1, 2, 10, 11, 12], 2) == (2, 10, 11, 12, 13, 14)
    assert display_times([7], 7) == (7,)
