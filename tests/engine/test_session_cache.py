"""The cache of engines: shared by key, made once, outside its lock; closed when their time is over."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from vs_gansr.engine.session_cache import SessionCache


class Thing:
    """A value whose life can be watched."""

    alive = 0

    def __init__(self) -> None:
        Thing.alive += 1

    def size(self) -> int:
        return 1

    def close(self) -> None:
        Thing.alive -= 1


class Large(Thing):
    """One of 100 bytes."""

    def size(self) -> int:
        return 100


@pytest.fixture(autouse=True)
def none_alive() -> None:
    Thing.alive = 0


def test_cache_shares_and_drops_after_its_time() -> None:
    cache: SessionCache[str, Thing] = SessionCache(0.2, 1000)
    a, b = (cache.acquire("x", Thing) for _ in range(2))
    assert a.value is b.value
    a.release()
    a.release()
    time.sleep(0.4)
    assert Thing.alive == 1  # b holds it
    b.release()
    again = cache.acquire("x", Thing)
    assert again.value is b.value and Thing.alive == 1
    again.release()
    cache.clear()
    assert Thing.alive == 0


def test_cache_lets_go_by_itself() -> None:
    cache: SessionCache[str, Thing] = SessionCache(0.15, 1000)
    cache.acquire("x", Thing).release()
    assert Thing.alive == 1
    deadline = time.monotonic() + 5
    while Thing.alive and time.monotonic() < deadline:
        time.sleep(0.02)
    assert Thing.alive == 0
    assert len(cache) == 0


def test_cache_stays_within_its_cap_oldest_first() -> None:
    cache: SessionCache[int, Thing] = SessionCache(60, 250)
    leases = [cache.acquire(i, Large) for i in range(4)]
    for lease in leases:
        lease.release()
        time.sleep(0.001)
    assert set(cache) == {2, 3}


def test_cache_from_many_threads() -> None:
    cache: SessionCache[int, Thing] = SessionCache(0.01, 2)
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            for _ in range(300):
                lease = cache.acquire(int(rng.integers(5)), Thing)
                assert isinstance(lease.value, Thing)
                lease.release()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    cache.clear()
    assert len(cache) == 0


def test_a_slow_value_keeps_nobody_else_waiting() -> None:
    cache: SessionCache[str, Thing] = SessionCache(60, 1000)
    begun, finish = threading.Event(), threading.Event()

    def slow() -> Thing:
        begun.set()
        assert finish.wait(10)
        return Thing()

    got: list[Thing] = []
    threads = [threading.Thread(target=lambda: got.append(cache.acquire("slow", slow).value)) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert begun.wait(10)
    assert cache.acquire("quick", Thing).value and not got
    finish.set()
    for thread in threads:
        thread.join(10)
    assert len(got) == 3 and len(set(map(id, got))) == 1 and Thing.alive == 2


def test_a_value_that_cannot_be_made_is_tried_anew() -> None:
    cache: SessionCache[str, Thing] = SessionCache(60, 1000)

    def fail() -> Thing:
        raise ValueError("not today")

    for _ in range(2):
        with pytest.raises(ValueError, match="not today"):
            cache.acquire("x", fail)
    assert len(cache) == 0 and cache.acquire("x", Thing).value


def test_what_is_forgotten_closes_when_its_last_holder_lets_go() -> None:
    cache: SessionCache[str, Thing] = SessionCache(60, 1000)
    a, b = cache.acquire("x", Thing), cache.acquire("x", Thing)
    cache.forget("x", Thing())  # another value: a sound one has taken the place of the broken one already
    assert cache.acquire("x", Thing).value is a.value
    Thing.alive = 1
    cache.forget("x", a.value)
    other = cache.acquire("x", Thing)
    assert other.value is not a.value and Thing.alive == 2
    a.release()
    assert Thing.alive == 2  # b and the third holder have it
    b.release()
    assert Thing.alive == 2


def test_a_lease_is_given_again_and_abandoned() -> None:
    cache: SessionCache[str, Thing] = SessionCache(60, 1000)
    lease = cache.acquire("x", Thing)
    second = lease.again()
    cache.forget("x", lease.value)
    assert lease.forgotten and second.value is lease.value
    lease.abandon()
    cache.clear()  # what was abandoned is given back before anything is counted
    assert Thing.alive == 1
    second.abandon()
    deadline = time.monotonic() + 10
    while Thing.alive and time.monotonic() < deadline:
        time.sleep(0.01)
    assert Thing.alive == 0


def test_what_is_forgotten_is_waited_for() -> None:
    cache: SessionCache[str, Thing] = SessionCache(60, 1000)
    assert not cache.wait_for_forgotten(60)  # there is none
    lease = cache.acquire("x", Thing)
    cache.forget("x")
    assert not cache.wait_for_forgotten(0.05)
    threading.Timer(0.05, lease.release).start()
    assert cache.wait_for_forgotten(60) and Thing.alive == 0


def test_what_fails_while_it_is_forgotten_is_not_waited_for() -> None:
    cache: SessionCache[str, Thing] = SessionCache(60, 1000)

    def fail() -> Thing:
        cache.forget("x")
        raise ValueError("not today")

    with pytest.raises(ValueError, match="not today"):
        cache.acquire("x", fail)
    begin = time.monotonic()
    assert not cache.wait_for_forgotten(20) and time.monotonic() - begin < 10
