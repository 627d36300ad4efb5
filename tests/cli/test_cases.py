"""Cases that people report to other programs, and that are tested nowhere else; CASES.md lists all of them."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import onnx
import pytest
import vapoursynth as vs
from footage import FFMPEG, H264, facts, ffmpeg, picture, plain, tone
from foreign import build, enlarge
from gansr_process import command

from vs_gansr.cli.common import CommandError
from vs_gansr.cli.upscale.chunks.messages import Answer, MakePlan, Noted, Placement
from vs_gansr.cli.upscale.chunks.planner import make_plan
from vs_gansr.cli.upscale.chunks.render import render_whole
from vs_gansr.cli.upscale.job import UpscaleJob

TESTS = Path(__file__).parents[1]
TABLE = Path(__file__).with_name("CASES.md")
AS_IS = ["--as-is", "--preset", "ultrafast", "--encoder", "x264"]
YUV = ["-pix_fmt", "yuv420p"]
MILLISECOND = Fraction(1, 1000)


def paused(path: Path) -> None:
    """A lecture's slides: 20 seconds without a frame."""
    later = ["-vf", "setpts=PTS+gte(N\\,10)*20/TB", "-fps_mode", "vfr"]
    ffmpeg(*picture(), *tone(21), *later, *YUV, *H264, "-c:a", "aac", path)


def fast(path: Path) -> None:
    """A high-speed camera's 1200 frames a second."""
    ffmpeg(*picture(rate="1200", frames=120), *YUV, *H264, "-video_track_timescale", "120000", path)


def wrapped(path: Path) -> None:
    """A broadcast whose clock of 33 bits begins anew after half a second."""
    ffmpeg(*picture(), *tone(0.8), *YUV, *H264, "-c:a", "mp2", "-output_ts_offset", "95441.8", path)


def fragmented(path: Path) -> None:
    """A stream from the web, in fragments."""
    fragments = ["-movflags", "frag_keyframe+empty_moov+default_base_moof", "-g", "5"]
    ffmpeg(*picture(), *tone(0.8), *YUV, *H264, "-c:a", "aac", *fragments, path)


def late_sound(path: Path) -> None:
    """Sound that begins two seconds later, by an edit list."""
    ffmpeg(*picture(frames=75), "-itsoffset", "2", *tone(1), *YUV, *H264, "-c:a", "aac", path)


def late_picture(path: Path) -> None:
    """A picture that begins a second later, by an edit list."""
    ffmpeg("-itsoffset", "1", *picture(), *tone(2), "-map", "0", "-map", "1", *YUV, *H264, "-c:a", "aac", path)


def piped(path: Path) -> None:
    """A recording that was written to a pipe: without a duration and an index."""
    done = plain(path.with_name("whole.mp4"))
    with path.open("wb") as file:
        words = [FFMPEG, "-v", "error", "-i", done, "-c", "copy", "-f", "matroska", "-"]
        subprocess.run(words, stdout=file, check=True)


def chaptered(path: Path) -> None:
    """A chapter, and a subtitle, that end long after the picture."""
    (path.parent / "ch.txt").write_text(
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=90000\ntitle=All\n", encoding="utf-8"
    )
    (path.parent / "late.srt").write_text("1\n00:00:00,100 --> 00:30:00,000\nTo be continued.\n", encoding="utf-8")
    inputs = [*picture(), *tone(0.8), "-i", path.parent / "ch.txt", "-i", path.parent / "late.srt"]
    text = "mov_text" if path.suffix == ".mp4" else "srt"
    ffmpeg(*inputs, "-map", "0", "-map", "1", "-map", "3", "-map_chapters", "2", *YUV, *H264, "-c:a", "aac",
           "-c:s", text, path)  # fmt: skip


def begun_late(path: Path) -> None:
    """Cut out of a broadcast with its times: the clock begins after an hour, and the header counts from 0."""
    ffmpeg(*picture(), *tone(0.8), *YUV, *H264, "-c:a", "aac", "-output_ts_offset", "3600", path)


def lying(path: Path) -> None:
    """Statistics tags of another film, as a copied track keeps them."""
    tags = {"DURATION": "00:10:00.000000000", "NUMBER_OF_FRAMES": "99999", "BPS": "1", "_STATISTICS_TAGS": "BPS"}
    words = [word for name, value in tags.items() for word in ("-metadata:s:v", f"{name}-eng={value}")]
    ffmpeg("-i", plain(path.with_name("whole.mp4")), "-c", "copy", *words, path)


def rate_lies(path: Path) -> None:
    """24 frames a second in a file whose header says 119.88."""
    film = ["-i", plain(path.with_name("whole.mkv"), rate="24")]
    ffmpeg(*film, "-map", "0", "-c", "copy", "-r", "120000/1001", path)


def slow(path: Path) -> None:
    """A screen recording of 12.05 frames a second, whose clock ticks 23,333 times a second."""
    ffmpeg(*picture(rate="241/20", frames=15), *YUV, *H264, "-video_track_timescale", "23333", path)


def chroma(layout: str) -> Callable[[Path], None]:
    """Old layouts of chroma."""
    return lambda path: ffmpeg(*picture(frames=5), "-pix_fmt", layout, "-c:v", "ffv1", path)


def palette(path: Path) -> None:
    """A sequence in Motion PNG with a palette."""
    ffmpeg(*picture(frames=5), "-pix_fmt", "pal8", "-c:v", "png", path)


def deep_rgb(path: Path) -> None:
    """A render in 16-bit RGB."""
    ffmpeg(*picture(frames=5), "-pix_fmt", "rgb48be", "-c:v", "png", path)


def open_gop(path: Path) -> None:
    """Cut from a broadcast before frames that need those before it, with the picture's clock above the sound's."""
    whole = path.with_name("whole.ts")
    groups = ["-c:v", "libx264", "-preset", "ultrafast", "-x264-params", "open-gop=1:bframes=2:keyint=10:scenecut=0"]
    ffmpeg(*picture(frames=60), *tone(2.4), *YUV, *groups, "-c:a", "mp2", whole)
    path.write_bytes(whole.read_bytes()[188 * (whole.stat().st_size // 188 // 3) :])


def two_frames(path: Path) -> None:
    """Two frames."""
    ffmpeg(*picture(frames=2), *YUV, *H264, path)


def hev1(path: Path) -> None:
    """HEVC whose headers stand in the stream alone."""
    encode = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:repeat-headers=1"]
    ffmpeg(*picture(frames=8), *tone(0.32), *YUV, *encode, "-tag:v", "hev1", "-c:a", "aac", path)


def surround(path: Path) -> None:
    """Sound in six channels, uncompressed in 24 bits, beside AC-3."""
    six = ["-filter_complex", "[1]pan=5.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0,asplit[a][b]"]
    ffmpeg(*picture(), *tone(0.8), *six, "-map", "0", "-map", "[a]", "-map", "[b]", *YUV, *H264, "-c:a:0", "pcm_s24le",
           "-c:a:1", "ac3", path)  # fmt: skip


FILMS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "pause of 20 s in mp4": ("in.mp4", paused, ".mkv"),
    "pause of 20 s in mkv": ("in.mkv", paused, ".mp4"),
    "1200 fps": ("in.mp4", fast, ".mp4"),
    "1200 fps to mkv": ("in.mp4", fast, ".mkv"),
    "wrapped ts": ("in.ts", wrapped, ".mkv"),
    "fragmented mp4": ("in.mp4", fragmented, ".mkv"),
    "late sound": ("in.mp4", late_sound, ".mp4"),
    "late picture": ("in.mp4", late_picture, ".mkv"),
    "a clock that begins after an hour": ("in.mkv", begun_late, ".mkv"),
    "piped mkv": ("in.mkv", piped, ".mkv"),
    "chapters that outlast in mkv": ("in.mkv", chaptered, ".mkv"),
    "chapters that outlast in mp4": ("in.mp4", chaptered, ".mp4"),
    "lying statistics": ("in.mkv", lying, ".mkv"),
    "lying rate": ("in.mkv", rate_lies, ".mkv"),
    "12.05 fps": ("in.mp4", slow, ".mkv"),
    "4:1:1": ("in.mkv", chroma("yuv411p"), ".mkv"),
    "4:1:0": ("in.mkv", chroma("yuv410p"), ".mkv"),
    "4:4:0": ("in.mkv", chroma("yuv440p"), ".mkv"),
    "palette": ("in.mov", palette, ".mkv"),
    "16-bit rgb": ("in.mov", deep_rgb, ".mkv"),
    "open gop cut": ("in.ts", open_gop, ".mkv"),
    "two frames": ("in.mp4", two_frames, ".mkv"),
    "hev1": ("in.mp4", hev1, ".mp4"),
    "surround sound": ("in.mkv", surround, ".mkv"),
}


def rendered(source: Path, output: Path) -> list[str]:
    """Makes the film in this process, as a worker does; returns the notes."""
    said: list[Answer] = []
    job = UpscaleJob(str(source), str(output), encoder="x264", preset="ultrafast", as_is=True)
    plan = output.with_name("plan.json")
    film = make_plan(MakePlan(job, str(plan), str(output)), Placement(), said.append)
    render_whole(film, str(output), said.append)
    return [answer.text for answer in said if isinstance(answer, Noted)]


@pytest.mark.parametrize("name", FILMS)
def test_every_frame_is_shown_at_its_time(home: Path, tmp_path: Path, name: str) -> None:
    file, draw, suffix = FILMS[name]
    source, output = tmp_path / file, tmp_path / f"out{suffix}"
    draw(source)
    rendered(source, output)
    before, after = facts(source), facts(output)
    video = before.kinds.index("video")
    shown = before.times[video][-before.picture["frames"] :]  # what stands before the first key frame is never shown
    assert len(after.times[0]) == after.picture["frames"] == len(shown)
    for time, other in zip(shown, after.times[0], strict=True):
        assert abs((time - shown[0]) - (other - after.times[0][0])) <= 2 * MILLISECOND
    kept = [n for n, kind in enumerate(before.kinds) if kind in ("audio", "subtitle")]
    assert after.kinds[1:] == [before.kinds[n] for n in kept]
    for place, n in enumerate(kept, 1):
        moved = (after.times[place][-1] - after.times[0][0]) - (before.times[n][-1] - shown[0])
        assert abs(moved) <= 3 * MILLISECOND or before.kinds[n] == "subtitle", "out of step with the picture"
    assert [(begin, title) for begin, _, title in after.chapters] == [(b, title) for b, _, title in before.chapters]


def test_a_format_that_vapoursynth_does_not_hold(home: Path, tmp_path: Path) -> None:
    """RGB of 5 bits, as Video 1 has it."""
    ffmpeg(*picture(frames=3), "-c:v", "msvideo1", tmp_path / "in.avi")
    with pytest.raises(CommandError, match=r"Unsupported video format.*convert it by a program that reads it"):
        rendered(tmp_path / "in.avi", tmp_path / "out.mkv")


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_text_far_from_the_one_before_keeps_its_time(home: Path, tmp_path: Path, suffix: str) -> None:
    """Signs alone are translated, the first one after 80 minutes."""
    text = tmp_path / "signs.srt"
    signs = ["1\n01:20:00,100 --> 01:20:01,000\nEXIT", "2\n03:00:00,000 --> 03:59:00,000\nThe end"]
    text.write_text("\n\n".join(signs) + "\n", encoding="utf-8")
    ffmpeg(*picture(frames=5), "-i", text, *YUV, *H264, "-c:s", "srt", tmp_path / "in.mkv")
    output = tmp_path / f"out{suffix}"
    rendered(tmp_path / "in.mkv", output)
    words = [FFMPEG, "-v", "error", "-i", output, "-f", "srt", "-"]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert shown.replace("\r", "").strip().split("\n\n") == signs


def network(path: Path, opset: int, batch: int | str) -> Path:
    """A network that repeats pixels."""
    node, sizes = enlarge("x", "y", 2)
    build(path, [node], {"sizes": sizes}, [batch, 3, "h", "w"])
    proto = onnx.load(str(path))
    proto.opset_import[0].version = opset
    proto.ir_version = 10
    onnx.save(proto, str(path))
    return path


@pytest.mark.parametrize("engine", ["CPU", "OpenVINO"])
def test_a_network_of_a_late_opset(home: Path, tmp_path: Path, engine: str) -> None:
    path = network(tmp_path / "m.onnx", 23, "n")
    clip = vs.core.std.BlankClip(format=vs.RGB24, width=24, height=16, color=[200, 100, 50], length=1)
    with clip.gansr.Upscale(str(path), provider=engine).get_frame(0) as frame:
        assert [plane[3, 5] for plane in frame] == [200, 100, 50]


def test_a_network_that_wants_four_pictures_at_once(home: Path, tmp_path: Path) -> None:
    path = network(tmp_path / "m.onnx", 17, 4)
    clip = vs.core.std.BlankClip(format=vs.RGB24, width=24, height=16, color=[200, 100, 50], length=1)
    with clip.gansr.Upscale(str(path), provider="CPU").get_frame(0) as frame:
        assert [plane[3, 5] for plane in frame] == [200, 100, 50]


SHELLS = {
    "no HOME": 'unset HOME XDG_CACHE_HOME XDG_DATA_HOME; exec "$@"',
    "a HOME that cannot be written": 'unset XDG_CACHE_HOME XDG_DATA_HOME; HOME=/proc exec "$@"',
    "one core": 'exec taskset -c 0 "$@"',
    "closed stdin and stdout": 'exec "$@" <&- >&-',
    "a reader that leaves": '"$@" --progress json | true',
    "ulimit -v": 'ulimit -v 8000000; exec "$@"',
    "the locale C": 'LC_ALL=C LANG=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 exec "$@"',
    "output in the working folder": 'exec "$@"',
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="shells of POSIX")
@pytest.mark.parametrize("kind", SHELLS)
def test_surroundings(home: Path, tmp_path: Path, kind: str) -> None:
    plain(tmp_path / "é.mkv", frames=3)
    words = command("upscale", "é.mkv", "o\u00fc\u65e5.mkv", *AS_IS, "-q")
    done = subprocess.run(["sh", "-c", SHELLS[kind], "sh", *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert facts(tmp_path / "o\u00fc\u65e5.mkv").picture["frames"] == 3


@pytest.mark.skipif(sys.platform == "win32", reason="no process can be in such a folder there")
def test_a_folder_too_deep_for_the_system(home: Path, tmp_path: Path) -> None:
    """A process goes down step by step, to where no whole path leads, and becomes the command."""
    steps = "for n in range(20): os.mkdir('d' * 240); os.chdir('d' * 240)"
    deeper = f"import os, sys\n{steps}\nos.execv(sys.argv[1], sys.argv[1:])"
    words = command("upscale", tmp_path / "in.mkv", "out.mkv", *AS_IS, "-q")
    plain(tmp_path / "in.mkv", frames=3)
    going_down = [sys.executable, "-c", deeper, *words]
    done = subprocess.run(going_down, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("gansr: the path ") and "use a shorter one" in done.stderr
    assert done.stderr.count("\n") == 1


def rows() -> list[list[str]]:
    """The cells of the table's rows."""
    lines = [line for line in TABLE.read_text("utf-8").splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if not line.startswith("|--")]


def test_every_case_names_tests_that_exist() -> None:
    found: dict[str, set[str]] = {}
    cases = [row for row in rows() if row[0] != "what is tried"]
    assert len(cases) >= 85
    for row in cases:
        named = re.findall(r"`([\w/]+\.py)::(\w+)(?:\[([^]]*)\])?`", row[-1])
        assert named, f"{row[0]} names no test"
        for file, name, parameter in named:
            text = (TESTS / file).read_text("utf-8")
            found.setdefault(file, {n.name for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef)})
            assert name in found[file], f"{row[0]}: {file} has no {name}"
            if parameter and file == "cli/test_cases.py":
                assert parameter in {**FILMS, **SHELLS}, f"{row[0]}: no case {parameter}"
