"""Run networks in OpenVINO's own runtime.

A stream is an infer request with buffers for its input and its output. Output planes that lie in memory as the network
gives them are bound in place of the buffer, which saves a copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx

from ...errors import ModelError, RenderError, ShortageError, one_line
from ...model.rewrite import cpu_layout, depth_to_space
from ...model.rewrite.int8 import with_float_end
from ...model.spec import Model, ModelSpec
from .. import memory, planes
from ..base import EngineKey, cpu_threads
from ..onnxruntime import sessions
from ..onnxruntime.sessions import Prepared
from ..planes import Plane, Tensor
from ..streams import StreamPool
from . import provider
from .library import Compiled, OpenVinoError

__all__ = ["OpenVinoEngine"]

HINTS = {"fp32": "f32", "int8": "f32", "fp16": "f16", "bf16": "bf16"}  # int8: what is not quantised stays float32


class OpenVinoStream:
    """One picture's way through a compiled network."""

    def __init__(self, compiled: Compiled, spec: ModelSpec, key: EngineKey, network: Prepared) -> None:
        self.spec = spec  # the network's
        self.input: Tensor = np.zeros((1, spec.inputs, key.height, key.width), network.takes)  # what the network reads
        self.shuffle = network.shuffle  # the depth-to-space that was taken out of its end
        self.output: Tensor = np.zeros(compiled.output_shape(), network.gives)
        """What it writes to unless a frame's own planes are bound."""
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
        planes.load(inputs, self.input)
        bound = in_place(outputs, self.output) if offset == (0, 0) and not self.shuffle else None
        try:
            self._infer(bound)
        except OpenVinoError as error:
            kind = ShortageError if memory.is_shortage(error) else RenderError
            raise kind(f"OpenVINO failed: {one_line(error)}") from error
        result = self.output if bound is None else bound
        planes.check_finite(result if self._watch is None else self._watch)
        if bound is None:
            planes.store(self.output, outputs, offset, self.spec.growth, self.shuffle)

    def _infer(self, result: Tensor | None) -> None:
        """Computes, into `result` in place of the output's buffer if it is given. Raises OpenVinoError."""
        if result is None:
            self._request.infer()
            return
        try:
            self._request.bind("output", self._request.tensor("output", result))
            self._request.infer()
        finally:  # the frame may be gone after the call
            self._request.bind("output", self._own["output"])


class OpenVinoEngine:
    """A network of static shape on one of OpenVINO's devices; an Engine."""

    def __init__(self, model: Model, key: EngineKey) -> None:
        self.spec = model.spec  # the network's
        self.key = key  # what it was made for
        with sessions.rewriting():
            proto = with_float_end(onnx.load_model_from_string(model.data))
            shuffle = None
            if cpu_layout.BLOCKED and key.provider.processor(key.device_id):
                proto, shuffle = depth_to_space.widened(proto, model.spec.growth, key.width)
        network = replace(sessions.prepare(proto, model.spec, key), shuffle=shuffle)
        if shuffle:
            depth_to_space.channels_last(network.proto)
        data = network.proto.SerializeToString()
        compiled = compile_for(data, network, model.spec, key)
        streams = [OpenVinoStream(compiled, model.spec, key, network) for _ in range(key.streams)]
        alone = None
        if key.alone:
            single = compile_for(data, network, model.spec, replace(key, streams=1, threads=key.alone))
            alone = OpenVinoStream(single, model.spec, key, network)
        self._pool = StreamPool(streams, alone)

    def run(self, inputs: Sequence[Plane], outputs: Sequence[Plane], offset: tuple[int, int] = (0, 0)) -> None:
        with self._pool.lend() as stream:
            stream.run(inputs, outputs, offset)

    def size(self) -> int:
        return memory.need(self.spec, self.key)

    def close(self) -> None:
        self._pool.clear()


def in_place(place: Sequence[Plane], own: Tensor) -> Tensor | None:
    """The planes as one tensor like `own`; None unless they lie one behind the other without gaps, as its planes do."""
    first = place[0]
    if (len(place), *first.shape) != own.shape[1:] or first.dtype != own.dtype:
        return None
    if len(place) == 1:
        return first[np.newaxis, np.newaxis] if first.flags.c_contiguous else None
    places = [plane.ctypes.data if plane.flags.c_contiguous else -1 for plane in place]
    if places != [places[0] + i * first.nbytes for i in range(len(place))]:
        return None
    return np.lib.stride_tricks.as_strided(first, own.shape, own.strides)


def compile_for(data: bytes, network: Prepared, spec: ModelSpec, key: EngineKey) -> Compiled:
    """`network`, serialised as `data`, compiled. Raises ModelError or ShortageError."""
    name = provider.device(key.device_id)
    try:
        compiled = provider.compile_model(data, name, properties(name, key))
        shape = compiled.output_shape()
    except OpenVinoError as error:
        if memory.is_shortage(error):
            raise ShortageError(
                f"too little {memory.named(key, error)} to load the network: {one_line(error)}"
            ) from error
        raise ModelError(f"OpenVINO refuses the network: {one_line(error)}") from error
    if not network.shuffle or shape != network.shuffle.shape(key.width, key.height):
        sessions.check_output(shape, spec, key)
    return compiled


def properties(name: str, key: EngineKey) -> dict[str, str]:
    """What OpenVINO is told for a key on the device `name`, which computes in the key's precision."""
    kind = name.partition(".")[0]
    if kind == "NPU":  # half precision is all that it has; what else it may be told depends on its driver
        return {}
    hint = HINTS[key.precision]
    if hint == "f16" and not provider.has(name, "FP16"):
        hint = "f32"  # half precision's weights, computed in float32, as ONNX Runtime does on CPUs
    told = {"INFERENCE_PRECISION_HINT": hint, "NUM_STREAMS": str(key.streams)}
    if kind == "CPU":
        # Threads bound to processors would sit there together with VapourSynth's and an encoder's.
        told |= {"ENABLE_CPU_PINNING": "NO", "SCHEDULING_CORE_TYPE": "ANY_CORE"}
        told["INFERENCE_NUM_THREADS"] = str(min(cpu_threads(), key.streams * key.threads))
    return told
