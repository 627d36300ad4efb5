"""Owns ONNX Runtime sessions: options, static shapes, precision, and the cache they live in; knows no video.

An Engine is one network at one size on one provider. It runs up to `streams` pictures at once, each through a
Stream: an input and an output buffer that stay where they are, so that nothing is allocated per frame.
"""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import onnx
import onnxruntime as ort

from . import providers
from .errors import ModelError, ProviderError, RenderError, one_line
from .keepalive import KeepAlive, Lease
from .model import Model, ModelSpec
from .planes import Tensor

__all__ = ["Engine", "EngineKey", "Stream", "acquire", "cpu_threads", "describe", "sessions"]

KEEP_SECONDS = 30.0
KEEP_BYTES = 1 << 30
PRECISIONS = ("auto", "fp32", "fp16", "int8")

_PROBE = 64  # pixels a side; divisible by every usual size rule


@dataclass(frozen=True)
class EngineKey:
    """What decides whether a session can be shared: the network's content, where and how it runs."""

    digest: str
    provider: str
    device_id: int
    precision: str
    width: int
    height: int
    streams: int
    threads: int


def cpu_threads() -> int:
    """Processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Stream:
    """One picture's way through an Engine: fill `input`, call `run`, read `output`.

    Both are float32 NCHW arrays, (1, C, H, W) and (1, C, S*H, S*W), values as the network wants and gives them.
    """

    def __init__(self, session: ort.InferenceSession, spec: ModelSpec, key: EngineKey) -> None:
        scale = spec.scale or 1
        kind = np.float16 if spec.half_input else np.float32
        self.input: Tensor = np.zeros((1, spec.channels, key.height, key.width), kind)
        self.output: Tensor = np.zeros((1, spec.channels, key.height * scale, key.width * scale), kind)
        self._session = session
        self._binding = session.io_binding()
        for bind, name, array in (
            (self._binding.bind_input, spec.input, self.input),
            (self._binding.bind_output, spec.output, self.output),
        ):
            bind(name, "cpu", 0, kind, array.shape, array.ctypes.data)

    def run(self) -> None:
        """Computes `output` from `input`. Raises RenderError with ONNX Runtime's reason."""
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception as error:
            raise RenderError(f"ONNX Runtime failed: {one_line(error)}") from error


class Engine:
    """A network of static shape on one provider."""

    def __init__(self, model: Model, key: EngineKey) -> None:
        self.spec = model.spec
        self.key = key
        session = create_session(static_shape(model, key.width, key.height), key)
        check_output(session, model.spec, key)
        self._streams: queue.LifoQueue[Stream] = queue.LifoQueue()
        for _ in range(key.streams):
            self._streams.put(Stream(session, model.spec, key))

    @contextmanager
    def stream(self) -> Iterator[Stream]:
        """Waits for a free stream and lends it."""
        stream = self._streams.get()
        try:
            yield stream
        finally:
            self._streams.put(stream)

    def size(self) -> int:
        """Bytes this engine keeps, roughly: its buffers and twice its widest layer."""
        pixels = self.key.width * self.key.height
        scale = self.spec.scale or 1
        return pixels * 4 * self.key.streams * (self.spec.channels * (1 + scale**2) + 2 * self.spec.features)


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
    if key.precision == "fp16":
        proto = to_half(proto)
    try:
        session = providers.create(proto.SerializeToString(), settings, key.provider, key.device_id)
    except Exception as error:
        raise ModelError(f"ONNX Runtime refuses the model: {one_line(error)}") from error
    if key.provider not in session.get_providers():
        raise ProviderError(
            f'provider "{providers.short_name(key.provider)}" fell back to '
            f"{', '.join(map(providers.short_name, session.get_providers()))}: "
            f"{providers.trouble(key.provider, key.device_id) or 'ONNX Runtime gave no reason'}"
        )
    return session


def to_half(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The network in half precision with float32 input and output."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    half: onnx.ModelProto = convert_float_to_float16(proto, keep_io_types=True)
    return half


def static_shape(model: Model, width: int, height: int) -> onnx.ModelProto:
    """The network with its input fixed at (1, C, height, width): ONNX Runtime plans memory only then."""
    proto = onnx.load_model_from_string(model.data)
    if model.spec.fixed and model.spec.fixed != (width, height):
        w, h = model.spec.fixed
        raise ModelError(f'model "{model.spec.name}" takes {w}x{h} pictures only, not {width}x{height}')
    value = next(v for v in proto.graph.input if v.name == model.spec.input)
    for dim, size in zip(value.type.tensor_type.shape.dim, (1, model.spec.channels, height, width), strict=True):
        dim.dim_value = size
    del proto.graph.value_info[:]
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    return proto


def check_output(session: ort.InferenceSession, spec: ModelSpec, key: EngineKey) -> None:
    """ModelError unless the network gives a picture of `scale` times the size with as many channels."""
    if spec.scale is None:
        return
    want = [1, spec.channels, key.height * spec.scale, key.width * spec.scale]
    shape = session.get_outputs()[0].shape
    known = shape and all(isinstance(d, int) for d in shape)
    if known and list(shape) != want:
        raise ModelError(
            f'model "{spec.name}" turns {key.width}x{key.height} into a tensor of shape {shape}, '
            f"but its metadata promises {want}"
        )


def describe(model: Model) -> Model:
    """`model` with its scale filled in: said by the file, or found by a tiny run on the CPU.

    Raises ModelError where the run fails or gives no picture.
    """
    spec = model.spec
    if spec.scale is not None:
        return model
    if spec.digest not in _probed:
        width, height = spec.fixed or (_PROBE, _PROBE)
        key = EngineKey(spec.digest, providers.CPU, 0, "fp32", width, height, 1, 1)
        session = create_session(static_shape(model, width, height), key)
        kind = np.float16 if spec.half_input else np.float32
        try:
            result = session.run(None, {spec.input: np.full((1, spec.channels, height, width), 0.5, kind)})[0]
        except Exception as error:
            raise ModelError(f'model "{spec.name}" fails on a {width}x{height} picture: {one_line(error)}') from error
        shape = np.shape(result)
        scale = shape[2] // height if len(shape) == 4 else 0
        if scale < 1 or tuple(shape) != (1, spec.channels, height * scale, width * scale):
            raise ModelError(
                f'model "{spec.name}" turns a {width}x{height} picture with {spec.channels} channels into '
                f"a tensor of shape {list(shape)}; it must give the same channels at a whole multiple of the size"
            )
        _probed[spec.digest] = scale
    return replace(model, spec=replace(spec, scale=_probed[spec.digest]))


_probed: dict[str, int] = {}
