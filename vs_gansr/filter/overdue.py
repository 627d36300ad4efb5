"""Notice that the device that computes a clip has stopped answering."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

__all__ = ["Overdue"]

LOOK = 5.0  # seconds between looks
LEAST, TIMES = 60.0, 20  # a frame is overdue after 20 times the longest one so far, 60 s at least


class Overdue:
    """Calls `tell` if frames are being computed and none has been finished for too long."""

    def __init__(self, first: float, tell: Callable[[float], None]) -> None:
        """`first`: seconds until the first frame is overdue; `tell` gets the seconds that passed."""
        self._limit = first
        self._tell = tell
        self._longest = 0.0  # seconds that a frame has taken so far
        self._running = 0  # frames that are being computed
        self._looks = 0  # since one was finished; a clock would count the time that the machine was asleep
        self._lock = threading.Lock()
        watched.add(self)
        watcher()

    @contextmanager
    def frame(self) -> Iterator[None]:
        """Covers the time in which a frame is computed."""
        begin = time.monotonic()
        with self._lock:
            if not self._running:
                self._looks = 0
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._longest = max(self._longest, time.monotonic() - begin)
                self._limit = max(LEAST, TIMES * self._longest)
                self._running -= 1
                self._looks = 0

    def look(self) -> None:
        """Counts one more look; tells once if a frame is overdue."""
        with self._lock:
            self._looks += 1
            waited = self._looks * LOOK * bool(self._running)
            late = waited > self._limit
            if late:
                self._limit = float("inf")
        if late:
            self._tell(waited)


watched: weakref.WeakSet[Overdue] = weakref.WeakSet()


@cache
def watcher() -> threading.Thread:
    """The thread of this process that looks."""

    def work() -> None:
        while True:
            time.sleep(LOOK)
            for each in list(watched):
                each.look()

    thread = threading.Thread(target=work, name="gansr overdue", daemon=True)
    thread.start()
    return thread
