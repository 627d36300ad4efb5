"""Find the Python interpreter for a process of our own, and return freed memory to the operating system.

Before version 2.39, glibc rarely reuses aligned blocks such as VapourSynth's planes (glibc bug 30723), so resident
memory grows with every frame although nothing leaks. Calling malloc_trim regularly keeps it level.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import threading
from collections.abc import Callable
from pathlib import Path

__all__ = ["environment", "interpreter", "trim"]

STEP = 32 << 20  # bytes of new planes between two calls: each call takes as long as a small part of a frame


def _trimmer() -> Callable[[int], int] | None:
    name, version = platform.libc_ver()
    if name != "glibc" or tuple(int(part) for part in version.split(".")[:2]) >= (2, 39):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


_malloc_trim = _trimmer()
_lock = threading.Lock()
_allocated = 0


def trim(size: int) -> None:
    """Count `size` bytes of new planes, and return free pages to the operating system once they amount to STEP.

    Call it for every frame.
    """
    global _allocated
    if _malloc_trim is None:
        return
    with _lock:
        _allocated += size
        if _allocated < STEP:
            return
        _allocated = 0
    _malloc_trim(0)


def interpreter() -> str | None:
    """Return the interpreter's file; None if it is not found, as in a host that has Python built in."""
    places = (Path(sys.prefix), Path(sys.base_prefix))
    names = ("python.exe",) if sys.platform == "win32" else ("bin/python3", "bin/python")
    candidates = [Path(sys.executable or "")] if "python" in Path(sys.executable or "").name.lower() else []
    candidates += [place / name for place in places for name in names]
    return next((str(file) for file in candidates if file.is_file()), None)


def environment() -> dict[str, str]:
    """Return the environment in which the interpreter finds the same modules as this process."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}
