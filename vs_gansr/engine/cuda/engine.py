"""Run networks on CUDA through pinned memory and CUDA streams of our own: the tier `fast`.

A caller fills a slot of host memory, waits for whichever stream is free, and copies the result out while the streams
go on with other slots. All planes of a picture travel in one copy, at an address that stays.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from queue import LifoQueue
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from ...errors import DeviceLostError, GansrError, RenderError, one_line
from ...model.spec import Model, ModelSpec
from .. import memory, planes
from ..base import EngineKey
from ..onnxruntime import sessions
from ..onnxruntime.engine import failure, leak
from ..planes import Plane
from ..streams import StreamPool
from . import driver
from .driver import Bytes, Cuda
from .options import CudaOptions, provider_options

__all__ = ["CudaEngine", "CudaStream", "Slot", "Transfers"]

log = logging.getLogger("vs_gansr")

ALIGNMENT = 256  # bytes; what cudaMalloc gives, and enough for every vector load


class Transfers:
    """What travels for one picture: planes (C, H, W) to the device, (C, S*H, S*W) and the watch back."""

    def __init__(self, spec: ModelSpec, key: EngineKey) -> None:
        height, width = key.height, key.width
        self.takes, self.gives = key.source.dtype, key.target.dtype
        """What the input planes and the output planes hold."""
        self.input = (spec.inputs, height, width)
        """Shape of what goes in: the channels of all frames that the network sees."""
        self.output = (spec.outputs, height * spec.growth, width * spec.growth)
        """Shape of what comes out."""
        self.watch = aligned(self.gives.itemsize * math.prod(self.output))
        """Where the watch lies in the buffer of what comes out, in bytes: behind the picture."""

    def sizes(self) -> tuple[int, int]:
        """Bytes of the two buffers."""
        return aligned(self.takes.itemsize * math.prod(self.input)), self.watch + ALIGNMENT


def aligned(size: int) -> int:
    """The least multiple of ALIGNMENT that is not below `size`."""
    return -(-size // ALIGNMENT) * ALIGNMENT


class Slot:
    """Pinned host memory for one picture's planes, in and out."""

    def __init__(self, device: Cuda, transfers: Transfers) -> None:
        into, out = transfers.sizes()
        self.upload = device.allocate_host(into)
        """What goes to the device, as bytes."""
        try:
            self.download = device.allocate_host(out)
            """What comes from it."""
        except BaseException:
            device.free_host(self.upload)
            raise
        self.inputs: list[Plane] = list(samples(self.upload, transfers.takes, transfers.input))
        """The input planes, views of `upload`."""
        self.outputs: list[Plane] = list(samples(self.download, transfers.gives, transfers.output))
        """The output planes, views of `download`."""
        self.watch = self.download[transfers.watch : transfers.watch + 4].view(np.float32)
        """Shape (1,): finite if all that the network gave is."""

    def close(self, device: Cuda) -> None:
        """Gives the memory back, as far as the device still takes it."""
        self.inputs, self.outputs = [], []
        for buffer in (self.upload, self.download):
            with contextlib.suppress(Exception):
                device.free_host(buffer)


def samples(memory: Bytes, kind: np.dtype[Any], shape: tuple[int, int, int]) -> Plane:
    """The first bytes of a buffer as planes."""
    return memory[: kind.itemsize * math.prod(shape)].view(kind).reshape(shape)


class CudaStream:
    """One session on a CUDA stream, its inputs and outputs bound to device memory; used inside `device.current()`."""

    def __init__(self, device: Cuda, transfers: Transfers, make: Callable[[int], ort.InferenceSession]) -> None:
        """`make` gives a session on the CUDA stream with this handle. Raises RenderError or what `make` raises."""
        self.device = device
        """Where it computes."""
        self.handle = 0
        """The CUDA stream, 0 for none."""
        self.memory: list[int] = []
        """Addresses of the input's and the output's buffer on the device."""
        self.session: ort.InferenceSession | None = None
        """None when it is closed."""
        self.binding: ort.IOBinding | None = None
        """The session's inputs and outputs at their addresses."""
        self._run_options = ort.RunOptions()
        self._run_options.log_severity_level = 4
        # The copy back is ordered behind the run: one wait is enough.
        self._run_options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        try:
            self.handle = device.open_stream()
            self.memory += (device.allocate(size) for size in transfers.sizes())
            self.session = make(self.handle)
            self._bind(transfers, self.session)
        except BaseException as error:
            if memory.is_loss(error):
                device.lost = device.lost or str(error)
            self.close()
            if device.lost and not isinstance(error, DeviceLostError):
                raise DeviceLostError(device.lost) from error
            raise

    def _bind(self, transfers: Transfers, session: ort.InferenceSession) -> None:
        """Ties the session's inputs and outputs to their addresses."""
        self.binding = session.io_binding()
        into, out = self.memory
        [entry], [result, watch] = session.get_inputs(), session.get_outputs()
        places = (
            (self.binding.bind_input, entry.name, transfers.takes.type, (1, *transfers.input), into),
            (self.binding.bind_output, result.name, transfers.gives.type, (1, *transfers.output), out),
            (self.binding.bind_output, watch.name, np.float32, (1,), out + transfers.watch),
        )
        for bind, name, kind, shape, address in places:
            bind(name, "cuda", self.device.id, kind, shape, address)

    def run(self, slot: Slot) -> None:
        """Computes the slot's outputs from its inputs. Raises ShortageError, DeviceLostError or RenderError."""
        if self.device.lost:
            raise DeviceLostError(self.device.lost)
        try:
            self._compute(slot)
        except Exception as error:
            if isinstance(error, RenderError) and type(error) is not RenderError:
                raise
            raise self._told(error) from error

    def _told(self, error: Exception) -> RenderError:
        """What ONNX Runtime or the driver said, as what it means for the picture; notes a device that is lost."""
        told = failure(error)
        if isinstance(told, DeviceLostError):
            self.device.lost = str(told)
        return told

    def _compute(self, slot: Slot) -> None:
        """Raises what ONNX Runtime or the driver said; nothing touches the slot any more when it returns."""
        assert self.session is not None
        device = self.device
        try:
            device.upload(self.memory[0], slot.upload, self.handle)
            self.session.run_with_iobinding(self.binding, self._run_options)
            device.download(slot.download, self.memory[1], self.handle)
        except Exception as error:
            try:
                device.wait(self.handle)
            except GansrError as later:  # of no interest beside the reason, unless it says that all is lost
                if memory.is_loss(later) and not memory.is_loss(error):
                    raise RenderError(f"{one_line(error, 200)}; {later}") from error
            raise
        device.wait(self.handle)

    def close(self) -> None:
        """Gives everything back, as far as the device still takes it; never raises."""
        if self.handle and not self.device.lost:  # somebody else's kernel may have gone astray
            with contextlib.suppress(Exception):
                self.device.wait(self.handle)
        if self.device.lost:
            for thing in (self.session, self.binding):
                leak(thing)
            self.session = self.binding = None
            return
        self.binding = self.session = None
        while self.memory:
            with contextlib.suppress(Exception):
                self.device.free(self.memory.pop())
        if self.handle:
            handle, self.handle = self.handle, 0
            with contextlib.suppress(Exception):
                self.device.close_stream(handle)


class CudaEngine:
    """A network of static shape on one GPU; an Engine.

    Raises ModelError, ProviderError, ShortageError or DeviceLostError where it cannot run.
    """

    def __init__(self, model: Model, key: EngineKey) -> None:
        assert isinstance(key.options, CudaOptions)
        self.key = key
        """What it was made for."""
        self.spec = model.spec
        """The network's."""
        self.device = driver.device(key.device_id)
        """Where it computes."""
        if self.device.lost:
            raise DeviceLostError(self.device.lost)
        self.transfers = Transfers(model.spec, key)
        """How its pictures travel."""
        self._slots: list[Slot] = []
        self._streams: list[CudaStream] = []
        proto = sessions.fix(onnx.load_model_from_string(model.data), model.spec, key)
        network = sessions.with_ends(proto, model.spec, key).proto

        def make(stream: int) -> ort.InferenceSession:
            assert isinstance(key.options, CudaOptions)
            chosen = provider_options(key.device_id, key.precision, key.limit, stream, key.options.nhwc)
            session = sessions.create(network, key, chosen)
            sessions.check_output(session.get_outputs()[0].shape, model.spec, key)
            return session

        try:
            with self.device.current():
                self._open(make)
        except BaseException:
            self.close()
            raise
        self._pool = StreamPool(self._streams)
        self._free: LifoQueue[Slot] = LifoQueue()  # the one used last is the one in the processor's cache
        for slot in self._slots:
            self._free.put(slot)

    def _open(self, make: Callable[[int], ort.InferenceSession]) -> None:
        """Opens streams and slots; fewer streams than asked for are better than none."""
        assert isinstance(self.key.options, CudaOptions)
        while len(self._streams) < self.key.streams:
            stream: CudaStream | None = None
            slots: list[Slot] = []
            try:
                stream = CudaStream(self.device, self.transfers, make)
                for _ in range(1 if self._streams else 1 + self.key.options.spare):
                    slots.append(Slot(self.device, self.transfers))
            except GansrError as error:
                for slot in slots:
                    slot.close(self.device)
                if stream:
                    stream.close()
                if not self._streams or self.device.lost:
                    raise
                log.warning("%d of %d streams run: %s", len(self._streams), self.key.streams, one_line(error))
                return
            self._streams.append(stream)
            self._slots += slots

    @property
    def streams(self) -> int:
        """How many pictures are computed at once: as many as were asked for, or as there was memory for."""
        return len(self._streams)

    def run(self, inputs: Sequence[Plane], outputs: Sequence[Plane], offset: tuple[int, int] = (0, 0)) -> None:
        slot = self._free.get()
        try:
            for place, plane in zip(slot.inputs, inputs, strict=True):
                np.copyto(place, plane, casting="same_kind")
            planes.expect(slot.watch)
            with self._pool.lend() as stream, self.device.current():
                stream.run(slot)
            planes.check_arrival(slot.watch)
            planes.check_finite(slot.watch)
            left, top = (self.spec.growth * distance for distance in offset)
            for plane, result in zip(outputs, slot.outputs, strict=True):
                height, width = plane.shape
                np.copyto(plane, result[top : top + height, left : left + width], casting="same_kind")
        finally:
            self._free.put(slot)

    def size(self) -> int:
        """Bytes that its buffers and sessions take, on the host and on the device."""
        buffers = sum(self.transfers.sizes()) * (len(self._slots) + self.streams)
        return buffers + memory.need(self.spec, replace(self.key, streams=self.streams))

    def close(self) -> None:
        self._pool = StreamPool(())
        with contextlib.suppress(Exception), self.device.current():
            while self._streams:
                self._streams.pop().close()
            while self._slots:
                self._slots.pop().close(self.device)
        for stream in self._streams:  # the device could not be made current
            leak(stream)
