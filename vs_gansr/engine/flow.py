"""Owns the way of whole frames through a network with its colour in the graph; knows no VapourSynth.

A Flow is one wrapped generator (graphcolour.py) at one size. It holds `streams` sessions, each on a thread of its
own, because ONNX Runtime keeps a captured CUDA graph by thread, and host buffers, some more than there are streams:
a caller fills one, waits for whichever stream takes it, and copies the result out, while the streams go on with the
others. Every plane of a frame travels in one copy, at an address that stays.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from queue import LifoQueue, SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from ..colour.conversion import Side
from ..errors import RenderError, one_line
from .cuda_driver import Bytes, Device, Switches
from .graphcolour import INPUTS, OUTPUTS, WATCH

__all__ = ["Flow", "Layout", "MakeSession", "Shape", "Slot", "Stream"]

log = logging.getLogger("vs_gansr")

type Plane = npt.NDArray[Any]
type MakeSession = Callable[[Switches, int], ort.InferenceSession]

ALIGNMENT = 256  # bytes; what cudaMalloc gives, and enough for every vector load


@dataclass(frozen=True)
class Layout:
    """Tensors side by side in one buffer: (name, type, shape, offset in bytes) each, and the buffer's size."""

    tensors: tuple[tuple[str, np.dtype[Any], tuple[int, ...], int], ...]
    size: int

    @classmethod
    def of(cls, tensors: Sequence[tuple[str, np.dtype[Any], tuple[int, ...]]]) -> Layout:
        placed, end = [], 0
        for name, dtype, shape in tensors:
            placed.append((name, dtype, shape, end))
            end += -(-int(np.prod(shape)) * dtype.itemsize // ALIGNMENT) * ALIGNMENT
        return cls(tuple(placed), end)

    def views(self, memory: Bytes) -> list[Plane]:
        """The tensors as arrays over `memory`."""
        return [
            memory[offset : offset + int(np.prod(shape)) * dtype.itemsize].view(dtype).reshape(shape)
            for _, dtype, shape, offset in self.tensors
        ]


@dataclass(frozen=True)
class Shape:
    """What a wrapped graph takes and gives: planes of `source` at width x height, of `target` at `scale` times that."""

    source: Side
    target: Side
    width: int
    height: int
    scale: int

    def inputs(self) -> Layout:
        """The input planes."""
        side, size = self.source, (self.width, self.height)
        return Layout.of([(INPUTS[i], side.dtype, side.shape(i, *size)) for i in range(side.planes)])

    def outputs(self) -> Layout:
        """The output planes, then the watch."""
        side, size = self.target, (self.scale * self.width, self.scale * self.height)
        planes = [(OUTPUTS[i], side.dtype, side.shape(i, *size)) for i in range(side.planes)]
        return Layout.of([*planes, (WATCH, np.dtype(np.float32), (1,))])


class Slot:
    """Host memory for one frame's planes, in and out, and the place where its outcome is reported."""

    def __init__(self, device: Device, shape: Shape, pinned: bool) -> None:
        inputs, outputs = shape.inputs(), shape.outputs()
        self.upload = device.allocate_host(inputs.size, pinned)
        self.download = device.allocate_host(outputs.size, pinned)
        self.inputs = inputs.views(self.upload)
        *self.outputs, self.watch = outputs.views(self.download)
        self.done: SimpleQueue[Exception | None] = SimpleQueue()

    def close(self, device: Device) -> None:
        self.inputs, self.outputs = [], []
        for memory in (self.upload, self.download):
            device.free_host(memory)


class Gate:
    """Lets many pass at once, or one alone: while a CUDA graph is captured no other thread may touch the GPU."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._alone = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
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


class Stream:
    """One session with its inputs and outputs bound to device memory; lives and dies on one thread."""

    def __init__(self, device: Device, switches: Switches) -> None:
        self.device = device
        self.switches = switches
        self.handle = 0
        self.memory: list[int] = []
        self.session: ort.InferenceSession | None = None
        self.binding: ort.IOBinding | None = None
        self.options = ort.RunOptions()
        self.options.log_severity_level = 4

    def open(self, shape: Shape, make: MakeSession) -> None:
        """Takes memory, makes the session, and lets ONNX Runtime allocate what it needs and capture its graph."""
        device, layouts = self.device, (shape.inputs(), shape.outputs())
        with gate.shared():
            self.handle = device.open_stream()
            for layout in layouts:
                self.memory.append(device.allocate(layout.size))
            self.session = make(self.switches, self.handle if self.switches.own_stream else 0)
            slot = Slot(device, shape, self.switches.pinned)
        self.binding = self.session.io_binding()
        binds = (self.binding.bind_input, self.binding.bind_output)
        for layout, base, bind in zip(layouts, self.memory, binds, strict=True):
            for name, dtype, size, offset in layout.tensors:
                bind(name, device.name, device.id, dtype.type, size if name == WATCH else (1, 1, *size), base + offset)
        if self.handle and self.switches.own_stream:  # the copy back is ordered behind the run: one wait is enough
            self.options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        try:
            with gate.alone():
                for _ in range(2):
                    self._run(slot)
        finally:
            slot.close(device)

    def run(self, slot: Slot) -> None:
        """Computes the slot's outputs from its inputs."""
        with gate.shared():
            self._run(slot)

    def _run(self, slot: Slot) -> None:
        if self.session is None:
            raise RenderError("the stream is not open")
        device, block = self.device, self.switches.block
        try:
            device.upload(self.memory[0], slot.upload, self.handle)
            if not self.switches.own_stream:
                device.wait(self.handle, block)
            self.session.run_with_iobinding(self.binding, self.options)
            device.download(slot.download, self.memory[1], self.handle)
        finally:
            device.wait(self.handle, block)  # whatever happened, nothing may touch the slot any more

    def close(self) -> None:
        """Gives everything back."""
        with gate.shared():
            self.binding = self.session = None
            while self.memory:
                self.device.free(self.memory.pop())
            if self.handle:
                self.device.close_stream(self.handle)
                self.handle = 0


class Crew:
    """What the streams of a Flow share; the last to leave gives the host buffers back."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.jobs: SimpleQueue[Slot | None] = SimpleQueue()
        self.threads: list[threading.Thread] = []
        self.slots: list[Slot] = []
        self._left = 0
        self._lock = threading.Lock()

    def dismiss(self) -> None:
        """Tells every stream to end; safe in a destructor, it waits for nothing."""
        for _ in self.threads:
            self.jobs.put(None)

    def leave(self) -> None:
        with self._lock:
            self._left += 1
            last = self._left == len(self.threads)
        while last and self.slots:
            self.slots.pop().close(self.device)


def simpler(switches: Switches) -> list[Switches]:
    """The switches, then what to try where a network resists them: no CUDA graph, no channels-last layout, neither."""
    tries = [(switches.graph, switches.nhwc), (False, switches.nhwc), (switches.graph, False), (False, False)]
    return [replace(switches, graph=graph, nhwc=nhwc) for graph, nhwc in dict.fromkeys(tries)]


def work(crew: Crew, shape: Shape, switches: Switches, make: MakeSession, ready: SimpleQueue[Exception | None]) -> None:
    """A stream's thread: opens it, reports, then runs slots until it is given None."""
    with crew.device.current():
        stream = Stream(crew.device, switches)
        try:
            stream.open(shape, make)
        except Exception as error:
            stream.close()
            ready.put(error)
            return
        ready.put(None)
        while (slot := crew.jobs.get()) is not None:
            outcome: Exception | None = None
            try:
                stream.run(slot)
            except Exception as error:
                outcome = error
            slot.done.put(outcome)
            del slot, outcome
        stream.close()
        crew.leave()


class Flow:
    """Frames in, `scale` times larger frames out, `streams` at once; `run` may be called from any thread.

    `make` creates a session from the switches and the handle of the stream to compute on (0: one of its own). Where
    a network resists on a GPU it runs with simpler switches, told by `switches`. Raises whatever `make` raises.
    """

    def __init__(self, device: Device, shape: Shape, switches: Switches, make: MakeSession) -> None:
        self.shape = shape
        self._crew = Crew(device)
        weakref.finalize(self, self._crew.dismiss).atexit = False
        self.switches = self._start(switches, make)
        with device.current():
            for _ in range(switches.streams + switches.spare):
                self._crew.slots.append(Slot(device, shape, switches.pinned))
        self._free: LifoQueue[Slot] = LifoQueue()  # the one used last is the one in the processor's cache
        for slot in self._crew.slots:
            self._free.put(slot)

    def _start(self, switches: Switches, make: MakeSession) -> Switches:
        """Starts the streams' threads one after the other; gives the switches that they could be started with."""
        crew = self._crew
        choices = simpler(switches) if crew.device.name == "cuda" else [switches]
        failed: list[Exception] = []
        while len(crew.threads) < switches.streams:
            ready: SimpleQueue[Exception | None] = SimpleQueue()
            arguments = (crew, self.shape, choices[0], make, ready)
            thread = threading.Thread(target=work, args=arguments, name="gansr stream", daemon=True)
            thread.start()
            error = ready.get()
            if error is None:
                crew.threads.append(thread)
            elif len(choices) > 1 and not crew.threads:
                failed.append(error)
                choices.pop(0)
            else:
                raise failed[0] if failed else error
        if failed:
            lost = [name for name in ("graph", "nhwc") if getattr(choices[0], name) != getattr(switches, name)]
            log.warning("this network runs without %s: %s", " and ".join(lost), one_line(failed[0]))
        return choices[0]

    def run(self, inputs: Sequence[Plane], outputs: Sequence[Plane]) -> bool:
        """Computes `outputs` from `inputs`, lists of 2-D planes; rows may lie further apart than they are long.

        True if all that the generator gave was finite. Raises RenderError with the reason where the run fails.
        """
        slot = self._free.get()
        try:
            for place, plane in zip(slot.inputs, inputs, strict=True):
                np.copyto(place, plane, casting="no")
            self._crew.jobs.put(slot)
            error = slot.done.get()
            if error is not None:
                raise RenderError(f"ONNX Runtime failed: {one_line(error)}") from error
            for place, plane in zip(outputs, slot.outputs, strict=True):
                np.copyto(place, plane, casting="no")
            return bool(np.isfinite(slot.watch[0]))
        finally:
            self._free.put(slot)

    def close(self) -> None:
        """Ends the threads and gives all memory back; nothing may be running."""
        self._crew.dismiss()
        for thread in self._crew.threads:
            thread.join()

    def size(self) -> int:
        """Bytes that the buffers take, on the host and on the device."""
        frame = self.shape.inputs().size + self.shape.outputs().size
        return frame * (2 * self.switches.streams + self.switches.spare)
