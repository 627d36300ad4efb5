"""A script as source: how it ends itself, what it reads and prints, its variables."""

from __future__ import annotations

from pathlib import Path

import pytest
from footage import facts
from gansr_process import Gansr, one_line

from vs_gansr.cli.common import CommandError
from vs_gansr.cli.upscale.vpy import variables

AS_IS = ["--as-is", "--preset", "ultrafast", "--encoder", "x264"]
HEAD = "import sys\nimport vapoursynth as vs\ncore = vs.core\n"
CLIP = "clip = core.std.BlankClip(format=vs.YUV420P8, width=64, height=48, length=12, fpsnum=24)\n"
OUTPUT = "clip.set_output()\n"


def written(folder: Path, text: str) -> Path:
    """A script of `text` that has made a clip."""
    path = folder / "in.vpy"
    path.write_text(HEAD + CLIP + text)
    return path


@pytest.mark.parametrize("end", ["exit(0)", "quit()", "sys.exit()", "sys.exit(0)", "raise SystemExit"])
def test_a_script_that_ends_itself_well_is_finished(gansr: Gansr, tmp_path: Path, end: str) -> None:
    done = gansr("upscale", written(tmp_path, OUTPUT + end), tmp_path / "out.mkv", *AS_IS, timeout=60)
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
        ("import os\nos._exit(4)", "ended early (exit code 4)"),
        ("import os\nos.close(0)\n1/0", "line 7: ZeroDivisionError"),
    ],
)
def test_a_script_that_ends_itself_otherwise_is_an_error(gansr: Gansr, tmp_path: Path, text: str, said: str) -> None:
    done = gansr("upscale", written(tmp_path, text), tmp_path / "out.mkv", "-q", *AS_IS, timeout=60)
    assert done.returncode == 1 and said in one_line(done.stderr)


def test_what_a_script_prints_is_on_stderr_once(gansr: Gansr, tmp_path: Path) -> None:
    script = written(
        tmp_path,
        "print('on stdout')\nprint('on stderr', file=sys.stderr)\nimport subprocess\n"
        "subprocess.run(['true'], stdout=sys.stdout, stderr=sys.stderr, check=True)\n"
        "def frame(n, f):\n    if n == 7:\n        print('frame seven')\n    return f\n"
        "clip = clip.std.ModifyFrame(clip, frame)\n" + OUTPUT,
    )
    for words in ([], ["--chunk", "0.2", "--workers", "2"]):
        done = gansr("upscale", script, tmp_path / "out.mkv", "-y", *AS_IS, *words)
        lines = done.stderr.splitlines()
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert [lines.count(line) for line in ("on stdout", "on stderr", "frame seven")] == [1, 1, 1], done.stderr
    stills = gansr("upscale", script, tmp_path / "out.mkv", "--as-is", "--stills", "1")
    assert (stills.returncode, stills.stdout) == (0, "") and "on stdout" in stills.stderr


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
