"""Engines that several pictures and clips hold at once, on a GPU that the CPU stands in for: none is kept in vain, made
twice or taken from others, and a shortage costs no picture."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from functools import partial
from typing import Any

import fakegpu
import numpy as np
import pytest
from cuda_cases import HEIGHT, WIDTH, blank, check, expected, in_background, in_time, key_of, picture, recovering
from faulty_gpu import FaultyGpu

from vs_gansr.engine import engines
from vs_gansr.engine.base import Choice, Engine, EngineKey
from vs_gansr.engine.onnxruntime.provider import CPU
from vs_gansr.engine.session_cache import Lease
from vs_gansr.engine.tiled import recovery
from vs_gansr.errors import NotFiniteError, RenderError, ShortageError
from vs_gansr.model.spec import Model

pytestmark = pytest.mark.skipif(fakegpu.missing() is not None, reason=str(fakegpu.missing()))


def test_a_shortage_waits_for_the_pictures_on_the_way(machine: fakegpu.StandIn, small: Model) -> None:
    """Their engine goes with the last of them, and with it the memory: tiles stay as large as they were."""
    said: list[str] = []
    network = recovering(small, key_of(small, machine), said)
    network.prepare(WIDTH, HEIGHT)
    machine.room(0)  # no second engine beside the first
    started, finish = threading.Event(), threading.Event()
    calls = iter(range(100))

    def fault(session: Any) -> str | None:
        call = next(calls)
        if call == 0:
            started.set()
            assert finish.wait(20)
        return "CUDA failure 2: out of memory" if call in (1, 2) else None

    machine.fault = fault
    outs = [blank(), blank()]
    slow = in_background(lambda: network.render(0, picture(0), outs[0]))
    assert started.wait(10)
    short = in_background(lambda: network.render(1, picture(1), outs[1]))
    time.sleep(0.3)
    finish.set()
    for thread in (slow, short):
        in_time(thread.join, 20)
    for n, out in enumerate(outs):
        check(out, expected(small, picture(n)))
    assert not said and len(network.planner.layout(WIDTH, HEIGHT).tiles) == 1
    assert len(machine.sessions) == 2


def test_an_engine_is_not_made_anew_while_it_is_lent(
    machine: fakegpu.StandIn, small: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another picture may drop it as soon as this one has it."""
    network = recovering(small, key_of(small, machine), [])
    network.prepare(WIDTH, HEIGHT)
    [key] = engines.engines
    kept = network._leases[key]
    again = kept.again

    def and_dropped() -> Lease[Engine]:
        lease = again()
        network._drop(key, lease.value)
        return lease

    monkeypatch.setattr(kept, "again", and_dropped)
    made = len(machine.made)
    with network._engine(network.planner, key) as engine:
        out = blank()
        engine.run(picture(), out)
        check(out, expected(small, picture()))
    assert len(machine.made) == made and not machine.sessions and len(engines.engines) == 0


def test_one_that_could_not_be_made_costs_nobody_else_theirs(machine: fakegpu.StandIn, small: Model) -> None:
    network = recovering(small, key_of(small, machine), [])
    network.prepare(WIDTH, HEIGHT)
    [key] = engines.engines
    network._drop(key, None)  # as after a shortage while it was made
    assert list(engines.engines) == [key] and len(engines.engines.values(held=True)) == 1


def test_what_was_given_up_is_not_held_by_a_picture_that_came_late(machine: fakegpu.StandIn, small: Model) -> None:
    said: list[str] = []
    processor = Choice(small, replace(key_of(small, machine), provider=CPU, options=None, width=0, height=0))
    network = recovering(small, key_of(small, machine), said, lambda: processor)
    begun, finish = threading.Event(), threading.Event()

    def slow(options: dict[str, str]) -> None:
        begun.set()
        assert finish.wait(10)

    machine.refuse = slow
    out = blank()
    late = in_background(lambda: network.render(0, picture(), out))
    assert begun.wait(10)
    network._next(network.planner, RenderError("CUDA is beyond help"))
    finish.set()
    in_time(late.join, 20)
    check(out, expected(small, picture()))
    assert [engine.key.provider for engine in engines.engines.values(held=True)] == []
    network.render(1, picture(1), out)
    assert [engine.key.provider for engine in engines.engines.values(held=True)] == [CPU]


class Overflowing(FaultyGpu):
    """A GPU whose half floats overflow while `overflowing`."""

    overflowing = True

    def make(self, model: Model, key: EngineKey) -> Engine:
        made = super().make(model, key)
        run = made.run

        def spoilt(*arguments: Any) -> None:
            if self.overflowing and key.precision == "fp16":
                raise NotFiniteError("not finite")
            run(*arguments)

        made.run = spoilt  # type: ignore[method-assign]
        return made


def test_half_precision_that_was_given_up_is_not_held(small: Model) -> None:
    gpu = Overflowing()
    network = recovering(small, key_of(small, gpu, "fp16", options=None), [])

    def held() -> list[str]:
        return sorted(engine.key.precision for engine in engines.engines.values(held=True))

    network.render(0, picture(), blank())
    gpu.overflowing = False
    network.render(1, picture(), blank())
    assert held() == ["fp16"]  # the other may be wanted again, or yields
    gpu.overflowing = True
    for n in range(2, 2 + recovery.OVERFLOWS):
        network.render(n, picture(), blank())
    assert held() == ["fp32"]


def test_shortages_of_many_pictures_lose_none(machine: fakegpu.StandIn, small: Model) -> None:
    """Faults of every kind, on many threads: every picture is computed, and all is given back."""
    live = machine.live()
    said: list[str] = []
    rng = np.random.default_rng(0)
    lock = threading.Lock()
    words = ["CUDA failure 2: out of memory", "the bus fell off", None, None, None, None, None, None]

    def fault(session: Any) -> str | None:
        with lock:
            return words[int(rng.integers(len(words)))]

    network = recovering(small, key_of(small, machine), said)
    machine.fault = fault
    failures: list[BaseException] = []

    def many(first: int) -> None:
        try:
            for n in range(first, first + 12):
                out = blank()
                network.render(n, picture(n), out)
                check(out, expected(small, picture(n)))
        except BaseException as error:
            failures.append(error)

    threads = [in_background(partial(many, first)) for first in range(0, 60, 12)]
    for thread in threads:
        in_time(thread.join, 60)
    assert not [f for f in failures if not isinstance(f, ShortageError)], failures
    machine.fault = lambda session: None
    recovery.abandon_all(network._leases)
    engines.engines.clear()
    assert machine.live() == live and not machine.sessions
