"""The steps of docs/windows.md: vs-gansr in a virtual environment and in a portable folder of Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import footage
import pytest
from encodes import FAST

UNNEEDED = ("site-packages", "test", "idlelib", "__pycache__", "tcl", "include", "libs", "Scripts")
# As in Python's embeddable package: with this file Python is isolated from the registry and from PYTHONPATH.
PATHS = ["Lib", "DLLs", ".", "import site"]


def shown(*words: str | Path, **variables: str) -> str:
    """What a program prints; it must end well."""
    done = subprocess.run(
        words, env=os.environ | variables, capture_output=True, encoding="utf-8", errors="replace", timeout=1200
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def virtual_environment(folder: Path) -> Path:
    """Makes a virtual environment and returns its folder of programs."""
    shown(sys.executable, "-m", "venv", folder)
    return folder / "Scripts"


def portable_folder(folder: Path) -> Path:
    """Makes a folder like Python's embeddable package, with pip, and returns it."""
    shutil.copytree(sys.base_prefix, folder, ignore=shutil.ignore_patterns(*UNNEEDED))
    packages = Path("Lib", "site-packages")
    for source in (Path(sys.base_prefix) / packages).glob("pip*"):
        shutil.copytree(source, folder / packages / source.name)
    (folder / f"python{sys.version_info.major}{sys.version_info.minor}._pth").write_text("\n".join(PATHS))
    return folder


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["environment", "portable"])
def test_install(kind: str, tmp_path: Path, point_model: Path) -> None:
    place = tmp_path / "a folder é"
    make = virtual_environment if kind == "environment" else portable_folder
    programs = make(place)
    own = {
        "APPDATA": str(tmp_path / "roaming"),  # where `vapoursynth config` writes
        "WIN_PD_OVERRIDE_LOCAL_APPDATA": str(tmp_path / "local"),
        "PATH": f"{programs};{os.environ['PATH']}",
        "PYTHONUTF8": "1",
    }
    python = programs / "python.exe"
    found = ["--no-index", "--find-links", os.environ["WINDOWS_TEST_DOWNLOADS"]]
    shown(python, "-m", "pip", "install", *found, f"{os.environ['WINDOWS_TEST_WHEEL']}[cli]", **own)
    scripts = place / "Scripts"
    if kind == "environment":
        assert "successfully" in shown(scripts / "vapoursynth.exe", "config", **own)
    told = shown(scripts / "gansr.exe", "doctor", **own)
    assert "OpenVINO works on CPU" in told and str(place) in told
    source, output = footage.plain(tmp_path / "in.mp4", frames=3), tmp_path / "out.mkv"
    shown(scripts / "gansr.exe", "upscale", source, output, "--model", point_model, *FAST, **own)
    assert footage.facts(output).picture["frames"] == 3
    script = tmp_path / "script.vpy"
    script.write_text(
        "import vapoursynth as vs\n"
        "vs.core.std.BlankClip(format=vs.YUV420P8, width=16, height=16, length=3).gansr.Upscale().set_output()\n"
    )
    assert "Width: 32" in shown(scripts / "vspipe.exe", "--info", script, **own)
