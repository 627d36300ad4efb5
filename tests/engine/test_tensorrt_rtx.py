"""TensorRT RTX: registration, options and messages, with a package made up in place of NVIDIA's; no GPU is needed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import folders
import numpy as np
import onnx
import onnxruntime as ort
import pytest

from vs_gansr.engine import plugins
from vs_gansr.engine.auto import registry
from vs_gansr.engine.base import EngineKey, Provider
from vs_gansr.engine.onnxruntime import sessions
from vs_gansr.engine.onnxruntime.provider import CPU, tried
from vs_gansr.engine.plugins import TensorRtRtx
from vs_gansr.errors import ProviderError
from vs_gansr.model.rewrite.ends import Samples
from vs_gansr.model.spec import Model

TITLE = "NvTensorRTRTXExecutionProvider"


@dataclass
class Hardware:
    vendor: str = "NVIDIA"
    vendor_id: int = 0x10DE
    device_id: int = 0x2684
    metadata: dict[str, str] = field(default_factory=lambda: {"Discrete": "1"})


@dataclass
class Device:
    device: Hardware = field(default_factory=Hardware)
    ep_name: str = TITLE


class NotBuiltIn(TensorRtRtx):
    """The provider of an ONNX Runtime that comes without it."""

    def builtin(self) -> bool:
        return False


@pytest.fixture
def provider(tmp_path: Path, providers: list[Provider], monkeypatch: pytest.MonkeyPatch) -> Iterator[TensorRtRtx]:
    """The provider in a process that has registered no plugin yet; its package is not installed."""
    folders.redirect(monkeypatch, tmp_path / "cache")
    monkeypatch.delitem(sys.modules, TensorRtRtx.package, raising=False)
    plugins.registered.cache_clear()
    tried.cache_clear()
    made = NotBuiltIn()
    providers[:] = [made, CPU]
    yield made
    sys.modules.pop(TensorRtRtx.package, None)
    plugins.registered.cache_clear()
    tried.cache_clear()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The library of a package with the name and the functions of NVIDIA's; it is no library."""
    folder = tmp_path / "site" / TensorRtRtx.package
    folder.mkdir(parents=True)
    library = folder / "libonnxruntime_providers_nv_tensorrt_rtx.so"
    library.write_bytes(b"no library")
    code = f'__version__ = "0.5.0"\ndef get_library_path():\n    return {str(library)!r}\n'
    (folder / "__init__.py").write_text(code)
    monkeypatch.syspath_prepend(str(folder.parent))
    return library


@pytest.fixture
def registrations(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is registered with an ONNX Runtime that takes every library and finds two GPUs."""
    found: list[tuple[str, str]] = []
    monkeypatch.setattr(ort, "register_execution_provider_library", lambda name, path: found.append((name, path)))
    other = Device(ep_name="CPUExecutionProvider")
    monkeypatch.setattr(ort, "get_ep_devices", lambda: [other, Device(), Device(Hardware(device_id=0x2206))])
    return found


def key_of(provider: TensorRtRtx, **more: Any) -> EngineKey:
    return replace(EngineKey("", provider, 0, "fp16", 1920, 1080, 1, 1), **more)


def test_without_the_package_the_extra_is_named(provider: TensorRtRtx) -> None:
    assert not provider.installed() and provider.devices() == []
    for name in ("TensorRT-RTX", "tensorrtrtx", TITLE):
        with pytest.raises(
            ProviderError, match=r'"TensorRT-RTX" is not installed; run: pip install "vs-gansr\[tensorrt\]"'
        ):
            registry.find(name)


def test_it_is_registered_once_and_lists_its_devices(
    provider: TensorRtRtx, package: Path, registrations: list[tuple[str, str]]
) -> None:
    assert provider.installed() and registrations == []
    for _ in range(2):
        assert provider.devices() == ["discrete GPU NVIDIA 10de:2684", "discrete GPU NVIDIA 10de:2206"]
    assert registrations == [(TITLE, str(package))]
    assert registry.find("nvtensorrtrtx") is provider
    assert provider.identity(1).endswith(" 0.5.0 discrete GPU NVIDIA 10de:2206")
    with pytest.raises(
        ProviderError, match="device_id 2 does not exist; there are: 0 discrete GPU NVIDIA 10de:2684, 1"
    ):
        provider.device(2)


def test_a_library_that_does_not_load_is_told(provider: TensorRtRtx, package: Path) -> None:
    """ONNX Runtime's own words, as where NVIDIA's driver is missing."""
    assert provider.devices() == []
    assert "the plugin does not load: " in (provider.trouble(0) or "")
    with pytest.raises(ProviderError, match=r'provider "TensorRT-RTX" cannot run: the plugin does not load'):
        from vs_gansr.filter.choose import choose
        from vs_gansr.filter.settings import Settings

        choose(Settings(model="fast-2x", provider="TensorRT-RTX"))


def test_no_gpu_is_told(provider: TensorRtRtx, package: Path, registrations: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(ort, "get_ep_devices", list)
    assert "it needs one of NVIDIA's, of the Ampere generation or later" in (provider.trouble(0) or "")
    assert not provider.devices()  # so `auto` warns of nothing


def test_options_keep_engines_in_the_cache_folder(provider: TensorRtRtx, tmp_path: Path) -> None:
    kept = Path(provider.options(key_of(provider))["nv_runtime_cache_path"])
    assert kept.is_dir() and kept.is_relative_to(tmp_path)
    assert set(provider.options(key_of(provider))) == {"nv_runtime_cache_path"}
    assert provider.options(key_of(provider, limit=1 << 30))["nv_max_workspace_size"] == str(1 << 30)
    assert provider.precisions(0)[0] == "fp16" and provider.automatic and "int8" not in provider.precisions(0)


class Settings:
    """Session settings that note the devices they are given."""

    def __init__(self) -> None:
        self.given: list[tuple[list[Any], dict[str, str]]] = []

    def add_provider_for_devices(self, devices: list[Any], options: dict[str, str]) -> None:
        self.given.append((devices, options))


def test_building_is_announced_and_timed(
    provider: TensorRtRtx, package: Path, registrations: Any, monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "vs_gansr")
    monkeypatch.setattr(plugins, "quiet_session", lambda data, settings: "a session")
    for threshold, lines in ((60.0, 1), (-1.0, 2)):
        caplog.clear()
        monkeypatch.setattr(plugins, "WORTH_TELLING", threshold)
        settings = Settings()
        assert provider.session(b"", settings, key_of(provider, device_id=1)) == "a session"  # type: ignore[arg-type]
        [(devices, options)] = settings.given
        assert [device.device.device_id for device in devices] == [0x2206] and "nv_runtime_cache_path" in options
        assert [record.getMessage() for record in caplog.records] == [
            "TensorRT RTX is building an engine for 1920x1080, once",
            "TensorRT RTX built an engine for 1920x1080 in 0 s",
        ][:lines]


@pytest.mark.parametrize(("bits", "kind"), [(8, np.float32), (10, np.float32), (16, np.float32)])
def test_integers_travel_as_floats(bits: int, kind: type, provider: TensorRtRtx, small: Model) -> None:
    """TensorRT has no integers of 16 bits: the graph takes and gives the codes as floats, rounded."""
    stored = Samples.integer(bits, False)
    key = key_of(provider, precision="fp32", width=32, height=16, source=stored, target=stored)
    network = sessions.prepare(onnx.load_model_from_string(small.data), small.spec, key)
    assert network.takes == network.gives == kind
    session = ort.InferenceSession(network.proto.SerializeToString(), providers=["CPUExecutionProvider"])
    codes = np.random.default_rng(0).integers(0, 1 << bits, (1, 3, 16, 32)).astype(np.float32)
    result, watch = session.run(None, {session.get_inputs()[0].name: codes})
    assert np.array_equal(result, np.rint(result)) and result.min() >= 0 and result.max() < 1 << bits
    assert np.isfinite(watch).all()
