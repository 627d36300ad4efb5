"""Call OpenVINO's C library by ctypes: cores, compiled networks, infer requests.

The package's Python module is not imported: it reports its import to the maker's analytics, and refuses to work beside
a VapourSynth plugin that has loaded another build of the same release.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
import weakref
from collections.abc import Mapping
from ctypes import POINTER, byref, c_char_p, c_int, c_int64, c_size_t, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ...errors import ProviderError, one_line

__all__ = ["INSTALL", "Compiled", "Core", "OpenVinoError", "Request", "installed", "version"]

INSTALL = 'pip install "openvino>=2025.3"'
PATTERNS = {"win32": "openvino_c.dll", "darwin": "libopenvino_c*.dylib"}  # elsewhere libopenvino_c.so*
HANDLES = ("core", "model", "compiled_model", "infer_request", "tensor", "output_const_port")


class OpenVinoError(Exception):
    """A call that failed, with OpenVINO's message."""


class Shape(ctypes.Structure):
    """ov_shape_t."""

    _fields_ = (("rank", c_int64), ("dims", POINTER(c_int64)))


class Devices(ctypes.Structure):
    """ov_available_devices_t."""

    _fields_ = (("names", POINTER(c_char_p)), ("count", c_size_t))


class Version(ctypes.Structure):
    """ov_version_t."""

    _fields_ = (("build", c_void_p), ("description", c_void_p))


def folder() -> Path | None:
    """Where the package `openvino` has its libraries; None if it is not installed."""
    found = importlib.util.find_spec("openvino")
    places = (found and found.submodule_search_locations) or []
    return next((Path(place) / "libs" for place in places if (Path(place) / "libs").is_dir()), None)


def installed() -> bool:
    """True if the package is there; nothing is loaded for that."""
    return folder() is not None


@cache
def library() -> Any:
    """The C library. Raises ProviderError where it is missing or does not load."""
    home = folder()
    if home is None:
        raise ProviderError(f"OpenVINO is not installed; {INSTALL}")
    files = sorted(home.glob(PATTERNS.get(sys.platform, "libopenvino_c.so*")))
    try:
        if sys.platform == "win32":
            os.add_dll_directory(str(home))
        loaded = ctypes.CDLL(str(files[0]))
        declare(loaded)
    except (OSError, IndexError, AttributeError) as error:
        raise ProviderError(f"OpenVINO does not load ({one_line(error)}); {INSTALL}") from error
    return loaded


def declare(loaded: ctypes.CDLL) -> None:
    """Tells ctypes what the functions take, where that is not obvious from the arguments."""
    loaded.ov_get_last_err_msg.restype = c_char_p
    loaded.ov_free.argtypes = [c_void_p]
    for handle in HANDLES:
        free = getattr(loaded, f"ov_{handle}_free")
        free.argtypes, free.restype = [c_void_p], None
    # Functions of any number of arguments are called otherwise than others on some processors.
    loaded.ov_core_compile_model.argtypes = [c_void_p, c_void_p, c_char_p, c_size_t, c_void_p]
    loaded.ov_core_set_property.argtypes = [c_void_p, c_char_p]
    loaded.ov_tensor_create_from_host_ptr.argtypes = [c_int, Shape, c_void_p, c_void_p]


def call(name: str, *arguments: Any) -> None:
    """Calls the function `ov_<name>`. Raises OpenVinoError."""
    status = getattr(library(), f"ov_{name}")(*arguments)
    if status:
        said = library().ov_get_last_err_msg() or b""
        raise OpenVinoError(plain(said.decode(errors="replace")) or f"{name} gave status {status}")


def plain(text: str) -> str:
    """OpenVINO's message without the source locations at its start."""
    lines = [line.strip() for line in text.splitlines()]
    kept = [line for line in lines if line and not line.startswith(("Exception from ", "Check '"))]
    return " ".join(kept or lines).strip()


def made(handle: str, name: str, *arguments: Any, last: tuple[Any, ...] = ()) -> Handle:
    """The handle that the function `ov_<name>` returns in its last argument before `last`."""
    pointer = c_void_p()
    call(name, *arguments, byref(pointer), *last)
    return Handle(handle, pointer)


class Handle:
    """An object of OpenVINO's, freed with its last reference."""

    def __init__(self, kind: str, pointer: c_void_p) -> None:
        self.pointer = pointer  # as OpenVINO gave it
        # At the program's end OpenVINO may be unloaded already.
        weakref.finalize(self, getattr(library(), f"ov_{kind}_free"), pointer).atexit = False


def text(name: str, *arguments: Any) -> str:
    """The string that the function `ov_<name>` returns in its last argument."""
    pointer = c_void_p()
    call(name, *arguments, byref(pointer))
    try:
        return ctypes.string_at(pointer.value or 0).decode(errors="replace") if pointer.value else ""
    finally:
        library().ov_free(pointer)


def version() -> str:
    """The version of the loaded build, which another plugin may have brought."""
    found = Version()
    call("get_openvino_version", byref(found))
    try:
        return ctypes.string_at(found.build or 0).decode(errors="replace") if found.build else ""
    finally:
        library().ov_version_free(byref(found))


class Core:
    """A runtime with its devices; called from any thread."""

    def __init__(self) -> None:
        """Raises ProviderError or OpenVinoError where there can be none."""
        self._handle = made("core", "core_create")

    def devices(self) -> tuple[str, ...]:
        found = Devices()
        call("core_get_available_devices", self._handle.pointer, byref(found))
        try:
            return tuple((found.names[i] or b"").decode() for i in range(found.count))
        finally:
            library().ov_available_devices_free(byref(found))

    def property(self, device: str, key: str) -> str:
        """A property of a device, as text."""
        return text("core_get_property", self._handle.pointer, device.encode(), key.encode())

    def set_property(self, device: str, key: str, value: str) -> None:
        """Sets a default property of networks that are compiled or imported later."""
        call(
            "core_set_property", self._handle.pointer, device.encode(), c_char_p(key.encode()), c_char_p(value.encode())
        )

    def compile(self, network: bytes, device: str, properties: Mapping[str, str]) -> Compiled:
        """The ONNX file `network`, compiled for a device."""
        size = c_size_t(len(network))
        model = made("model", "core_read_model_from_memory_buffer", self._handle.pointer, network, size, None)
        words = [c_char_p(word.encode()) for pair in properties.items() for word in pair]
        count = c_size_t(len(words))
        head = (self._handle.pointer, model.pointer, device.encode(), count)
        return Compiled(made("compiled_model", "core_compile_model", *head, last=tuple(words)))

    def load(self, blob: bytes, device: str) -> Compiled:
        """A network that Compiled.export wrote, with the properties set before."""
        size = c_size_t(len(blob))
        handle = made("compiled_model", "core_import_model", self._handle.pointer, blob, size, device.encode())
        return Compiled(handle, blob)


class Compiled:
    """A network ready to run."""

    def __init__(self, handle: Handle, blob: bytes = b"") -> None:
        self._handle = handle
        self._blob = blob  # its weights lie in there

    def output_shape(self) -> list[int]:
        """The shape of its first output. Raises OpenVinoError if it is not static."""
        port = made("output_const_port", "compiled_model_output_by_index", self._handle.pointer, c_size_t(0))
        shape = Shape()
        call("const_port_get_shape", port.pointer, byref(shape))
        try:
            return [int(shape.dims[i]) for i in range(shape.rank)]
        finally:
            library().ov_shape_free(byref(shape))

    def export(self, path: Path) -> None:
        call("compiled_model_export_model", self._handle.pointer, os.fsencode(path))

    def request(self) -> Request:
        return Request(self, made("infer_request", "compiled_model_create_infer_request", self._handle.pointer))


class Request:
    """One run at a time of a network with one input; tensors bound to it must stay where they are."""

    def __init__(self, compiled: Compiled, handle: Handle) -> None:
        self._handle = handle
        self._compiled = compiled  # outlives its requests
        self._kinds: dict[tuple[str, int], tuple[c_int, int]] = {}

    def _kind(self, side: str, index: int) -> tuple[c_int, int]:
        """OpenVINO's number for the type of an input's or output's samples, which varies with the release, and the
        bytes of all of them."""
        tensor = made("tensor", f"infer_request_get_{side}_tensor_by_index", self._handle.pointer, c_size_t(index))
        kind = c_int()
        call("tensor_get_element_type", tensor.pointer, byref(kind))
        size = c_size_t()
        call("tensor_get_byte_size", tensor.pointer, byref(size))
        return kind, size.value

    def tensor(self, side: str, array: npt.NDArray[Any], index: int = 0) -> Handle:
        """A contiguous array as a tensor for `side`, "input" or "output"; it does not hold the array.

        Raises OpenVinoError where the network's own tensor has another size in bytes.
        """
        kind, size = self._kinds.get((side, index)) or self._kinds.setdefault((side, index), self._kind(side, index))
        if size != array.nbytes:
            raise OpenVinoError(f"the network's {side} {index} has {size} bytes, the array {array.nbytes}")
        dims = (c_int64 * array.ndim)(*array.shape)
        shape = Shape(array.ndim, dims)
        return made("tensor", "tensor_create_from_host_ptr", kind, shape, array.ctypes.data)

    def bind(self, side: str, tensor: Handle, index: int = 0) -> None:
        """Makes a tensor the input or output number `index`."""
        call(f"infer_request_set_{side}_tensor_by_index", self._handle.pointer, c_size_t(index), tensor.pointer)

    def infer(self) -> None:
        call("infer_request_infer", self._handle.pointer)
