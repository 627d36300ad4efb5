"""Owns networks in ONNX Runtime with their pictures in ordinary memory; knows no video.

A picture goes through a Stream: an input and an output buffer that stay where they are, so that nothing is allocated
per frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort

from ..errors import NotFiniteError, RenderError, ShortageError, one_line
from ..model.rewrite.depth_to_space import Shuffle, take_out
from ..model.spec import Model, ModelSpec
from . import memory, planes, sessions
from .base import CPU, EngineKey
from .planes import Plane, Tensor
from .streams import StreamPool

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
            self._session.run_with_iobinding(self._binding)
        except Exception as error:
            raise failure(error) from error

    def finite(self) -> bool:
        """True if `output` holds neither NaN nor infinity."""
        return bool(np.isfinite(self.output.sum(dtype=np.float32)))  # one such value is enough to spoil a sum


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
        try:
            session, cells = self._session(model, key)
            streams = [Stream(session, model.spec, key, cells) for _ in range(key.streams)]
            alone = None
            if key.alone:
                session, cells = self._session(model, replace(key, threads=key.alone))
                alone = Stream(session, model.spec, key, cells)
        except MemoryError as error:
            raise ShortageError(f"no memory for pictures of {key.width}x{key.height}") from error
        self._pool = StreamPool(streams, alone)

    def _session(self, model: Model, key: EngineKey) -> tuple[ort.InferenceSession, int | None]:
        """A session and, if it leaves the last depth-to-space to `shuffle`, its channels."""
        session, cells = self._without_shuffle(model, key)
        if session is None:
            session = sessions.create(sessions.fix(onnx.load_model_from_string(model.data), model.spec, key), key)
            sessions.check_output(session.get_outputs()[0].shape, model.spec, key)
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

    def stream(self) -> AbstractContextManager[Stream]:
        """Waits for a free stream and lends it."""
        return self._pool.lend()

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
        self._pool.clear()
