"""`gansr doctor` names every fault. The tests plant faults outside of it: in the installation and before the loader."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import networks
import onnxruntime
import pytest
import vapoursynth
from gansr_process import Gansr

from vs_gansr.engine.auto import registry

STUB = r"""
/* A driver for a GPU that is not there: as much of libcuda as is asked before anything is computed. */
#include <stddef.h>
#include <string.h>
int cuInit(unsigned flags) { (void)flags; return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
int cuDeviceGetName(char *name, int size, int device) {
    (void)device; strncpy(name, "Planted GPU", (size_t)size); return 0;
}
"""


def doctor(gansr: Gansr) -> tuple[int, list[dict[str, Any]]]:
    """Return the exit code and the findings."""
    done = gansr("doctor", "--json")
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert report["faults"] == sum(finding["state"] == "fault" for finding in report["findings"])
    assert done.returncode == (1 if report["faults"] else 0)
    return done.returncode, report["findings"]


def fault(findings: list[dict[str, Any]], *words: str) -> dict[str, Any]:
    """Return the one fault whose text contains all of `words`; it must have a remedy."""
    fits = [f for f in findings if f["state"] == "fault" and all(word in f["text"] for word in words)]
    assert len(fits) == 1, json.dumps(findings, indent=1)
    assert fits[0]["fix"]
    return fits[0]


def overlay(folder: Path, package: Path) -> Path:
    """Copy a package as links to its files, in a folder that is found before the installed one; return the copy."""
    shutil.copytree(package, folder / package.name, copy_function=os.symlink, ignore=lambda *_: {"__pycache__"})
    return folder / package.name


@pytest.fixture
def before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that Python searches before its own."""
    folder = tmp_path / "before"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


def plant_gpu(folder: Path, monkeypatch: pytest.MonkeyPatch, compute: str = "9.0", driver: str = "580.65.06") -> None:
    """Make the loader find a driver with one GPU, and the path its nvidia-smi."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    assert compiler, "a C compiler is needed, as for building the plugin"
    (folder / "stub.c").write_text(STUB)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", folder / "libcuda.so.1", folder / "stub.c"], check=True)
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{folder}:{os.environ.get('LD_LIBRARY_PATH', '')}")
    plant_nvidia_smi(folder, monkeypatch, f"echo 'Planted GPU, {compute}, 8192, {driver}'")


def plant_nvidia_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """Make the path find an nvidia-smi that runs the shell command `answer`."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{answer}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_a_sound_installation_has_no_fault(gansr: Gansr) -> None:
    code, findings = doctor(gansr)
    assert code == 0, json.dumps(findings, indent=1)
    topics = {finding["topic"] for finding in findings if finding["state"] == "ok"}
    assert {
        "Python",
        "VapourSynth",
        "vspipe",
        "plugin",
        "ONNX Runtime",
        "provider",
        "model",
        "BestSource",
        "ffmpeg",
    } <= topics
    texts = " ".join(finding["text"] for finding in findings)
    assert vapoursynth.core.gansr.plugin_path in texts and onnxruntime.__version__ in texts
    assert any(f["topic"] == "provider" and f["text"].startswith("CPU works on ") for f in findings)
    absent = [f for f in findings if f["topic"] == "provider" and "is not installed" in f["text"]]
    assert all(f["state"] == "note" and f["fix"].startswith("pip install ") for f in absent)
    tried = {f["text"].split()[0] for f in findings if f["topic"] == "provider" and f not in absent}
    assert tried == {provider.name for provider in registry.listed()}
    assert {f["text"].split()[0] for f in absent} == {provider.name for provider in registry.missing()}
    assert any(f["text"].startswith("OpenVINO works on CPU") for f in findings)


@pytest.mark.slow
def test_vapoursynth_never_configured(gansr: Gansr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`vapoursynth` is not on the path, so vspipe cannot run its configuration itself."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PATH", os.defpath)
    _, findings = doctor(gansr)
    assert fault(findings, "vspipe cannot start a script")["fix"].endswith("-m vapoursynth config")


@pytest.mark.slow
def test_the_screen_shows_the_remedy(gansr: Gansr, home: Path) -> None:
    own = home / "data" / "gansr" / "models"
    own.mkdir(parents=True)
    (own / "broken.onnx").write_bytes(b"not a network")
    done = gansr("doctor")
    assert done.returncode == 1
    assert f"-> delete or replace {own / 'broken.onnx'}" in done.stdout
    assert done.stderr.strip() == "1 fault found"


@pytest.mark.slow
def test_plugin_library_hidden(gansr: Gansr, before: Path) -> None:
    copy = overlay(before, Path(vapoursynth.__file__).parent)
    next((copy / "plugins" / "gansr").glob("*gansr.so")).unlink()
    _, findings = doctor(gansr)
    found = fault(findings, "core.gansr is missing", "its library is not in")
    assert str(copy / "plugins" / "gansr") in found["text"] and "vs-gansr" in found["fix"]


@pytest.mark.slow
def test_plugin_library_damaged(gansr: Gansr, before: Path) -> None:
    copy = overlay(before, Path(vapoursynth.__file__).parent)
    library = next((copy / "plugins" / "gansr").glob("*gansr.so"))
    data = library.read_bytes()
    library.unlink()
    library.write_bytes(data[: len(data) // 2])
    _, findings = doctor(gansr)
    found = fault(findings, "a plugin crashes the process when VapourSynth loads it")
    assert str(copy / "plugins") in found["fix"] and "vs-gansr" in found["fix"]


@pytest.mark.slow
def test_plugin_library_of_another_kind(gansr: Gansr, before: Path) -> None:
    copy = overlay(before, Path(vapoursynth.__file__).parent)
    library = next((copy / "plugins" / "gansr").glob("*gansr.so"))
    library.unlink()
    library.write_text("no library at all")
    _, findings = doctor(gansr)
    fault(findings, "core.gansr is missing", library.name)


@pytest.mark.slow
def test_vapoursynth_that_does_not_load(gansr: Gansr, before: Path) -> None:
    copy = overlay(before, Path(vapoursynth.__file__).parent)
    next(copy.glob("libvapoursynth.*")).unlink()
    _, findings = doctor(gansr)
    assert "vapoursynth" in fault(findings, "does not load", "libvapoursynth")["fix"]


@pytest.mark.slow
def test_both_runtimes_over_each_other(gansr: Gansr, before: Path) -> None:
    overlay(before, Path(onnxruntime.__file__).parent)
    for name in ("onnxruntime", "onnxruntime-gpu"):
        record = before / f"{name.replace('-', '_')}-1.20.0.dist-info"
        record.mkdir()
        (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.20.0\n")
        (record / "RECORD").write_text("onnxruntime/__init__.py,,\n")
    _, findings = doctor(gansr)
    found = fault(findings, "onnxruntime", "onnxruntime-gpu", "installed in the same folder")
    assert found["fix"].startswith("pip uninstall -y ") and found["fix"].endswith("pip install onnxruntime-gpu")


@pytest.mark.slow
def test_wrong_provider_for_the_machine(
    gansr: Gansr, before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU and the ONNX Runtime without CUDA, which lists the same providers as the CPU package."""
    plant_gpu(tmp_path, monkeypatch)
    copy = overlay(before, Path(onnxruntime.__file__).parent)
    start = copy / "__init__.py"
    code = start.read_text()
    start.unlink()
    start.write_text(code + '\ndef get_available_providers():\n    return ["CPUExecutionProvider"]\n')
    _, findings = doctor(gansr)
    found = fault(findings, "built without CUDA")
    assert "vs-gansr[cuda]" in found["fix"] and "pip uninstall" in found["fix"]


def cuda_build() -> int:
    """Return the CUDA version that this ONNX Runtime is built for; 0 for none."""
    from onnxruntime.capi import build_and_package_info

    return int((getattr(build_and_package_info, "cuda_version", "") or "0").split(".")[0])


needs_cuda_build = pytest.mark.skipif(
    "CUDAExecutionProvider" not in onnxruntime.get_available_providers() or cuda_build() < 13,
    reason="this platform's ONNX Runtime is not the one built for CUDA 13",
)


@pytest.mark.slow
@needs_cuda_build
def test_cuda_libraries_hidden(gansr: Gansr, before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip's CUDA libraries are searched beside ONNX Runtime, where the copy has none, and in the package `nvidia`."""
    plant_gpu(tmp_path, monkeypatch)
    overlay(before, Path(onnxruntime.__file__).parent)
    (before / "nvidia").mkdir()
    (before / "nvidia" / "__init__.py").touch()  # found before the package that PyTorch installs
    _, findings = doctor(gansr)
    found = fault(findings, "CUDA fails although there is a GPU", "a library is missing", "libcu")
    assert found["fix"] == 'pip install "vs-gansr[cuda]"'


@pytest.mark.slow
@needs_cuda_build
def test_gpu_without_code(gansr: Gansr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant_gpu(tmp_path, monkeypatch, compute="10.0")
    _, findings = doctor(gansr)
    assert fault(findings, "Planted GPU, compute 10.0", "have no code for it")["fix"] == 'use provider="CPU"'


@pytest.mark.slow
@needs_cuda_build
def test_gpu_too_old(gansr: Gansr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant_gpu(tmp_path, monkeypatch, compute="6.1")
    _, findings = doctor(gansr)
    found = fault(findings, "Planted GPU is too old for CUDA 13", "compute 6.1", "7.5")
    assert 'provider="CPU"' in found["fix"]


@pytest.mark.slow
@needs_cuda_build
def test_driver_too_old(gansr: Gansr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant_gpu(tmp_path, monkeypatch, driver="550.54.14")
    _, findings = doctor(gansr)
    found = fault(findings, "driver 550.54.14 is too old for CUDA 13")
    assert found["fix"] == "install NVIDIA driver 580 or later"


@pytest.mark.slow
def test_driver_that_finds_no_gpu(gansr: Gansr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant_nvidia_smi(tmp_path, monkeypatch, "echo 'No devices were found'; exit 6")
    _, findings = doctor(gansr)
    assert "reinstall" in fault(findings, "nvidia-smi lists no GPU: No devices were found")["fix"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["garbage", "half", "no scale", "wrong scale"])
def test_model_with_a_broken_header(gansr: Gansr, home: Path, kind: str) -> None:
    own = home / "data" / "gansr" / "models"
    own.mkdir(parents=True)
    path = own / "mine.onnx"
    if kind == "no scale":
        networks.point(path, metadata={"scale": "two"})
    elif kind == "wrong scale":
        networks.compact(path, features=8, convs=2, scale=2)
        path.write_bytes(path.read_bytes().replace(b"gansr.scale\x12\x012", b"gansr.scale\x12\x013"))
    else:
        networks.compact(path, features=8, convs=2)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2] if kind == "half" else b"\x00" * 100)
    _, findings = doctor(gansr)
    found = fault(findings, "mine cannot be used")
    assert found["fix"] == f"delete or replace {path}"


@pytest.mark.slow
def test_ffmpeg_without_encoders(gansr: Gansr, before: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = before / "ffmpeg"
    tool.write_text("#!/bin/sh\necho ffmpeg version 7.0 of a sort\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{before}:{os.environ['PATH']}")
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tool))
    _, findings = doctor(gansr)
    fault(findings, "has a supported encoder")
    assert any(
        f["topic"] == "ffmpeg" and str(tool) in f["text"] and "no supported encoder" in f["text"] for f in findings
    )


@pytest.mark.slow
def test_a_provider_that_crashes_is_survived(gansr: Gansr, before: Path) -> None:
    """Each provider is tried in its own process."""
    copy = overlay(before, Path(onnxruntime.__file__).parent)
    start = copy / "__init__.py"
    code = start.read_text()
    start.unlink()
    start.write_text(
        code + "\n_session = InferenceSession\ndef InferenceSession(*a, **k):\n    import os\n"
        "    os.kill(os.getpid(), 11) if 'providers' in __import__('sys').argv[0] else None\n"
        "    return _session(*a, **k)\n"
    )
    _, findings = doctor(gansr)
    fault(findings, "CPU fails: its process ended with -11")
