"""Owns networks on CUDA: pictures travel through pinned buffers, the network runs on streams of its own.

A CudaEngine holds `streams` sessions, each on a thread of its own, because ONNX Runtime keeps a captured CUDA graph
by thread, and host buffers, some more than there are streams: a caller fills one, waits for whichever stream takes
it, and copies the result out, while the streams go on with the others. All planes of a picture travel in one copy, at
an address that stays.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from queue import LifoQueue, SimpleQueue

import numpy as np
import onnx
import onnxruntime as ort

from ...errors import DeviceLostError, GansrError, ModelError, NotFiniteError, RenderError, one_line
from ...model.rewrite import cpu_layout, float16
from ...model.spec import Model
from .. import memory
from ..base import CUDA, EngineKey, cpu_threads
from ..onnxruntime import sessions
from ..onnxruntime.stored_ends import with_ends
from ..planes import Plane
from . import options as cuda_options
from .driver import Device, Host, device
from .options import GRAPHS_SINCE, CudaOptions
from .stream import CudaStream, Slot, Transfers

__all__ = ["CudaEngine", "place_of", "session_maker"]

log = logging.getLogger("vs_gansr")

type MakeSession = Callable[[CudaOptions, int], ort.InferenceSession]


class Crew:
    """What the threads of an engine share; the last to leave gives the host buffers back."""

    def __init__(self, device: Device) -> None:
        self.device = device
        """Where the network's inputs and outputs live."""
        self.jobs: SimpleQueue[Slot | None] = SimpleQueue()
        """Filled slots; None ends the thread that takes it."""
        self.threads: list[threading.Thread] = []
        """One for each stream that could be opened."""
        self.slots: list[Slot] = []
        """Host buffers, lent to callers or under way."""
        self._left = 0
        self._lock = threading.Lock()

    def dismiss(self) -> None:
        """Tells every stream to end; safe in a destructor, it waits for nothing."""
        for _ in self.threads:
            self.jobs.put(None)

    def leave(self) -> None:
        """Called by a thread of `threads` that ends, inside `device.current()`; never raises."""
        with self._lock:
            self._left += 1
            last = self._left == len(self.threads)
        while last and self.slots:
            self.slots.pop().close(self.device)


def work(
    crew: Crew, transfers: Transfers, options: CudaOptions, make: MakeSession, ready: SimpleQueue[BaseException | None]
) -> None:
    """A stream's thread: opens it, reports in any case, then runs slots until it is given None."""
    opened = False
    try:
        with crew.device.current():
            stream = CudaStream(crew.device, options)
            try:
                stream.open(transfers, make)
                opened = True
                ready.put(None)
                serve(crew, stream)
            finally:
                try:
                    stream.close()
                finally:
                    if opened:
                        crew.leave()
    except BaseException as error:
        if opened:
            log.warning("a stream of the GPU ended badly: %s", one_line(error))
        else:
            ready.put(bare(error))


def serve(crew: Crew, stream: CudaStream) -> None:
    """Runs slots until None comes."""
    while (slot := crew.jobs.get()) is not None:
        outcome: BaseException | None = None
        try:
            stream.run(slot)
        except BaseException as error:  # whatever it is, a caller waits for it
            outcome = bare(error)
        slot.done.put(outcome)
        del slot, outcome


def bare[E: BaseException](error: E) -> E:
    """The error without what it was raised through: those frames hold sessions and buffers alive."""
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return error


class CudaEngine:
    """A network of static shape on one GPU, or on ordinary memory standing in for one; an Engine.

    Where a network resists on a GPU it runs with simpler options, told by `options`. Raises ModelError, ProviderError
    or ShortageError where it cannot run at all.
    """

    def __init__(self, model: Model, key: EngineKey) -> None:
        self.key = key
        """What it was made for."""
        self.transfers = Transfers(model.spec, key)
        """How its pictures travel."""
        place = place_of(key)
        if place.lost:
            raise DeviceLostError(place.lost)
        self._crew = Crew(place)
        weakref.finalize(self, self._crew.dismiss).atexit = False
        try:
            self.options = self._start(session_maker(model, key))
            """What its sessions were made with."""
            with place.current():
                for _ in range(self.streams + key.cuda.spare):
                    self._crew.slots.append(Slot(place, self.transfers, key.cuda.pinned))
        except BaseException:
            self.close()
            raise
        self._free: LifoQueue[Slot] = LifoQueue()  # the one used last is the one in the processor's cache
        for slot in self._crew.slots:
            self._free.put(slot)

    def _start(self, make: MakeSession) -> CudaOptions:
        """Starts the streams' threads one after the other; the options that they could be started with.

        Fewer streams than asked for are better than none. Raises what the first one met.
        """
        crew = self._crew
        choices = simpler(self.key) if crew.device.name == "cuda" else [self.key.cuda]
        failed: BaseException | None = None
        while len(crew.threads) < self.key.streams:
            error = self._start_thread(choices[0], make)
            if error is None:
                continue
            if crew.device.lost:
                raise DeviceLostError(crew.device.lost)
            if crew.threads:
                log.warning("%d of %d streams run: %s", len(crew.threads), self.key.streams, one_line(error))
                break
            if memory.is_shortage(error):
                raise error
            failed = failed or error
            if len(choices) == 1:
                raise failed
            choices.pop(0)
        if failed:
            lost = [name for name in ("graph", "nhwc") if getattr(choices[0], name) != getattr(self.key.cuda, name)]
            log.warning("this network runs without %s: %s", " and ".join(lost), one_line(failed))
        return choices[0]

    def _start_thread(self, options: CudaOptions, make: MakeSession) -> BaseException | None:
        """Starts one more stream; what keeps it from running, when all that it held is given back."""
        ready: SimpleQueue[BaseException | None] = SimpleQueue()
        arguments = (self._crew, self.transfers, options, make, ready)
        thread = threading.Thread(target=work, args=arguments, name="gansr stream", daemon=True)
        thread.start()
        error = ready.get()
        if error is None:
            self._crew.threads.append(thread)
        else:
            thread.join()
        return error

    @property
    def streams(self) -> int:
        """How many pictures are computed at once: as many as were asked for, or as there was memory for."""
        return len(self._crew.threads)

    def run(self, inputs: Sequence[Plane], outputs: Sequence[Plane], offset: tuple[int, int] = (0, 0)) -> None:
        slot = self._free.get()
        try:
            for place, plane in zip(slot.inputs, inputs, strict=True):
                np.copyto(place, plane, casting="same_kind")
            self._crew.jobs.put(slot)
            error = slot.done.get()
            if isinstance(error, GansrError):
                raise error
            if error is not None:
                raise RenderError(f"ONNX Runtime failed: {one_line(error)}")
            if not np.isfinite(slot.watch[0]):
                raise NotFiniteError("the network gives values that are not finite for this picture")
            left, top = (self.transfers.scale * distance for distance in offset)
            for plane, result in zip(outputs, slot.outputs, strict=True):
                height, width = plane.shape
                np.copyto(plane, result[top : top + height, left : left + width], casting="same_kind")
        finally:
            self._free.put(slot)

    def size(self) -> int:
        """Bytes that its buffers and sessions take, on the host and on the device."""
        buffers = self.transfers.bytes() * (2 * self.streams + self.key.cuda.spare)
        return buffers + memory.need(self.transfers.spec, self.key)

    def close(self) -> None:
        self._crew.dismiss()
        for thread in self._crew.threads:
            thread.join()


def simpler(key: EngineKey) -> list[CudaOptions]:
    """What to try one after the other; without CUDA graphs where ONNX Runtime is too old for them, which is told."""
    options = key.cuda
    if options.graph and not cuda_options.graphs_are_sound():
        log.warning("ONNX Runtime %s is too old for CUDA graphs, %d.%d is needed", ort.__version__, *GRAPHS_SINCE)
        options = replace(options, graph=False)
    return options.simpler()


def place_of(key: EngineKey) -> Device:
    """Where the pictures of an engine are computed: its GPU, or ordinary memory. Raises ProviderError."""
    return device(key.device_id) if key.provider == CUDA else Host()


def session_maker(model: Model, key: EngineKey) -> MakeSession:
    """What makes the sessions of an engine: the model, halved if need be, between float32 ends that watch it."""
    proto = cpu_layout.modern(onnx.load_model_from_string(model.data))
    if key.precision == "fp16" and not model.spec.half_input and not float16.is_half(proto):
        with sessions.rewriting():
            proto = float16.convert(proto, model.spec.takes)
    wrapped = with_ends(proto, model.spec, key, watch=True).proto
    of_each = replace(key, threads=max(1, cpu_threads() // key.streams))

    def session(options: CudaOptions, stream: int) -> ort.InferenceSession:
        chosen = (
            options.provider_options(key.device_id, key.precision, stream, key.limit) if key.provider == CUDA else None
        )
        try:
            return sessions.create(wrapped, of_each, chosen)
        except GansrError:
            raise
        except Exception as error:
            raise ModelError(f"ONNX Runtime fails on the model: {one_line(error)}") from error

    return session
