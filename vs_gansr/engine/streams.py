"""Lend an engine's streams to the pictures that are to be computed.

On a CPU two pictures at once with half of the processors each are quicker than one after the other with all of them. A
picture that comes alone, as in a preview, would then take twice as long, so one more stream has all the processors.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

__all__ = ["StreamPool"]

LONELY = 2  # pictures in a row that come while no other is computed, until the stream for such pictures is used


class StreamPool[S]:
    """Lends streams, each to one caller at a time."""

    def __init__(self, streams: Iterable[S], alone: S | None = None) -> None:
        """`alone` is the stream for pictures that come alone, if there is one."""
        self._streams: queue.LifoQueue[S] = queue.LifoQueue()
        for stream in streams:
            self._streams.put(stream)
        self._alone = alone
        self._wanted = 0  # how many callers have a stream or wait for one
        # In an encode the pictures under way may end together. The next one is not alone for long then, and more
        # threads than processors would slow down both it and the one that follows.
        self._lonely = LONELY  # how many pictures in a row came while no other was computed
        self._lock = threading.Lock()

    @contextmanager
    def lend(self) -> Iterator[S]:
        """Waits for a free stream and lends it."""
        with self._lock:
            self._wanted += 1
            self._lonely = self._lonely + 1 if self._wanted == 1 else 0
            alone = self._alone if self._lonely >= LONELY else None
        try:
            stream = self._streams.get() if alone is None else alone
            try:
                yield stream
            finally:
                if stream is not alone:
                    self._streams.put(stream)
        finally:
            with self._lock:
                self._wanted -= 1

    def clear(self) -> None:
        """Lets go of all streams; none may be lent."""
        self._alone = None
        while not self._streams.empty():
            self._streams.get()
