"""One thread makes the value of a key while threads with other keys go on; dropped values are reported."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from vs_gansr.common.caching import KeyLocks, LruCache

SECONDS = 20.0  # most that a thread may take on a busy machine


def test_the_values_used_last_are_kept() -> None:
    dropped: list[str] = []
    cache: LruCache[int, str] = LruCache(2, dropped.append)
    for key in (1, 2, 1, 3):
        assert cache.get(key, lambda key=key: f"value {key}") == f"value {key}"
    assert dropped == ["value 2"] and len(cache) == 2
    assert cache.get(1, lambda: pytest.fail("it is there")) == "value 1"
    assert cache.pop(1) == "value 1" and cache.pop(1) is None
    cache.clear()
    assert dropped == ["value 2", "value 3"] and len(cache) == 0


def test_none_is_a_value() -> None:
    cache: LruCache[int, None] = LruCache(1)
    cache.get(0, lambda: None)
    assert cache.get(0, lambda: pytest.fail("it is there")) is None


def test_a_value_is_made_once_for_many_callers() -> None:
    cache: LruCache[str, object] = LruCache(4)
    created: list[object] = []
    together = threading.Barrier(8)

    def make() -> object:
        created.append(object())
        return created[-1]

    def ask(_: int) -> object:
        together.wait(SECONDS)
        return cache.get("key", make)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == set(created)
    assert len(created) == 1


def test_slow_work_holds_up_nobody_who_wants_something_else() -> None:
    cache: LruCache[str, int] = LruCache(4)
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> int:
        begun.set()
        assert go_on.wait(SECONDS)
        return 1

    cache.get("known", lambda: 0)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get, "slow", slow)
        assert begun.wait(SECONDS)
        waiting = pool.submit(cache.get, "slow", lambda: 3)
        assert cache.get("other", lambda: 2) == 2
        assert cache.get("known", lambda: pytest.fail("it is there")) == 0
        assert not first.done() and not waiting.done()
        go_on.set()
        assert first.result(SECONDS) == waiting.result(SECONDS) == 1


def test_a_failure_is_its_callers_and_the_next_one_tries_again() -> None:
    cache: LruCache[str, int] = LruCache(4)
    with pytest.raises(ZeroDivisionError):
        cache.get("key", lambda: 1 // 0)
    assert cache.get("key", lambda: 5) == 5


def test_dropping_may_use_the_cache() -> None:
    cache: LruCache[int, int] = LruCache(1, lambda value: cache.pop(value))
    for key in range(3):
        cache.get(key, lambda key=key: key)
    assert len(cache) == 1


def test_locks_go_with_their_holders() -> None:
    locks: KeyLocks[str] = KeyLocks()
    inside: list[str] = []

    def other() -> None:
        with locks.hold("b"):
            inside.append("b")
        with locks.hold("a"):
            inside.append("a")

    with locks.hold("a"), locks.hold("a"):
        thread = threading.Thread(target=other)
        thread.start()
        for _ in range(int(SECONDS / 0.01)):
            if inside:
                break
            thread.join(0.01)
        assert inside == ["b"]
    thread.join(SECONDS)
    assert inside == ["b", "a"]
