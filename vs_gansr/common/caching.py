"""Owns values kept for later and shared by threads: each made once, without holding up whoever wants another."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

__all__ = ["KeyLocks", "LruCache"]


class KeyLocks[K: Hashable]:
    """A lock for each key. It is re-entrant, and exists only while somebody holds it or waits for it."""

    def __init__(self) -> None:
        self._guard = threading.RLock()  # re-entrant: garbage may be collected, and release things, in here
        self._locks: dict[K, tuple[threading.RLock, int]] = {}  # with the number of threads that are concerned

    @contextmanager
    def hold(self, key: K) -> Iterator[None]:
        """Holds the lock of `key`; waits while another thread does."""
        with self._guard:
            lock, users = self._locks.get(key, (threading.RLock(), 0))
            self._locks[key] = lock, users + 1
        try:
            with lock:
                yield
        finally:
            with self._guard:
                _, users = self._locks.pop(key)
                if users > 1:
                    self._locks[key] = lock, users - 1


class LruCache[K: Hashable, V]:
    """The `most` values that were used last. Safe from any thread.

    `drop` is called with every value that falls out or is cleared, outside of all locks.
    """

    def __init__(self, most: int, drop: Callable[[V], object] | None = None) -> None:
        self.most = most  # values kept at once
        self._drop = drop
        self._values: OrderedDict[K, V] = OrderedDict()  # the one used last is the last
        self._guard = threading.RLock()
        self._making: KeyLocks[K] = KeyLocks()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value of `key`; where there is none, what `make` gives, which is called by one thread at a time.

        Only those who want the same key wait for it. What `make` raises goes to its caller; the next one tries again.
        """
        with self._guard:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        with self._making.hold(key):
            with self._guard:
                if key in self._values:
                    return self._values[key]
            value = make()
            with self._guard:
                self._values[key] = value
                fallen = [self._values.popitem(last=False)[1] for _ in range(len(self._values) - self.most)]
        self._let_go(fallen)
        return value

    def pop(self, key: K) -> V | None:
        """Takes the value of `key` out, for the caller to do with as it likes; None if there is none."""
        with self._guard:
            return self._values.pop(key, None)

    def clear(self) -> None:
        """Drops all values."""
        with self._guard:
            fallen = list(self._values.values())
            self._values.clear()
        self._let_go(fallen)

    def __len__(self) -> int:
        return len(self._values)

    def _let_go(self, fallen: list[V]) -> None:
        while fallen:
            value = fallen.pop()
            if self._drop:
                self._drop(value)
