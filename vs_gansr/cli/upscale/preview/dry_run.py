"""Owns `--dry-run`: opens a film as a run would, renders 2 seconds of it into nowhere, and says what all would take."""

from __future__ import annotations

import queue
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...common import CommandError, Interrupted
from ..chunks.ledger import Ledger, folder_of
from ..job.job import UpscaleJob
from ..progress import Progress, clock
from ..workers.pool import frame_threads
from ..workers.process import Events, LocalWorker, Signals

__all__ = ["Estimate", "estimate", "summary"]

SAMPLE = 2.0  # seconds that are rendered


@dataclass(frozen=True)
class Estimate:
    """What a film would take on this machine with one worker.

    `frames` of `size` pixels in `chunks`, of which `finished` are there · `fps` of the sample · `seconds` left and
    `bytes` in all, both by the sample's measure
    """

    frames: int
    size: tuple[int, int]
    chunks: int
    finished: int
    fps: float
    seconds: float
    bytes: int

    def describe(self, source: Path, output: Path) -> str:
        """One line."""
        parts = f"{self.chunks} chunks" if self.chunks > 1 else "one piece"
        there = f", {self.finished} of them finished" if self.finished else ""
        return (
            f"{source} -> {output}: {self.frames} frames of {self.size[0]}x{self.size[1]} in {parts}{there}; "
            f"{self.fps:.2f} fps, about {clock(self.seconds)} and {self.bytes / 1e6:.1f} MB"
        )


def summary(estimates: Sequence[Estimate], folder: Path) -> str:
    """What all films take together, one after the other, and the room there is for them."""
    while not folder.exists():
        folder = folder.parent
    seconds, size = sum(film.seconds for film in estimates), sum(film.bytes for film in estimates)
    room = size + max((film.bytes for film in estimates if film.chunks > 1), default=0)  # chunks beside their film
    free = shutil.disk_usage(folder).free
    short = "; that is too little" if room > free else ""
    return (
        f"in all about {clock(seconds)} and {size / 1e6:.1f} MB, {room / 1e6:.1f} MB while chunks are joined; "
        f"{free / 1e6:.0f} MB are free{short}"
    )


def estimate(job: UpscaleJob, progress: Progress) -> Estimate:
    """Renders a sample from the middle of the film; writes nothing but into a temporary folder."""
    events: Events = queue.SimpleQueue()
    with Signals(events), tempfile.TemporaryDirectory(prefix="gansr-") as folder:
        trial = Path(folder) / f"trial{Path(job.output).suffix}"
        job = replace(job, temporary=str(trial), frame_threads=frame_threads(job.encoder))
        worker = LocalWorker("worker 1", events, job, {"first": False, "resuming": False, "cores": [], "trial": True})
        try:
            ready = answer(events, "ready", progress)
            frames = ready["frames"]
            length = min(frames, max(1, round(SAMPLE * frames / max(ready["seconds"], 1e-3))))
            start = (frames - length) // 2
            worker.order(do="chunk", start=start, end=start + length, path=str(Path(folder) / "sample.mp4"))
            done = answer(events, "done", progress)
        finally:
            progress.clear()
            worker.end()
    ledger = Ledger.load(folder_of(Path(job.output)))
    finished = ledger.done()[0] if ledger else 0
    fps = length / done["seconds"]
    return Estimate(
        frames, tuple(ready["size"]), len(ready["spans"]), len(ledger.chunks) if ledger else 0,
        fps, (frames - finished) / fps, round(done["facts"]["size"] / length * frames),
    )  # fmt: skip


def answer(events: Events, wanted: str, progress: Progress) -> dict[str, Any]:
    """Waits for one kind of answer. Raises CommandError where the worker cannot give it, Interrupted on a signal."""
    while True:
        event = events.get()
        if event.kind == "signal":
            raise Interrupted(event.value)
        if event.kind == "ended":
            raise CommandError(f"the renderer ended early ({event.value})")
        if event.kind == "message":
            message: dict[str, Any] = event.value
            if "error" in message:
                raise CommandError(message["error"])
            if "stage" in message:
                progress.stage(f"{message['stage']} …")
            if "printed" in message:
                progress.printed(message["printed"])
            if wanted in message:
                result: dict[str, Any] = message[wanted]
                return result
