"""Owns which ONNX Runtime execution providers really run here, and why the others do not; knows no models.

ONNX Runtime falls back to the CPU without a word, so a provider counts as usable only after a tiny graph has
been created on it and `get_providers()` names it.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import platform
import sys
import threading
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path

import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from ..errors import ProviderError, one_line
from .cuda_driver import Switches

__all__ = [
    "AUTO_ORDER",
    "CPU",
    "CUDA",
    "create",
    "full_name",
    "options",
    "pick",
    "short_name",
    "trouble",
    "usable",
]

SUFFIX = "ExecutionProvider"
CPU, CUDA = "CPU" + SUFFIX, "CUDA" + SUFFIX
AUTO_ORDER = (CUDA, CPU)  # best first; TensorRT and others run when they are named
INSTALL_CUDA = 'pip install "vs-gansr[cuda]"'


def short_name(provider: str) -> str:
    """`CUDAExecutionProvider` -> `CUDA`."""
    return provider.removesuffix(SUFFIX)


def listed() -> list[str]:
    """Every provider this build of ONNX Runtime was compiled with, usable here or not."""
    return list(ort.get_available_providers())


def full_name(provider: str) -> str:
    """ONNX Runtime's name for `CUDA`, `cpu`, `TensorrtExecutionProvider` ...; ProviderError if not listed."""
    for known in listed():
        if provider.lower() in (known.lower(), short_name(known).lower()):
            return known
    names = ", ".join(["auto", *map(short_name, listed())])
    raise ProviderError(f'unknown provider "{provider}"; this ONNX Runtime has: {names}')


def options(provider: str, device_id: int) -> dict[str, str]:
    """Options a session on `provider` is created with."""
    if provider == CPU:
        return {}
    if provider == CUDA:
        return Switches().provider_options(device_id)
    return {"device_id": str(device_id)}


@lru_cache(maxsize=64)
def trouble(provider: str, device_id: int) -> str | None:
    """Why `provider` cannot run on device `device_id`, in one line; None if it runs."""
    if provider == CPU:
        return None if device_id == 0 else f"device_id {device_id} does not exist, the CPU is device 0"
    if provider == CUDA:
        found = cuda_trouble(device_id)
        if found:
            return found
    try:
        session = create(_tiny_graph(), ort.SessionOptions(), provider, device_id)
    except Exception as error:  # the binding raises types of its own
        return one_line(error)
    if provider not in session.get_providers():
        return "ONNX Runtime could not load it and would fall back to the CPU"
    return None


def create(
    data: bytes,
    settings: ort.SessionOptions,
    provider: str,
    device_id: int,
    chosen: Mapping[str, str] | None = None,
) -> ort.InferenceSession:
    """A session on `provider`, quietly: ONNX Runtime prints, and stdout may carry video.

    `chosen` replaces the provider's usual options.
    """
    settings.log_severity_level = 4
    ort.set_default_logger_severity(4)
    given = dict(chosen) if chosen is not None else options(provider, device_id)
    try:
        with quietly():
            return ort.InferenceSession(data, settings, providers=[(provider, given)], enable_fallback=0)
    finally:
        ort.set_default_logger_severity(2)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Sends what ONNX Runtime's Python code prints to stderr: stdout may carry video.

    From several threads at once, unlike contextlib.redirect_stdout: the last one out restores what the first found.
    """
    global _quiet, _stdout
    with _quieting:
        if not _quiet:
            _stdout, sys.stdout = sys.stdout, sys.stderr
        _quiet += 1
    try:
        yield
    finally:
        with _quieting:
            _quiet -= 1
            if not _quiet:
                sys.stdout = _stdout


_quieting = threading.Lock()
_quiet = 0
_stdout = sys.stdout


def cuda_trouble(device_id: int) -> str | None:
    """What keeps CUDA from running: driver, device or a missing library, in one line; None if nothing does."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return "no NVIDIA driver is installed (libcuda is not to be found)"
    status = driver.cuInit(0)
    if status:
        return f"the NVIDIA driver finds no usable device (cuInit says {status})"
    count = ctypes.c_int()
    driver.cuDeviceGetCount(ctypes.byref(count))
    if not 0 <= device_id < count.value:
        return f"device_id {device_id} does not exist, {count.value} CUDA device(s) found"
    preload_cuda()
    folder = Path(ort.__file__).parent / "capi"
    for library in sorted(folder.glob("*onnxruntime_providers_cuda.*")):
        try:
            ctypes.CDLL(str(library))
        except OSError as error:
            reason = one_line(error)
            # Loaded by itself the library misses only symbols that its host provides.
            if "undefined symbol" not in reason:
                return f"a library is missing ({reason}); {INSTALL_CUDA}"
    return None


@cache
def preload_cuda() -> None:
    """Loads the CUDA and cuDNN libraries that pip installed, if any, so that the provider finds them."""
    if hasattr(ort, "preload_dlls"):
        load_nvidia(beside=False)
        with quietly():
            ort.preload_dlls()


CUDA_LIBRARIES = ("cudart", "nvJitLink", "nvrtc", "cublasLt", "cublas", "curand", "cufft", "cudnn")


def load_nvidia(beside: bool = True) -> None:
    """Loads the libraries of NVIDIA's pip packages from wherever they lie on Python's path, on Linux.

    ONNX Runtime itself looks only beside itself: that folder is left out without `beside`.
    """
    own = Path(ort.__file__).parent.parent / "nvidia"
    found = importlib.util.find_spec("nvidia") if sys.platform == "linux" else None
    roots = [Path(root) for root in (found.submodule_search_locations or ())] if found else []
    for name in CUDA_LIBRARIES:
        for root in roots:
            for library in sorted(root.glob(f"*/lib/lib{name}*.so.*")) if beside or root != own else ():
                with contextlib.suppress(OSError):  # one that fits no better is found by name
                    ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)


def pick(provider: str, device_id: int) -> tuple[str, list[str]]:
    """The provider to use for `auto` or a name, and one line for each better one that `auto` passed over.

    Raises ProviderError, with the reason, where a named provider cannot run: there is no fallback.
    """
    if device_id < 0:
        raise ProviderError(f"device_id {device_id} is negative; devices count from 0")
    if provider.lower() != "auto":
        name = full_name(provider)
        reason = trouble(name, device_id)
        if reason:
            raise ProviderError(f'provider "{short_name(name)}" cannot run: {reason}')
        return name, []
    passed: list[str] = []
    for name in AUTO_ORDER:
        if name not in listed():
            continue
        reason = trouble(name, device_id)
        if reason is None:
            return name, passed
        passed.append(f"{short_name(name)}: {reason}")
    raise ProviderError(f"no provider can run device_id {device_id}: {'; '.join(passed)}")


@cache
def fast_int8() -> bool:
    """True if this CPU multiplies 8 bit integers with 32 bit sums (VNNI, or Arm's dot product).

    Others are slower so than with floats, and AVX2's older instruction overflows its 16 bit sums.
    """
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split())
    except OSError:  # elsewhere NumPy knows the sets of features, of which this one holds VNNI
        features = import_module("numpy._core._multiarray_umath").__cpu_features__
        return bool(features.get("AVX512_ICL"))
    return bool(flags & {"avx512_vnni", "avx_vnni", "asimddp"})


def usable() -> list[str]:
    """Short names of the providers that run here on device 0, best first."""
    order = [*AUTO_ORDER, *(p for p in listed() if p not in AUTO_ORDER)]
    return [short_name(p) for p in order if p in listed() and trouble(p, 0) is None]


@cache
def _tiny_graph() -> bytes:
    node = helper.make_node("Relu", ["x"], ["y"])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 2, 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 2, 2])
    graph = helper.make_graph([node], "tiny", [x], [y])
    proto: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = proto.SerializeToString()
    return data
