"""Owns networks in OpenVINO's own runtime; knows no video.

A stream is an infer request with an input and an output buffer that stay where they are. A plane of a frame that lies
in memory as the network wants it is bound in place of the buffer, so that it is not copied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnx

from ...errors import ModelError, ProviderError, RenderError, ShortageError, one_line
from ...model.rewrite.int8 import with_float_end
from ...model.spec import Model, ModelSpec
from .. import memory, planes
from ..base import EngineKey, cpu_threads
from ..onnxruntime import sessions
from ..onnxruntime.sessions import Prepared
from ..planes import Plane, Tensor
from ..streams import StreamPool
from . import runtime as openvino_runtime
from .library import Compiled, OpenVinoError

__all__ = ["OpenVinoEngine"]

HINTS = {"fp32": "f32", "int8": "f32", "fp16": "f16", "bf16": "bf16"}  # int8: what is not quantised stays float32
CAPABILITIES = {"f32": "FP32", "f16": "FP16", "bf16": "BF16"}
KINDS = {"f32": "float32", "bf16": "bfloat16"}


class OpenVinoStream:
    """One picture's way through a compiled network."""

    def __init__(self, compiled: Compiled, spec: ModelSpec, key: EngineKey, network: Prepared) -> None:
        scale = spec.growth
        self.spec = spec
        """The network's."""
        self.input: Tensor = np.zeros((1, spec.inputs, key.height, key.width), network.takes)
        """What the network reads where a frame's own plane cannot be bound."""
        self.output: Tensor = np.zeros((1, spec.outputs, key.height * scale, key.width * scale), network.gives)
        """What it writes to where a frame's own plane cannot be bound."""
        self._request = request = compiled.request()
        self._own = {"input": request.tensor("input", self.input), "output": request.tensor("output", self.output)}
        for side, tensor in self._own.items():
            request.bind(side, tensor)
        self._watch: Tensor | None = None
        if network.gives.kind != "f":  # integers do not tell whether what they were made of was finite
            self._watch = np.zeros(1, np.float32)
            self._own["watch"] = request.tensor("output", self._watch, 1)
            request.bind("output", self._own["watch"], 1)

    def run(self, inputs: Sequence[Plane], outputs: Sequence[Plane], offset: tuple[int, int]) -> None:
        """As Engine.run."""
        whole = offset == (0, 0)
        bound = {side: place[0][np.newaxis, np.newaxis] for side, place, own, fits in
                 (("input", inputs, self.input, True), ("output", outputs, self.output, whole))
                 if fits and bindable(place, own)}  # fmt: skip
        result = bound.get("output", self.output)
        try:
            self._infer(inputs, bound)
        except OpenVinoError as error:
            kind = ShortageError if memory.is_shortage(error) else RenderError
            raise kind(f"OpenVINO failed: {one_line(error)}") from error
        seen = result if self._watch is None else self._watch
        planes.check_finite(seen)
        if "output" not in bound:
            planes.store(self.output, outputs, offset, self.spec.growth)

    def _infer(self, inputs: Sequence[Plane], bound: Mapping[str, Tensor]) -> None:
        """Computes, with the arrays of `bound` in place of buffers. Raises OpenVinoError."""
        try:
            if "input" not in bound:
                planes.load(inputs, self.input)
            for side, array in bound.items():
                self._request.bind(side, self._request.tensor(side, array))
            self._request.infer()
        finally:  # the request knows nothing of frames beyond the call
            for side in bound:
                self._request.bind(side, self._own[side])


class OpenVinoEngine:
    """A network of static shape on one of OpenVINO's devices; an Engine."""

    def __init__(self, model: Model, key: EngineKey) -> None:
        self.spec = model.spec
        """The network's."""
        self.key = key
        """What it was made for."""
        proto = sessions.fix(onnx.load_model_from_string(model.data), model.spec, key)
        with sessions.rewriting():
            proto = with_float_end(proto)
        network = sessions.with_ends(proto, model.spec, key)
        data = network.proto.SerializeToString()
        compiled = compile_for(data, model.spec, key)
        streams = [OpenVinoStream(compiled, model.spec, key, network) for _ in range(key.streams)]
        alone = None
        if key.alone:
            single = compile_for(data, model.spec, replace(key, streams=1, threads=key.alone))
            alone = OpenVinoStream(single, model.spec, key, network)
        self._pool = StreamPool(streams, alone)

    def run(self, inputs: Sequence[Plane], outputs: Sequence[Plane], offset: tuple[int, int] = (0, 0)) -> None:
        with self._pool.lend() as stream:
            stream.run(inputs, outputs, offset)

    def size(self) -> int:
        return memory.need(self.spec, self.key)

    def close(self) -> None:
        self._pool.clear()


def bindable(place: Sequence[Plane], tensor: Tensor) -> bool:
    """True if the one plane of `place` can stand in for `tensor` as it is."""
    plane = place[0]
    fits = len(place) == 1 and tensor.shape[1] == 1 and plane.shape == tensor.shape[2:] and plane.dtype == tensor.dtype
    return fits and plane.flags.c_contiguous


def compile_for(data: bytes, spec: ModelSpec, key: EngineKey) -> Compiled:
    """The network made ready. Raises ModelError, ShortageError, or ProviderError for a precision it has not got."""
    name = openvino_runtime.device(key.device_id)
    try:
        compiled = openvino_runtime.compile_model(data, name, properties(name, key))
        shape = compiled.output_shape()
    except OpenVinoError as error:
        if memory.is_shortage(error):
            raise ShortageError(f"no memory for OpenVINO's network: {one_line(error)}") from error
        raise ModelError(f"OpenVINO refuses the model: {one_line(error)}") from error
    sessions.check_output(shape, spec, key)
    return compiled


def properties(name: str, key: EngineKey) -> dict[str, str]:
    """What OpenVINO is told for a key on the device `name`. Raises ProviderError for a precision it has not got."""
    kind = name.partition(".")[0]
    hint = HINTS[key.precision]
    if not openvino_runtime.has(name, CAPABILITIES[hint]):
        if hint == "f16":
            # Half precision's weights, computed in float32, as ONNX Runtime does on CPUs; choose.py says so.
            hint = "f32"
        elif key.precision != "int8":
            instead = "fp32" if openvino_runtime.has(name, "FP32") else "fp16"
            raise ProviderError(
                f'precision "{key.precision}": OpenVINO\'s {name} does not compute in {KINDS[hint]} here; '
                f'use "{instead}"'
            )
    if kind == "NPU":  # half precision is all that it has; what else it may be told depends on its driver
        return {}
    told = {"INFERENCE_PRECISION_HINT": hint, "NUM_STREAMS": str(key.streams)}
    if kind == "CPU":
        # Threads bound to processors would sit there together with VapourSynth's and an encoder's.
        told |= {"ENABLE_CPU_PINNING": "NO", "SCHEDULING_CORE_TYPE": "ANY_CORE"}
        told["INFERENCE_NUM_THREADS"] = str(min(cpu_threads(), key.streams * key.threads))
    return told
