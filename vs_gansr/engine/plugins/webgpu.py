"""Run networks on GPUs of any make by ONNX Runtime's WebGPU provider, a plugin or built in.

The provider computes on one GPU in each process. It takes a preference for a discrete or an integrated GPU, but no
number, so only the first GPU of each kind can be used.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager

import numpy as np
import onnxruntime as ort

from ...errors import ProviderError
from ..base import EngineKey
from ..onnxruntime.provider import tried
from .plugin import PluginProvider, discrete, label

__all__ = ["WebGpu"]

# All sessions of a process share one device and its queue of commands, which is not thread-safe.
_lock = threading.RLock()
_claimed: dict[str, int] = {}


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
