"""Making and closing engines on a GPU that resists: nothing hangs, leaks or hides its reason."""

from __future__ import annotations

import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import fakegpu
import onnxruntime as ort
import pytest
from cuda_cases import broken, check_engine, in_time, key_of

from vs_gansr.engine.auto import providers
from vs_gansr.engine.base import CPU, CUDA
from vs_gansr.engine.cuda.driver import Cuda
from vs_gansr.engine.cuda.engine import CudaEngine
from vs_gansr.engine.cuda.options import CudaOptions
from vs_gansr.engine.cuda.stream import CudaStream
from vs_gansr.errors import ArgumentError, GansrError, RenderError, ShortageError
from vs_gansr.model.spec import Model

pytestmark = pytest.mark.skipif(fakegpu.missing() is not None, reason=str(fakegpu.missing()))


# ---- what sessions are made with ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("precision", "tf32", "told"), [("fp16", None, "1"), ("fp32", None, "0"), ("fp16", False, "0"), ("fp32", True, "1")]
)
def test_half_precision_may_use_tensor_cores(
    machine: fakegpu.StandIn, small: Model, precision: str, tf32: bool | None, told: str
) -> None:
    """ONNX Runtime bars every algorithm on tensor cores where TF32 is off, whatever the precision."""
    CudaEngine(small, key_of(small, precision, 1, tf32=tf32)).close()
    assert [options["use_tf32"] for _, options in machine.made] == [told]


@pytest.mark.parametrize("planned", [False, True])
def test_memory_is_not_planned_twice(machine: fakegpu.StandIn, small: Model, planned: bool) -> None:
    CudaEngine(small, key_of(small, streams=1, plan_memory=planned)).close()
    assert [settings.enable_mem_pattern for settings, _ in machine.made] == [planned]


@pytest.mark.parametrize(("version", "graph"), [("1.30.2", "0"), ("1.31.0", "1"), ("2.0.0", "1")])
def test_an_older_runtime_captures_no_graphs(
    machine: fakegpu.StandIn,
    small: Model,
    version: str,
    graph: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(ort, "__version__", version)
    engine = CudaEngine(small, key_of(small, streams=1))
    engine.close()
    assert [options["enable_cuda_graph"] for _, options in machine.made] == [graph]
    assert engine.options.graph == (graph == "1") == ("too old for CUDA graphs" not in caplog.text)


def test_bias_is_fused_in_channels_last_only() -> None:
    with pytest.raises(ArgumentError, match="fuse_bias needs nhwc"):
        CudaOptions(fuse_bias=True, nhwc=False)
    tries = CudaOptions(fuse_bias=True).simpler()
    assert [(s.nhwc, s.fuse_bias) for s in tries] == [(True, True), (True, True), (False, False), (False, False)]


# ---- starting and ending -----------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RenderError("CUDA driver: no"), OSError("no"), SystemExit("no")])
def test_a_device_that_cannot_be_made_current_is_told(
    machine: fakegpu.StandIn, small: Model, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine.gpu, "current", broken(error))
    with pytest.raises(type(error), match="no"):
        in_time(lambda: CudaEngine(small, key_of(small)))


@pytest.mark.parametrize("error", [RenderError("not now"), OSError("not now")])
@pytest.mark.parametrize("name", ["close_stream", "free", "free_host"])
def test_what_cannot_be_closed_neither_hangs_nor_hides_the_reason(
    machine: fakegpu.StandIn, small: Model, name: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine.gpu, name, broken(error))
    machine.refuse = lambda options: "the network is odd"
    with pytest.raises(GansrError, match="the network is odd"):
        in_time(lambda: CudaEngine(small, key_of(small)))
    machine.refuse = lambda options: None
    engine = in_time(lambda: CudaEngine(small, key_of(small)))
    check_engine(engine, small)
    in_time(engine.close)
    assert not machine.sessions  # one thing that cannot be given back keeps no other


def test_buffers_come_back_though_a_stream_ends_badly(
    machine: fakegpu.StandIn, small: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = machine.live()
    engine = CudaEngine(small, key_of(small))
    close = CudaStream.close

    def closed(stream: CudaStream) -> None:
        close(stream)
        raise RuntimeError("not in the plan")

    monkeypatch.setattr(CudaStream, "close", closed)
    in_time(engine.close)
    assert machine.live() == before


def test_failed_sessions_are_gone_before_the_next_is_made(machine: fakegpu.StandIn, small: Model) -> None:
    """Tracebacks would hold them, and the memory that the next try needs."""
    gc.disable()
    try:
        alive: list[int] = []
        machine.refuse = lambda options: alive.append(len(machine.sessions))  # type: ignore[func-returns-value]
        machine.fault = lambda session: "a capture that fails"
        before = machine.live()
        with pytest.raises(RenderError, match="a capture that fails"):
            CudaEngine(small, key_of(small))
        assert alive == [0, 0, 0, 0] and not machine.sessions
        assert machine.live() == before
    finally:
        gc.enable()


def test_a_second_stream_that_fails_leaves_the_first(
    machine: fakegpu.StandIn, small: Model, caplog: pytest.LogCaptureFixture
) -> None:
    before = machine.live()
    first = CudaEngine(small, key_of(small, streams=1, spare=0))
    one = machine.live() - before
    first.close()
    for room in range(one, one + 4):  # enough for one stream and its buffers, not for two
        machine.room(room)
        engine = CudaEngine(small, key_of(small, streams=2, spare=0))
        machine.room(-1)
        assert "1 of 2 streams run: " in caplog.text and len(machine.sessions) == 1
        check_engine(engine, small)
        engine.close()
        assert machine.live() == before and not machine.sessions
        caplog.clear()


def test_whatever_is_short_is_given_back(machine: fakegpu.StandIn, small: Model) -> None:
    before = machine.live()
    CudaEngine(small, key_of(small)).close()
    for room in range(10):
        machine.room(room)
        with pytest.raises(ShortageError, match="out of memory"):
            in_time(lambda: CudaEngine(small, key_of(small, streams=1)))
        machine.room(-1)
        assert machine.live() == before and not machine.sessions


# ---- the gate ----------------------------------------------------------------------------------------------


def test_nobody_touches_the_gpu_while_a_graph_is_captured(
    machine: fakegpu.StandIn, small: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In CUDA's global mode an allocation or a blocking copy of any thread spoils the capture (error 900)."""
    capturing: set[int] = set()
    trespasses: list[str] = []
    runs: dict[int, int] = {}

    def watch(name: str) -> None:
        original = getattr(machine.gpu, name)

        def watched(*arguments: Any) -> Any:
            if capturing - {threading.get_ident()}:
                trespasses.append(name)
            return original(*arguments)

        monkeypatch.setattr(machine.gpu, name, watched)

    def slow_capture(session: fakegpu.CpuSession) -> None:
        runs[id(session)] = runs.get(id(session), 0) + 1
        if capturing:
            trespasses.append("run")
        if runs[id(session)] <= 2:
            capturing.add(threading.get_ident())
            time.sleep(0.02)
            capturing.clear()

    calls = ("_call", "_made", "allocate_host", "free_host", "upload", "download", "wait")
    for name in calls:
        watch(name)
    # pushing and popping contexts is allowed at any time: only what passes these counts
    machine.fault = slow_capture  # type: ignore[assignment]
    allowed = {"cuCtxPushCurrent_v2", "cuCtxPopCurrent_v2"}
    for name in ("_call", "_made"):
        original = getattr(Cuda, name)

        def told(call: str, *arguments: Any, original: Any = original) -> Any:
            if call not in allowed and capturing - {threading.get_ident()}:
                trespasses.append(call)
            return original(machine.gpu, call, *arguments)

        monkeypatch.setattr(machine.gpu, name, told)

    def life(_: int) -> None:
        engine = CudaEngine(small, key_of(small, streams=2))
        check_engine(engine, small)
        machine.gpu.memory()
        engine.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(life, range(12)))
    assert not trespasses


# ---- the trial ---------------------------------------------------------------------------------------------


def test_a_provider_is_tried_with_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions can be made on GPUs that have no kernels for them."""
    monkeypatch.setattr(providers.cuda_libraries, "trouble", lambda device_id: None)
    given: list[dict[str, str]] = []

    class Session:
        def get_providers(self) -> list[str]:
            return [CUDA, CPU]

        def run(self, *_: Any) -> None:
            raise RuntimeError("CUDA failure 209: no kernel image is available for execution on the device")

    def create(data: bytes, settings: Any, provider: str, device_id: int, chosen: dict[str, str]) -> Session:
        given.append(chosen)
        return Session()

    monkeypatch.setattr(providers, "create", create)
    providers.tried.cache_clear()
    try:
        reason = providers.trouble(CUDA, 0) or ""
        assert "no kernel image" in reason and "Turing" in reason and "driver 580" in reason
        assert providers.pick("auto", 0)[0] == CPU
        assert given[0]["use_tf32"] == "1"  # as pictures in half precision are computed
    finally:
        providers.tried.cache_clear()
