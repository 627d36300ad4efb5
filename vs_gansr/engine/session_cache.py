"""Owns how long costly things live on unused; knows nothing of what they are.

A host that frees an old graph before it builds the new one (every preview does) releases its session and
wants the same one a moment later. So what nobody holds any more stays for a while, within a cap.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

__all__ = ["KeepAlive", "Lease"]


@dataclass
class _Entry[V]:
    value: V
    size: int
    holders: int = 0
    idle_since: float = 0.0


class Lease[V]:
    """The right to use a value until `release`; releasing twice does nothing."""

    def __init__(self, value: V, give_back: Callable[[], None]) -> None:
        self.value = value
        self._give_back: Callable[[], None] | None = give_back

    def release(self) -> None:
        """Gives the value back; it may live on for a while."""
        give_back, self._give_back = self._give_back, None
        if give_back:
            give_back()


class KeepAlive[K: Hashable, V]:
    """Shares values by key; a value without holders is dropped after `seconds`, or when the values without
    holders exceed `max_bytes`, oldest first."""

    def __init__(self, seconds: float, max_bytes: int) -> None:
        self.seconds = seconds
        self.max_bytes = max_bytes
        self._entries: dict[K, _Entry[V]] = {}
        self._lock = threading.RLock()  # re-entrant: a lease may be released by garbage collection in here
        self._timer: threading.Timer | None = None

    def acquire(self, key: K, make: Callable[[], V], size: Callable[[V], int]) -> Lease[V]:
        """The value of `key`, made by `make` if there is none; `size` says how many bytes it keeps."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                value = make()
                entry = self._entries[key] = _Entry(value, size(value))
            entry.holders += 1
            return Lease(entry.value, lambda: self._release(key, entry))

    def forget(self, key: K) -> None:
        """Nobody gets this value any more; it goes when its present holders let go."""
        with self._lock:
            gone = self._entries.pop(key, None)
        del gone  # destroyed outside the lock

    def clear(self) -> None:
        """Drops every value that nobody holds."""
        self._drop(lambda idle: list(idle))

    def __len__(self) -> int:
        return len(self._entries)

    def _release(self, key: K, entry: _Entry[V]) -> None:
        with self._lock:
            entry.holders -= 1
            entry.idle_since = time.monotonic()
        self._evict()

    def _evict(self) -> None:
        now = time.monotonic()

        def surplus(idle: dict[K, _Entry[V]]) -> list[K]:
            total = sum(entry.size for entry in idle.values())
            gone = []
            for key, entry in sorted(idle.items(), key=lambda item: item[1].idle_since):
                if total > self.max_bytes or now - entry.idle_since >= self.seconds:
                    gone.append(key)
                    total -= entry.size
            return gone

        self._drop(surplus)

    def _drop(self, choose: Callable[[dict[K, _Entry[V]]], list[K]]) -> None:
        dropped = []  # destroyed outside the lock
        with self._lock:
            idle = {key: entry for key, entry in self._entries.items() if not entry.holders}
            dropped = [self._entries.pop(key) for key in choose(idle)]
            left = [entry.idle_since for entry in self._entries.values() if not entry.holders]
            if left and self._timer is None:
                wait = max(0.05, min(left) + self.seconds - time.monotonic())
                self._timer = threading.Timer(wait, self._tick)
                self._timer.daemon = True
                self._timer.start()
        del dropped

    def _tick(self) -> None:
        with self._lock:
            self._timer = None
        self._evict()
