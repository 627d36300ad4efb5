"""Owns ONNX Runtime sessions: options, static shapes, precision, and the cache they live in; knows no video.

An Engine is one network at one size on one provider. It runs up to `streams` pictures at once, each through a
Stream: an input and an output buffer that stay where they are, so that nothing is allocated per frame.

On a CPU two pictures at once with half of the processors each are quicker than one after the other with all: threads
wait for each other at every layer, and meanwhile nobody copies. A picture that is alone would then take twice as long,
as in a preview, so there may be one more stream, with all the processors, for such.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import onnx
import onnxruntime as ort

from ..errors import GansrError, ModelError, ProviderError, RenderError, ShortageError, one_line
from ..model.rewrite import cpu_layout, float16
from ..model.rewrite.depth_to_space import Shuffle, take_out
from ..model.rewrite.graph_view import fixed_size
from ..model.spec import Model, ModelSpec
from . import memory, providers
from .planes import Tensor
from .session_cache import KeepAlive, Lease

__all__ = ["Engine", "EngineKey", "Stream", "acquire", "cpu_threads", "sessions"]

KEEP_SECONDS = 30.0
KEEP_BYTES = memory.COMFORTABLE  # what an engine takes at most unless told otherwise: it must be found again
PRECISIONS = ("auto", "fp32", "fp16", "int8")

_UNKNOWN = 1024  # bytes per pixel between input and output


@dataclass(frozen=True)
class EngineKey:
    """What decides whether a session can be shared: the network's content, where and how it runs.

    `threads` are those of each of the `streams`; `alone`, if not 0, those for a picture while there is no other.
    """

    digest: str
    provider: str
    device_id: int
    precision: str
    width: int
    height: int
    streams: int
    threads: int
    alone: int = 0


def cpu_threads() -> int:
    """Processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Stream:
    """One picture's way through an Engine: fill `input`, call `run`, read `output`.

    Both are float32 NCHW arrays, (1, C, H, W) with the channels of all frames the network sees, and
    (1, C, S*H, S*W) with those of one, values as the network wants and gives them; with a `shuffle` left
    to whoever reads it the output is (1, C * S**2 or more, H, W).
    """

    def __init__(
        self, session: ort.InferenceSession, spec: ModelSpec, key: EngineKey, cells: int | None = None
    ) -> None:
        kind = np.float16 if spec.half_input else np.float32
        self.input: Tensor = np.zeros((1, spec.inputs, key.height, key.width), kind)
        large = (1, spec.channels, key.height * spec.scale, key.width * spec.scale)
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
            kind = ShortageError if memory.is_shortage(error) else RenderError
            raise kind(f"ONNX Runtime failed: {one_line(error)}") from error

    def finite(self) -> bool:
        """True if `output` holds neither NaN nor infinity."""
        return bool(np.isfinite(self.output.sum(dtype=np.float32)))  # one such value is enough to spoil a sum


class Engine:
    """A network of static shape on one provider."""

    def __init__(self, model: Model, key: EngineKey) -> None:
        self.spec = model.spec
        self.key = key
        self.shuffle: Shuffle | None = None
        self._streams: queue.LifoQueue[Stream] = queue.LifoQueue()
        self._alone: Stream | None = None
        self._wanted = 0  # how many callers have a stream or wait for one
        self._lock = threading.Lock()
        try:
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
            session = create_session(fix(onnx.load_model_from_string(model.data), model.spec, key), key)
            check_output(session, model.spec, key)
        return session, cells

    def _without_shuffle(self, model: Model, key: EngineKey) -> tuple[ort.InferenceSession | None, int | None]:
        """A session that leaves the last depth-to-space to `shuffle`, and its channels; on the CPU, where it pays."""
        if key.provider != providers.CPU:
            return None, None
        proto = onnx.load_model_from_string(model.data)
        with rewriting():
            taken = take_out(proto)
        scale = model.spec.scale
        if taken is None or taken.block != scale or taken.channels != model.spec.channels * scale**2:
            return None, None
        session = create_session(fix(proto, model.spec, key), key)
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

    def size(self) -> int:
        """Bytes this engine keeps, roughly."""
        return need(self.spec, self.key)


def need(spec: ModelSpec, key: EngineKey) -> int:
    """Bytes that an engine for `key` takes with all its streams busy, estimated from the graph."""
    pixels = key.width * key.height
    alive = spec.study.bytes(key.width, key.height)
    if alive is None:  # an unknown graph: as much as a wide generator
        alive = pixels * _UNKNOWN
    if key.precision == "fp16" and key.provider != providers.CPU:  # the CPU computes in float32 all the same
        alive //= 2
    ends = pixels * 4 * (spec.inputs + spec.channels * spec.scale**2)
    weights = spec.weights * (1 + bool(key.alone))
    return memory.working_set(alive, ends, weights, key.streams + bool(key.alone))


sessions: KeepAlive[EngineKey, Engine] = KeepAlive(KEEP_SECONDS, KEEP_BYTES)


def acquire(model: Model, key: EngineKey) -> Lease[Engine]:
    """The engine for `key`, from the cache or new."""
    return sessions.acquire(key, lambda: Engine(model, key), Engine.size)


def create_session(proto: onnx.ModelProto, key: EngineKey) -> ort.InferenceSession:
    """A session that really runs on `key.provider`; ProviderError if it fell back, ModelError if it fails."""
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = key.threads
    settings.inter_op_num_threads = 1
    # Spinning threads would take the time of whatever else runs in the process: colour, sources, encoders.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if key.provider == providers.CPU:
        # A pattern is planned after the first run, beside what that run holds: twice the memory, no faster.
        settings.enable_mem_pattern = False
        if cpu_layout.BLOCKED:
            with rewriting():
                proto = cpu_layout.for_cpu(proto)
    try:
        session = providers.create(proto.SerializeToString(), settings, key.provider, key.device_id)
    except Exception as error:
        if memory.is_shortage(error):
            raise ShortageError(f"no memory for a session: {one_line(error)}") from error
        raise ModelError(f"ONNX Runtime refuses the model: {one_line(error)}") from error
    if key.provider not in session.get_providers():
        raise ProviderError(
            f'provider "{providers.short_name(key.provider)}" fell back to '
            f"{', '.join(map(providers.short_name, session.get_providers()))}: "
            f"{providers.trouble(key.provider, key.device_id) or 'ONNX Runtime gave no reason'}"
        )
    return session


@contextmanager
def rewriting() -> Iterator[None]:
    """For what changes a graph: it fails over a damaged one in many ways, none of which needs telling apart."""
    try:
        yield
    except GansrError:
        raise
    except MemoryError as error:
        raise ShortageError("no memory to prepare the model") from error
    except Exception as error:
        raise ModelError(f"the model's graph is damaged ({one_line(error)})") from error


def fix(proto: onnx.ModelProto, spec: ModelSpec, key: EngineKey) -> onnx.ModelProto:
    """The network in the key's precision, its input fixed at (1, C, height, width): memory is planned only then."""
    fixed = spec.size_rule.fixed
    if fixed and fixed != (key.width, key.height):
        w, h = fixed
        raise ModelError(f'model "{spec.name}" takes {w}x{h} pictures only, not {key.width}x{key.height}')
    if key.precision == "fp16" and not spec.half_input and not float16.is_half(proto):
        with rewriting():
            proto = float16.convert(proto, spec.peak)  # before the size is fixed: it tries small pictures
    return fixed_size(proto, spec.input, (1, spec.inputs, key.height, key.width))


def check_output(session: ort.InferenceSession, spec: ModelSpec, key: EngineKey) -> None:
    """ModelError unless the network gives a picture of `scale` times the size with as many channels."""
    want = [1, spec.channels, key.height * spec.scale, key.width * spec.scale]
    shape = session.get_outputs()[0].shape
    known = shape and all(isinstance(d, int) for d in shape)
    if known and list(shape) != want:
        raise ModelError(
            f'model "{spec.name}" turns {key.width}x{key.height} into a tensor of shape {shape}, '
            f"but its metadata promises {want}"
        )
