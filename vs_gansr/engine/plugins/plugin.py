"""Make ONNX Runtime's plugin libraries into Provider objects."""

from __future__ import annotations

import importlib
import importlib.util
import threading
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from typing import Any

import onnxruntime as ort

from ...errors import ProviderError, one_line
from ..base import EngineKey
from ..onnxruntime.provider import OnnxRuntimeProvider, quiet_session

__all__ = ["PluginProvider", "discrete", "label"]

_registering = threading.RLock()


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
