"""Owns networks in ONNX Runtime with their pictures in ordinary memory; knows no video.

A picture goes through a Stream: an input and an output buffer that stay where they are, so that nothing is allocated
per frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

import numpy as np
import onnx
import onnxruntime as ort

from ...errors import NotFiniteError, RenderError, ShortageError, one_line
from ...model.rewrite.depth_to_space import take_out
from ...model.spec import Model, ModelSpec
from .. import memory, planes
from ..auto import providers
from ..base import CPU, EngineKey
from ..planes import Plane, Tensor
from ..streams import StreamPool
from . import sessions
from .stored_ends import Prepared, with_ends

__all__ = ["OnnxRuntimeEngine", "Stream"]


class Stream:
    """One picture's way through an engine: fill `input`, call `run`, read `output`."""

    def __init__(self, session: ort.InferenceSession, spec: ModelSpec, key: EngineKey, network: Prepared) -> None:
        self.input: Tensor = np.zeros((1, spec.inputs, key.height, key.width), network.takes)
        """Shape (1, C, H, W), the channels of all frames that the network sees, values as it takes them."""
        large = (1, spec.channels, key.height * spec.scale, key.width * spec.scale)
        small = (1, network.cells, key.height, key.width)
        self.output: Tensor = np.zeros(small if network.cells else large, network.gives)
        """Shape (1, C, S*H, S*W); (1, C * S**2 or more, H, W) where the depth-to-space is left to its reader."""
        self.watch: Tensor = np.zeros(1, np.float32)
        """The sum of what the network gave, where `output` cannot tell whether that was finite."""
        self._pass = partial(providers.passage, key.provider)
        binding = session.io_binding()
        [entry], [result, *watch] = session.get_inputs(), session.get_outputs()
        into, out = binding.bind_input, binding.bind_output
        # Python lets go of these in this order: the last session takes the device along, and what is bound lies there.
        self._feed = partial(bind, into, entry.name, self.input)
        self._binding = binding
        self._session = session
        self._feed()
        # To other devices ONNX Runtime copies what is bound, when it is bound.
        self._feeds = key.provider != CPU
        for each, array in zip([result, *watch], [self.output, self.watch], strict=False):
            bind(out, each.name, array)

    def run(self) -> None:
        """Computes `output` from `input`. Raises ShortageError or RenderError with ONNX Runtime's reason."""
        try:
            with self._pass():
                if self._feeds:
                    self._feed()
                self._session.run_with_iobinding(self._binding)
        except Exception as error:
            raise failure(error) from error

    def finite(self) -> bool:
        """True if the network gave neither NaN nor infinity: one such value is enough to spoil a sum."""
        seen = self.output if self.output.dtype.kind == "f" else self.watch
        return bool(np.isfinite(seen.sum(dtype=np.float32)))


def bind(to: Callable[..., None], name: str, array: Tensor) -> None:
    """Binds an array in ordinary memory, which must stay where it is."""
    to(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)


def failure(error: Exception) -> RenderError:
    """What ONNX Runtime says of a run that failed, as what it means for the picture."""
    kind = ShortageError if memory.is_shortage(error) else RenderError
    return kind(f"ONNX Runtime failed: {one_line(error)}")


class OnnxRuntimeEngine:
    """A network of static shape on one provider; an Engine."""

    def __init__(self, model: Model, key: EngineKey) -> None:
        self.spec = model.spec
        """The network's."""
        self.key = key
        """What it was made for."""
        with providers.passage(key.provider):
            self._network, session = prepared(model, key)
        self.shuffle = self._network.shuffle
        """What is left to whoever reads a stream's output."""
        streams = [Stream(session, model.spec, key, self._network) for _ in range(key.streams)]
        alone = None
        if key.alone:
            session = sessions.create(self._network.proto, replace(key, threads=key.alone))
            alone = Stream(session, model.spec, key, self._network)
        self._pool = StreamPool(streams, alone)

    def stream(self) -> AbstractContextManager[Stream]:
        """Waits for a free stream and lends it."""
        return self._pool.lend()

    def run(self, inputs: Sequence[Plane], outputs: Sequence[Plane], offset: tuple[int, int] = (0, 0)) -> None:
        spec = self.spec
        with self.stream() as stream:
            planes.load(inputs, stream.input)
            stream.run()
            if not stream.finite():
                raise NotFiniteError("the network gives values that are not finite for this picture")
            planes.store(stream.output, outputs, offset, spec.scale, self.shuffle)

    def size(self) -> int:
        return memory.need(self.spec, self.key)

    def close(self) -> None:
        with providers.passage(self.key.provider):
            self._pool.clear()


def prepared(model: Model, key: EngineKey) -> tuple[Prepared, ort.InferenceSession]:
    """The network for `key`, and its first session; on the CPU without its last depth-to-space, where that pays."""
    spec = model.spec
    if key.provider == CPU:
        proto = onnx.load_model_from_string(model.data)
        with sessions.rewriting():
            taken = take_out(proto)
        if taken and taken.block == spec.scale and taken.channels == spec.channels * spec.scale**2:
            network = with_ends(sessions.fix(proto, spec, key), spec, key)
            session = sessions.create(network.proto, key)
            shape = session.get_outputs()[0].shape
            if shape[2:] == [key.height, key.width] and isinstance(shape[1], int):
                return replace(network, shuffle=taken, cells=shape[1]), session
    network = with_ends(sessions.fix(onnx.load_model_from_string(model.data), spec, key), spec, key)
    session = sessions.create(network.proto, key)
    sessions.check_output(session.get_outputs()[0].shape, spec, key)
    return network, session
