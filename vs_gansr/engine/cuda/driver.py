"""Call NVIDIA's driver for pinned and device memory, streams and copies.

ONNX Runtime's Python binding has neither pinned memory nor copies that do not block.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import DeviceLostError, ProviderError, RenderError, ShortageError
from .. import memory
from . import libraries as cuda_libraries

__all__ = ["Bytes", "Cuda", "device", "lost"]

type Bytes = npt.NDArray[np.uint8]


_pointer, _number, _size, _address = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t, ctypes.c_uint64

# The driver's functions and their arguments; each returns a status, 0 for success.
FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "cuInit": (ctypes.c_uint,),
    "cuDeviceGet": (_pointer, _number),
    "cuDeviceGetUuid": (ctypes.c_char_p, _number),
    "cuDriverGetVersion": (_pointer,),
    "cuDeviceGetName": (ctypes.c_char_p, _number, _number),
    "cuDevicePrimaryCtxRetain": (_pointer, _number),
    "cuCtxPushCurrent_v2": (_pointer,),
    "cuCtxPopCurrent_v2": (_pointer,),
    "cuStreamCreate": (_pointer, ctypes.c_uint),
    "cuStreamDestroy_v2": (_pointer,),
    "cuEventCreate": (_pointer, ctypes.c_uint),
    "cuEventDestroy_v2": (_pointer,),
    "cuEventRecord": (_pointer, _pointer),
    "cuEventSynchronize": (_pointer,),
    "cuMemAlloc_v2": (_pointer, _size),
    "cuMemFree_v2": (_address,),
    "cuMemHostAlloc": (_pointer, _size, ctypes.c_uint),
    "cuMemFreeHost": (_pointer,),
    "cuMemcpyHtoDAsync_v2": (_address, _pointer, _size, _pointer),
    "cuMemcpyDtoHAsync_v2": (_pointer, _address, _size, _pointer),
    "cuMemGetInfo_v2": (_pointer, _pointer),
    "cuGetErrorString": (_number, _pointer),
}
OUT_OF_MEMORY = 2  # a status
STREAM_NON_BLOCKING = 1  # does not wait for the process's default stream
HOST_PORTABLE = 1  # pinned for every context of the process
EVENT_BLOCKING, EVENT_NO_TIMING = 1, 2


class Cuda:
    """A GPU. Addresses and streams are plain numbers.

    Call everything but `current` and `memory` inside `current()`. Copies are ordered on their stream and return before
    they are done; `wait` waits for them. Raises ProviderError where it cannot be opened, later ShortageError,
    DeviceLostError or RenderError.
    """

    def __init__(self, device_id: int = 0, library: str = cuda_libraries.DRIVER) -> None:
        self.id = device_id  # its number
        self.lost = ""
        """Why every call fails from now on in this process; "" while none does. Nothing may be destroyed then."""
        driver = cuda_libraries.driver(library)
        if driver is None:
            raise ProviderError(cuda_libraries.NO_DRIVER)
        for name, arguments in FUNCTIONS.items():
            function = getattr(driver, name)
            function.argtypes, function.restype = arguments, _number
        self._driver = driver
        self._events: dict[int, int] = {}
        try:
            self._call("cuInit", 0)
            number = _number()
            self._call("cuDeviceGet", ctypes.byref(number), device_id)
            # The context that the CUDA runtime, and so ONNX Runtime, uses; kept until the process ends.
            self._context = self._made("cuDevicePrimaryCtxRetain", number)
            title = ctypes.create_string_buffer(256)
            self._call("cuDeviceGetName", title, len(title), number)
            self.title = title.value.decode(errors="replace")
            uuid, version = ctypes.create_string_buffer(16), _number()
            self._call("cuDeviceGetUuid", uuid, number)
            self._call("cuDriverGetVersion", ctypes.byref(version))
            self.identity = f"{self.title} {uuid.raw.hex()} driver {version.value}"
        except RenderError as error:
            raise ProviderError(f"device_id {device_id} cannot be opened: {error}") from error

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._driver, name)(*arguments)
        if status:
            text = ctypes.c_char_p()
            self._driver.cuGetErrorString(status, ctypes.byref(text))
            reason = text.value.decode(errors="replace") if text.value else "unknown error"
            words = f"CUDA driver: {name} says {status}, {reason}"
            if status == OUT_OF_MEMORY:
                raise ShortageError(words)
            if memory.is_loss(error := RenderError(words)):
                self.lost = words
                raise DeviceLostError(words)
            raise error

    def _made(self, name: str, *arguments: Any) -> int:
        """The handle or address that a function writes to where its first argument points."""
        result = _pointer()
        self._call(name, ctypes.byref(result), *arguments)
        return result.value or 0

    @contextmanager
    def current(self) -> Iterator[None]:
        """Makes this the device of the calling thread."""
        self._call("cuCtxPushCurrent_v2", self._context)
        try:
            yield
        finally:
            self._made("cuCtxPopCurrent_v2")

    def open_stream(self) -> int:
        stream = self._made("cuStreamCreate", STREAM_NON_BLOCKING)
        try:
            self._events[stream] = self._made("cuEventCreate", EVENT_BLOCKING | EVENT_NO_TIMING)
        except RenderError:
            self._call("cuStreamDestroy_v2", stream)
            raise
        return stream

    def close_stream(self, stream: int) -> None:
        try:
            self._call("cuEventDestroy_v2", self._events.pop(stream))
        finally:
            self._call("cuStreamDestroy_v2", stream)

    def wait(self, stream: int) -> None:
        """Sleeps until the stream has done everything."""
        self._call("cuEventRecord", self._events[stream], stream)
        self._call("cuEventSynchronize", self._events[stream])

    def allocate(self, size: int) -> int:
        """The address of `size` new bytes on the device."""
        return self._made("cuMemAlloc_v2", size)

    def free(self, address: int) -> None:
        self._call("cuMemFree_v2", address)

    def allocate_host(self, size: int) -> Bytes:
        """`size` new bytes of pinned host memory, shape (size,)."""
        address = self._made("cuMemHostAlloc", size, HOST_PORTABLE)
        buffer: Bytes = np.frombuffer((ctypes.c_uint8 * size).from_address(address), np.uint8)
        buffer[:] = 0
        return buffer

    def free_host(self, memory: Bytes) -> None:
        """Frees pinned memory; no view of it may be used afterwards."""
        self._call("cuMemFreeHost", memory.ctypes.data)

    def upload(self, address: int, memory: Bytes, stream: int) -> None:
        self._call("cuMemcpyHtoDAsync_v2", address, memory.ctypes.data, memory.nbytes, stream)

    def download(self, memory: Bytes, address: int, stream: int) -> None:
        self._call("cuMemcpyDtoHAsync_v2", memory.ctypes.data, address, memory.nbytes, stream)

    def memory(self) -> tuple[int, int]:
        """Free and total bytes of the GPU; called outside `current()`."""
        free, total = _size(), _size()
        with self.current():
            self._call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value, total.value


_opened: dict[int, Cuda] = {}
_opening = threading.Lock()


def device(device_id: int) -> Cuda:
    """The GPU with this number, opened once a process. Raises ProviderError where it cannot be."""
    with _opening:
        if device_id not in _opened:
            _opened[device_id] = Cuda(device_id)
        return _opened[device_id]


def lost(device_id: int) -> str:
    """Why the GPU with this number is lost for this process; "" if it is not, or was never opened."""
    found = _opened.get(device_id)
    return found.lost if found else ""
