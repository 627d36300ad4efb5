"""Owns giving freed memory back to the system; knows nothing of what it held.

Before 2.39 glibc hardly reuses aligned blocks, as VapourSynth's planes are (bug 30723): resident memory grows with
every frame although nothing leaks. Returning the free pages now and then keeps it level.
"""

from __future__ import annotations

import ctypes
import platform
import threading
import time
from collections.abc import Callable

__all__ = ["breathe"]

EVERY = 0.1  # seconds
SHARE = 0.02  # of a thread's time, at most, may go into this


def _trimmer() -> Callable[[int], int] | None:
    name, version = platform.libc_ver()
    if name != "glibc" or tuple(int(part) for part in version.split(".")[:2]) >= (2, 39):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


_trim = _trimmer()
_lock = threading.Lock()
_next = 0.0


def breathe() -> None:
    """Returns free pages to the system, not more often than EVERY; for every frame to call."""
    global _next
    if _trim is None or time.monotonic() < _next or not _lock.acquire(blocking=False):
        return
    try:
        start = time.thread_time()  # not the clock: it would count what other threads took meanwhile
        _trim(0)
        _next = time.monotonic() + max(EVERY, (time.thread_time() - start) / SHARE)
    finally:
        _lock.release()
