"""`gansr editor` lets an editor that knows only the old library name preview with this VapourSynth."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import vapoursynth as vs
from gansr_process import Gansr, one_line
from paths import NATIVE


@pytest.fixture
def editor(tmp_path: Path) -> Path:
    """Return a program that looks for VapourSynth as VSEdit does and prints the size of a script's output."""
    program = tmp_path / "an editor"
    subprocess.run(["cc", "-I", vs.get_include(), NATIVE / "editor.c", "-o", program, "-ldl"], check=True)
    return program


def test_an_editor_finds_this_vapoursynth(
    gansr: Gansr, editor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point_model: Path
) -> None:
    config = tmp_path / "config" / "vapoursynth" / "vapoursynth.toml"
    config.parent.mkdir(parents=True)
    other = '"/another/libvsscript.so" = ["/another/python", "/another/libpython.so", "1"]\n'
    config.write_text(other)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    script = tmp_path / "a script.vpy"
    script.write_text(
        "import vapoursynth as vs\n"
        "clip = vs.core.std.BlankClip(format=vs.YUV420P8, width=64, height=48, length=1)\n"
        f"vs.core.gansr.Upscale(clip.std.SetFrameProps(_Matrix=1), {str(point_model)!r}).set_output()\n"
    )
    alone = subprocess.run([editor, script], env=os.environ | {"LD_LIBRARY_PATH": ""})
    assert alone.returncode == 3, "it finds VapourSynth without help, which tests nothing"
    for _ in range(2):
        done = gansr("editor", editor, script)
        assert (done.returncode, done.stdout) == (0, "128x96\n"), done.stderr
        assert other.split(" = ")[0] in config.read_text()
    assert config.read_text().count("libvapoursynth-script") == 1
    config.write_text("not toml = = =")  # `vapoursynth config` itself replaces such a file
    assert gansr("editor", editor, script).stdout == "128x96\n"


def test_what_is_not_there_is_named(gansr: Gansr, tmp_path: Path, editor: Path) -> None:
    assert '"no-such-editor" is not on the path' in one_line(gansr("editor", "no-such-editor").stderr)
    missing = gansr("editor", editor, tmp_path / "none.vpy")
    assert missing.returncode == 1 and "none.vpy does not exist" in one_line(missing.stderr)
