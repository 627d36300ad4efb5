"""Share costly values by key, make each one once, and keep those without a holder for a while.

A preview frees the old graph before it builds the new one, so it releases an engine and wants the same one a moment
later. Values are made and closed outside the lock: a caller with another key never waits for them.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from queue import Empty, SimpleQueue
from typing import Protocol

__all__ = ["Lease", "SessionCache"]


class Closable(Protocol):
    """What a cache can hold."""

    def size(self) -> int:
        """Bytes it keeps."""

    def close(self) -> None:
        """Gives them back."""


@dataclass(eq=False)
class Entry[V: Closable]:
    """A value, present or under way."""

    ready: threading.Event = field(default_factory=threading.Event)
    """Set when `value` is there, or making it has failed."""
    value: V | None = None  # None until it is made, and for good if that fails
    size: int = 0  # bytes the value said it keeps
    holders: int = 0  # leases that are out, and callers that wait for the value
    idle_since: float = 0.0  # when the last holder let go, by the monotonic clock
    forgotten: bool = False  # True if nobody new gets it: it is closed when its last holder lets go


class Lease[V: Closable]:
    """The right to use a value until `release`; releasing twice does nothing."""

    def __init__(self, value: V, entry: Entry[V], again: Callable[[], Lease[V]], give_back: Callable[[], None]) -> None:
        self.value = value  # what is lent
        self.again = again  # gives another lease on the same value; for whoever holds this one
        self._entry = entry
        self._give_back: Callable[[], None] | None = give_back

    @property
    def forgotten(self) -> bool:
        """True if nobody new gets the value."""
        return self._entry.forgotten

    def release(self) -> None:
        """Gives the value back; it may live on for a while."""
        give_back, self._give_back = self._give_back, None
        if give_back:
            give_back()

    def abandon(self) -> None:
        """Like `release`, for destructors, which run inside any lock: another thread gives the value back."""
        abandoned.put(self.release)


abandoned: SimpleQueue[Callable[[], None]] = SimpleQueue()


@cache
def closer() -> threading.Thread:
    """The thread of this process that gives abandoned leases back."""

    def work() -> None:
        while True:
            abandoned.get()()

    thread = threading.Thread(target=work, name="gansr leases", daemon=True)
    thread.start()
    return thread


def settle() -> None:
    """Gives back what has been abandoned so far."""
    with contextlib.suppress(Empty):
        while True:
            abandoned.get_nowait()()


class SessionCache[K: Hashable, V: Closable]:
    """Shares values by key; a value without holders is closed after `seconds`, or when the values without
    holders exceed `max_bytes`, oldest first."""

    def __init__(self, seconds: float, max_bytes: int) -> None:
        self.seconds = seconds  # how long a value without holders is kept
        self.max_bytes = max_bytes  # how many bytes the values without holders may keep together
        self._entries: dict[K, Entry[V]] = {}
        self._lock = threading.RLock()
        self._leaving: list[Entry[V]] = []  # forgotten, and still held or not closed yet
        self._left = threading.Condition(self._lock)
        self._timer: threading.Timer | None = None

    def acquire(self, key: K, make: Callable[[], V]) -> Lease[V]:
        """The value of `key`, made by `make` if there is none; waits where another thread is making it.

        Raises what `make` raises; those who waited then try for themselves.
        """
        closer()
        settle()
        while True:
            with self._lock:
                entry = self._entries.get(key)
                mine = entry is None
                if entry is None:
                    entry = self._entries[key] = Entry()
                entry.holders += 1
            if mine:
                self._make(key, entry, make)
            entry.ready.wait()
            if entry.value is not None:
                return self._lend(entry, entry.value)

    def _lend(self, entry: Entry[V], value: V) -> Lease[V]:
        """A lease for a holder that is counted already."""

        def again() -> Lease[V]:
            with self._lock:
                entry.holders += 1
            return self._lend(entry, value)

        return Lease(value, entry, again, partial(self._release, entry))

    def _make(self, key: K, entry: Entry[V], make: Callable[[], V]) -> None:
        """Fills the entry, or takes it out again and raises."""
        try:
            value = make()
            entry.size = value.size()
            entry.value = value
        except BaseException:
            with self._left:
                if self._entries.get(key) is entry:
                    del self._entries[key]
                if entry in self._leaving:  # forgotten meanwhile
                    self._leaving.remove(entry)
                    self._left.notify_all()
            raise
        finally:
            entry.ready.set()

    def forget(self, key: K, value: V | None = None) -> None:
        """Takes the value of `key`, if `value` is None or that one, out of the cache; its last holder closes it."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or (value is not None and entry.value is not value):
                return
            del self._entries[key]
            entry.forgotten = True
            self._leaving.append(entry)
            idle = not entry.holders
        if idle:
            self._close_forgotten(entry)

    def wait_for_forgotten(self, seconds: float) -> bool:
        """Waits until one of the forgotten values is closed; False if none is within `seconds`."""
        with self._left:
            before = list(self._leaving)
            return self._left.wait_for(
                lambda: any(entry not in self._leaving for entry in before), seconds * bool(before)
            )

    def _close_forgotten(self, entry: Entry[V]) -> None:
        close(entry)
        with self._left:
            self._leaving.remove(entry)
            self._left.notify_all()

    def clear(self) -> int:
        """Closes every value that nobody holds; how many there were."""
        settle()
        return self._drop(lambda idle: list(idle))

    def idle(self) -> dict[K, int]:
        """Keys of the values that nobody holds, and the bytes that each keeps."""
        settle()
        with self._lock:
            return {key: entry.size for key, entry in self._entries.items() if not entry.holders}

    def __iter__(self) -> Iterator[K]:
        """Keys of what it holds or is making."""
        with self._lock:
            return iter(list(self._entries))

    def values(self, held: bool = False) -> list[V]:
        """What it keeps; with `held` only what somebody has leased."""
        settle()
        with self._lock:
            return [e.value for e in self._entries.values() if e.value is not None and (e.holders or not held)]

    def __len__(self) -> int:
        return len(self._entries)

    def _release(self, entry: Entry[V]) -> None:
        with self._lock:
            entry.holders -= 1
            entry.idle_since = time.monotonic()
            idle = not entry.holders
            forgotten = entry.forgotten
        if idle and forgotten:
            self._close_forgotten(entry)
        elif idle:
            self._evict()

    def _evict(self) -> None:
        now = time.monotonic()

        def surplus(idle: dict[K, Entry[V]]) -> list[K]:
            total = sum(entry.size for entry in idle.values())
            gone = []
            for key, entry in sorted(idle.items(), key=lambda item: item[1].idle_since):
                if total > self.max_bytes or now - entry.idle_since >= self.seconds:
                    gone.append(key)
                    total -= entry.size
            return gone

        self._drop(surplus)

    def _drop(self, choose: Callable[[dict[K, Entry[V]]], list[K]]) -> int:
        with self._lock:
            idle = {key: entry for key, entry in list(self._entries.items()) if not entry.holders}
            dropped = [self._entries.pop(key) for key in choose(idle)]
            left = [entry.idle_since for entry in self._entries.values() if not entry.holders]
            if left and self._timer is None:
                wait = max(0.05, min(left) + self.seconds - time.monotonic())
                self._timer = threading.Timer(wait, self._tick)
                self._timer.daemon = True
                with contextlib.suppress(RuntimeError):  # the program is ending
                    self._timer.start()
        for entry in dropped:
            close(entry)
        return len(dropped)

    def _tick(self) -> None:
        with self._lock:
            self._timer = None
        self._evict()


def close[V: Closable](entry: Entry[V]) -> None:
    """Closes the entry's value, whatever that raises: nobody is there to be told."""
    value, entry.value = entry.value, None
    if value is not None:
        with contextlib.suppress(Exception):
            value.close()
