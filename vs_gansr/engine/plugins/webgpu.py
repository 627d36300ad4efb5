"""Run networks on GPUs of any make by ONNX Runtime's WebGPU provider, a plugin or built in.

The plugin computes on one adapter a process, which it chooses itself: it is told a preference between a discrete and an
integrated GPU, no more. So of several alike only the first can be had.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np

from ...errors import ProviderError
from ..base import EngineKey
from ..onnxruntime.provider import tried
from .plugin import PluginProvider, discrete, label

__all__ = ["WebGpu"]

DISCRETE, INTEGRATED = "high-performance", "low-power"  # as WebGPU calls the preferences

# All sessions of a process share one device and its queue of commands, which is not made for several threads.
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

    def describe(self, device_id: int) -> str:
        return f"{'in' if 'fp16' in self.precisions(device_id) else 'without'} half precision"

    def options(self, key: EngineKey) -> dict[str, str]:
        """Raises ProviderError where the device cannot be told from another one."""
        found = self.listed()
        if len(found) < 2:
            return {}
        kinds = [discrete(each) for each in found]
        first = kinds.index(kinds[key.device_id])
        if first != key.device_id:
            raise ProviderError(
                f"device_id {key.device_id} ({label(found[key.device_id])}) cannot be told from device {first} "
                f"({label(found[first])}) here; use device_id {first}"
            )
        return {"powerPreference": DISCRETE if kinds[key.device_id] else INTEGRATED}

    @contextmanager
    def claimed(self, device_id: int) -> Iterator[None]:
        """For making a session: this process computes on the device from then on, unless that fails.

        Raises ProviderError where it computes on another one.
        """
        with _lock:
            taken = _claimed.get("device", device_id)
            if taken != device_id:
                raise ProviderError(
                    f"this process computes on device {taken} already, and WebGPU has one a process; "
                    f"use device_id {taken}"
                )
            yield
            _claimed["device"] = device_id
