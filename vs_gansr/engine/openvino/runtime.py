"""List OpenVINO's devices and their abilities, and compile networks for them, with one core for the process."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from threading import Lock

from ...errors import ProviderError, one_line
from ..cache.compiled_models import CompiledModels
from .library import Compiled, Core, OpenVinoError, installed, version

__all__ = ["compile_model", "device", "devices", "has", "installed", "trouble"]

_importing = Lock()


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


def full_name(device_id: int) -> str:
    """What device `device_id` calls itself. Raises ProviderError where there is none."""
    return core().property(device(device_id), "FULL_DEVICE_NAME")


@lru_cache(maxsize=16)
def capabilities(name: str) -> frozenset[str]:
    """What the device `name` can do: `FP32`, `FP16`, `BF16`, `INT8`, `EXPORT_IMPORT` ..."""
    return frozenset(core().property(name, "OPTIMIZATION_CAPABILITIES").split())


def has(name: str, capability: str) -> bool:
    """True if the device `name` has this capability."""
    return capability in capabilities(name)


def trouble(device_id: int, network: bytes) -> str | None:
    """Why the ONNX file `network`, a tiny one of one input, cannot run on the device, in one line; None if it runs."""
    try:
        core().compile(network, device(device_id), {}).request().infer()
    except (OpenVinoError, ProviderError) as error:
        return one_line(error)
    return None


def compile_model(network: bytes, name: str, properties: Mapping[str, str]) -> Compiled:
    """The ONNX file `network`, of static shape, made ready for the device `name`; kept on disk for the next time.

    Raises OpenVinoError.
    """
    about = [version(), name, core().property(name, "FULL_DEVICE_NAME"), sorted(capabilities(name))]
    kept = CompiledModels("openvino", network, repr([*about, sorted(properties.items())]))
    blob = kept.load()
    if blob is not None:
        try:
            return imported(blob, name, properties)
        except OpenVinoError:
            kept.forget()
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
