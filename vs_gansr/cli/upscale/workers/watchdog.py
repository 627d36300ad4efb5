"""Notice a worker that has stopped making frames."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Watchdog"]

TIMES = 100  # usual times of a frame that a frame may take
FIRST = 10  # times that for the first frame of a chunk, which the source may have to be read for
JOINED = 0.001  # seconds that joining a frame usually takes, at most
ASLEEP = 10.0  # seconds between two looks after which this machine, or this process, was asleep


@dataclass
class Pace:
    """A worker's chunk: when its first frame was made, how many were then, its last sign of life; the usual time."""

    first: float | None = None
    frames: int = 0
    last: float = 0.0
    usual: float = 0.0


class Watchdog:
    """Compares the time since a worker's last sign of life with the time that its frames usually take.

    A worker is stuck after `TIMES` usual frames, `patience` seconds at least. One that has not made a frame in this run
    has no usual time, and is never stuck: a network may take minutes to prepare.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._paces: dict[str, Pace] = {}
        self._looked = 0.0

    def begin(self, name: str, now: float) -> None:
        """The worker begins a chunk."""
        self._paces[name] = Pace(last=now, usual=self._paces.get(name, Pace()).usual)

    def begin_joining(self, name: str, now: float) -> None:
        """The worker begins to join chunks, which needs no network."""
        self._paces[name] = Pace(last=now, usual=JOINED)

    def frame(self, name: str, frames: int, now: float) -> None:
        """The worker has made so many frames of its chunk."""
        pace = self._paces[name]
        if pace.first is None:
            pace.first, pace.frames = now, frames
        elif frames > pace.frames:
            pace.usual = max(pace.usual, (now - pace.first) / (frames - pace.frames))
        pace.last = now

    def alive(self, name: str, now: float) -> None:
        """The worker, or its encoder, has written something."""
        self._paces[name].last = now

    def stuck(self, name: str, now: float) -> str:
        """How long the worker has made no frame, in words, if that is too long; else empty."""
        slept, self._looked = self._looked and now - self._looked > ASLEEP, now
        if slept:
            for pace in self._paces.values():
                pace.last = now
        pace = self._paces[name]
        waited, limit = now - pace.last, max(self._patience, TIMES * pace.usual)
        if not pace.usual or waited <= (limit if pace.first is not None else FIRST * limit):
            return ""
        return f"no frame for {waited:.0f} s, usually one takes {pace.usual:.2g} s"
