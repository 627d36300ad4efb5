"""Run networks on CUDA with pinned memory and CUDA streams of our own: the tier `fast`.

A picture takes one copy each way and one wait, as copies and runs are ordered on its stream.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from ...errors import DeviceLostError, GansrError, RenderError, one_line
from ...model.spec import Model, ModelSpec
from .. import memory, planes
from ..base import EngineKey
from ..onnxruntime import sessions
from ..onnxruntime.engine import OnnxRuntimeEngine, Stream, failure, leak
from ..onnxruntime.sessions import Prepared
from ..streams import StreamPool
from . import driver
from .driver import Bytes, Cuda

__all__ = ["CudaEngine", "PinnedStream"]

ALIGNMENT = 256  # bytes; what cudaMalloc gives, and enough for every vector load


class PinnedStream(Stream):
    """A session on a CUDA stream, made and closed inside `device.current()`; its buffers are pinned host memory."""

    def __init__(self, device: Cuda, network: Prepared, spec: ModelSpec, key: EngineKey) -> None:
        """Raises RenderError, or what ONNX Runtime raises, and leaves nothing allocated then."""
        self._device = device
        self._owned: list[Callable[[], None]] = []  # give back what the stream holds, the last first
        self._session: ort.InferenceSession | None = None
        self._binding: ort.IOBinding | None = None
        self._run_options = ort.RunOptions()
        self._run_options.log_severity_level = 4
        # The copy back is ordered behind the run: one wait is enough.
        self._run_options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        into = (1, spec.inputs, key.height, key.width)
        out = (1, spec.outputs, key.height * spec.growth, key.width * spec.growth)
        end = -(-network.gives.itemsize * math.prod(out) // ALIGNMENT) * ALIGNMENT  # where the watch lies
        sizes = network.takes.itemsize * math.prod(into), end + ALIGNMENT
        try:
            self._handle = self._own(device.open_stream(), device.close_stream)
            self._there = [self._own(device.allocate(size), device.free) for size in sizes]
            self._here = [self._own(device.allocate_host(size), device.free_host) for size in sizes]
            self._session = session = sessions.create(network.proto, key, {"user_compute_stream": str(self._handle)})
            sessions.check_output(session.get_outputs()[0].shape, spec, key)
            self._binding = session.io_binding()
            [entry], [result, watch] = session.get_inputs(), session.get_outputs()
            for bind, name, kind, shape, address in (
                (self._binding.bind_input, entry.name, network.takes.type, into, self._there[0]),
                (self._binding.bind_output, result.name, network.gives.type, out, self._there[1]),
                (self._binding.bind_output, watch.name, np.float32, (1,), self._there[1] + end),
            ):
                bind(name, "cuda", device.id, kind, shape, address)
        except BaseException:
            self.close()
            raise
        self.input = samples(self._here[0], network.takes, into)
        self.output = samples(self._here[1], network.gives, out)
        self.watch = self._here[1][end : end + 4].view(np.float32)

    def _own[T](self, thing: T, give_back: Callable[[T], None]) -> T:
        """Returns `thing`, which closing the stream gives back."""
        self._owned.append(lambda: give_back(thing))
        return thing

    def run(self) -> None:
        """As Stream.run. Raises DeviceLostError if every further call of CUDA fails in this process."""
        if self._device.lost:
            raise DeviceLostError(self._device.lost)
        assert self._session is not None and self.watch is not None
        planes.expect(self.watch)
        with self._device.current():
            try:
                self._device.upload(self._there[0], self._here[0], self._handle)
                self._session.run_with_iobinding(self._binding, self._run_options)
                self._device.download(self._here[1], self._there[1], self._handle)
                self._device.wait(self._handle)
            except Exception as error:
                raise self._finished(error) from error

    def _finished(self, error: Exception) -> RenderError:
        """Waits until the device has stopped using the stream's memory; returns the error of ours for a failed run."""
        try:
            self._device.wait(self._handle)
        except GansrError as later:  # the first error matters more, unless this one says that the device is lost
            if memory.is_loss(later) and not memory.is_loss(error):
                error = RenderError(f"{one_line(error, 200)}; {later}")
        return error if isinstance(error, RenderError) and type(error) is not RenderError else failure(error)

    def close(self) -> None:
        """Frees everything, as far as the device still can; never raises."""
        with contextlib.suppress(Exception):  # another program's kernel may have broken the device
            self._device.wait(self._handle)
        if self._device.lost:
            for thing in (self._session, self._binding):
                leak(thing)
            return
        self._binding = self._session = None
        while self._owned:
            with contextlib.suppress(Exception):
                self._owned.pop()()


def samples(memory: Bytes, kind: np.dtype[Any], shape: tuple[int, ...]) -> planes.Tensor:
    """The first bytes of a buffer as a tensor."""
    return memory[: kind.itemsize * math.prod(shape)].view(kind).reshape(shape)


class CudaEngine(OnnxRuntimeEngine):
    """A network of static shape on one GPU; an Engine. Raises GansrError where it cannot run."""

    def __init__(self, model: Model, key: EngineKey) -> None:
        self.spec, self.key, self.shuffle, self._lost = model.spec, key, None, False
        self._device = driver.device(key.device_id)
        self._streams: list[PinnedStream] = []
        if self._device.lost:
            raise DeviceLostError(self._device.lost)
        network = sessions.prepare(onnx.load_model_from_string(model.data), model.spec, key)
        try:
            with self._device.current():
                for _ in range(key.streams):
                    self._streams.append(PinnedStream(self._device, network, model.spec, key))
        except BaseException as error:
            if memory.is_loss(error):
                self._device.lost = self._device.lost or str(error)
            self.close()
            if self._device.lost:
                raise DeviceLostError(self._device.lost) from error
            raise
        self._pool = StreamPool(self._streams)

    def close(self) -> None:
        self._pool = StreamPool(())
        with contextlib.suppress(Exception), self._device.current():
            while self._streams:
                self._streams.pop().close()
        for stream in self._streams:  # the device could not be made current
            leak(stream)
