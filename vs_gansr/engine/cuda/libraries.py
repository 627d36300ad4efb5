"""Find NVIDIA's driver and libraries, and say what is missing."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

import onnxruntime as ort

from ...errors import one_line

__all__ = ["LIBRARIES", "NO_DRIVER", "driver", "names", "preload", "trouble", "versions"]

DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
NO_DRIVER = f"no NVIDIA driver is installed ({DRIVER.partition('.')[0]} is not found)"
INSTALL = 'pip install "vs-gansr[cuda]"'
LIBRARIES = ("cudart", "nvJitLink", "nvrtc", "cublasLt", "cublas", "curand", "cufft", "cudnn")  # in order of need


def driver(library: str = DRIVER) -> ctypes.CDLL | None:
    """NVIDIA's driver; None where none is installed."""
    try:
        return ctypes.CDLL(library)
    except OSError:
        return None


def names() -> list[str]:
    """The names of the GPUs, in the order of their numbers; empty where no driver works."""
    cuda = driver()
    if cuda is None or cuda.cuInit(0):
        return []
    count, title, found = ctypes.c_int(), ctypes.create_string_buffer(256), []
    cuda.cuDeviceGetCount(ctypes.byref(count))
    for number in range(count.value):
        handle = ctypes.c_int()
        cuda.cuDeviceGet(ctypes.byref(handle), number)
        cuda.cuDeviceGetName(title, len(title), handle)
        found.append(title.value.decode(errors="replace"))
    return found


def trouble(device_id: int) -> str | None:
    """What keeps CUDA from running: driver, device or a missing library, in one line; None if nothing does."""
    cuda = driver()
    if cuda is None:
        return NO_DRIVER
    status = cuda.cuInit(0)
    if status:
        return f"the NVIDIA driver finds no usable GPU (cuInit returns {status}); see what nvidia-smi says"
    found = len(names())
    if not 0 <= device_id < found:
        return f"device_id {device_id} does not exist, {found} CUDA device(s) found"
    preload()
    folder = Path(ort.__file__).parent / "capi"
    for library in sorted(folder.glob("*onnxruntime_providers_cuda.*")):
        try:
            ctypes.CDLL(str(library))
        except OSError as error:
            reason = one_line(error)
            # Loaded by itself the library misses only symbols that its host provides.
            if "undefined symbol" not in reason:
                return f"a library is missing ({reason}); {INSTALL}"
    return None


@cache
def versions() -> str:
    """The versions of NVIDIA's libraries that pip has installed, with cuDNN's."""
    known = {d.name: d.version for d in metadata.distributions() if d.name.startswith("nvidia-")}
    return " ".join(f"{name} {version}" for name, version in sorted(known.items()))


@cache
def preload() -> None:
    """Loads NVIDIA's libraries from pip's packages, so that ONNX Runtime finds them.

    ONNX Runtime's own function looks only beside itself, and prints to stdout, which may carry video.
    """
    found = importlib.util.find_spec("nvidia")
    roots = [Path(root) for root in (found.submodule_search_locations or ())] if found else []
    folder, ending = ("bin", "{}*.dll") if sys.platform == "win32" else ("lib", "lib{}*.so.*")
    for name in LIBRARIES:
        for root in roots:
            for library in sorted(root.glob(f"*/{folder}/**/{ending.format(name)}")):
                with contextlib.suppress(OSError):  # ONNX Runtime looks for it by name then
                    ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
