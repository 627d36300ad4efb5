"""Scripts as sources: exit, printed text, files they read, and variables."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import footage
import pytest
from command_fixtures import WITH_SVT_AV1
from footage import facts
from gansr_process import Gansr, one_line

from vs_gansr.cli.common import CommandError
from vs_gansr.cli.upscale.source.notes import Watch
from vs_gansr.cli.upscale.source.script_file import variables
from vs_gansr.cli.upscale.source.times import frame_times

AS_IS = ["--as-is", "--preset", "ultrafast", "--encoder", "x264"]
HEAD = "import sys\nimport vapoursynth as vs\ncore = vs.core\n"
CLIP = "clip = core.std.BlankClip(format=vs.YUV420P8, width=64, height=48, length=12, fpsnum=24)\n"
OUTPUT = "clip.set_output()\n"


def in_frames(statement: str) -> str:
    """A script's end, whose function for frames does that at frame 7."""
    function = f"def frame(n):\n    if n == 7:\n        {statement}\n    return clip\n"
    return function + "core.std.FrameEval(clip, frame).set_output()"


def written(folder: Path, text: str) -> Path:
    """A script of `text` that has made a clip."""
    path = folder / "in.vpy"
    path.write_text(HEAD + CLIP + text)
    return path


@pytest.mark.parametrize("end", ["exit(0)", "quit()", "sys.exit()", "sys.exit(0)", "raise SystemExit"])
def test_a_script_that_ends_itself_well_is_finished(gansr: Gansr, tmp_path: Path, end: str) -> None:
    done = gansr("upscale", written(tmp_path, OUTPUT + end), tmp_path / "out.mkv", *AS_IS)
    assert done.returncode == 0, done.stderr
    assert facts(tmp_path / "out.mkv").picture["frames"] == 12


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (OUTPUT + "exit(3)", "line 6: the script ends itself: exit(3)"),
        (OUTPUT + "sys.exit('no source')", "line 6: the script ends itself: exit('no source')"),
        ("quit()\n" + OUTPUT, "sets no video output 0"),
        ("input()", "line 5: EOFError"),
        ("sys.stdin.close()\nsys.stdin.read()", "line 6: ValueError"),
        ("import os\nos._exit(4)", "ended early (exit code 4"),
        ("import os\nos.close(0)\n1/0", "line 7: ZeroDivisionError"),
        ("raise KeyboardInterrupt", "line 5: KeyboardInterrupt"),
        (in_frames("raise KeyboardInterrupt"), "line 7: KeyboardInterrupt"),
        (in_frames("sys.exit()"), "line 7: the script ends itself: exit(None)"),
        (in_frames("exit(0)"), "line 7: the script ends itself: exit(0)"),
        (in_frames("sys.exit('no more')"), "line 7: the script ends itself: exit('no more')"),
        (in_frames("raise ValueError('bad frame')"), "line 7: ValueError: bad frame"),
    ],
)
def test_a_script_that_ends_itself_otherwise_is_an_error(gansr: Gansr, tmp_path: Path, text: str, said: str) -> None:
    script = written(tmp_path, text)
    for words in ([], ["--fps", "24"]):  # frames are first computed to know how long each is shown, or to be encoded
        done = gansr("upscale", script, tmp_path / "out.mkv", "-q", *AS_IS, *words)
        assert done.returncode == 1 and said in one_line(done.stderr)
        assert not (tmp_path / "out.mkv").exists()


def test_what_a_script_prints_is_on_stderr_once(gansr: Gansr, tmp_path: Path) -> None:
    script = written(
        tmp_path,
        "print('on stdout')\nprint('on stderr', file=sys.stderr)\nimport subprocess\n"
        "subprocess.run([sys.executable, '-c', ''], stdout=sys.stdout, stderr=sys.stderr, check=True)\n"
        "def frame(n, f):\n    if n == 7:\n        print('frame seven')\n    return f\n"
        "clip = clip.std.ModifyFrame(clip, frame)\n" + OUTPUT,
    )
    for words in ([], ["--chunk", "0.2", "--workers", "2"]):
        done = gansr("upscale", script, tmp_path / "out.mkv", "-y", "--fps", "24", *AS_IS, *words)
        lines = done.stderr.splitlines()
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert [lines.count(line) for line in ("on stdout", "on stderr", "frame seven")] == [1, 1, 1], done.stderr
    stills = gansr("upscale", script, tmp_path / "out.mkv", "--as-is", "--stills", "1")
    assert (stills.returncode, stills.stdout) == (0, "") and "on stdout" in stills.stderr


AT_THE_END = """
import atexit, os, subprocess
sys.stdout.write("first part, ")
print("second part")
subprocess.run("echo from a child", shell=True)
subprocess.run("echo a child complains >&2", shell=True)
os.write(1, b"by number\\n")
sys.__stdout__.write("by another name\\n")
atexit.register(sys.stdout.write, "the end, without a line's end")
sys.stdout.write("before the end")
"""
PRINTED = [
    "first part, second part", "from a child", "a child complains", "by number", "by another name", "before the end",
    "the end, without a line's end",
]  # fmt: skip


@pytest.mark.parametrize(
    "words", [[], ["--workers", "2"], ["--chunk", "0.2", "--workers", "2"], ["--dry-run"], ["--stills", "1"]]
)
def test_nothing_is_lost_of_what_a_script_prints(gansr: Gansr, tmp_path: Path, words: list[str]) -> None:
    script = written(tmp_path, AT_THE_END + OUTPUT)
    done = gansr("upscale", script, tmp_path / "out.mkv", "--fps", "24", *AS_IS, *words)
    assert done.returncode == 0, done.stderr
    assert "dry-run" in str(words) or not done.stdout
    assert [done.stderr.count(text) for text in PRINTED] == [1] * len(PRINTED), done.stderr
    assert not any(text in done.stdout for text in PRINTED)


def test_a_script_cleans_up_after_itself(gansr: Gansr, tmp_path: Path) -> None:
    """As in vspipe, what it has registered for its end runs, also where it fails."""
    folder = "import tempfile\nkept = tempfile.TemporaryDirectory(dir='.', prefix='scratch')\n"
    for text, code in ((OUTPUT, 0), (OUTPUT + "1/0", 1), (in_frames("1/0"), 1)):
        done = gansr("upscale", written(tmp_path, folder + text), tmp_path / "out.mkv", "-y", *AS_IS)
        assert done.returncode == code, done.stderr
        assert not list(tmp_path.glob("scratch*"))


def test_a_script_that_does_not_end_is_ended(gansr: Gansr, tmp_path: Path) -> None:
    wait = "import atexit, threading, time\natexit.register(time.sleep, 1000)\n"
    wait += "threading.Thread(target=time.sleep, args=(1000,)).start()\n"
    done = gansr("upscale", written(tmp_path, wait + OUTPUT), tmp_path / "out.mkv", *AS_IS)
    assert done.returncode == 0 and (tmp_path / "out.mkv").exists()


def test_variables_of_a_script(gansr: Gansr, tmp_path: Path) -> None:
    script = written(tmp_path, "clip = clip.std.Trim(length=int(count))\nassert name == 'a=b', name\n" + OUTPUT)
    words = ["--arg", "count=5", "--arg", "name=a=b"]
    assert gansr("upscale", script, tmp_path / "out.mkv", *AS_IS, *words).returncode == 0
    assert facts(tmp_path / "out.mkv").picture["frames"] == 5
    without = gansr("upscale", script, tmp_path / "no.mkv", "-q", *AS_IS)
    assert "NameError: name 'count' is not defined" in one_line(without.stderr)
    (tmp_path / "in.mp4").touch()
    film = gansr("upscale", tmp_path / "in.mp4", tmp_path / "no.mkv", *words)
    assert "--arg sets variables of scripts" in one_line(film.stderr)
    for word in ("count", "=5", "2=3", "a b=3"):
        with pytest.raises(CommandError, match="sets no variable"):
            variables([word])


def read(folder: Path, source: Path, more: str = "") -> Path:
    """A script that reads `source`, as people's do."""
    text = f"clip = core.bs.VideoSource({str(source)!r}, cachemode=0)\n"
    return written(folder, text + more + OUTPUT)


def matches(times: list[Fraction], wanted: list[Fraction]) -> bool:
    """Whether two lists of times are the same but for Matroska's rounding."""
    pairs = zip(times, wanted, strict=True)
    return all(abs((a - times[0]) - (b - wanted[0])) <= Fraction(1, 1000) for a, b in pairs)


@pytest.mark.parametrize("words", [[], ["--chunk", "1"], ["--start", "1"]])
def test_frames_of_a_script_keep_their_own_times(gansr: Gansr, tmp_path: Path, words: list[str]) -> None:
    film = footage.variable(tmp_path / "film.mp4")
    script = read(tmp_path, film)
    done = gansr("upscale", script, tmp_path / "out.mkv", "--tracks", film, *AS_IS, *words)
    assert done.returncode == 0, done.stderr
    assert "note: frames last from 1/30 to 1/10 s, and each keeps its own time" in done.stderr
    times = [time for time in facts(film).times[0] if time >= 1 or not words or words[0] != "--start"]
    after = facts(tmp_path / "out.mkv")
    assert matches(after.times[0], times)
    if not words:
        assert abs(after.ends[0] - facts(film).ends[0]) < Fraction(1, 100), "the last frame's duration"


def test_a_rate_that_is_given_counts_for_a_script(gansr: Gansr, tmp_path: Path) -> None:
    script = read(tmp_path, footage.variable(tmp_path / "film.mp4"))
    assert gansr("upscale", script, tmp_path / "out.mkv", "--fps", "25", *AS_IS).returncode == 0
    after = facts(tmp_path / "out.mkv").times[0]
    assert matches(after, [Fraction(n, 25) for n in range(len(after))])


def test_times_follow_from_durations() -> None:
    third, tenth = Fraction(1, 30), Fraction(1, 10)
    pause = frame_times([third, Fraction(20), third], Fraction(30))
    assert pause and (pause.timestamps, pause.time_base) == ((0, 1, 601), third) and pause.end == Fraction(602, 30)
    rounded = frame_times([Fraction(n, 1000) for n in (33, 34, 33) * 30], Fraction(30))
    assert rounded and rounded.constant and rounded.time_base == third
    unknown = frame_times([tenth, None, third, None], Fraction(0))
    assert unknown and unknown.timestamps == (0, 3, 6, 7) and not unknown.constant
    other = frame_times([tenth] * 3, Fraction(25))
    assert other and other.constant and other.time_base == Fraction(1, 25) and "the rate counts" in other.note
    assert frame_times([None, None], Fraction(0)) is None


def test_the_shape_of_a_scripts_pixels_is_kept(gansr: Gansr, tmp_path: Path) -> None:
    script = written(tmp_path, "clip = clip.std.SetFrameProps(_SARNum=16, _SARDen=11)\n" + OUTPUT)
    sound = footage.plain(tmp_path / "sound.mp4", frames=12)
    for words, shape in (([], (16, 11)), (["--tracks", sound], (16, 11)), (["--sar", "4:3"], (4, 3))):
        assert gansr("upscale", script, tmp_path / "out.mkv", "-y", *AS_IS, *words).returncode == 0
        assert facts(tmp_path / "out.mkv").picture["sar"] == Fraction(*shape), words


def test_the_shape_of_images_pixels_is_kept(gansr: Gansr, tmp_path: Path) -> None:
    footage.ffmpeg(*footage.picture(frames=2), "-vf", "setsar=2/1", tmp_path / "im%03d.png")
    words = ["--fps", "24", "--chroma", "420", *AS_IS]
    assert gansr("upscale", tmp_path / "im%03d.png", tmp_path / "out.mkv", *words).returncode == 0
    assert facts(tmp_path / "out.mkv").picture["sar"] == 2


def test_tags_that_change_midway_are_noted_once(gansr: Gansr, tmp_path: Path) -> None:
    script = written(
        tmp_path,
        "clip = clip.std.SetFrameProps(_SARNum=16, _SARDen=11, _Matrix=1)\n"
        "clip = clip[:6] + clip[6:].std.SetFrameProps(_SARNum=1, _SARDen=1, _Matrix=6)\n" + OUTPUT,
    )
    for words in ([], ["--chunk", "0.1", "--workers", "2"]):
        said = gansr("upscale", script, tmp_path / "out.mkv", "-y", *AS_IS, *words).stderr
        assert said.count("change of sample aspect ratio from 16:11 to 1:1 at frame ") == 1, said
        assert said.count("change of matrix from 1 to 6 at frame ") == 1, said
    said = gansr("upscale", script, tmp_path / "out.mkv", "-y", "--sar", "1:1", "--matrix", "709", *AS_IS).stderr
    assert "change of " not in said


def test_a_change_is_told_once_and_what_is_given_is_not_watched() -> None:
    watch = Watch({"_Matrix": 1, "_FieldBased": 0}, frozenset({"_Range"}))
    assert not watch.changes(1, {"_Matrix": 1, "_FieldBased": 0, "_Range": 1})
    assert list(watch.changes(2, {"_Matrix": 6, "_FieldBased": 2})) == ["matrix", "field order"]
    assert not watch.changes(3, {"_Matrix": 5, "_FieldBased": 0})


def test_what_else_a_script_puts_out_is_noted(gansr: Gansr, tmp_path: Path) -> None:
    alpha = "clip.set_output(alpha=core.std.BlankClip(clip, format=vs.GRAY8))\n"
    sound = "core.std.BlankAudio(length=24000).set_output(1)\n"
    said = gansr("upscale", written(tmp_path, alpha + sound), tmp_path / "out.mkv", *AS_IS).stderr
    assert "note: the script's alpha output (transparency) is not carried" in said
    assert "note: the script's sound, output 1, is not carried" in said


@pytest.mark.parametrize("file", ["sound.wav", "sound.m4a", "text.srt"])
def test_tracks_from_a_file_without_a_picture(gansr: Gansr, tmp_path: Path, file: str) -> None:
    beside = tmp_path / file
    if file.endswith(".srt"):
        beside.write_text("1\n00:00:00,100 --> 00:00:00,400\nGood evening.\n")
    else:
        footage.ffmpeg(*footage.tone(0.5), beside)
    done = gansr("upscale", written(tmp_path, OUTPUT), tmp_path / "out.mkv", "-q", "--tracks", beside, *AS_IS)
    assert (done.returncode, done.stderr) == (0, "")
    after = facts(tmp_path / "out.mkv")
    assert after.kinds == ["video", "subtitle" if file.endswith(".srt") else "audio"]
    assert after.times[0][0] == 0 and abs(after.times[1][0] - (Fraction(1, 10) if file.endswith(".srt") else 0)) < 0.05
    alone = gansr("upscale", beside, tmp_path / "no.mkv", "-q", *AS_IS)
    assert "has no video track" in one_line(alone.stderr)
    picture = tmp_path / "in.jxl"  # PyAV knows its container, and no decoder
    picture.write_bytes(b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl \0\0\0\0jxl ")
    empty = gansr("upscale", tmp_path / "in.vpy", tmp_path / "no.mkv", "-q", "--tracks", picture, *AS_IS)
    assert empty.returncode == 1 and "holds nothing to carry" in one_line(empty.stderr)


@WITH_SVT_AV1
def test_a_codec_that_is_given_counts_for_the_container(gansr: Gansr, tmp_path: Path) -> None:
    sound = tmp_path / "sound.mkv"
    footage.ffmpeg(*footage.tone(0.5), "-c:a", "wmav2", sound)
    words = ["upscale", written(tmp_path, OUTPUT), tmp_path / "out.mov", "-q", "--tracks", sound, *AS_IS]
    webm = ["upscale", tmp_path / "in.vpy", tmp_path / "out.webm", "-q", "--tracks", sound]
    refused = gansr(*webm, "--as-is", "--encoder", "svt-av1", "--preset", "13")
    assert refused.returncode == 1 and "give it another codec behind --, as in: -- -c:a aac" in refused.stderr
    done = gansr(*webm, "--as-is", "--encoder", "svt-av1", "--preset", "13", "--", "-c:a", "libopus")
    assert done.returncode == 0, done.stderr
    assert facts(tmp_path / "out.webm").codecs == ["av1", "opus"]
    assert gansr(*words, "--", "-c:a", "aac").returncode == 0
    assert facts(tmp_path / "out.mov").codecs[1] == "aac"
