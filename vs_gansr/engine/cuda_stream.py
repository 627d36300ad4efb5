"""Owns one stream of a GPU: a session whose inputs and outputs stay where they are, and the buffers of one picture."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue

import numpy as np
import onnxruntime as ort

from ..errors import DeviceLostError, GansrError, RenderError, ShortageError, one_line
from ..model.spec import ModelSpec
from . import memory
from .cuda_driver import Bytes, Device
from .cuda_options import CudaOptions
from .planes import Plane

__all__ = ["CudaStream", "Gate", "Slot", "Transfers"]

ALIGNMENT = 256  # bytes; what cudaMalloc gives, and enough for every vector load


class Transfers:
    """What travels for one picture: float32 planes (C, H, W) to the device, (C, S*H, S*W) and the watch back."""

    def __init__(self, spec: ModelSpec, width: int, height: int) -> None:
        self.spec = spec
        """The network's."""
        self.scale = spec.scale
        """Output over input size."""
        self.input = (spec.inputs, height, width)
        """Shape of what goes in: the channels of all frames that the network sees."""
        self.output = (spec.channels, height * self.scale, width * self.scale)
        """Shape of what comes out."""
        self.watch = aligned(4 * int(np.prod(self.output)))
        """Where the watch lies in the buffer of what comes out, in bytes."""

    def sizes(self) -> tuple[int, int]:
        """Bytes of the two buffers."""
        return aligned(4 * int(np.prod(self.input))), self.watch + ALIGNMENT

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
            self.download = device.allocate_host(out, pinned)
            """What comes from it."""
        self.inputs: list[Plane] = list(floats(self.upload, transfers.input))
        """The input planes, views of `upload`."""
        self.outputs: list[Plane] = list(floats(self.download, transfers.output))
        """The output planes, views of `download`."""
        self.watch = self.download[transfers.watch : transfers.watch + 4].view(np.float32)
        """Shape (1,): finite if all that the network gave is."""
        self.done: SimpleQueue[Exception | None] = SimpleQueue()
        """One outcome for each run."""

    def close(self, device: Device) -> None:
        """Gives the memory back."""
        self.inputs, self.outputs = [], []
        with gate.shared():
            for buffer in (self.upload, self.download):
                device.free_host(buffer)


def floats(memory: Bytes, shape: tuple[int, int, int]) -> Plane:
    return memory[: 4 * int(np.prod(shape))].view(np.float32).reshape(shape)


class Gate:
    """Lets many pass at once, or one alone: while a CUDA graph is captured no other thread may touch the GPU."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._alone = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Waits while somebody is alone or wants to be."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Waits until all others have left."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._alone += 1  # whoever comes now waits
            self._changed.wait_for(lambda: not self._inside)
        try:
            yield
        finally:
            with self._changed:
                self._alone -= 1
                self._changed.notify_all()


gate = Gate()
abandoned: list[object] = []  # sessions on devices that are lost


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
        """Takes memory, makes the session, and lets ONNX Runtime allocate what it needs and capture its graph."""
        device = self.device
        with gate.shared():
            self.handle = device.open_stream()
            for size in transfers.sizes():
                self.memory.append(device.allocate(size))
            self.session = make(self.options, self.handle if self.options.own_stream else 0)
        self.binding = self.session.io_binding()
        into, out = self.memory
        [entry], [result, watch] = self.session.get_inputs(), self.session.get_outputs()
        places = (
            (self.binding.bind_input, entry.name, (1, *transfers.input), into),
            (self.binding.bind_output, result.name, (1, *transfers.output), out),
            (self.binding.bind_output, watch.name, (1,), out + transfers.watch),
        )
        for bind, name, shape, address in places:
            bind(name, device.name, device.id, np.float32, shape, address)
        if self.handle and self.options.own_stream:  # the copy back is ordered behind the run: one wait is enough
            self._run_options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        slot = Slot(device, transfers, self.options.pinned)
        try:
            with gate.alone():
                for _ in range(2):
                    self._run(slot)
        finally:
            slot.close(device)

    def run(self, slot: Slot) -> None:
        """Computes the slot's outputs from its inputs. Raises ShortageError, DeviceLostError or RenderError."""
        with gate.shared():
            self._run(slot)

    def _run(self, slot: Slot) -> None:
        if self.session is None:
            raise RenderError("the stream is not open")
        device, block = self.device, self.options.block
        try:
            try:
                device.upload(self.memory[0], slot.upload, self.handle)
                if not self.options.own_stream:
                    device.wait(self.handle, block)
                self.session.run_with_iobinding(self.binding, self._run_options)
                device.download(slot.download, self.memory[1], self.handle)
            except Exception as error:
                with contextlib.suppress(GansrError):  # nothing may touch the slot any more; the reason is known
                    device.wait(self.handle, block)
                raise error
            device.wait(self.handle, block)
        except Exception as error:
            failure = told(error)
            if isinstance(failure, DeviceLostError):
                device.lost = str(failure)
            raise failure from error

    def close(self) -> None:
        """Gives everything back, as far as the device still takes it."""
        if self.device.lost:  # destroying a session then ends the process
            abandoned.append((self.session, self.binding))
            return
        with gate.shared():
            self.binding = self.session = None
            while self.memory:
                with contextlib.suppress(GansrError):
                    self.device.free(self.memory.pop())
            if self.handle:
                handle, self.handle = self.handle, 0
                with contextlib.suppress(GansrError):
                    self.device.close_stream(handle)


def told(error: Exception) -> RenderError:
    """What ONNX Runtime or the driver said, as what it means for the frame."""
    if isinstance(error, RenderError) and type(error) is not RenderError:
        return error
    kind = ShortageError if memory.is_shortage(error) else DeviceLostError if memory.is_loss(error) else RenderError
    return kind(f"ONNX Runtime failed: {one_line(error)}")
