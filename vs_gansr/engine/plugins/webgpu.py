"""Owns ONNX Runtime's WebGPU provider, a plugin or built in: its GPUs, and how a session gets one; knows no models.

The plugin computes on one adapter a process, which it chooses itself: it is told a preference between a discrete and an
integrated GPU, no more. So of several alike only the first can be had.
"""

from __future__ import annotations

import importlib.util
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import onnxruntime as ort

from ...errors import ProviderError, one_line
from ..base import WEBGPU

__all__ = [
    "INSTALL",
    "builtin",
    "claimed",
    "devices",
    "identity",
    "installed",
    "label",
    "lock",
    "options",
    "plain",
    "version",
]

INSTALL = 'pip install "vs-gansr[webgpu]"'
PACKAGE = "onnxruntime_ep_webgpu"
LIBRARIES = ("libonnxruntime_providers_webgpu.so", "onnxruntime_providers_webgpu.dll")  # macOS: .dylib
REGISTERED_AS = "vs-gansr.webgpu"
NO_GPU = "ONNX Runtime finds no GPU on this machine"
DISCRETE, INTEGRATED = "high-performance", "low-power"  # as WebGPU calls the preferences

# All sessions of a process share one device and its queue of commands, which is not made for several threads.
lock = threading.RLock()
_claimed: dict[str, int] = {}


def library() -> Path | None:
    """The plugin's file; None if it is not installed. Nothing is loaded for that."""
    found = importlib.util.find_spec(PACKAGE)
    places = (found and found.submodule_search_locations) or []
    names = (*LIBRARIES, LIBRARIES[0].replace(".so", ".dylib"))
    files = [Path(place) / name for place in places for name in names]
    return next((file for file in files if file.is_file()), None)


@cache
def builtin() -> bool:
    """True if ONNX Runtime has the provider without our doing, as the package onnxruntime-webgpu has."""
    return WEBGPU in ort.get_available_providers()


def installed() -> bool:
    """True if there is a provider, whatever it finds here."""
    return builtin() or library() is not None


@cache
def register() -> str | None:
    """Makes the plugin known to ONNX Runtime, once a process; why that fails, or None."""
    path = library()
    if path is None:
        return f"it is not installed; {INSTALL}"
    try:
        ort.register_execution_provider_library(REGISTERED_AS, str(path))
    except Exception as error:  # the binding raises types of its own
        return f"the plugin does not load: {one_line(error)}"
    return None


def devices() -> list[Any]:
    """The GPUs as ONNX Runtime's OrtEpDevice, in the order that `device_id` counts them.

    Raises ProviderError where there is no provider.
    """
    if not builtin():
        with lock:
            reason = register()
        if reason:
            raise ProviderError(reason)
    return [device for device in ort.get_ep_devices() if device.ep_name == WEBGPU]


def version() -> str:
    """Of the plugin; "" where it is built in."""
    return "" if library() is None else metadata.version("onnxruntime-ep-webgpu")


def identity(device_id: int) -> str:
    """The GPU in words that stay the same from one day to the next. Raises ProviderError where there is none."""
    device, _ = options(device_id)
    return "built in" if device is None else label(device)


def label(device: Any) -> str:
    """The same for one of `devices`."""
    hardware = device.device
    kind = "discrete " if discrete(device) else ""
    return f"{kind}GPU {hardware.vendor or 'of vendor'} {hardware.vendor_id:04x}:{hardware.device_id:04x}"


def discrete(device: Any) -> bool:
    """True if ONNX Runtime knows the GPU to be a card of its own."""
    return dict(device.device.metadata).get("Discrete") == "1"


def options(device_id: int) -> tuple[Any | None, dict[str, str]]:
    """The device for a session, None where the provider is built in and takes none, and its options.

    Raises ProviderError where there is no such device, or where it cannot be told from another one.
    """
    found = devices()
    if builtin() and not found and device_id == 0:
        return None, {}
    if not 0 <= device_id < len(found):
        listed = ", ".join(f"{i} {label(each)}" for i, each in enumerate(found))
        raise ProviderError(f"device_id {device_id} does not exist; there are: {listed}" if found else NO_GPU)
    if len(found) == 1:
        return found[0], {}
    kinds = [discrete(each) for each in found]
    first = kinds.index(kinds[device_id])
    if first != device_id:
        raise ProviderError(
            f"device_id {device_id} ({label(found[device_id])}) cannot be told from device {first} "
            f"({label(found[first])}) here; use device_id {first}"
        )
    return found[device_id], {"powerPreference": DISCRETE if kinds[device_id] else INTEGRATED}


@contextmanager
def claimed(device_id: int) -> Iterator[None]:
    """For making a session: this process computes on the device from then on, unless that fails.

    Raises ProviderError where it computes on another one.
    """
    with lock:
        taken = _claimed.get("device", device_id)
        if taken != device_id:
            raise ProviderError(
                f"this process computes on device {taken} already, and WebGPU has one a process; use device_id {taken}"
            )
        yield
        _claimed["device"] = device_id


def plain(error: BaseException) -> str:
    """What went wrong without the places in sources that ONNX Runtime begins with, of which there may be several."""
    tail = re.split(r"\S+\.(?:cc|cpp|h):\d+ ", one_line(error, 4000))[-1]
    return one_line(RuntimeError(tail.rpartition(" was false. ")[2]))
