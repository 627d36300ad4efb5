"""Turns between pytest's workers: a test that measures has the machine to itself, all others share it.

Two files are locked. The door is held by whoever comes next, only until it is inside; so one that waits for an empty
room is not overtaken. Needs flock(), hence POSIX; on Windows no test that measures is run, and nobody waits.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

if sys.platform != "win32":
    import fcntl


@contextlib.contextmanager
def turn(folder: Path, alone: bool) -> Iterator[None]:
    """Waits until it may run beside others that share, or `alone`; `folder` is the same for all that take part."""
    if sys.platform == "win32":
        yield
        return
    with (folder / "door").open("a") as door, (folder / "room").open("a") as room:
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        yield
