"""Owns one stream of a GPU: a session whose inputs and outputs stay where they are, and the buffers of one picture."""

from __future__ import annotations

import contextlib
import ctypes
import math
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import numpy as np
import onnxruntime as ort

from ...errors import DeviceLostError, GansrError, RenderError, ShortageError, one_line
from ...model.spec import ModelSpec
from .. import memory
from ..base import EngineKey
from ..planes import Plane
from .driver import Bytes, Device
from .gate import gate
from .options import CudaOptions

__all__ = ["CudaStream", "Slot", "Transfers"]

ALIGNMENT = 256  # bytes; what cudaMalloc gives, and enough for every vector load


class Transfers:
    """What travels for one picture: planes (C, H, W) to the device, (C, S*H, S*W) and the watch back."""

    def __init__(self, spec: ModelSpec, key: EngineKey) -> None:
        height, width = key.height, key.width
        self.takes = key.source.dtype
        """What the input planes hold."""
        self.gives = key.target.dtype
        """What the output planes hold."""
        self.spec = spec
        """The network's."""
        self.scale = spec.scale
        """Output over input size."""
        self.input = (spec.inputs, height, width)
        """Shape of what goes in: the channels of all frames that the network sees."""
        self.output = (spec.channels, height * self.scale, width * self.scale)
        """Shape of what comes out."""
        self.watch = aligned(self.gives.itemsize * math.prod(self.output))
        """Where the watch lies in the buffer of what comes out, in bytes."""

    def sizes(self) -> tuple[int, int]:
        """Bytes of the two buffers."""
        return aligned(self.takes.itemsize * math.prod(self.input)), self.watch + ALIGNMENT

    def bytes(self) -> int:
        """Bytes of both together."""
        return sum(self.sizes())


def aligned(size: int) -> int:
    """The least multiple of ALIGNMENT that is not below `size`."""
    return -(-size // ALIGNMENT) * ALIGNMENT


class Slot:
    """Host memory for one picture's planes, in and out, and the place where its outcome is reported."""

    def __init__(self, device: Device, transfers: Transfers, pinned: bool) -> None:
        into, out = transfers.sizes()
        with gate.shared():
            self.upload = device.allocate_host(into, pinned)
            """What goes to the device, as bytes."""
            try:
                self.download = device.allocate_host(out, pinned)
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
        self.done: SimpleQueue[BaseException | None] = SimpleQueue()
        """One outcome for each run."""

    def close(self, device: Device) -> None:
        """Gives the memory back, as far as the device still takes it."""
        self.inputs, self.outputs = [], []
        with gate.shared():
            for buffer in (self.upload, self.download):
                with contextlib.suppress(Exception):
                    device.free_host(buffer)


def samples(memory: Bytes, kind: np.dtype[Any], shape: tuple[int, int, int]) -> Plane:
    """The first bytes of a buffer as planes."""
    return memory[: kind.itemsize * math.prod(shape)].view(kind).reshape(shape)


class CudaStream:
    """One session with its inputs and outputs bound to device memory; lives and dies on one thread."""

    def __init__(self, device: Device, options: CudaOptions) -> None:
        self.device = device
        """Where it computes."""
        self.options = options
        """How."""
        self.handle = 0
        """The CUDA stream, 0 for none."""
        self.memory: list[int] = []
        """Addresses of the input's and the output's buffer on the device."""
        self.session: ort.InferenceSession | None = None
        """None until it is open, and when it is closed."""
        self.binding: ort.IOBinding | None = None
        """The session's inputs and outputs at their addresses."""
        self._run_options = ort.RunOptions()
        self._run_options.log_severity_level = 4

    def open(self, transfers: Transfers, make: Callable[[CudaOptions, int], ort.InferenceSession]) -> None:
        """Takes memory, makes the session, and lets ONNX Runtime allocate what it needs and capture its graph.

        Raises what `make` raises, ShortageError, DeviceLostError or RenderError.
        """
        try:
            self._open(transfers, make)
        except Exception as error:
            if memory.is_loss(error):
                raise self._told(error) from error
            raise

    def _open(self, transfers: Transfers, make: Callable[[CudaOptions, int], ort.InferenceSession]) -> None:
        device = self.device
        with gate.shared():
            self.handle = device.open_stream()
            for size in transfers.sizes():
                self.memory.append(device.allocate(size))
            self.session = make(self.options, self.handle if self.options.own_stream else 0)
        self._bind(transfers)
        slot = Slot(device, transfers, self.options.pinned)
        try:
            with gate.alone():
                for _ in range(2):
                    self._run(slot)
        finally:
            slot.close(device)

    def _bind(self, transfers: Transfers) -> None:
        """Ties the session's inputs and outputs to their addresses."""
        assert self.session is not None
        self.binding = self.session.io_binding()
        into, out = self.memory
        [entry], [result, watch] = self.session.get_inputs(), self.session.get_outputs()
        places = (
            (self.binding.bind_input, entry.name, transfers.takes.type, (1, *transfers.input), into),
            (self.binding.bind_output, result.name, transfers.gives.type, (1, *transfers.output), out),
            (self.binding.bind_output, watch.name, np.float32, (1,), out + transfers.watch),
        )
        for bind, name, kind, shape, address in places:
            bind(name, self.device.name, self.device.id, kind, shape, address)
        if self.handle and self.options.own_stream:  # the copy back is ordered behind the run: one wait is enough
            self._run_options.add_run_config_entry("disable_synchronize_execution_providers", "1")

    def run(self, slot: Slot) -> None:
        """Computes the slot's outputs from its inputs. Raises ShortageError, DeviceLostError or RenderError."""
        with gate.shared():
            self._run(slot)

    def _run(self, slot: Slot) -> None:
        if self.device.lost:
            raise DeviceLostError(self.device.lost)
        try:
            self._compute(slot)
        except Exception as error:
            raise self._told(error) from error

    def _compute(self, slot: Slot) -> None:
        """Raises what ONNX Runtime or the driver said; nothing touches the slot any more when it returns."""
        if self.session is None:
            raise RenderError("the stream is not open")
        device, block = self.device, self.options.block
        try:
            device.upload(self.memory[0], slot.upload, self.handle)
            if not self.options.own_stream:
                device.wait(self.handle, block)
            self.session.run_with_iobinding(self.binding, self._run_options)
            device.download(slot.download, self.memory[1], self.handle)
        except Exception as error:
            try:
                device.wait(self.handle, block)
            except GansrError as later:  # of no interest beside the reason, unless it says that all is lost
                if memory.is_loss(later) and not memory.is_loss(error):
                    raise RenderError(f"{one_line(error, 200)}; {later}") from error
            raise
        device.wait(self.handle, block)

    def _told(self, error: Exception) -> RenderError:
        """What ONNX Runtime or the driver said, as what it means for the picture; notes a device that is lost."""
        if isinstance(error, RenderError) and type(error) is not RenderError:
            return error
        lost = memory.is_loss(error)
        kind = DeviceLostError if lost else ShortageError if memory.is_shortage(error) else RenderError
        failure = kind(f"ONNX Runtime failed: {one_line(error)}")
        if lost:
            self.device.lost = str(failure)
        return failure

    def close(self) -> None:
        """Gives everything back, as far as the device still takes it; never raises."""
        with gate.shared():
            self._look()
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

    def _look(self) -> None:
        """Asks the device whether it is still there: somebody else's kernel may have gone astray."""
        if self.handle and not self.device.lost:
            try:
                self.device.wait(self.handle, self.options.block)
            except Exception as error:
                self._told(error)


def leak(thing: object) -> None:
    """Keeps a thing alive until the process is gone, even while Python ends: its destructor would end the process.

    What CUDA's sessions free on a device that is lost fails, and ONNX Runtime fails in a destructor then.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
