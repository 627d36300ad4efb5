"""Owns a worker's process, and what reaches the driver of several: their words, their ends, and signals.

    gansr ──job, orders──> worker ──raw video──> ffmpeg ──> file
      ^──────JSON lines──────┘

Signals only leave an event behind; everything is decided in one loop (driver.py), so no signal can catch a chain
half built. A worker leads a process group, with its ffmpeg in it, that is not the terminal's foreground group: so
Ctrl-C reaches `gansr` alone, which ends the rest. On Windows it has a console of its own, which is not shown, and a
job object instead of the group. pip's `vspipe` is not used: it is a Python wrapper that forgets
about the real one when it is signalled.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol

from ..ffmpeg.process import how
from ..job.job import RECORD, UpscaleJob

if sys.platform == "win32":
    from .process_tree import ProcessTree

__all__ = ["Event", "Events", "LocalWorker", "Signals", "Worker", "pause"]

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
PAUSE = getattr(signal, "SIGTSTP", None)
POSIX = os.name == "posix"


@dataclass(frozen=True)
class Event:
    """Something the driver must act on.

    `kind` "signal" or "pause" (`value` its number), "message" (`value` what a worker answers), "line" (`value` what
    else it prints) or "ended" (`value` how, in words) · `worker` who it comes from
    """

    kind: str
    value: Any
    worker: Worker | None = None


type Events = queue.SimpleQueue[Event]


class Worker(Protocol):
    """Whoever opens a job once and then does what is ordered, wherever that is."""

    name: str

    def order(self, **what: Any) -> None:
        """Tells it what to do; it answers by events."""

    def signal(self, name: str) -> None:
        """Sends SIGKILL, SIGSTOP or SIGCONT to all its processes, as far as there is such a thing there."""

    def end(self) -> None:
        """Ends it, whatever state it is in, and leaves no process."""


class Signals:
    """While it is entered, signals become events instead of exceptions."""

    def __init__(self, events: Events) -> None:
        self.events = events
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        for signum in [*SIGNALS, *([PAUSE] if PAUSE else [])]:
            self._before[signum] = signal.signal(signum, self._arrived)
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def _arrived(self, signum: int, _: FrameType | None) -> None:
        self.events.put(Event("pause" if signum == PAUSE else "signal", signum))


class LocalWorker:
    """A worker in a process of this machine. `seat` says which of its cores are its own, and what else it must know."""

    def __init__(self, name: str, events: Events, job: UpscaleJob, seat: dict[str, Any]) -> None:
        self.name = name
        self.events = events
        self.last_words: deque[str] = deque(maxlen=20)  # outside its protocol
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vs_gansr.cli.upscale.workers.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            **own_group(),
        )
        if sys.platform == "win32":
            self.tree = ProcessTree(self.process.pid)
            threading.Thread(target=self._end_its_children, daemon=True).start()
        self._write(job.to_json())
        self._write(json.dumps(seat))
        threading.Thread(target=self._listen, daemon=True).start()

    def order(self, **what: Any) -> None:
        self._write(json.dumps(what))

    def _write(self, line: str) -> None:
        assert self.process.stdin
        with contextlib.suppress(OSError):  # it died, its end says so; Windows calls that an invalid argument
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()

    def _listen(self) -> None:
        assert self.process.stderr
        for data in self.process.stderr:
            line = data.decode("utf-8", "replace").rstrip()
            if line.startswith(RECORD):
                self.events.put(Event("message", json.loads(line.removeprefix(RECORD)), self))
            elif line:
                self.last_words.append(line)
                self.events.put(Event("line", line, self))
        words = f": {self.last_words[-1]}" if self.last_words else ""
        self.events.put(Event("ended", f"{how(self.process.wait())}{words}", self))

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


def own_group() -> dict[str, Any]:
    """Popen's arguments for a process that no key in our terminal reaches."""
    if POSIX:
        return {"process_group": 0}
    return {"creationflags": getattr(subprocess, "CREATE_NO_WINDOW", 0)}


def pause(workers: list[Worker]) -> None:
    """Ctrl-Z: the workers stop with us and go on with us."""
    for worker in workers:
        worker.signal("SIGSTOP")
    os.kill(os.getpid(), signal.SIGSTOP)
    for worker in workers:
        worker.signal("SIGCONT")
