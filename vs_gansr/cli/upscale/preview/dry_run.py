"""`--dry-run`: plan a film as a run would, render 2 seconds of it into nowhere, and say what all of it would take."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...common import CommandError
from ..chunks.ledger import Ledger, folder_of
from ..chunks.messages import RenderChunk
from ..chunks.plan import NAME
from ..job import UpscaleJob
from ..progress import Progress, clock
from ..workers.process import signals_as
from ..workers.scheduler import RunOptions, UpscaleRun

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
    """Renders a sample from the middle of the film; writes nothing but into a temporary folder.

    Raises CommandError where the film cannot be planned or rendered, Interrupted on a signal.
    """
    run = UpscaleRun(job, progress, RunOptions())
    run.pool.connect(job)
    with signals_as(run.events), tempfile.TemporaryDirectory(prefix="gansr-") as folder:
        path = Path(folder) / NAME
        try:
            plan = run.planned(path, Path(folder) / f"trial{Path(job.output).suffix}")
            frames, picture = plan.frames, plan.picture
            length = min(frames, max(1, round(SAMPLE * frames / max(plan.seconds, 1e-3))))
            start = (frames - length) // 2
            sample = RenderChunk(str(path), (start, start + length), str(Path(folder) / "sample.mp4"))
            done = run.do(run.pool.workers[0], sample)
            run.let_leave()
        except CommandError:
            run.let_leave()
            raise
        finally:
            run.end()
    ledger = Ledger.load(folder_of(Path(job.output)))
    finished = ledger.done()[0] if ledger else 0
    fps = length / done.seconds
    size = done.facts.size if done.facts else 0
    return Estimate(
        frames, (picture.width, picture.height), len(plan.spans), len(ledger.chunks) if ledger else 0,
        fps, (frames - finished) / fps, round(size / length * frames),
    )  # fmt: skip
