"""Make OpenVINO's own runtime a Provider object: its devices and their abilities, with one core for the process."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from functools import cache, lru_cache
from threading import Lock

from ...errors import ProviderError, one_line
from ...model.spec import Model
from ..base import Engine, EngineKey, Provider
from ..disk import CompiledModels
from ..onnxruntime.provider import trial_network
from . import library
from .library import Compiled, Core, OpenVinoError

__all__ = ["OpenVino", "compile_model", "device", "devices", "has"]

_importing = Lock()


class OpenVino(Provider):
    """Intel's and AMD's processors, Intel's GPUs and NPUs."""

    name = "OpenVINO"
    meant_for = "Intel's and AMD's CPUs, Intel's GPUs and NPUs"
    install = library.INSTALL

    def installed(self) -> bool:
        return library.installed()

    def devices(self) -> list[str]:
        try:
            return list(devices())
        except (ProviderError, OpenVinoError):
            return []

    def trouble(self, device_id: int) -> str | None:
        try:
            core().compile(trial_network(), device(device_id), {}).request().infer()
        except (OpenVinoError, ProviderError) as error:
            return one_line(error)
        return None

    def processor(self, device_id: int) -> bool:
        # Where there is no such device, or no OpenVINO, `trouble` says so.
        return (self.devices()[device_id : device_id + 1] or ["CPU"])[0] == "CPU"

    def precisions(self, device_id: int) -> tuple[str, ...]:
        name = device(device_id)
        floats = ("fp32",) if has(name, "FP32") else ()
        return *floats, "fp16", *(("bf16",) if has(name, "BF16") else ()), "int8"

    def widens_half(self, device_id: int) -> bool:
        return not has(device(device_id), "FP16")

    def identity(self, device_id: int) -> str:
        return f"OpenVINO {library.version()} {core().property(device(device_id), 'FULL_DEVICE_NAME')}"

    def make(self, model: Model, key: EngineKey) -> Engine:
        from .engine import OpenVinoEngine

        return OpenVinoEngine(model, key)


@cache
def core() -> Core:
    """The core. Raises ProviderError where there can be none."""
    try:
        return Core()
    except OpenVinoError as error:
        raise ProviderError(f"OpenVINO does not start: {one_line(error)}") from error


@lru_cache(maxsize=1)
def devices() -> tuple[str, ...]:
    """Names of its devices in the order that `device_id` counts them: `CPU`, `GPU` or `GPU.0` ..., `NPU`."""
    return core().devices()


def device(device_id: int) -> str:
    """The name of device `device_id`. Raises ProviderError where there is none."""
    names = devices()
    if not 0 <= device_id < len(names):
        listed = ", ".join(f"{i} {name}" for i, name in enumerate(names)) or "none"
        raise ProviderError(f"device_id {device_id} does not exist; OpenVINO lists: {listed}")
    return names[device_id]


@lru_cache(maxsize=16)
def capabilities(name: str) -> frozenset[str]:
    """What the device `name` can do: `FP32`, `FP16`, `BF16`, `INT8`, `EXPORT_IMPORT` ..."""
    return frozenset(core().property(name, "OPTIMIZATION_CAPABILITIES").split())


def has(name: str, capability: str) -> bool:
    """True if the device `name` has this capability."""
    return capability in capabilities(name)


def compile_model(network: bytes, name: str, properties: Mapping[str, str]) -> Compiled:
    """The ONNX file `network`, of static shape, compiled for the device `name`; kept on disk for the next time.

    Raises OpenVinoError.
    """
    about = [library.version(), name, core().property(name, "FULL_DEVICE_NAME"), sorted(capabilities(name))]
    kept = CompiledModels("openvino", network, repr([*about, sorted(properties.items())]))
    blob = kept.load()
    if blob is not None:
        with contextlib.suppress(OpenVinoError):  # it is compiled and stored again
            return imported(blob, name, properties)
    compiled = core().compile(network, name, properties)
    if has(name, "EXPORT_IMPORT"):
        kept.store(compiled.export)
    return compiled


def imported(blob: bytes, name: str, properties: Mapping[str, str]) -> Compiled:
    """A network from disk. Its properties are not in there: it takes those of the core, so one at a time."""
    with _importing:
        for key, value in properties.items():
            core().set_property(name, key, value)
        return core().load(blob, name)
