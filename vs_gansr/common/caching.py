"""Caches that threads share: each value is created once, and a thread waits only for the value it asked for."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

__all__ = ["KeyLocks", "LruCache"]


class KeyLocks[K: Hashable]:
    """A re-entrant lock for each key. It exists only while a thread holds it or waits for it."""

    def __init__(self) -> None:
        self._guard = threading.RLock()  # re-entrant: garbage collection may run here and release keys
        self._locks: dict[K, tuple[threading.RLock, int]] = {}  # each with the number of threads that hold or await it

    @contextmanager
    def hold(self, key: K) -> Iterator[None]:
        """Hold the lock of `key`; wait while another thread holds it."""
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
    """Keep the `most` values that were used last. Safe from any thread.

    Every value that is dropped or cleared is passed to `drop`, outside of all locks.
    """

    def __init__(self, most: int, drop: Callable[[V], object] | None = None) -> None:
        self.most = most  # number of values kept
        self._drop = drop
        self._values: OrderedDict[K, V] = OrderedDict()  # ordered by last use
        self._guard = threading.RLock()
        self._making: KeyLocks[K] = KeyLocks()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Return the value of `key`; if there is none, store and return what `make` returns.

        One thread at a time calls `make` for a key; only threads that ask for the same key wait. If `make` raises,
        its caller gets the exception and the next thread calls `make` again.
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
                dropped = [self._values.popitem(last=False)[1] for _ in range(len(self._values) - self.most)]
        self._drop_all(dropped)
        return value

    def pop(self, key: K) -> V | None:
        """Remove the value of `key` and return it without calling `drop`; None if there is none."""
        with self._guard:
            return self._values.pop(key, None)

    def clear(self) -> None:
        """Drop all values."""
        with self._guard:
            dropped = list(self._values.values())
            self._values.clear()
        self._drop_all(dropped)

    def __len__(self) -> int:
        return len(self._values)

    def _drop_all(self, dropped: list[V]) -> None:
        while dropped:
            value = dropped.pop()
            if self._drop:
                self._drop(value)
