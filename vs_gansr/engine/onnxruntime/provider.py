"""Make ONNX Runtime's execution providers into Provider objects.

ONNX Runtime falls back to the CPU silently, so a provider runs only if a tiny graph has run on it and
`get_providers()` names it.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from ...errors import ProviderError, one_line
from ...model.spec import Model
from ..base import EngineKey, Provider

__all__ = ["CPU", "Cpu", "OnnxRuntimeProvider", "cpu_session", "plain", "quiet_session", "trial_network", "tried"]

SUFFIX = "ExecutionProvider"
WARNING, FATAL = 2, 4  # what ONNX Runtime logs from on: its default, and next to nothing


class OnnxRuntimeProvider(Provider):
    """An execution provider that this ONNX Runtime has built in."""

    def __init__(self, title: str, name: str = "", numbered: bool = False) -> None:
        """`title` is ONNX Runtime's own name for it; `numbered` says that it takes an option `device_id`."""
        self.title = title
        self.name = name or title.removesuffix(SUFFIX)
        self.numbered = numbered

    @property
    def names(self) -> tuple[str, ...]:
        return self.name, self.title, self.title.removesuffix(SUFFIX)

    def installed(self) -> bool:
        return self.title in ort.get_available_providers()

    def precisions(self, device_id: int) -> tuple[str, ...]:
        return "fp32", "fp16", "int8"

    def options(self, key: EngineKey) -> dict[str, str]:
        """Options a session for `key` is created with. Raises ProviderError for a device that there cannot be."""
        if self.numbered:
            return {"device_id": str(key.device_id)}
        if key.device_id:
            raise ProviderError(f"device_id {key.device_id} does not exist, {self.name} has device 0 only")
        return {}

    def trouble(self, device_id: int) -> str | None:
        return tried(self, device_id, "fp32")

    def identity(self, device_id: int) -> str:
        return f"{self.title} {device_id} {ort.__version__}"

    def make(self, model: Model, key: EngineKey) -> Any:
        from .engine import OnnxRuntimeEngine  # an engine needs sessions, which need a provider

        return OnnxRuntimeEngine(model, key)

    def session(
        self, data: bytes, settings: ort.SessionOptions, key: EngineKey, more: Mapping[str, str] | None = None
    ) -> ort.InferenceSession:
        """A session that logs nothing, with `more` options than the provider's usual ones."""
        chosen = {**self.options(key), **(more or {})}
        return quiet_session(data, settings, providers=[(self.title, chosen), *self.behind(key)])

    def behind(self, key: EngineKey) -> list[tuple[str, dict[str, str]]]:
        """Providers for the nodes that it does not run, before ONNX Runtime's CPU."""
        return []

    def attempt(self, device_id: int, precision: str) -> str | None:
        """Why a tiny network does not run in this precision, `fp32` or `fp16`; None if it does."""
        key = EngineKey("", self, device_id, precision, 8, 8, 1, 1)
        try:
            with self.lock:
                session = self.session(trial_network(precision == "fp16"), ort.SessionOptions(), key)
                if self.title not in session.get_providers():
                    return "ONNX Runtime could not load it and would fall back to the CPU"
                session.run(None, {"x": np.zeros((1, 16, 8, 8), np.float32)})
                del session
        except Exception as error:  # the binding raises types of its own
            return plain(error)
        return None


class Cpu(OnnxRuntimeProvider):
    """The machine's processors."""

    everywhere = True

    def processor(self, device_id: int) -> bool:
        return True

    def trouble(self, device_id: int) -> str | None:
        return None if device_id == 0 else f"device_id {device_id} does not exist, the CPU is device 0"

    def devices(self) -> list[str]:
        return [platform.processor() or platform.machine()]

    def widens_half(self, device_id: int) -> bool:
        # ONNX Runtime has half precision's convolutions for Arm alone.
        return platform.machine().lower() not in ("aarch64", "arm64")


CPU = Cpu("CPUExecutionProvider")


@lru_cache(maxsize=64)
def tried(provider: OnnxRuntimeProvider, device_id: int, precision: str) -> str | None:
    """What `attempt` finds, once a process."""
    return provider.attempt(device_id, precision)


def cpu_session(data: bytes) -> ort.InferenceSession:
    """A session on the processors with ONNX Runtime's own settings."""
    return CPU.session(data, ort.SessionOptions(), EngineKey("", CPU, 0, "fp32", 0, 0, 1, 1))


def quiet_session(data: bytes, settings: ort.SessionOptions, **how: Any) -> ort.InferenceSession:
    """A session that logs nothing and falls back to nothing."""
    settings.log_severity_level = FATAL
    ort.set_default_logger_severity(FATAL)  # what keeps a provider from loading is in the error, too
    try:
        return ort.InferenceSession(data, settings, enable_fallback=0, **how)
    finally:
        ort.set_default_logger_severity(WARNING)


def plain(error: BaseException) -> str:
    """ONNX Runtime's message without the source locations at its start."""
    tail = re.split(r"\S+\.(?:cc|cpp|h):\d+ ", one_line(error, 4000))[-1]
    return one_line(RuntimeError(tail.rpartition(" was false. ")[2]))


@cache
def trial_network(half: bool = True) -> bytes:
    """A convolution with float32 input and output, in half precision if wanted.

    A provider is tried by running it: missing kernels, and a missing cuDNN, show only then.
    """
    kind, numbers = (TensorProto.FLOAT16, np.float16) if half else (TensorProto.FLOAT, np.float32)
    nodes = [
        helper.make_node("Cast", ["x"], ["inner"], to=kind),
        helper.make_node("Conv", ["inner", "w"], ["wide"], pads=[1, 1, 1, 1]),
        helper.make_node("Cast", ["wide"], ["y"], to=TensorProto.FLOAT),
    ]
    weights = numpy_helper.from_array(np.zeros((16, 16, 3, 3), numbers), "w")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 16, 8, 8]) for name in "xy")
    graph = helper.make_graph(nodes, "trial", [x], [y], [weights])
    proto: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = proto.SerializeToString()
    return data
