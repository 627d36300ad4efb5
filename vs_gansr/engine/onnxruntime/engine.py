"""Run networks in ONNX Runtime, with input and output in ordinary memory."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

import numpy as np
import onnx
import onnxruntime as ort

from ...errors import DeviceLostError, RenderError, ShortageError, one_line
from ...model.rewrite.depth_to_space import take_out
from ...model.spec import Model, ModelSpec
from .. import memory, planes
from ..base import EngineKey
from ..planes import Plane, Tensor
from ..streams import StreamPool
from . import sessions
from .sessions import Prepared

__all__ = ["OnnxRuntimeEngine", "Stream", "failure", "leak"]


class Stream:
    """A session with buffers for one picture, which are never allocated again: fill `input`, `run`, read `output`."""

    def __init__(self, session: ort.InferenceSession, spec: ModelSpec, key: EngineKey, network: Prepared) -> None:
        self.input: Tensor = np.zeros((1, spec.inputs, key.height, key.width), network.takes)
        """Shape (1, C, H, W): the channels of all frames that the network sees."""
        large = (1, spec.outputs, key.height * spec.growth, key.width * spec.growth)
        small = (1, network.cells, key.height, key.width)
        self.output: Tensor = np.zeros(small if network.cells else large, network.gives)
        """Shape (1, C, S*H, S*W), or (1, C * S**2 or more, H, W) before the depth-to-space that `store` does."""
        self.watch: Tensor | None = None
        """Shape (1,): the sum of the output; None where `output` itself shows whether its values are finite."""
        self._provider = key.provider
        binding = session.io_binding()
        [entry], [result, *watch] = session.get_inputs(), session.get_outputs()
        into, out = binding.bind_input, binding.bind_output
        # Python frees these in this order: bound memory lies on the device, which is closed with its last session.
        self._feed = partial(bind, into, entry.name, self.input)
        self._binding = binding
        self._session = session
        self._feed()
        # For other devices ONNX Runtime copies the input when it is bound.
        self._feeds = not key.provider.processor(key.device_id)
        bind(out, result.name, self.output)
        if watch:
            self.watch = np.zeros(1, np.float32)
            bind(out, watch[0].name, self.watch)

    def run(self) -> None:
        """Computes `output` from `input`. Raises ShortageError or RenderError with ONNX Runtime's reason."""
        try:
            with self._provider.lock:
                if self.watch is not None:
                    planes.expect(self.watch)
                if self._feeds:
                    self._feed()
                self._session.run_with_iobinding(self._binding)
        except Exception as error:
            raise failure(error) from error

    def check(self) -> None:
        """Raises NotFiniteError where the network gave NaN or infinity, RenderError where nothing arrived."""
        if self.watch is not None:
            planes.check_arrival(self.watch)
        planes.check_finite(self.output if self.watch is None else self.watch)


def bind(to: Callable[..., None], name: str, array: Tensor) -> None:
    """Binds an array in ordinary memory, which must stay where it is."""
    to(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)


def leak(thing: object) -> None:
    """Keeps an object for ever: a session's destructor ends the process if the device is lost."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def failure(error: Exception) -> RenderError:
    """The error of ours for ONNX Runtime's error in a run."""
    lost, short = memory.is_loss(error), memory.is_shortage(error)
    kind = DeviceLostError if lost else ShortageError if short else RenderError
    return kind(f"ONNX Runtime failed: {one_line(error)}")


class OnnxRuntimeEngine:
    """A network of static shape on one provider, by ONNX Runtime's public interface alone; an Engine."""

    def __init__(self, model: Model, key: EngineKey) -> None:
        self.spec = model.spec  # the network's
        self.key = key  # what it was made for
        with key.provider.lock:
            self._network, session = prepared(model, key)
        self.shuffle = self._network.shuffle  # the depth-to-space that `store` does
        streams = [Stream(session, model.spec, key, self._network)]
        for _ in range(1, key.streams):
            if not key.provider.processor(key.device_id):  # several runs of one session queue up on its one stream
                with key.provider.lock:
                    session = sessions.create(self._network.proto, key)
            streams.append(Stream(session, model.spec, key, self._network))
        alone = None
        if key.alone:
            session = sessions.create(self._network.proto, replace(key, threads=key.alone))
            alone = Stream(session, model.spec, key, self._network)
        self._pool = StreamPool(streams, alone)
        self._lost = False

    def stream(self) -> AbstractContextManager[Stream]:
        """Waits for a free stream and lends it."""
        return self._pool.lend()

    def run(self, inputs: Sequence[Plane], outputs: Sequence[Plane], offset: tuple[int, int] = (0, 0)) -> None:
        with self.stream() as stream:
            planes.load(inputs, stream.input)
            try:
                stream.run()
            except DeviceLostError as error:
                self.key.provider.note_loss(self.key.device_id, str(error))
                self._lost = True
                raise
            stream.check()
            planes.store(stream.output, outputs, offset, self.spec.growth, self.shuffle)

    def size(self) -> int:
        return memory.need(self.spec, self.key)

    def close(self) -> None:
        with self.key.provider.lock:
            if self._lost:
                leak(self._pool)
            else:
                self._pool.clear()


def prepared(model: Model, key: EngineKey) -> tuple[Prepared, ort.InferenceSession]:
    """The network for `key`, and its first session; on the CPU without its last depth-to-space, where that pays."""
    spec = model.spec
    if key.provider.processor(key.device_id):
        proto = onnx.load_model_from_string(model.data)
        with sessions.rewriting():
            taken = take_out(proto)
        if taken and taken.block == spec.growth and taken.channels == spec.channels * spec.scale**2:
            network = sessions.prepare(proto, spec, key)
            session = sessions.create(network.proto, key)
            shape = session.get_outputs()[0].shape
            if shape[2:] == [key.height, key.width] and isinstance(shape[1], int):
                return replace(network, shuffle=taken, cells=shape[1]), session
    network = sessions.prepare(onnx.load_model_from_string(model.data), spec, key)
    session = sessions.create(network.proto, key)
    sessions.check_output(session.get_outputs()[0].shape, spec, key)
    return network, session
