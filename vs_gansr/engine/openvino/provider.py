"""Make OpenVINO's own runtime a Provider object."""

from __future__ import annotations

from ...errors import ProviderError
from ...model.spec import Model
from ..base import Engine, EngineKey, Provider
from ..onnxruntime.provider import trial_network
from . import library, runtime

__all__ = ["OpenVino"]


class OpenVino(Provider):
    """Intel's and AMD's processors, Intel's GPUs and NPUs."""

    name = "OpenVINO"
    meant_for = "Intel's and AMD's CPUs, Intel's GPUs and NPUs"
    install = library.INSTALL

    def installed(self) -> bool:
        return library.installed()

    def devices(self) -> list[str]:
        try:
            return list(runtime.devices())
        except (ProviderError, library.OpenVinoError):
            return []

    def trouble(self, device_id: int) -> str | None:
        return runtime.trouble(device_id, trial_network())

    def processor(self, device_id: int) -> bool:
        # Where there is no such device, or no OpenVINO, `trouble` says so.
        return (self.devices()[device_id : device_id + 1] or ["CPU"])[0] == "CPU"

    def precisions(self, device_id: int) -> tuple[str, ...]:
        name = runtime.device(device_id)
        floats = ("fp32",) if runtime.has(name, "FP32") else ()
        return *floats, "fp16", *(("bf16",) if runtime.has(name, "BF16") else ()), "int8"

    def widens_half(self, device_id: int) -> bool:
        return not runtime.has(runtime.device(device_id), "FP16")

    def identity(self, device_id: int) -> str:
        return f"OpenVINO {library.version()} {runtime.full_name(device_id)}"

    def describe(self, device_id: int) -> str:
        return ", ".join(self.devices())

    def make(self, model: Model, key: EngineKey) -> Engine:
        from .engine import OpenVinoEngine

        return OpenVinoEngine(model, key)
