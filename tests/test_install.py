"""`pip install .` into a fresh environment: the plugin loads without an import, with models and shim."""

from __future__ import annotations

import runpy
import subprocess
import sys
import types
import venv
import zipfile
from pathlib import Path

import pytest
from paths import ROOT

CHECK = """
import sys, vapoursynth as vs
clip = vs.core.std.BlankClip(format=vs.YUV420P8, width=16, height=16, length=1)
assert clip.gansr.Upscale(sys.argv[1]).get_frame(0).width == 32
import vs_gansr
from vs_gansr.model import library
print(vs_gansr.__file__, library.models_folder())
"""


def built(folder: Path) -> Path:
    """The wheel `pip` builds from the checkout, in an isolated build environment as a user's would be."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", str(ROOT), "-w"]
    # Two at once, as where several environments are made from one checkout: they must not meet.
    other = subprocess.Popen([*command, str(folder / "other")], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True)
    _, said = other.communicate()
    assert (done.returncode, other.returncode) == (0, 0), done.stderr + said.decode()
    return next(folder.glob("vs_gansr-*.whl"))


@pytest.mark.timeout(900)
@pytest.mark.slow
def test_wheel(tmp_path: Path, point_model: Path) -> None:
    """One test, so that the wheel is built once: two may be run by two of pytest's workers."""
    wheel = built(tmp_path)
    holds_shim_models_and_package(wheel)
    works_in_a_fresh_environment(wheel, tmp_path, point_model)


def holds_shim_models_and_package(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    libraries = [n for n in names if n.startswith("vapoursynth/plugins/gansr/") and not n.endswith("manifest.vs")]
    assert len(libraries) == 1
    assert "vapoursynth/plugins/gansr/manifest.vs" in names
    for model in (ROOT / "models").glob("*.onnx"):
        assert f"vs_gansr/models/{model.name}" in names
    assert "vs_gansr/py.typed" in names
    assert not [n for n in names if n.startswith(("tests/", "scripts/", "benchmarks/")) or n.endswith(".c")]
    assert wheel.name.startswith("vs_gansr-") and "-py3-none-" in wheel.name and "any" not in wheel.name


def works_in_a_fresh_environment(wheel: Path, tmp_path: Path, point_model: Path) -> None:
    venv.create(tmp_path / "venv")  # another environment's pip installs into it
    python = str(tmp_path / "venv" / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python]
    subprocess.run([*pip, "install", "--quiet", "--no-compile", str(wheel)], check=True, capture_output=True)
    command = [python, "-c", CHECK, str(point_model)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) in done.stdout.split()[0]
    assert str(tmp_path) in done.stdout.split()[1]
    listed = subprocess.run([*pip, "list"], capture_output=True, text=True, check=True).stdout.lower()
    assert "torch" not in listed


def test_an_older_python_is_told_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("hatchling", "hatchling.builders", "hatchling.builders.hooks", "hatchling.builders.hooks.plugin"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    interface = types.ModuleType("interface")
    interface.BuildHookInterface = type("Hook", (), {"__class_getitem__": classmethod(lambda cls, _: cls)})  # type: ignore
    monkeypatch.setitem(sys.modules, "hatchling.builders.hooks.plugin.interface", interface)
    hook = runpy.run_path(str(ROOT / "hatch_build.py"))["ShimBuildHook"]()
    hook.target_name = "wheel"
    monkeypatch.setattr(sys, "version_info", (3, 11, 7))
    with pytest.raises(SystemExit, match=r"needs Python 3\.12 or later; this is 3\.11\.7"):
        hook.initialize("standard", {})
