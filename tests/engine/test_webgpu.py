"""WebGPU as an engine: devices and choices on stand-ins; pictures, tiles and failures on a GPU in software."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import software_gpu
from paths import ROOT

from vs_gansr.engine import memory, plugins
from vs_gansr.engine.auto import proof, registry
from vs_gansr.engine.base import EngineKey, Provider
from vs_gansr.engine.plugins import PluginProvider, WebGpu
from vs_gansr.errors import ProviderError
from vs_gansr.filter import choose
from vs_gansr.filter.settings import Settings

SUPPORT = ROOT / "tests" / "support"
FORMS = ("plugin", "built in")


# ---- devices and choices, without a GPU -----------------------------------------------------------


@dataclass
class Hardware:
    vendor: str = "Maker"
    vendor_id: int = 0x8086
    device_id: int = 0x56A0
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass
class Device:
    device: Hardware
    ep_name: str = "WebGpuExecutionProvider"


CARD, CHIP = (Device(Hardware(metadata=found)) for found in ({"Discrete": "1"}, {}))


class StandIn(WebGpu):
    """WebGPU on a machine with these GPUs."""

    def __init__(self, gpus: list[Device], half: bool = True) -> None:
        super().__init__()
        self.gpus = gpus
        self.half = half

    def installed(self) -> bool:
        return True

    def builtin(self) -> bool:
        return False

    def listed(self) -> list[Any]:
        return self.gpus

    def trouble(self, device_id: int) -> str | None:
        return None if device_id < len(self.gpus) else "no such device"

    def precisions(self, device_id: int) -> tuple[str, ...]:
        return ("fp16", "fp32") if self.half else ("fp32",)

    def option(self, device_id: int) -> dict[str, str]:
        self.device(device_id)
        return self.options(EngineKey("", self, device_id, "fp32", 8, 8, 1, 1))


@pytest.fixture(autouse=True)
def unclaimed() -> Iterator[None]:
    """This process has computed on no GPU."""
    before = dict(plugins._claimed)
    plugins._claimed.clear()
    yield
    plugins._claimed.clear()
    plugins._claimed.update(before)


def test_devices_are_told_apart_as_far_as_the_plugin_can() -> None:
    assert StandIn([CHIP]).option(0) == {}
    with pytest.raises(ProviderError, match="device_id 1 does not exist; there are: 0 GPU Maker 8086:56a0"):
        StandIn([CHIP]).option(1)
    several = StandIn([CHIP, CARD, CARD])
    assert several.option(0) == {"powerPreference": "low-power"}
    assert several.option(1) == {"powerPreference": "high-performance"}
    with pytest.raises(ProviderError, match=r"cannot select device_id 2 .* device_id 1 .* same kind; use device_id 1"):
        several.option(2)
    with pytest.raises(ProviderError, match="finds no GPU"):
        StandIn([]).option(0)


def test_one_device_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    there = StandIn([CHIP, CARD])

    def made(*_: Any) -> str:
        if failing:
            raise RuntimeError("no session")  # so the device is not taken
        return "session"

    def session_on(device_id: int) -> Any:
        return there.session(b"", None, EngineKey("", there, device_id, "fp32", 8, 8, 1, 1))

    monkeypatch.setattr(PluginProvider, "session", made)
    failing = True
    with pytest.raises(RuntimeError):
        session_on(0)
    failing = False
    for _ in range(2):
        assert session_on(1) == "session"
    with pytest.raises(ProviderError, match="this process uses device_id 1 already; use device_id 1, or another"):
        session_on(0)


def test_a_session_that_fails_takes_no_device() -> None:
    """The other GPU can still be had in this process."""
    for device_id in (0, 1):
        said = StandIn([CHIP, CARD]).attempt(device_id, "fp32")  # the stand-ins are no devices to ONNX Runtime
        assert said and "already" not in said


class Absent(WebGpu):
    package = "package_that_is_not_there"


def test_without_the_plugin(providers: list[Provider]) -> None:
    absent = Absent()
    assert not absent.installed() and absent.devices() == []
    with pytest.raises(ProviderError, match=r'not installed; pip install "vs-gansr\[webgpu\]"'):
        absent.listed()
    providers[:] = [absent, registry.CPU]
    with pytest.raises(
        ProviderError, match=r'provider "WebGPU" is not installed; run: pip install "vs-gansr\[webgpu\]"'
    ):
        registry.find("webgpu")


@pytest.mark.parametrize(
    ("speedup", "decibels", "half", "asked", "found"),
    [
        (3.2, 60.0, True, "auto", "fp16"),
        (3.2, 60.0, False, "auto", "fp32"),
        (3.2, 40.0, True, "auto", "fp32"),
        (3.2, 40.0, True, "fp16", None),
        (3.2, 60.0, True, "fp32", "fp32"),
        (0.8, 60.0, True, "auto", None),
        (3.2, 60.0, False, "fp16", None),
        (3.2, 60.0, True, "int8", None),
    ],
)
def test_auto_takes_it_where_it_is_right_and_quicker(
    speedup: float,
    decibels: float,
    half: bool,
    asked: str,
    found: str | None,
    providers: list[Provider],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def prove(job: proof.Proof) -> proof.Verdict:
        far = decibels if job.key.precision == "fp16" else 120.0
        return proof.Verdict(far, far, 0.0, speedup)

    there = StandIn([CHIP], half)
    providers[:] = [there, registry.CPU, registry.OPENVINO]
    monkeypatch.setattr(proof, "prove", prove)
    chosen = choose.choose(Settings(model="fast-2x", precision=asked))
    key = chosen.choice.key
    if found:
        assert (key.provider, key.precision) == (there, found)
        assert "on WebGPU (" in chosen.summary and "3.2 times the CPU's speed here" in chosen.summary
        assert chosen.fallbacks[-1]().key.provider.processor(0)
    else:
        assert key.provider.processor(0)
        assert "WebGPU" in chosen.summary


def test_auto_says_nothing_of_it_where_there_is_no_gpu(providers: list[Provider]) -> None:
    providers[:] = [StandIn([]), registry.CPU, registry.OPENVINO]
    assert "WebGPU" not in choose.choose(Settings(model="fast-2x")).summary


def test_a_tensor_too_large_for_one_buffer_is_a_shortage() -> None:
    for words in (
        "Too many storage buffers in shader. Current: 19, Max is 12",
        "vkAllocateMemory failed with VK_ERROR_OUT_OF_DEVICE_MEMORY",
        "Buffer size (5308416000) exceeds the max buffer size limit (4294967296).",
    ):
        assert memory.is_shortage(RuntimeError(words))


# ---- on a GPU in software -------------------------------------------------------------------------


@pytest.fixture(scope="module", params=FORMS)
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What webgpu_worker.py reports of the plugin, or of an ONNX Runtime that has the provider in itself."""
    if software_gpu.folder() is None or (request.param == "plugin" and software_gpu.why_not()):
        pytest.skip(software_gpu.why_not())
    folder = tmp_path_factory.mktemp("webgpu")
    environment = software_gpu.environment(folder)
    words = [sys.executable, str(SUPPORT / "webgpu_worker.py"), str(folder)]
    if request.param == "plugin":
        words = software_gpu.with_gpu(words)
    else:  # its package takes the place of onnxruntime-gpu, in that process alone
        other = folder / "packages"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(other)]
        done = subprocess.run([*pip, "onnxruntime-webgpu"], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"onnxruntime-webgpu cannot be installed: {done.stderr.strip()[-200:]}")
        environment["PYTHONPATH"] = os.pathsep.join([str(other), *filter(None, [environment.get("PYTHONPATH")])])
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=1150)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found["built in"] == (request.param == "built in")
    return found


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_format_is_within_one_code_of_the_cpu(report: dict[str, Any]) -> None:
    assert "WebGPU" in report["providers"]
    assert len(report["differences"]) == 32
    assert {name: off for name, off in report["differences"].items() if off > 1} == {}
    assert len(report["neighbours"]) == 2 and max(report["neighbours"].values()) <= 1
    assert report["tiles"] < 1e-4
    refusals = [value for value in report["mixed"].values() if isinstance(value, str)]
    assert len(refusals) == 2 and all("requires f16" in words for words in refusals), refusals
    assert all(value <= 1 for value in report["mixed"].values() if not isinstance(value, str))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_failures_cost_no_frame(report: dict[str, Any]) -> None:
    assert report["lost once"]["worst"] < 1e-4
    assert any("device lost" in line for line in report["lost once"]["said"])
    assert "device lost" in report["lost for good"]["error"]
    assert report["short once"]["worst"] < 1e-4
    assert any("tiles" in line for line in report["short once"]["said"])


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_what_the_gpu_cannot_do_is_said_at_once(report: dict[str, Any]) -> None:
    assert 'in fp16 does not run on provider "WebGPU", which computes in fp32' in report["half"]
    assert "device does not support it" in report["half file"]
    assert 'in int8 does not run on provider "WebGPU"' in report["int8"]
    assert report["device 1"].startswith('Upscale: provider "WebGPU" cannot run: ')
    assert "use device_id 0, or another process" in report["device 1"] or "finds no GPU" in report["device 1"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_auto_leaves_a_slow_gpu_alone_and_remembers(report: dict[str, Any]) -> None:
    for line in report["auto"]["said"]:
        assert "on CPU (" in line and "times the CPU's speed in fp32" in line
    assert report["auto"]["again"] < 1.0


SCRIPT = """
import vapoursynth as vs
clip = vs.core.std.BlankClip(format=vs.YUV420P8, width=32, height=24, length=2, color=[90, 100, 150])
clip = clip.std.SetFrameProps(_Matrix=1).gansr.Upscale("fast-2x", provider={provider!r}, precision="fp32", reuse=0)
clip.set_output()
"""


TRACED = "trace=connect,sendto,sendmsg,sendmmsg,openat,mkdir,mkdirat"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_users_script_runs_on_the_plugin(tmp_path: Path) -> None:
    """A script through vspipe, traced: the CPU's picture within a code, nothing written elsewhere, nobody asked."""
    if software_gpu.why_not():
        pytest.skip(software_gpu.why_not())
    pipe = [str(Path(sys.executable).with_name("vspipe")), "-c", "y4m"]
    tracer = shutil.which("strace")
    pictures = []
    for provider in ("WebGPU", "CPU"):
        script, result, log = (tmp_path / f"{provider}.{kind}" for kind in ("vpy", "y4m", "strace"))
        script.write_text(SCRIPT.format(provider=provider))
        traced = [tracer, "-f", "--seccomp-bpf", "-qq", "-e", TRACED, "-o", str(log)] if tracer else []
        done = subprocess.run(
            software_gpu.with_gpu([*traced, *pipe, str(script), str(result)]),
            env=software_gpu.environment(tmp_path),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        pictures.append(result.read_bytes())
        left = {path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()}
        assert left <= {"gpu_trials.json", "gpu_trials.lock", "fidelity.json", "probes.json"}, left
        if tracer:
            calls = log.read_text(errors="replace")
            assert ("libvk_swiftshader.so" in calls) == (provider == "WebGPU")
            assert not re.findall(r".*\b(?:AF_INET6?|sin_port).*", calls)
            written = re.findall(r'openat\((?:AT_FDCWD, )?"([^"]+)", O_(?:WRONLY|RDWR)\S* ?[^=]*= \d', calls)
            allowed = (str(tmp_path), tempfile.gettempdir(), "/dev", "/proc")
            assert not [path for path in written if not path.startswith(allowed) and "__pycache__" not in path]
    ours, theirs = pictures
    assert len(ours) == len(theirs) > 2 * 64 * 48 * 1.5
    assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) <= 1
    if not tracer:
        pytest.skip("strace is not installed; the picture was looked at, system calls were not")
