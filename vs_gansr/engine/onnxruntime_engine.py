"""Owns networks in ONNX Runtime with their pictures in ordinary memory; knows no video.

A picture goes through a Stream: an input and an output buffer that stay where they are, so that nothing is allocated
per frame.

On a CPU two pictures at once with half of the processors each are quicker than one after the other with all: threads
wait for each other at every layer, and meanwhile nobody copies. A picture that is alone would then take twice as long,
as in a preview, so there may be one more stream, with all the processors, for such.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort

from ..errors import NotFiniteError, RenderError, ShortageError, one_line
from ..model.rewrite.depth_to_space import Shuffle, take_out
from ..model.spec import Model, ModelSpec
from . import memory, planes, sessions
from .base import CPU, EngineKey
from .cuda_gate import gate
from .planes import Plane, Tensor

__all__ = ["OnnxRuntimeEngine", "Stream"]


class Stream:
    """One picture's way through an Engine: fill `input`, call `run`, read `output`.

    Both are float32 NCHW arrays, (1, C, H, W) with the channels of all frames the network sees, and
    (1, C, S*H, S*W) with those of one, values as the network wants and gives them; with a `shuffle` left
    to whoever reads it the output is (1, C * S**2 or more, H, W).
    """

    def __init__(
        self, session: ort.InferenceSession, spec: ModelSpec, key: EngineKey, cells: int | None = None
    ) -> None:
        scale = spec.scale
        kind = np.float16 if spec.half_input else np.float32
        self.input: Tensor = np.zeros((1, spec.inputs, key.height, key.width), kind)
        large = (1, spec.channels, key.height * scale, key.width * scale)
        self.output: Tensor = np.zeros((1, cells, key.height, key.width) if cells else large, kind)
        self._pass = passage(key)
        self._session = session
        self._binding = session.io_binding()
        for bind, name, array in (
            (self._binding.bind_input, spec.input, self.input),
            (self._binding.bind_output, session.get_outputs()[0].name, self.output),
        ):
            bind(name, "cpu", 0, kind, array.shape, array.ctypes.data)

    def run(self) -> None:
        """Computes `output` from `input`. Raises ShortageError or RenderError with ONNX Runtime's reason."""
        try:
            with self._pass():
                self._session.run_with_iobinding(self._binding)
        except Exception as error:
            raise failure(error) from error

    def finite(self) -> bool:
        """True if `output` holds neither NaN nor infinity."""
        return bool(np.isfinite(self.output.sum(dtype=np.float32)))  # one such value is enough to spoil a sum


def passage(key: EngineKey) -> Callable[[], AbstractContextManager[None]]:
    """What to do anything with the provider in: others' GPUs may be CUDA's, too, which captures graphs meanwhile."""
    return nullcontext if key.provider == CPU else gate.shared


def failure(error: Exception) -> RenderError:
    """What ONNX Runtime says of a run that failed, as what it means for the picture."""
    kind = ShortageError if memory.is_shortage(error) else RenderError
    return kind(f"ONNX Runtime failed: {one_line(error)}")


class OnnxRuntimeEngine:
    """A network of static shape on one provider; an Engine."""

    def __init__(self, model: Model, key: EngineKey) -> None:
        self.spec = model.spec
        self.key = key
        self.shuffle: Shuffle | None = None
        self._streams: queue.LifoQueue[Stream] = queue.LifoQueue()
        self._alone: Stream | None = None
        self._wanted = 0  # how many callers have a stream or wait for one
        self._lock = threading.Lock()
        try:
            with passage(key)():
                session, cells = self._session(model, key)
            for _ in range(key.streams):
                self._streams.put(Stream(session, model.spec, key, cells))
            if key.alone:
                session, cells = self._session(model, replace(key, threads=key.alone))
                self._alone = Stream(session, model.spec, key, cells)
        except MemoryError as error:
            raise ShortageError(f"no memory for pictures of {key.width}x{key.height}") from error

    def _session(self, model: Model, key: EngineKey) -> tuple[ort.InferenceSession, int | None]:
        """A session and, if it leaves the last depth-to-space to `shuffle`, its channels."""
        session, cells = self._without_shuffle(model, key)
        if session is None:
            session = sessions.create(sessions.fix(onnx.load_model_from_string(model.data), model.spec, key), key)
            sessions.check_output(session, model.spec, key)
        return session, cells

    def _without_shuffle(self, model: Model, key: EngineKey) -> tuple[ort.InferenceSession | None, int | None]:
        """A session that leaves the last depth-to-space to `shuffle`, and its channels; on the CPU, where it pays."""
        if key.provider != CPU:
            return None, None
        proto = onnx.load_model_from_string(model.data)
        with sessions.rewriting():
            taken = take_out(proto)
        scale = model.spec.scale
        if taken is None or taken.block != scale or taken.channels != model.spec.channels * scale**2:
            return None, None
        session = sessions.create(sessions.fix(proto, model.spec, key), key)
        shape = session.get_outputs()[0].shape
        if shape[2:] != [key.height, key.width] or not isinstance(shape[1], int):
            return None, None
        self.shuffle = taken
        return session, shape[1]

    @contextmanager
    def stream(self) -> Iterator[Stream]:
        """Waits for a free stream and lends it."""
        with self._lock:
            self._wanted += 1
            alone = self._alone if self._wanted == 1 else None
        try:
            stream = alone or self._streams.get()
            try:
                yield stream
            finally:
                if stream is not alone:
                    self._streams.put(stream)
        finally:
            with self._lock:
                self._wanted -= 1

    def run(self, inputs: Sequence[Plane], outputs: Sequence[Plane], offset: tuple[int, int] = (0, 0)) -> None:
        spec = self.spec
        with self.stream() as stream:
            planes.load(inputs, stream.input, spec.peak)
            stream.run()
            if not stream.finite():
                raise NotFiniteError("the network gives values that are not finite for this picture")
            planes.store(stream.output, outputs, offset, spec.scale, spec.peak, self.shuffle)

    def size(self) -> int:
        return memory.need(self.spec, self.key)

    def close(self) -> None:
        self._alone = None
        while not self._streams.empty():
            self._streams.get()
