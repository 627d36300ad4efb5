"""What may happen at once on a GPU, the CPU computing in its place: nobody waits for ever, keeps what it need not, or
is taken for another."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import fakegpu
import pytest
from cuda_cases import HEIGHT, WIDTH, blank, broken, in_background, in_time, key_of, picture, recovering

from vs_gansr.engine import engines
from vs_gansr.engine.auto import providers
from vs_gansr.engine.base import CPU, CUDA
from vs_gansr.engine.cuda.engine import CudaEngine
from vs_gansr.engine.cuda.gate import gate
from vs_gansr.engine.cuda.stream import CudaStream
from vs_gansr.engine.onnxruntime.engine import OnnxRuntimeEngine
from vs_gansr.engine.tiled import recovery
from vs_gansr.errors import DeviceLostError, RenderError
from vs_gansr.model.spec import Model

pytestmark = pytest.mark.skipif(fakegpu.missing() is not None, reason=str(fakegpu.missing()))

ELSEWHERE = "TensorrtExecutionProvider"  # any provider but the CPU and ours


# ---- who passes the gate -----------------------------------------------------------------------------------


def waits_at_the_gate(step: Callable[[], object], touched: list[str]) -> None:
    """The step touches no GPU while somebody is alone, and does so afterwards."""
    touched.clear()
    with gate.alone():
        thread = in_background(step)
        time.sleep(0.1)
        before = list(touched)
    in_time(thread.join, 20)
    assert not before and touched


@pytest.fixture
def touched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done with sessions that are not the CPU's; the CPU's stand in for them."""
    seen: list[str] = []

    class Session:
        def __init__(self, real: Any) -> None:
            self.real = real
            seen.append("made")

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

        def get_providers(self) -> list[str]:
            return [ELSEWHERE, CUDA, CPU]

        def run(self, *arguments: Any) -> Any:
            seen.append("run")
            return self.real.run(*arguments)

        def run_with_iobinding(self, *arguments: Any) -> None:
            seen.append("run")
            self.real.run_with_iobinding(*arguments)

        def __del__(self) -> None:
            seen.append("destroyed")

    create = providers.create
    monkeypatch.setattr(
        providers,
        "create",
        lambda data, settings, provider, device_id, chosen=None: Session(create(data, settings, CPU, 0)),
    )
    monkeypatch.setattr(providers, "options", lambda *_: {})
    return seen


def test_what_other_gpus_do_waits_for_captures(touched: list[str], small: Model) -> None:
    key = replace(key_of(small), provider=ELSEWHERE)
    made: list[OnnxRuntimeEngine] = []
    waits_at_the_gate(lambda: made.append(OnnxRuntimeEngine(small, key)), touched)
    waits_at_the_gate(lambda: made[0].run(picture(), blank()), touched)
    touched.clear()
    waits_at_the_gate(lambda: (made[0].close(), made.clear()), touched)
    assert "destroyed" in touched


def test_the_trial_waits_for_captures_to_its_end(touched: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its session's memory is freed while nobody captures, too."""
    monkeypatch.setattr(providers.cuda_libraries, "trouble", lambda device_id: None)
    inside: list[bool] = []
    monkeypatch.setattr(providers, "create", noting(providers.create, inside))
    providers.tried.cache_clear()
    try:
        waits_at_the_gate(lambda: providers.trouble(CUDA, 0), touched)
        assert touched == ["made", "run", "destroyed"] and inside == [True]
    finally:
        providers.tried.cache_clear()


def noting(create: Callable[..., Any], inside: list[bool]) -> Callable[..., Any]:
    """`create`, whose sessions say as they go whether their thread is inside the gate."""

    def made(*arguments: Any) -> Any:
        session = create(*arguments)

        class Last(type(session)):  # type: ignore[misc]
            def __del__(self) -> None:
                inside.append(threading.get_ident() in gate._inside)
                super().__del__()

        session.__class__ = Last
        return session

    return made


def test_what_is_let_go_by_garbage_collection_blocks_nobody(machine: fakegpu.StandIn, small: Model) -> None:
    """A clip may be collected in any thread, even inside the gate while another waits to be alone in there."""
    engines.engines.max_bytes, before = 0, engines.engines.max_bytes
    try:
        network = recovering(small, key_of(small), [])
        network.prepare(WIDTH, HEIGHT)
        waiting = threading.Event()

        def alone() -> None:
            waiting.set()
            with gate.alone():
                pass

        def collected() -> None:
            nonlocal network
            with gate.shared():
                thread = in_background(alone)
                assert waiting.wait(10)
                time.sleep(0.05)
                del network
                gc.collect()
            thread.join()

        in_time(collected, 20)
        deadline = time.monotonic() + 10
        while machine.sessions and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not machine.sessions  # closed soon after, all the same
    finally:
        engines.engines.max_bytes = before


# ---- starting, ending --------------------------------------------------------------------------------------


def test_a_stream_that_failed_is_gone_when_that_is_told(
    machine: fakegpu.StandIn, small: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it held is what the next try needs, however slowly it goes."""
    machine.refuse = lambda options: "the network is odd"
    left = threading.Event()
    original = threading.Thread.run

    def run(thread: threading.Thread) -> None:
        original(thread)
        if thread.name == "gansr stream":
            time.sleep(0.1)
            left.set()

    monkeypatch.setattr(threading.Thread, "run", run)
    with pytest.raises(Exception, match="odd"):
        CudaEngine(small, key_of(small, streams=1, graph=False, nhwc=False))
    assert left.is_set()


def test_whatever_a_stream_meets_its_caller_is_told(
    machine: fakegpu.StandIn, small: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = CudaEngine(small, key_of(small, streams=1))
    monkeypatch.setattr(CudaStream, "run", broken(SystemExit("nobody expects that")))
    with pytest.raises(RenderError, match="nobody expects that"):
        in_time(lambda: engine.run(picture(), blank()), 10)
    monkeypatch.undo()
    in_time(lambda: engine.run(picture(), blank()), 10)
    engine.close()


# ---- a device that is lost ---------------------------------------------------------------------------------


def test_a_loss_that_nobody_was_told_of_is_noticed_before_anything_is_destroyed(
    machine: fakegpu.StandIn, small: Model
) -> None:
    """Another plugin's kernel may have gone astray since our last picture."""
    engine = CudaEngine(small, key_of(small))
    machine.lose()
    engine.close()
    del engine
    gc.collect()
    assert len(machine.sessions) == 2 and "says 700" in machine.gpu.lost


@pytest.mark.parametrize(
    "step",
    [
        lambda gpu: gpu.memory(),
        lambda gpu: gpu.allocate_host(16, True),
        lambda gpu: gpu.allocate(16),
        lambda gpu: gpu.wait(1, False),
    ],
    ids=["memory", "allocate_host", "allocate", "wait"],
)
def test_any_call_of_the_driver_may_tell_of_a_loss(step: Callable[[Any], object], machine: fakegpu.StandIn) -> None:
    machine.lose(719)
    with pytest.raises(DeviceLostError, match="says 719"):
        step(machine.gpu)
    assert "says 719" in machine.gpu.lost


def test_a_lost_device_is_not_tried_again(
    machine: fakegpu.StandIn, small: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    network = recovering(small, key_of(small), said)
    network.prepare(WIDTH, HEIGHT)
    made = len(machine.made)
    machine.lose()
    monkeypatch.setattr(recovery.time, "sleep", broken(AssertionError("it waits for a device that is gone")))
    with pytest.raises(DeviceLostError):
        network.render(0, picture(), blank())
    assert len(machine.made) == made and not said
