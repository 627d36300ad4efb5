"""The CUDA engine with ordinary memory and the CPU provider standing in: same graph, same threads, same buffers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import cuda_cases
import networks
import numpy as np
import onnxruntime as ort
import pytest
from cuda_cases import blank, check, check_engine, expected, in_time, picture

from vs_gansr.engine import probe
from vs_gansr.engine.auto import providers
from vs_gansr.engine.base import CPU, EngineKey
from vs_gansr.engine.cuda import driver as cuda_driver
from vs_gansr.engine.cuda import engine as cuda_engine
from vs_gansr.engine.cuda import stream as cuda_stream
from vs_gansr.engine.cuda.driver import Host
from vs_gansr.engine.cuda.engine import CudaEngine
from vs_gansr.engine.cuda.gate import Gate
from vs_gansr.engine.cuda.options import CudaOptions
from vs_gansr.engine.cuda.stream import Transfers
from vs_gansr.errors import GansrError, ModelError, NotFiniteError, ProviderError, RenderError, ShortageError
from vs_gansr.model import library
from vs_gansr.model.spec import Model

key_of = partial(cuda_cases.key_of, provider=CPU)


def streams_left() -> int:
    return sum(thread.name == "gansr stream" for thread in threading.enumerate())


class Place(Host):
    """Ordinary memory that counts what is taken of it."""

    def __init__(self) -> None:
        super().__init__()
        self.pinned = 0

    def allocate_host(self, size: int, pinned: bool) -> cuda_driver.Bytes:
        self.pinned += 1
        return super().allocate_host(size, pinned)

    def free_host(self, memory: cuda_driver.Bytes) -> None:
        self.pinned -= 1

    def taken(self) -> int:
        """Blocks of both kinds that nobody gave back."""
        return self.pinned + len(self._memory)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Place:
    """Where all engines of the test compute."""
    made = Place()
    monkeypatch.setattr(cuda_engine, "Host", lambda: made)
    return made


def test_three_aligned_frames_of_luma(place: Place, tmp_path: Path) -> None:
    """Three planes in, one out."""
    model = probe.describe(library.load(str(networks.aligned_compact(tmp_path / "m.onnx"))))
    engine = CudaEngine(model, key_of(model))
    out = blank()[:1]
    engine.run(picture(), out)
    check(out, expected(model, picture()))
    engine.close()


@pytest.mark.parametrize(("streams", "spare"), [(1, 0), (1, 2), (2, 0), (3, 2)])
def test_many_callers_get_their_own_frames(small: Model, streams: int, spare: int) -> None:
    engine = CudaEngine(small, key_of(small, streams=streams, spare=spare))
    pictures = [picture(seed) for seed in range(12)]
    want = [expected(small, planes) for planes in pictures]

    def one(i: int) -> None:
        out = blank()
        engine.run(pictures[i % 12], out)
        check(out, want[i % 12])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(60)))
    engine.close()


def test_part_of_a_picture_is_taken_where_it_is_asked_for(small: Model) -> None:
    engine = CudaEngine(small, key_of(small, streams=1))
    planes = picture(0)
    part = [np.zeros((10, 20), np.float32) for _ in range(3)]
    engine.run(planes, part, (3, 5))
    check(part, [plane[10:20, 6:26] for plane in expected(small, planes)])
    engine.close()


@pytest.mark.parametrize(("precision", "most"), [("fp32", 1e-5), ("fp16", 0.02)])
def test_precisions(small: Model, precision: str, most: float) -> None:
    engine = CudaEngine(small, key_of(small, precision, streams=1))
    check_engine(engine, small, most)
    engine.close()


@pytest.mark.parametrize("name", [field.name for field in fields(CudaOptions)])
def test_every_option_alone_changes_no_pixel(small: Model, name: str) -> None:
    default = getattr(CudaOptions(), name)
    others: dict[type, Any] = {bool: default is False, str: "EXHAUSTIVE", int: 3, type(None): True}
    engine = CudaEngine(small, key_of(small, **{name: others[type(default)]}))
    check_engine(engine, small)
    engine.close()


def test_transfers_are_aligned_and_a_slot_views_its_buffers(small: Model) -> None:
    transfers = Transfers(small.spec, replace(key_of(small), width=33, height=7))
    into, out = transfers.sizes()
    assert [size % cuda_stream.ALIGNMENT for size in (into, out, transfers.watch)] == [0, 0, 0]
    assert transfers.bytes() == into + out and into >= 4 * 3 * 33 * 7 and transfers.watch >= 4 * 3 * 66 * 14
    slot = cuda_stream.Slot(Host(), transfers, True)
    assert [plane.shape for plane in (*slot.inputs, *slot.outputs)] == [(7, 33)] * 3 + [(14, 66)] * 3
    slot.outputs[2][...], slot.watch[0] = 1, np.nan
    floats = slot.download.view(np.float32)
    assert (floats == 1).sum() == 14 * 66 and np.isnan(floats).sum() == 1


class Faulty:
    """A session that fails while `fault` holds a message."""

    def __init__(self, real: ort.InferenceSession, fault: list[str]) -> None:
        self.real = real
        self.fault = fault

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def run_with_iobinding(self, *arguments: Any) -> None:
        if self.fault:
            raise RuntimeError(self.fault[0])
        self.real.run_with_iobinding(*arguments)


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the sessions of all engines fail with; empty: they do not."""
    messages: list[str] = []
    original = cuda_engine.session_maker

    def maker(model: Model, key: EngineKey) -> cuda_engine.MakeSession:
        make = original(model, key)
        return lambda options, stream: Faulty(make(options, stream), messages)

    monkeypatch.setattr(cuda_engine, "session_maker", maker)
    return messages


def test_a_failing_run_is_told_and_harms_nothing_after(small: Model, fault: list[str]) -> None:
    engine = CudaEngine(small, key_of(small, streams=1, spare=0))
    planes, out = picture(0), blank()
    for message, kind in (("the bus fell off", RenderError), ("Failed to allocate memory of size 12", ShortageError)):
        fault[:] = [message]
        for _ in range(3):
            with pytest.raises(kind, match=message):
                engine.run(planes, out)
    fault.clear()
    engine.run(planes, out)
    check(out, expected(small, planes))
    engine.close()


def test_wrong_planes_are_refused_and_the_buffer_comes_back(small: Model) -> None:
    engine = CudaEngine(small, key_of(small, streams=1, spare=0))
    planes, out = picture(0), blank()
    for bad in (planes[:2], [p.astype(complex) for p in planes], [p[:-1] for p in planes]):
        with pytest.raises((TypeError, ValueError)):
            engine.run(bad, out)
    engine.run(planes, out)
    check(out, expected(small, planes))
    engine.close()


def test_what_is_not_finite_is_told(tmp_path: Path) -> None:
    loaded = probe.describe(library.load(str(networks.point(tmp_path / "p.onnx", metadata={"scale": "2"}))))
    engine = CudaEngine(loaded, key_of(loaded))
    planes, out = picture(0), blank()
    engine.run(planes, out)
    planes[1][2, 2] = np.nan
    with pytest.raises(NotFiniteError):
        engine.run(planes, out)
    engine.close()


def test_threads_and_memory_go_with_the_engine(small: Model, place: Place) -> None:
    engine = CudaEngine(small, key_of(small, streams=3))
    assert (streams_left(), place.pinned, len(place._memory)) == (3, 2 * 5, 2 * 3)
    engine.run(picture(0), blank())
    del engine  # nobody calls close
    deadline = time.monotonic() + 10
    while (streams_left() or place.taken()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (streams_left(), place.taken()) == (0, 0)


def test_a_stream_that_cannot_be_made_leaves_nothing(
    small: Model, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def make(options: CudaOptions, stream: int) -> ort.InferenceSession:
        calls.append(options)
        raise ModelError("no such network")

    monkeypatch.setattr(cuda_engine, "session_maker", lambda model, key: make)
    with pytest.raises(ModelError, match="no such network"):
        CudaEngine(small, key_of(small))
    assert len(calls) == 1 and not place.taken()  # the CPU has no CUDA graph to try without


@pytest.mark.parametrize(
    ("resists", "tried", "lost"),
    [
        (lambda s: s.graph, [(True, True), (False, True), (False, True)], "graph"),
        (lambda s: s.nhwc, [(True, True), (False, True), (True, False), (True, False)], "nhwc"),
        (
            lambda s: s.graph or s.nhwc,
            [(True, True), (False, True), (True, False), (False, False), (False, False)],
            "graph and nhwc",
        ),
    ],
    ids=["graph", "nhwc", "both"],
)
def test_simpler_options_where_a_network_resists(
    resists: Callable[[CudaOptions], bool],
    tried: list[tuple[bool, bool]],
    lost: str,
    small: Model,
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The device says it is CUDA's, the session is the CPU's; it fails as a refused capture or layout does."""
    seen = []
    plain = cuda_engine.session_maker(small, key_of(small))

    def make(options: CudaOptions, stream: int) -> ort.InferenceSession:
        seen.append((options.graph, options.nhwc))
        place.name = "cuda" if resists(options) else "cpu"
        if resists(options):
            raise ModelError("This session cannot use the feature")
        return plain(options, stream)

    place.name = "cuda"
    monkeypatch.setattr(cuda_engine, "session_maker", lambda model, key: make)
    engine = CudaEngine(small, key_of(small))
    assert seen == tried and (engine.options.graph, engine.options.nhwc) == tried[-1]
    assert f"without {lost}: This session cannot use" in caplog.text
    check_engine(engine, small)
    engine.close()
    assert not place.taken()


def test_a_network_that_always_fails_tells_the_first_reason(
    small: Model, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons = iter(range(9))
    place.name = "cuda"

    def make(options: CudaOptions, stream: int) -> ort.InferenceSession:
        raise ModelError(f"reason {next(reasons)}")

    monkeypatch.setattr(cuda_engine, "session_maker", lambda model, key: make)
    with pytest.raises(ModelError, match="reason 0"):
        CudaEngine(small, key_of(small))
    assert next(reasons) == 4 and not place.taken()


def test_gate_lets_many_in_or_one_alone() -> None:
    gate, inside, most, lone = Gate(), 0, 0, 0
    lock = threading.Lock()

    def visit(n: int) -> None:
        nonlocal inside, most, lone
        with gate.alone() if n % 5 == 0 else gate.shared():
            with lock:
                inside += 1
                most = max(most, inside)
                if n % 5 == 0:
                    lone += 1
                    assert inside == 1
            time.sleep(0.002)
            with lock:
                inside -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(visit, range(100)))
    assert lone == 20 and most > 1


def test_who_is_inside_the_gate_may_pass_again() -> None:
    """Also while another waits to be alone, who would wait for ever otherwise."""
    gate, waiting = Gate(), threading.Event()

    def alone() -> None:
        waiting.set()
        with gate.alone():
            pass

    def twice() -> None:
        with gate.shared():
            other.start()
            assert waiting.wait(10)
            time.sleep(0.05)
            with gate.shared():
                pass

    other = threading.Thread(target=alone, daemon=True)
    in_time(twice, 10)
    in_time(other.join, 10)


def test_options_become_the_providers() -> None:
    options = CudaOptions().provider_options(3, "fp16", 4096, 1 << 30)
    assert options["device_id"] == "3" and options["user_compute_stream"] == "4096"
    assert options["gpu_mem_limit"] == str(1 << 30) and options["enable_cuda_graph"] == "1"
    plain = CudaOptions().provider_options(0, "fp32")
    assert not {"enable_cuda_graph", "user_compute_stream", "gpu_mem_limit"} & set(plain)
    assert plain == providers.options(providers.CUDA, 0)
    on_its_own = CudaOptions(own_stream=False).provider_options(0, "fp32", 0)
    assert on_its_own["enable_cuda_graph"] == "1" and "user_compute_stream" not in on_its_own
    base = CudaOptions().provider_options(0, "fp32", 1)
    for name in ("graph", "nhwc", "tf32", "workspace", "fuse_bias"):
        told = replace(CudaOptions(), **{name: not getattr(CudaOptions(), name)}).provider_options(0, "fp32", 1)
        assert sum(told[k] != base[k] for k in base) == 1


def test_a_machine_without_a_driver_is_told() -> None:
    with pytest.raises(ProviderError, match="no NVIDIA driver"):
        cuda_driver.Cuda(library="libcuda-that-is-not-there.so.1")
    assert issubclass(ProviderError, GansrError)
