"""Owns which ONNX Runtime execution providers really run here, and why the others do not; knows no models.

ONNX Runtime falls back to the CPU without a word, so a provider counts as usable only after a tiny graph has
run on it and `get_providers()` names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from ..errors import ProviderError, one_line
from . import cuda_driver, cuda_libraries, openvino_runtime
from .base import CPU, CUDA, OPENVINO
from .cuda_gate import gate
from .cuda_options import CudaOptions

__all__ = [
    "AUTO_ORDER",
    "create",
    "full_name",
    "options",
    "pick",
    "short_name",
    "trouble",
    "usable",
]

SUFFIX = "ExecutionProvider"
AUTO_ORDER = (CUDA, CPU)  # best first; TensorRT and others run when they are named
MISSING = {"openvino": 'for OpenVINO: pip install "openvino>=2025.3"'}
WARNING, FATAL = 2, 4  # what ONNX Runtime logs from on: its default, and next to nothing
NEEDS_CUDA = "; CUDA 13 needs a GPU of the Turing generation or later and driver 580 or later"


def short_name(provider: str) -> str:
    """`CUDAExecutionProvider` -> `CUDA`."""
    return provider.removesuffix(SUFFIX)


def listed() -> list[str]:
    """Every provider this build of ONNX Runtime was compiled with, usable here or not, and OpenVINO if installed."""
    return [*ort.get_available_providers(), *([OPENVINO] if openvino_runtime.installed() else [])]


def full_name(provider: str) -> str:
    """ONNX Runtime's name for `CUDA`, `cpu`, `TensorrtExecutionProvider` ...; ProviderError if not listed."""
    names = listed()
    for known in sorted(names, key=lambda name: name != OPENVINO):  # ONNX Runtime may have one of the same short name
        if provider.lower() in (known.lower(), short_name(known).lower()):
            return known
    missing = f"; {MISSING[provider.lower()]}" if provider.lower() in MISSING else ""
    known = ", ".join(["auto", *dict.fromkeys(map(short_name, names))])
    raise ProviderError(f'unknown provider "{provider}"; there are: {known}{missing}')


def options(provider: str, device_id: int, precision: str = "fp32") -> dict[str, str]:
    """Options a session on `provider` is created with that computes in `precision`."""
    if provider == CPU:
        return {}
    if provider == CUDA:
        return CudaOptions().provider_options(device_id, precision)
    return {"device_id": str(device_id)}


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
    with gate.shared():
        return attempt(provider, device_id)


def attempt(provider: str, device_id: int) -> str | None:
    """The same, by making and running a session, which is gone when this returns: the gate is for that, too."""
    try:
        half = options(provider, device_id, "fp16")
        session = create(trial_network(), ort.SessionOptions(), provider, device_id, half)
        if provider not in session.get_providers():
            return "ONNX Runtime could not load it and would fall back to the CPU"
        session.run(None, {"x": np.zeros((1, 16, 8, 8), np.float32)})
    except Exception as error:  # the binding raises types of its own
        return f"{one_line(error)}{NEEDS_CUDA if provider == CUDA else ''}"
    return None


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
        return ort.InferenceSession(data, settings, providers=[(provider, given)], enable_fallback=0)
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
    for name in AUTO_ORDER:
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
def trial_network() -> bytes:
    """A convolution in half precision between float32 ends: what a provider for pictures must be able to do.

    Creating a session does not tell: kernels that were not compiled for a GPU, and a cuDNN that is not there, are
    missed when the first picture comes.
    """
    nodes = [
        helper.make_node("Cast", ["x"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Conv", ["half", "w"], ["wide"], pads=[1, 1, 1, 1]),
        helper.make_node("Cast", ["wide"], ["y"], to=TensorProto.FLOAT),
    ]
    weights = numpy_helper.from_array(np.zeros((16, 16, 3, 3), np.float16), "w")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 16, 8, 8]) for name in "xy")
    graph = helper.make_graph(nodes, "trial", [x], [y], [weights])
    proto: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = proto.SerializeToString()
    return data
