"""Owns what can be learnt of NVIDIA's driver, devices and CUDA libraries by asking them; runs nothing on them.

Everything goes through ctypes, so nothing has to be installed to say that something is missing.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from ...engine.cuda import libraries as cuda_libraries

__all__ = ["Gpu", "Driver", "Library", "driver", "libraries"]

WINDOWS = sys.platform == "win32"
COMPUTE_MAJOR, COMPUTE_MINOR = 75, 76  # CUdevice_attribute


@dataclass(frozen=True)
class Gpu:
    """A GPU: its name, compute capability and memory in MiB."""

    name: str
    compute: tuple[int, int]
    memory: int


@dataclass(frozen=True)
class Driver:
    """The driver's own version ("" where it does not tell), the newest CUDA it supports, and its GPUs.

    `trouble` is why it has no GPU to offer, "" if it has.
    """

    version: str
    cuda: tuple[int, int]
    devices: tuple[Gpu, ...]
    trouble: str = ""


@dataclass(frozen=True)
class Library:
    """A library by the file name that programs ask for; `version` None where it is not to be found."""

    file: str
    version: str | None


def driver() -> Driver | None:
    """The driver, None where none is installed."""
    cuda = cuda_libraries.driver()
    if cuda is None:
        return None
    number = ctypes.c_int()
    cuda.cuDriverGetVersion(ctypes.byref(number))
    supports = (number.value // 1000, number.value % 1000 // 10)
    status = cuda.cuInit(0)
    count = ctypes.c_int()
    if status == 0:
        cuda.cuDeviceGetCount(ctypes.byref(count))
    trouble = "" if count.value else f"it finds no GPU (cuInit says {status})"
    return Driver(version(), supports, tuple(device(cuda, place) for place in range(count.value)), trouble)


def device(cuda: ctypes.CDLL, place: int) -> Gpu:
    """GPU number `place`."""
    handle = ctypes.c_int()
    cuda.cuDeviceGet(ctypes.byref(handle), place)
    name = ctypes.create_string_buffer(256)
    cuda.cuDeviceGetName(name, len(name), handle)
    numbers = []
    for attribute in (COMPUTE_MAJOR, COMPUTE_MINOR):
        value = ctypes.c_int()
        cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, handle)
        numbers.append(value.value)
    memory = ctypes.c_size_t()
    cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), handle)
    return Gpu(name.value.decode(errors="replace"), (numbers[0], numbers[1]), memory.value >> 20)


def version() -> str:
    """The driver's version as NVIDIA numbers its downloads, "" where NVML does not tell."""
    with contextlib.suppress(OSError, AttributeError):
        nvml = ctypes.CDLL("nvml.dll" if WINDOWS else "libnvidia-ml.so.1")
        text = ctypes.create_string_buffer(96)
        if nvml.nvmlInit_v2() == 0 and nvml.nvmlSystemGetDriverVersion(text, len(text)) == 0:
            return text.value.decode(errors="replace")
    return ""


def libraries(major: int) -> list[Library]:
    """The libraries that ONNX Runtime's CUDA provider for CUDA `major` loads, found or not.

    Those loaded into this process already are found, then whatever the system's loader finds.
    """
    fft = {12: 11, 13: 12}.get(major, major - 1)
    # file stems with their numbers, and how each tells its version
    asked: Sequence[tuple[str, int, str]] = (
        ("cudart", major, "cudaRuntimeGetVersion"),
        ("cublasLt", major, "cublasLtGetProperty"),
        ("cublas", major, "cublasGetProperty"),
        ("curand", 10, "curandGetProperty"),
        ("cufft", fft, "cufftGetProperty"),
        ("cudnn", 9, "cudnnGetProperty"),
    )
    return [Library(file := file_name(stem, number), found(file, question)) for stem, number, question in asked]


def file_name(stem: str, number: int) -> str:
    """`libcublas.so.13` or `cublas64_13.dll`."""
    return f"{stem}64_{number}.dll" if WINDOWS else f"lib{stem}.so.{number}"


def found(file: str, question: str) -> str | None:
    """The version of a library, "?" where it does not tell; None where it cannot be loaded."""
    try:
        library = ctypes.CDLL(file)
    except OSError:
        return None
    value = ctypes.c_int()
    ask = getattr(library, question, None)
    if ask is None:
        return "?"
    if not question.endswith("Property"):
        ask(ctypes.byref(value))
        return f"{value.value // 1000}.{value.value % 1000 // 10}"
    parts = []
    for part in range(3):  # major, minor, patch level
        ask(part, ctypes.byref(value))
        parts.append(str(value.value))
    return ".".join(parts)
