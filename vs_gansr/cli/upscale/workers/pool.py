"""The workers of a film: start them here or on a cluster, place and watch each of them, end them all."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from ..chunks.ledger import stamp_of
from ..chunks.messages import Placement
from ..job import UpscaleJob
from .process import Event, Events, LocalWorker, Signal, Worker

__all__ = ["Watchdog", "WorkerPool", "WorkerState", "frame_threads"]

TIMES = 100  # usual times of a frame that a frame may take
FIRST = 10  # times that for the first frame of a chunk, which the source may have to be read for
JOINED = 0.001  # seconds that joining a frame usually takes, at most
ASLEEP = 10.0  # seconds between two looks after which this machine, or this process, was asleep


class Watchdog:
    """Compares the time since a worker's last sign of life with the time that its frames usually take.

    A worker is stuck after `TIMES` usual frames, `patience` seconds at least. One that has not made a frame in this run
    has no usual time, and is never stuck: a network may take minutes to prepare.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._usual = self._last = self._looked = 0.0
        self._first: tuple[float, int] | None = None  # when frames were first made of the chunk, and how many

    def begin(self, now: float, joins: bool = False) -> None:
        """The worker begins a chunk; or it `joins` chunks, which needs no network."""
        self._first, self._last = None, now
        self._usual = JOINED if joins else self._usual

    def frame(self, frames: int, now: float) -> None:
        """The worker has made so many frames of its chunk."""
        self._first = self._first or (now, frames)
        if frames > self._first[1]:
            self._usual = max(self._usual, (now - self._first[0]) / (frames - self._first[1]))
        self._last = now

    def alive(self, now: float) -> None:
        """The worker, or its encoder, has written something."""
        self._last = now

    def stuck(self, now: float) -> str:
        """How long the worker has made no frame, in words, if that is too long; else empty."""
        if self._looked and now - self._looked > ASLEEP:
            self._last = now
        self._looked = now
        waited, limit = now - self._last, max(self._patience, TIMES * self._usual)
        if not self._usual or waited <= (limit if self._first else FIRST * limit):
            return ""
        return f"no frame for {waited:.0f} s, usually one takes {self._usual:.2g} s"


@dataclass
class WorkerState:
    """A worker as the scheduler sees it.

    `opening` it is to open the film, `opened` it has · `chunk` what it renders, of which it has sent `frames`, `bytes`
    encoded · `error` its last words · `film` the file that it renders, or joins chunks, into, and `written` that file's
    stamp when it was last looked at
    """

    worker: Worker
    watchdog: Watchdog
    opening: bool = False
    opened: bool = False
    chunk: int | None = None
    frames: int = 0
    bytes: int = 0
    error: str = ""
    film: Path | None = None
    written: tuple[int, int] | None = None

    def begin(self, chunk: int | None, film: Path | None = None) -> None:
        """It begins `chunk`, into `film` if that is all of it, or joins all chunks into `film`."""
        self.chunk, self.film, self.frames, self.bytes = chunk, film, 0, 0
        self.watchdog.begin(time.monotonic(), joins=self.joins)

    @property
    def joins(self) -> bool:
        """Whether it joins chunks."""
        return self.film is not None and self.chunk is None

    def stuck(self, now: float) -> str:
        """What it has not done for too long, in words; empty where it goes on, or nobody can say."""
        if self.film:
            written = stamp_of(self.film) if self.film.exists() else None
            if written != self.written:  # ffmpeg may move a large file's index at its end, and say nothing meanwhile
                self.written = written
                self.watchdog.alive(now)
        elif self.chunk is None:
            return ""
        stuck = self.watchdog.stuck(now)
        return stuck and f"it {'joined' if self.joins else 'made'} {stuck}"


class WorkerPool:
    """The workers of one job: `size` of them render, on this machine or, with a `cluster` address, on Ray's. Each may
    go `patience` seconds without a frame, at least."""

    def __init__(self, events: Events, size: int, cluster: str | None, patience: float) -> None:
        self.events = events
        self.size = size
        self.cluster = cluster
        self.patience = patience
        self.workers: list[WorkerState] = []
        self._share: dict[str, float] = {}
        self._started = 0

    def connect(self, job: UpscaleJob) -> None:
        """Joins the cluster, if there is to be one. Raises CommandError where that fails."""
        if self.cluster:
            from .ray import connect, resources

            connect(self.cluster)
            self.size, self._share = resources(self.size, job.provider)
        self.size = self.size or 1

    def start_here(self, job: UpscaleJob) -> WorkerState:
        """A new worker on this machine."""
        place = self._started % self.size
        cores = () if self.cluster else cores_of(place, self.size)
        devices = 0
        if self.size > 1 and job.device_id is None:
            from ....engine.auto import registry  # with it comes ONNX Runtime

            devices = 0 if registry.on_processors(job.provider) else cuda_devices()
        placement = Placement(cores, place % devices if devices > 1 else None)
        return self._add(LocalWorker(self._name(), self.events, placement))

    def start_renderer(self, job: UpscaleJob, plan: Path) -> WorkerState:
        """A new worker that renders chunks of the film of `plan`: on a cluster, if there is one."""
        if not self.cluster:
            return self.start_here(job)
        from .ray import RayWorker

        return self._add(RayWorker(self._name(), self.events, plan, self._share))

    def _name(self) -> str:
        self._started += 1
        return f"worker {self._started}"

    def _add(self, worker: Worker) -> WorkerState:
        self.workers.append(WorkerState(worker, Watchdog(self.patience)))
        return self.workers[-1]

    def of(self, event: Event) -> WorkerState | None:
        """Whom an event comes from; None where that one is gone."""
        if isinstance(event, Signal):
            return None
        return next((state for state in self.workers if state.worker is event.worker), None)

    def renderers(self) -> list[WorkerState]:
        """Those that render chunks: on a cluster not the one that plans or joins."""
        return [state for state in self.workers if state.worker.elsewhere or not self.cluster]

    def dismiss(self, state: WorkerState) -> None:
        """Ends one."""
        self.workers.remove(state)
        state.worker.end()

    def leave_cluster(self) -> None:
        """Ends those that are elsewhere and leaves the cluster, if there is one, whose loss would end this process: all
        that is to do is here."""
        for state in [state for state in self.workers if state.worker.elsewhere]:
            self.dismiss(state)
        if self.cluster:
            import ray

            with contextlib.suppress(Exception):  # whatever state Ray is in
                ray.shutdown()

    def end(self) -> None:
        """Ends all."""
        while self.workers:
            self.workers.pop().worker.end()


def frame_threads(encoder: str) -> int:
    """Frame threads for chunks, which encoders otherwise choose by the machine and which change their result."""
    cores = os.cpu_count() or 1
    if encoder == "x265":
        return 1 if cores < 4 else 2 if cores < 8 else 3 if cores < 16 else 5
    return max(1, min(cores * 3 // 2, 16))


def cores_of(place: int, workers: int) -> tuple[int, ...]:
    """The cores that worker number `place` of `workers` is to use; empty for all of them."""
    if workers == 1 or not hasattr(os, "sched_getaffinity"):
        return ()
    cores = sorted(os.sched_getaffinity(0))
    if workers > len(cores):
        return (cores[place % len(cores)],)
    return tuple(cores[place * len(cores) // workers : (place + 1) * len(cores) // workers])


def cuda_devices() -> int:
    """How many NVIDIA GPUs this process may use; 0 where the driver does not say."""
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    if shown is not None:
        return len([name for name in shown.split(",") if name.strip() not in ("", "-1")])
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))
