"""Owns who may touch a GPU when: many at once, or one alone while it captures a CUDA graph; knows no GPU.

ONNX Runtime captures in CUDA's global mode: until the capture ends, allocations, frees and copies that block fail in
every thread of the process, and spoil the capture. Whatever calls CUDA therefore passes the one gate.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Gate", "gate"]


class Gate:
    """Lets many pass at once, or one alone. Who is inside may pass again, but not ask to be alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside: set[int] = set()  # threads
        self._alone = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Waits while somebody is alone or wants to be."""
        me = threading.get_ident()
        with self._changed:
            again = me in self._inside
            self._changed.wait_for(lambda: again or not self._alone)
            self._inside.add(me)
        try:
            yield
        finally:
            if not again:
                with self._changed:
                    self._inside.remove(me)
                    self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Waits until all others have left."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._alone += 1  # whoever comes now waits
            self._changed.wait_for(lambda: not self._inside)
        try:
            yield
        finally:
            with self._changed:
                self._alone -= 1
                self._changed.notify_all()


gate = Gate()
