"""Owns who renders: hires workers here or on a cluster, gives each its seat, and ends them all."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..chunks.ledger import folder_of
from ..job.job import UpscaleJob
from .process import Event, Events, LocalWorker, Worker

__all__ = ["WorkerPool", "WorkerState", "frame_threads"]


@dataclass
class WorkerState:
    """A worker as the driver sees it.

    `plans` it opens the film and joins it, and renders only where nobody else does · `ready` it has opened the film ·
    `chunk` what it renders, of which it has sent `frame` frames, `bytes` encoded · `error` its last words
    """

    worker: Worker
    plans: bool = False
    ready: bool = False
    chunk: int | None = None
    frame: int = 0
    bytes: int = 0
    error: str = ""


class WorkerPool:
    """The workers of one job: `size` of them render, on this machine or, with a `cluster` address, on Ray's,
    whose chunks come here through `storage`, a URL, if there is one."""

    def __init__(self, events: Events, size: int, cluster: str | None, storage: str | None = None) -> None:
        self.events = events
        self.size = size
        self.cluster = cluster
        self.storage = storage
        self.hands: list[WorkerState] = []
        self._share: dict[str, float] = {}
        self._hired = 0
        self._token: Path | None = None
        self._place: str | None = None

    def connect(self, job: UpscaleJob) -> None:
        """Joins the cluster, if there is to be one. Raises CommandError where that fails."""
        if self.cluster:
            from ..chunks import storage
            from . import ray as ray_workers

            if self.storage:
                storage.check(self.storage)
            ray_workers.connect(self.cluster)
            self.size, self._share = ray_workers.resources(self.size, job.provider)
        self.size = self.size or 1

    def hire(self, job: UpscaleJob, first: bool = False, resuming: bool = False) -> WorkerState:
        """A new worker, who is ready after a while. The `first` plans, and is here."""
        place = self._hired % self.size
        seat: dict[str, Any] = {"first": first, "resuming": resuming, "cores": []}
        self._hired += 1
        if self.cluster and not first:
            from ..chunks import storage
            from .ray import RayWorker

            folder = folder_of(Path(job.output))
            self._token = self._token or token(folder)
            if self.storage:
                self._place = self._place or storage.begin(folder, self.storage)
            seat |= {"token": str(self._token), "storage": self._place, "resuming": True}
            worker: Worker = RayWorker(f"worker {self._hired}", self.events, job, seat, self._share)
        else:
            seat["cores"] = [] if self.cluster else cores_of(place, self.size)
            devices = cuda_devices() if self.size > 1 and job.device_id is None and job.provider != "CPU" else 0
            here = replace(job, device_id=place % devices) if devices > 1 else job
            worker = LocalWorker(f"worker {self._hired}", self.events, here, seat)
        self.hands.append(WorkerState(worker, plans=first))
        return self.hands[-1]

    def of(self, event: Event) -> WorkerState | None:
        """Whom an event comes from; None where that one is gone."""
        return next((hand for hand in self.hands if hand.worker is event.worker), None)

    def renderers(self) -> list[WorkerState]:
        """Those that render chunks: on a cluster not the one that plans."""
        return [hand for hand in self.hands if not self.cluster or self.is_elsewhere(hand)]

    def is_elsewhere(self, hand: WorkerState) -> bool:
        """Whether a worker is on some node of a cluster."""
        return bool(self.cluster) and not hand.plans

    def dismiss(self, hand: WorkerState) -> None:
        """Ends one."""
        self.hands.remove(hand)
        hand.worker.end()

    def leave_cluster(self) -> None:
        """Ends those that are elsewhere and leaves the cluster, if there is one: all that is to do is here."""
        for hand in [hand for hand in self.hands if self.is_elsewhere(hand)]:
            self.dismiss(hand)
        if self.cluster:
            from .ray import disconnect

            disconnect()

    def end(self) -> None:
        """Ends all."""
        while self.hands:
            self.hands.pop().worker.end()
        if self._token and self._place:
            from ..chunks import storage

            storage.clear(self._token.parent, self._place)
        if self._token:
            self._token.unlink(missing_ok=True)
            self._token = self._place = None


def frame_threads(encoder: str) -> int:
    """Frame threads for chunks, which encoders otherwise choose by the machine and which change their result."""
    cores = os.cpu_count() or 1
    if encoder == "x265":
        return 1 if cores < 4 else 2 if cores < 8 else 3 if cores < 16 else 5
    return max(1, min(cores * 3 // 2, 16))


def token(folder: Path) -> Path:
    """A new file in the job's folder, by which a node of a cluster sees whether that is its folder, too."""
    for old in folder.glob("token-*"):
        old.unlink()
    path = folder / f"token-{secrets.token_hex(8)}"
    path.touch()
    return path


def cores_of(place: int, workers: int) -> list[int]:
    """The cores that worker number `place` of `workers` is to use; empty for all of them."""
    if workers == 1 or not hasattr(os, "sched_getaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))
    if workers > len(cores):
        return [cores[place % len(cores)]]
    return cores[place * len(cores) // workers : (place + 1) * len(cores) // workers]


def cuda_devices() -> int:
    """How many NVIDIA GPUs this process may use; 0 where the driver does not say."""
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    if shown is not None:
        return len([name for name in shown.split(",") if name.strip() not in ("", "-1")])
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))
