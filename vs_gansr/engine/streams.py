"""Owns which of an engine's streams a picture goes through; knows nothing of what a stream does.

On a CPU two pictures at once with half of the processors each are quicker than one after the other with all: threads
wait for each other at every layer, and meanwhile nobody copies. A picture that is alone would then take twice as long,
as in a preview, so there may be one more stream, with all the processors, for such.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

__all__ = ["StreamPool"]


class StreamPool[S]:
    """Lends streams, each to one caller at a time."""

    def __init__(self, streams: Iterable[S], alone: S | None = None) -> None:
        """`alone` is for a picture while there is no other; None: there is no such stream."""
        self._streams: queue.LifoQueue[S] = queue.LifoQueue()
        for stream in streams:
            self._streams.put(stream)
        self._alone = alone
        self._wanted = 0  # how many callers have a stream or wait for one
        self._lock = threading.Lock()

    @contextmanager
    def lend(self) -> Iterator[S]:
        """Waits for a free stream and lends it."""
        with self._lock:
            self._wanted += 1
            alone = self._alone if self._wanted == 1 else None
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
