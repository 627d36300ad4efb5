"""The programs that pip installs on Windows, and those that load VapourSynth: pipes, doctor, editors."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import footage
import pytest
from command_fixtures import SECONDS
from encodes import frame_hashes
from paths import ROOT

SCRIPT = """
import vapoursynth as vs
clip = vs.core.std.BlankClip(format=vs.YUV420P8, width=64, height=48, length=200, color=[26, 100, 10])
clip = clip.std.SetFrameProps(_Matrix=1)
vs.core.gansr.Upscale(clip, model={model!r}).set_output()
"""


def program(name: str) -> str:
    """The path of a program that pip has installed."""
    found = shutil.which(name, path=sysconfig.get_path("scripts"))
    assert found and found.lower().endswith(".exe")
    return found


def test_vspipe_into_ffmpeg_is_binary_in_cmd(tmp_path: Path, point_model: Path) -> None:
    """The line of docs/windows.md, here without loss; the film has its colour tags. The samples are 26, which ends a
    text stream on Windows, and 10, which a text stream changes."""
    output = tmp_path / "out.mkv"
    (tmp_path / "script.vpy").write_text(SCRIPT.format(model=str(point_model)))
    page = (ROOT / "docs" / "windows.md").read_text(encoding="utf-8")
    (line,) = [line for line in page.splitlines() if line.startswith("vspipe ")]
    line = line.replace("vspipe", f'"{program("vspipe")}"').replace("libx265 -crf 18", "ffv1")
    line = line.replace("ffmpeg", f'"{footage.FFMPEG}" -v error')
    done = subprocess.run(f'cmd /s /c "{line}"', capture_output=True, text=True, timeout=SECONDS, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("Output 200 frames")
    picture = footage.facts(output).picture
    assert [picture[name] for name in ("matrix", "primaries", "transfer", "range")] == [1, 1, 1, 1]
    raw = subprocess.run([footage.FFMPEG, "-v", "error", "-i", output, "-f", "rawvideo", "-"], capture_output=True)
    size = 128 * 96
    assert raw.stdout == (bytes([26]) * size + bytes([100]) * (size // 4) + bytes([10]) * (size // 4)) * 200


def test_gansr_is_a_program(tmp_path: Path) -> None:
    done = subprocess.run([program("gansr"), "--version"], capture_output=True, text=True, timeout=SECONDS)
    assert (done.returncode, done.stdout[:6]) == (0, "gansr "), done.stderr
    shown = subprocess.run([program("gansr"), "--help"], capture_output=True, text=True, timeout=SECONDS)
    assert shown.returncode == 0 and "upscale" in shown.stdout, shown.stderr


def test_doctor_finds_nothing_wrong(home: Path) -> None:
    done = subprocess.run([program("gansr"), "doctor"], capture_output=True, encoding="utf-8", timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    kinds = {line.split()[0] for line in done.stdout.splitlines() if not line.startswith(" ")}
    assert "fault" not in kinds and "ok" in kinds
    assert "OpenVINO works on CPU" in done.stdout and "nvcuda" in done.stdout


def test_an_encode_by_the_program(tmp_path: Path, point_model: Path, home: Path) -> None:
    source, output = footage.plain(tmp_path / "in file é.mp4", frames=5), tmp_path / "out é.mkv"
    words = [program("gansr"), "upscale", source, output, "--model", point_model, "--params", "lossless=1"]
    done = subprocess.run(words, capture_output=True, encoding="utf-8", timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    assert len(set(frame_hashes(output))) == 5


@pytest.fixture
def editor() -> str:
    """A program that loads `vsscript` by its name, as VSEdit does, and prints the size of a script's clip."""
    found = os.environ.get("WINDOWS_TEST_EDITOR")
    assert found, "scripts/test --windows compiles it"
    return found


def test_editor_finds_vapoursynth(editor: str, tmp_path: Path, point_model: Path, home: Path) -> None:
    script = tmp_path / "a script.vpy"
    script.write_text(SCRIPT.format(model=str(point_model)))
    words = [program("gansr"), "editor", editor, str(script)]
    done = subprocess.run(words, capture_output=True, encoding="utf-8", timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    assert "128x96" in done.stdout
