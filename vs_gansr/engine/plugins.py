"""Run networks by ONNX Runtime's plugin libraries: WebGPU on GPUs of any make, TensorRT RTX on NVIDIA's.

WebGPU computes on one GPU in each process. It takes a preference for a discrete or an integrated GPU, but no number,
so only the first GPU of each kind can be used. TensorRT RTX builds an engine for each network and size.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import cache
from importlib import metadata
from typing import Any

import numpy as np
import onnxruntime as ort

from ..errors import ProviderError, one_line
from ..model import user_folders
from .base import EngineKey
from .onnxruntime.provider import OnnxRuntimeProvider, quiet_session, tried

__all__ = ["PluginProvider", "TensorRtRtx", "WebGpu"]

log = logging.getLogger("vs_gansr")

WORTH_TELLING = 2.0  # seconds from which on the log says how long building took
_registering = threading.RLock()
# WebGPU's sessions of a process share one device and its queue of commands, which is not thread-safe.
_lock = threading.RLock()
_claimed: dict[str, int] = {}


class PluginProvider(OnnxRuntimeProvider):
    """An execution provider in a library of its own, or built into this ONNX Runtime."""

    package = ""  # the Python package that has the library
    distribution = ""  # what pip calls the package
    no_device = "ONNX Runtime finds no GPU on this machine"  # the error where it lists no device
    automatic = True

    def builtin(self) -> bool:
        """True if this ONNX Runtime has the provider built in."""
        return self.title in own_providers()

    def installed(self) -> bool:
        return self.builtin() or importlib.util.find_spec(self.package) is not None

    def listed(self) -> list[Any]:
        """The devices as ONNX Runtime's OrtEpDevice, in the order that `device_id` counts them.

        Raises ProviderError where there is no provider.
        """
        if not self.builtin():
            with _registering:
                reason = registered(self)
            if reason:
                raise ProviderError(reason)
        return [device for device in ort.get_ep_devices() if device.ep_name == self.title]

    def devices(self) -> list[str]:
        try:
            return [label(device) for device in self.listed()]
        except ProviderError:
            return []

    def identity(self, device_id: int) -> str:
        version = "" if self.builtin() else self.version()
        device = self.device(device_id)
        return f"{super().identity(device_id)} {version} {'built in' if device is None else label(device)}"

    def version(self) -> str:
        """The package's version, whichever of its distributions is installed."""
        own = getattr(importlib.import_module(self.package), "__version__", None)
        return str(own or metadata.version(self.distribution))

    def device(self, device_id: int) -> Any | None:
        """The device for a session; None where the provider is built in and lists none.

        Raises ProviderError where there is no such device.
        """
        found = self.listed()
        if self.builtin() and not found and device_id == 0:
            return None
        if not 0 <= device_id < len(found):
            known = ", ".join(f"{i} {label(each)}" for i, each in enumerate(found))
            absent = f"device_id {device_id} does not exist; there are: {known}"
            raise ProviderError(absent if found else self.no_device)
        return found[device_id]

    def session(
        self, data: bytes, settings: ort.SessionOptions, key: EngineKey, more: Mapping[str, str] | None = None
    ) -> ort.InferenceSession:
        device = self.device(key.device_id)
        chosen = {**self.options(key), **(more or {})}
        with self.lock:
            if device is None:
                return quiet_session(data, settings, providers=[(self.title, chosen)])
            settings.add_provider_for_devices([device], chosen)
            return quiet_session(data, settings)


class WebGpu(PluginProvider):
    """GPUs of any make."""

    meant_for = "GPUs of any make"
    install = 'pip install "vs-gansr[webgpu]"'
    repair = "install the GPU's newest driver; on Linux with Vulkan, as libvulkan1 and mesa-vulkan-drivers have it"
    package = "onnxruntime_ep_webgpu"
    distribution = "onnxruntime-ep-webgpu"
    # GPUs without half floats fail to cast them.
    samples = frozenset(map(np.dtype, (np.uint8, np.uint16, np.float32)))

    def __init__(self) -> None:
        super().__init__("WebGpuExecutionProvider", "WebGPU")

    @property
    def lock(self) -> AbstractContextManager[object]:
        return _lock

    def precisions(self, device_id: int) -> tuple[str, ...]:
        return ("fp16", "fp32") if tried(self, device_id, "fp16") is None else ("fp32",)

    def options(self, key: EngineKey) -> dict[str, str]:
        """Raises ProviderError for a device that WebGPU cannot select."""
        found = self.listed()
        if len(found) < 2:
            return {}
        kinds = [discrete(each) for each in found]
        first = kinds.index(kinds[key.device_id])
        if first != key.device_id:
            raise ProviderError(
                f"WebGPU cannot select device_id {key.device_id} ({label(found[key.device_id])}), because device_id "
                f"{first} ({label(found[first])}) is of the same kind; use device_id {first}"
            )
        return {"powerPreference": "high-performance" if kinds[key.device_id] else "low-power"}

    def session(
        self, data: bytes, settings: ort.SessionOptions, key: EngineKey, more: Mapping[str, str] | None = None
    ) -> ort.InferenceSession:
        """Raises ProviderError where this process has a session on another device already."""
        with _lock:
            taken = _claimed.get("device", key.device_id)
            if taken != key.device_id:
                raise ProviderError(
                    f"WebGPU computes on one GPU in each process, and this process uses device_id {taken} already; "
                    f"use device_id {taken}, or another process for device_id {key.device_id}"
                )
            session = super().session(data, settings, key, more)
            _claimed["device"] = key.device_id
            return session


class TensorRtRtx(PluginProvider):
    """NVIDIA's GPUs of the Ampere generation or later."""

    meant_for = "NVIDIA's GPUs of the Ampere generation or later"
    install = 'pip install "vs-gansr[tensorrt]"'
    platforms = ("linux", "win32")
    package = "onnxruntime_ep_nv_tensorrt_rtx"
    distribution = "onnxruntime-ep-nv-tensorrt-rtx"
    no_device = "TensorRT RTX finds no GPU; it needs one of NVIDIA's, of the Ampere generation or later"
    streams = 2
    patience = 900.0  # it builds engines
    samples = frozenset(map(np.dtype, (np.float16, np.float32)))  # TensorRT has no integers of 16 bits

    def __init__(self) -> None:
        super().__init__("NvTensorRTRTXExecutionProvider", "TensorRT-RTX")

    @property
    def names(self) -> tuple[str, ...]:
        return *super().names, "TensorRTRTX", "NvTensorRtRtx"

    def precisions(self, device_id: int) -> tuple[str, ...]:
        return "fp16", "fp32"

    def options(self, key: EngineKey) -> dict[str, str]:
        kept = user_folders.cache_folder() / "compiled" / "tensorrt-rtx"
        kept.mkdir(parents=True, exist_ok=True)
        return {"nv_runtime_cache_path": str(kept), **({"nv_max_workspace_size": str(key.limit)} if key.limit else {})}

    def session(
        self, data: bytes, settings: ort.SessionOptions, key: EngineKey, more: Mapping[str, str] | None = None
    ) -> ort.InferenceSession:
        size = f"{key.width}x{key.height}"
        log.info("TensorRT RTX is building an engine for %s, once", size)
        begin = time.perf_counter()
        session = super().session(data, settings, key, more)
        if (took := time.perf_counter() - begin) > WORTH_TELLING:
            log.warning("TensorRT RTX built an engine for %s in %.0f s", size, took)
        return session


@cache
def own_providers() -> frozenset[str]:
    """The providers that are built into ONNX Runtime: those that it lists before a plugin is registered."""
    return frozenset(ort.get_available_providers())


@cache
def registered(provider: PluginProvider) -> str | None:
    """Registers the plugin with ONNX Runtime, once in a process; returns why that fails, or None."""
    own_providers()  # from now on ONNX Runtime lists the plugin's, too
    try:
        package = importlib.import_module(provider.package)
        ort.register_execution_provider_library(provider.title, package.get_library_path())
    except ModuleNotFoundError:
        return f"it is not installed; {provider.install}"
    except Exception as error:  # the binding raises types of its own
        return f"the plugin does not load: {one_line(error)}"
    return None


def label(device: Any) -> str:
    """A device in words that are the same in every process."""
    hardware = device.device
    kind = "discrete " if discrete(device) else ""
    return f"{kind}GPU {hardware.vendor or 'of vendor'} {hardware.vendor_id:04x}:{hardware.device_id:04x}"


def discrete(device: Any) -> bool:
    """True if ONNX Runtime says that the GPU is a discrete one."""
    return dict(device.device.metadata).get("Discrete") == "1"
