"""A worker's process, and the events that reach the scheduler: answers, ends of workers, and signals.

A worker leads a process group, with its ffmpeg in it, that is not the terminal's foreground group: so Ctrl-C reaches
`gansr` alone, which ends the rest. On Windows it has a console of its own, which is not shown, and a job object instead
of the group.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..chunks.messages import RECORD, Answer, Command, Leave, Placement, Printed, read, write
from ..ffmpeg.process import how
from ..job.plain_data import to_json

if sys.platform == "win32":
    from .process_tree import ProcessTree

__all__ = [
    "Ended", "Event", "Events", "LocalWorker", "Signal", "Told", "Worker", "let_leave", "pause", "signals_as",
]  # fmt: skip

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
PAUSE = getattr(signal, "SIGTSTP", None)
# Popen's arguments for a process that no key in our terminal reaches.
OWN_GROUP: dict[str, Any] = (
    {"process_group": 0} if os.name == "posix" else {"creationflags": getattr(subprocess, "CREATE_NO_WINDOW", 0)}
)
LEAVING = 5.0  # seconds that a worker gets to end by itself


@dataclass(frozen=True)
class Signal:
    """A signal has come."""

    number: int

    @property
    def is_pause(self) -> bool:
        """Whether it is Ctrl-Z's."""
        return self.number == PAUSE


@dataclass(frozen=True)
class Told:
    """A worker answers, or its process prints something else."""

    worker: Worker
    answer: Answer


@dataclass(frozen=True)
class Ended:
    """A worker is gone; `how` in words."""

    worker: Worker
    how: str


type Event = Signal | Told | Ended
type Events = queue.SimpleQueue[Event]


class Worker(Protocol):
    """Who does what commands say, wherever that is. `elsewhere` is True on another node of a cluster."""

    name: str
    elsewhere: bool

    def order(self, command: Command) -> None:
        """Tells it what to do; it answers by events."""

    def signal(self, name: str) -> None:
        """Sends SIGKILL, SIGSTOP or SIGCONT to all its processes, as far as there is such a thing there."""

    def end(self) -> None:
        """Ends it, whatever state it is in, and leaves no process."""


@contextlib.contextmanager
def signals_as(events: Events) -> Iterator[None]:
    """While it is entered, signals become events instead of exceptions."""
    numbers = [*SIGNALS, *([PAUSE] if PAUSE else [])]
    before = {number: signal.signal(number, lambda number, _: events.put(Signal(number))) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class LocalWorker:
    """A worker in a process of this machine."""

    elsewhere = False

    def __init__(self, name: str, events: Events, placement: Placement) -> None:
        self.name = name
        self.events = events
        self.last_words: deque[str] = deque(maxlen=20)  # outside its protocol
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vs_gansr.cli.upscale.workers.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            **OWN_GROUP,
        )
        if sys.platform == "win32":
            self.tree = ProcessTree(self.process.pid)
            threading.Thread(target=self._end_its_children, daemon=True).start()
        self._write(to_json(placement))
        threading.Thread(target=self._listen, daemon=True).start()

    def order(self, command: Command) -> None:
        self._write(write(command))

    def _write(self, line: str) -> None:
        assert self.process.stdin
        with contextlib.suppress(OSError):  # it died, its end says so; Windows calls that an invalid argument
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()

    def _listen(self) -> None:
        assert self.process.stderr
        for data in self.process.stderr:
            printed, mark, answer = data.decode("utf-8", "replace").rstrip().partition(RECORD)
            for line in filter(None, (text.rstrip() for text in printed.split("\r"))):
                self.last_words.append(line)
                self.events.put(Told(self, Printed(line)))
            if mark:
                self.events.put(Told(self, read(answer)))
        words = f": {self.last_words[-1]}" if self.last_words else ""
        self.events.put(Ended(self, f"{how(self.process.wait())}{words}"))

    def _end_its_children(self) -> None:
        """On Windows, when it has ended: they may hold its stderr open, by whose end its own is noticed."""
        self.process.wait()
        self.signal("SIGKILL")

    def signal(self, name: str) -> None:
        if sys.platform == "win32":
            self.tree.kill()  # there is only one end there
        else:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, getattr(signal, name))

    def end(self) -> None:
        self.signal("SIGKILL")
        self.process.wait()
        assert self.process.stdin
        with contextlib.suppress(OSError):  # it died before it read an order: Python would print that at its own end
            self.process.stdin.close()


def let_leave(workers: Sequence[Worker], events: Events) -> Iterator[Event]:
    """Has workers end by themselves, so that what a script has registered for its end runs; yields what they say
    meanwhile. Returns when all have ended, after LEAVING seconds, or when a signal comes."""
    left = {id(worker) for worker in workers}
    for worker in workers:
        worker.order(Leave())
    until = time.monotonic() + LEAVING
    while left and (seconds := until - time.monotonic()) > 0:
        try:
            event = events.get(timeout=seconds)
        except queue.Empty:
            return
        if isinstance(event, Signal):
            return
        if isinstance(event, Ended):
            left.discard(id(event.worker))
        yield event


def pause(workers: Sequence[Worker]) -> None:
    """Ctrl-Z: the workers stop with us and go on with us."""
    for worker in workers:
        worker.signal("SIGSTOP")
    os.kill(os.getpid(), signal.SIGSTOP)
    for worker in workers:
        worker.signal("SIGCONT")
