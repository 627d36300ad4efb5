"""Editors and type checkers know the plugin by vsstubs' stubs and by vs_gansr.upscale."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
import vapoursynth as vs

import vs_gansr

GOOD = """
import vapoursynth as vs

core = vs.core
clip = core.std.BlankClip()
a = core.gansr.Upscale(clip, model="fast-2x", provider="CPU", tilesize=[64, 48], strength=0.5, reuse=0)
b = clip.gansr.Upscale(format=vs.YUV420P10)
a.set_output(b.width)
names = core.gansr.Models()["name"]
version = core.gansr.Version()["onnxruntime"]
"""

BAD = {
    'core.gansr.Upscale(clip, modle="fast-2x")': "modle",
    'clip.gansr.Upscale(num_streams="two")': "num_streams",
    "core.gansr.Upscale()": "clip",
    "core.gansr.Models()['names']": "names",
}


def mypy(folder: Path, code: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(code)
    command = [sys.executable, "-m", "mypy", "--config-file=", "--no-incremental", *options, "script.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_vsstubs_describes_the_plugin(tmp_path: Path) -> None:
    """What README recommends: `vsstubs`, which asks the loaded plugin."""
    stub = tmp_path / "vapoursynth" / "__init__.pyi"
    stub.parent.mkdir()
    made = subprocess.run(
        [sys.executable, "-m", "vsstubs", "--output", str(stub)], capture_output=True, text=True, timeout=120
    )
    assert made.returncode == 0, made.stdout + made.stderr
    good = mypy(tmp_path, GOOD)
    assert good.returncode == 0, good.stdout
    wrong = "".join(f"{line}\n" for line in BAD)
    bad = mypy(tmp_path, f"import vapoursynth as vs\ncore = vs.core\nclip = core.std.BlankClip()\n{wrong}")
    for number, word in enumerate(BAD.values(), 4):
        assert re.search(rf'script.py:{number}: error: .*"{word}"', bad.stdout), bad.stdout


@pytest.mark.slow
def test_the_typed_function_is_checked_with_nothing_but_the_package(tmp_path: Path) -> None:
    code = "import vapoursynth as vs, vs_gansr\nvs_gansr.upscale(vs.core.std.BlankClip(), {})\n"
    good = mypy(tmp_path, code.format("model='fast-2x', tilesize=(64, 48)"), "--ignore-missing-imports")
    assert good.returncode == 0, good.stdout
    for wrong, word in (("modle='fast-2x'", "modle"), ("strength='much'", "strength")):
        bad = mypy(tmp_path, code.format(wrong), "--ignore-missing-imports")
        assert bad.returncode == 1 and f'"{word}"' in bad.stdout, bad.stdout


def signature() -> dict[str, str]:
    """Arguments of core.gansr.Upscale by name, with their types, as the plugin registers them."""
    text = vs.core.gansr.Upscale.signature
    return dict(item.split(":")[:2] for item in text.strip(";").split(";"))


def test_the_typed_function_has_the_plugin_s_arguments() -> None:
    parameters = inspect.signature(vs_gansr.upscale).parameters
    assert list(parameters) == list(signature())
    assert all(p.default is None for name, p in parameters.items() if name != "clip")
