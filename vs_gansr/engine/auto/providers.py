"""Owns which ONNX Runtime execution providers really run here, and why the others do not; knows no models.

ONNX Runtime falls back to the CPU without a word, so a provider counts as usable only after a tiny graph has
run on it and `get_providers()` names it.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache, lru_cache
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from ...errors import ProviderError, one_line
from ..base import CPU, CUDA, OPENVINO, WEBGPU
from ..cuda import driver as cuda_driver
from ..cuda import libraries as cuda_libraries
from ..cuda.gate import gate
from ..cuda.options import CudaOptions
from ..openvino import library as openvino_library
from ..openvino import runtime as openvino_runtime
from ..plugins import webgpu

__all__ = [
    "AUTO_ORDER",
    "create",
    "full_name",
    "half_trouble",
    "listed",
    "missing",
    "options",
    "passage",
    "pick",
    "short_name",
    "trouble",
    "usable",
    "widens_half",
]

SUFFIX = "ExecutionProvider"
AUTO_ORDER = (CUDA, CPU)  # best first; WebGPU has to be quicker than the CPU, others run when they are named
ALIASES = {"directml": "dml"}
SOURCES = {
    "OpenVINO": (
        "Intel's and AMD's CPUs, Intel's GPUs and NPUs",
        openvino_library.INSTALL,
        ("linux", "win32", "darwin"),
    ),
    "WebGPU": ("GPUs of any make", webgpu.INSTALL, ("linux", "win32", "darwin")),
    "TensorRT": ("NVIDIA's GPUs", "pip install onnxruntime-gpu tensorrt", ("linux", "win32")),
    "MIGraphX": ("AMD's GPUs with ROCm", "pip install onnxruntime-migraphx, in place of onnxruntime-gpu", ("linux",)),
    "DirectML": ("any GPU", "pip install onnxruntime-directml, in place of onnxruntime-gpu", ("win32",)),
    "CoreML": ("Apple's GPUs and NPUs", "pip install onnxruntime", ("darwin",)),
}  # by the names that people use: for what, from where, and on which platforms
NUMBERED = {f"{name}{SUFFIX}" for name in ("Tensorrt", "NvTensorRtRtx", "MIGraphX", "ROCM", "Dml", "CANN")}
WARNING, FATAL = 2, 4  # what ONNX Runtime logs from on: its default, and next to nothing
NEEDS_CUDA = "; CUDA 13 needs a GPU of the Turing generation or later and driver 580 or later"


def short_name(provider: str) -> str:
    """`CUDAExecutionProvider` -> `CUDA`."""
    return "WebGPU" if provider == WEBGPU else provider.removesuffix(SUFFIX)


def listed() -> list[str]:
    """Every provider of this ONNX Runtime, usable here or not, and WebGPU's plugin and OpenVINO if installed."""
    more = [WEBGPU] * webgpu.installed() + [OPENVINO] * openvino_runtime.installed()
    return list(dict.fromkeys([*ort.get_available_providers(), *more]))


def full_name(provider: str) -> str:
    """ONNX Runtime's name for `CUDA`, `cpu`, `TensorrtExecutionProvider` ...; ProviderError if not listed."""
    names = listed()
    wanted = provider.lower()
    wanted = ALIASES.get(wanted, wanted)
    for known in sorted(names, key=lambda name: name != OPENVINO):  # ONNX Runtime may have one of the same short name
        if wanted in (known.lower(), short_name(known).lower()):
            return known
    absent = "".join(f"; {name}: {how}" for name, (_, how) in missing().items() if name.lower() == provider.lower())
    known = ", ".join(["auto", *dict.fromkeys(map(short_name, names))])
    raise ProviderError(f'unknown provider "{provider}"; there are: {known}{absent}')


def missing() -> dict[str, tuple[str, str]]:
    """What this platform could have and has not, by the names that people use: for what, and from where."""
    here = {short_name(name).lower() for name in listed()}
    return {
        name: (what, how)
        for name, (what, how, platforms) in SOURCES.items()
        if sys.platform in platforms and ALIASES.get(name.lower(), name.lower()) not in here
    }


def options(provider: str, device_id: int, precision: str = "fp32") -> dict[str, str]:
    """Options a session on `provider` is created with that computes in `precision`.

    Raises ProviderError for a second device of a provider that has but one.
    """
    if provider == CUDA:
        return CudaOptions().provider_options(device_id, precision)
    if provider in NUMBERED:
        return {"device_id": str(device_id)}
    if device_id and provider not in (CPU, WEBGPU):  # these see to it themselves
        raise ProviderError(f"device_id {device_id} does not exist, {short_name(provider)} has device 0 only")
    return {}


def trouble(provider: str, device_id: int) -> str | None:
    """Why `provider` cannot run on device `device_id`, in one line; None if it runs."""
    if provider == CUDA and (lost := cuda_driver.lost(device_id)):
        return f"the device was lost in this process ({lost}); start the program again"
    return tried(provider, device_id)


@lru_cache(maxsize=64)
def tried(provider: str, device_id: int) -> str | None:
    """The same, found by a trial once a process."""
    if provider == CPU:
        return None if device_id == 0 else f"device_id {device_id} does not exist, the CPU is device 0"
    if provider == OPENVINO:
        return openvino_runtime.trouble(device_id, trial_network())
    if provider == CUDA and (found := cuda_libraries.trouble(device_id)):
        return found
    return attempt(provider, device_id, "fp32" if provider == WEBGPU else "fp16")


@lru_cache(maxsize=64)
def half_trouble(provider: str, device_id: int) -> str | None:
    """Why `provider` does not compute in half precision on the device, where it runs at all; None if it does."""
    return attempt(provider, device_id, "fp16") if provider == WEBGPU else trouble(provider, device_id)


def widens_half(provider: str, device_id: int) -> bool:
    """True if half floats are computed in float32 there: the network's weights are halved, its arithmetic is not."""
    if provider == OPENVINO:
        return not openvino_runtime.has(openvino_runtime.device(device_id), "FP16")
    # ONNX Runtime has half precision's convolutions for Arm alone.
    return provider == CPU and platform.machine().lower() not in ("aarch64", "arm64")


def attempt(provider: str, device_id: int, precision: str) -> str | None:
    """Why a tiny network does not run in this precision, `fp32` or `fp16`; None if it does."""
    with passage(provider):
        return run_and_gone(provider, device_id, precision)


def run_and_gone(provider: str, device_id: int, precision: str) -> str | None:
    """The same; the session, which the gate is for to its end, is gone when this returns."""
    try:
        chosen = options(provider, device_id, precision)
        network = trial_network() if precision == "fp16" else trial_network(half=False)
        session = create(network, ort.SessionOptions(), provider, device_id, chosen)
        if provider not in session.get_providers():
            return "ONNX Runtime could not load it and would fall back to the CPU"
        session.run(None, {"x": np.zeros((1, 16, 8, 8), np.float32)})
    except Exception as error:  # the binding raises types of its own
        said = webgpu.plain(error) if provider == WEBGPU else one_line(error)
        return f"{said}{NEEDS_CUDA if provider == CUDA else ''}"
    return None


def passage(provider: str) -> AbstractContextManager[object]:
    """What to do anything with the provider in: others' GPUs may be CUDA's, too, which captures graphs meanwhile."""
    if provider == CPU:
        return nullcontext()
    return webgpu.lock if provider == WEBGPU else gate.shared()


def create(
    data: bytes,
    settings: ort.SessionOptions,
    provider: str,
    device_id: int,
    chosen: Mapping[str, str] | None = None,
) -> ort.InferenceSession:
    """A session on `provider` that logs nothing; `chosen` replaces the provider's usual options."""
    settings.log_severity_level = FATAL
    given = dict(options(provider, device_id) if chosen is None else chosen)
    ort.set_default_logger_severity(FATAL)  # what keeps a provider from loading is in the error, too
    try:
        named: dict[str, Any] = {"providers": [(provider, given)]}
        device, more = webgpu.options(device_id) if provider == WEBGPU else (None, {})
        with webgpu.claimed(device_id) if provider == WEBGPU else nullcontext():
            if device is not None:
                settings.add_provider_for_devices([device], more)
                named = {}
            return ort.InferenceSession(data, settings, enable_fallback=0, **named)
    finally:
        ort.set_default_logger_severity(WARNING)


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
    numbered = (CUDA, WEBGPU)  # the processors are device 0 only
    for name in (*numbered, CPU) if device_id and WEBGPU in listed() else AUTO_ORDER:
        if name not in listed():
            continue
        reason = trouble(name, device_id)
        if reason is None:
            return name, passed
        passed.append(f"{short_name(name)}: {reason}")
    raise ProviderError(f"no provider can run device_id {device_id}: {'; '.join(passed)}")


def usable() -> list[str]:
    """Short names of the providers that run here on device 0, best first."""
    order = [*AUTO_ORDER, *(p for p in listed() if p not in AUTO_ORDER)]
    return [short_name(p) for p in order if p in listed() and trouble(p, 0) is None]


@cache
def trial_network(half: bool = True) -> bytes:
    """A convolution between float32 ends, in half precision if wanted: what a provider for pictures must be able to do.

    Creating a session does not tell: kernels that were not compiled for a GPU, and a cuDNN that is not there, are
    missed when the first picture comes.
    """
    nodes = [
        helper.make_node("Cast", ["x"], ["inner"], to=TensorProto.FLOAT16 if half else TensorProto.FLOAT),
        helper.make_node("Conv", ["inner", "w"], ["wide"], pads=[1, 1, 1, 1]),
        helper.make_node("Cast", ["wide"], ["y"], to=TensorProto.FLOAT),
    ]
    weights = numpy_helper.from_array(np.zeros((16, 16, 3, 3), np.float16 if half else np.float32), "w")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 16, 8, 8]) for name in "xy")
    graph = helper.make_graph(nodes, "trial", [x], [y], [weights])
    proto: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = proto.SerializeToString()
    return data
