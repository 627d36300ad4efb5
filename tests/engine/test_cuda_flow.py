"""The CUDA way with ordinary memory and the CPU provider standing in: same graph, same threads, same buffers."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path

import networks
import numpy as np
import onnxruntime as ort
import pytest
from vs_gansr.engine.flow import Flow, Gate, Layout, Shape
from vs_gansr.engine.graphflow import FlowKey

from vs_gansr.colour.conversion import Side
from vs_gansr.engine import cuda_driver, flow, graphcolour, graphflow, probe, providers, session
from vs_gansr.engine.cuda_driver import Host, Switches
from vs_gansr.errors import GansrError, ModelError, ProviderError, RenderError
from vs_gansr.model import library
from vs_gansr.model.spec import Model, SizeRule

YUV420P10 = Side(3, False, 10, 1, 1, matrix=1)
SHAPE = Shape(YUV420P10, YUV420P10, 32, 16, 2)


def frames(count: int, shape: Shape = SHAPE, seed: int = 0) -> list[list[np.ndarray]]:
    """Planes with rows further apart than they are long, as VapourSynth has them."""
    rng = np.random.default_rng(seed)
    side = shape.source
    return [
        [
            rng.integers(0, side.peak + 1, (rows, columns + 16)).astype(side.dtype)[:, :columns]
            for rows, columns in (side.shape(i, shape.width, shape.height) for i in range(side.planes))
        ]
        for _ in range(count)
    ]


def blank(shape: Shape = SHAPE) -> list[np.ndarray]:
    side, size = shape.target, (shape.scale * shape.width, shape.scale * shape.height)
    return [np.full(side.shape(i, *size), 77, side.dtype) for i in range(side.planes)]


def key_of(loaded: Model, precision: str = "fp32", **switches: object) -> FlowKey:
    return FlowKey(loaded.spec.digest, providers.CPU, 0, precision, SHAPE, replace(Switches(), **switches))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = networks.compact(tmp_path_factory.mktemp("m") / "small.onnx", features=8, convs=3)
    return probe.describe(library.load(str(path)))


def wrapped(loaded: Model, precision: str = "fp32") -> bytes:
    made = graphflow.generator(loaded, precision)
    return graphcolour.wrap(made, YUV420P10, YUV420P10, 32, 16).SerializeToString()


def expected(loaded: Model, planes: list[np.ndarray], precision: str = "fp32") -> list[np.ndarray]:
    """The wrapped graph in a plain session, nothing bound."""
    plain = ort.InferenceSession(wrapped(loaded, precision), providers=["CPUExecutionProvider"])
    *result, _ = plain.run(None, {f"in{i}": np.ascontiguousarray(p)[None, None] for i, p in enumerate(planes)})
    return [plane[0, 0] for plane in result]


@pytest.mark.parametrize(("streams", "spare"), [(1, 0), (1, 2), (2, 0), (3, 2)])
def test_many_callers_get_their_own_frames(small: Model, streams: int, spare: int) -> None:
    made = graphflow.make(small, key_of(small, streams=streams, spare=spare))
    pictures = frames(12)
    want = [expected(small, planes) for planes in pictures]

    def one(i: int) -> bool:
        out = blank()
        assert made.run(pictures[i % 12], out)
        return all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(out, want[i % 12], strict=True))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(60)))
    made.close()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_precisions(small: Model, precision: str) -> None:
    made = graphflow.make(small, key_of(small, precision, streams=1))
    [planes], out = frames(1), blank()
    made.run(planes, out)
    for a, b in zip(out, expected(small, planes), strict=True):
        assert np.abs(a.astype(int) - b).max() <= (1 if precision == "fp32" else 8)
    made.close()


@pytest.mark.parametrize("name", [field.name for field in fields(Switches)])
def test_every_switch_alone_changes_no_pixel(small: Model, name: str) -> None:
    default = getattr(Switches(), name)
    other = {bool: lambda: not default, str: lambda: "EXHAUSTIVE", int: lambda: default + 1}[type(default)]()
    [planes], out = frames(1), blank()
    made = graphflow.make(small, key_of(small, **{name: other}))
    made.run(planes, out)
    for a, b in zip(out, expected(small, planes), strict=True):
        assert np.abs(a.astype(int) - b).max() <= 1
    made.close()


def test_switches_become_provider_options() -> None:
    options = Switches().provider_options(3, 4096, 1 << 30)
    assert options["device_id"] == "3" and options["user_compute_stream"] == "4096"
    assert options["gpu_mem_limit"] == str(1 << 30) and options["enable_cuda_graph"] == "1"
    plain = Switches().provider_options(0)
    assert not {"enable_cuda_graph", "user_compute_stream", "gpu_mem_limit"} & set(plain)
    assert plain == providers.options(providers.CUDA, 0)
    on_its_own = replace(Switches(), own_stream=False).provider_options(0, 0)
    assert on_its_own["enable_cuda_graph"] == "1" and "user_compute_stream" not in on_its_own
    told = {name: replace(Switches(), **{name: not getattr(Switches(), name)}).provider_options(0, 1)
            for name in ("graph", "nhwc", "tf32", "workspace", "fuse_bias")}  # fmt: skip
    base = Switches().provider_options(0, 1)
    assert all(sum(options[k] != base[k] for k in base) == 1 for options in told.values())


def test_layout_is_aligned_and_views_share_the_buffer() -> None:
    inputs, outputs = SHAPE.inputs(), SHAPE.outputs()
    assert [t[3] % flow.ALIGNMENT for t in (*inputs.tensors, *outputs.tensors)] == [0] * 7
    memory = np.zeros(outputs.size, np.uint8)
    views = outputs.views(memory)
    assert [v.shape for v in views] == [(32, 64), (16, 32), (16, 32), (1,)]
    for i, view in enumerate(views):
        view[...] = i + 1
    assert sum(int((memory == i + 1).any()) for i in range(3)) == 3
    assert Layout.of([]).size == 0


def test_a_failing_run_is_told_and_harms_nothing_after(small: Model) -> None:
    made = graphflow.make(small, key_of(small, streams=1, spare=0))
    original, failing = flow.Stream._run, threading.Event()

    def flaky(self: flow.Stream, slot: flow.Slot) -> None:
        if failing.is_set():
            raise RuntimeError("Failed to allocate memory for requested buffer of size 12345")
        original(self, slot)

    [planes] = frames(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow.Stream, "_run", flaky)
        failing.set()
        for _ in range(3):
            with pytest.raises(RenderError, match="size 12345"):
                made.run(planes, blank())
        failing.clear()
        assert made.run(planes, blank())
    made.close()


def test_wrong_planes_are_refused_and_the_buffer_comes_back(small: Model) -> None:
    made = graphflow.make(small, key_of(small, streams=1, spare=0))
    [planes] = frames(1)
    for bad in (planes[:2], [p.astype(np.uint8) for p in planes], [p[:-1] for p in planes]):
        with pytest.raises((TypeError, ValueError)):
            made.run(bad, blank())
    assert made.run(planes, blank())
    made.close()


def test_what_is_not_finite_is_told(tmp_path: Path) -> None:
    loaded = probe.describe(library.load(str(networks.point(tmp_path / "p.onnx", metadata={"scale": "2"}))))
    source, target = Side(2, True, 32), Side(2, False, 8)
    shape = Shape(source, target, 8, 8, 2)
    made = graphflow.make(loaded, FlowKey("x", providers.CPU, 0, "fp32", shape))
    planes = [np.full((8, 8), 0.5, np.float32) for _ in range(3)]
    assert made.run(planes, blank(shape))
    planes[1][2, 2] = np.nan
    assert not made.run(planes, blank(shape))
    made.close()


def test_threads_and_memory_go_with_the_flow(small: Model) -> None:
    graphflow.flows.clear()
    for thread in threading.enumerate():  # of other tests
        if thread.name == "gansr stream":
            thread.join(10)

    class Counting(Host):
        taken = 0

        def allocate_host(self, size: int, pinned: bool) -> cuda_driver.Bytes:
            self.taken += 1
            return super().allocate_host(size, pinned)

        def free_host(self, memory: cuda_driver.Bytes) -> None:
            self.taken -= 1

    def streams_left() -> int:
        return sum(thread.name == "gansr stream" for thread in threading.enumerate())

    place = Counting()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graphflow, "Host", lambda: place)
        made = graphflow.make(small, key_of(small, streams=3))
    assert (streams_left(), place.taken, len(place._memory)) == (3, 2 * 5, 2 * 3)
    made.run(frames(1)[0], blank())
    del made  # nobody calls close
    gc.collect()
    deadline = time.monotonic() + 10
    while (streams_left() or place.taken) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (streams_left(), place.taken, len(place._memory)) == (0, 0, 0)


def test_a_stream_that_cannot_be_made_leaves_nothing(small: Model) -> None:
    calls = []

    def make(switches: Switches, stream: int) -> ort.InferenceSession:
        calls.append(switches)
        raise ModelError("no such network")

    place = Host()
    with pytest.raises(ModelError, match="no such network"):
        Flow(place, SHAPE, Switches(), make)
    assert len(calls) == 1 and not place._memory  # the CPU has no CUDA graph to try without


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
def test_simpler_switches_where_a_network_resists(
    resists: Callable[[Switches], bool],
    tried: list[tuple[bool, bool]],
    lost: str,
    small: Model,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The device says it is CUDA's, the session is the CPU's; it fails as a refused capture or layout does."""
    place, seen = Host(), []
    data = wrapped(small)

    def make(switches: Switches, stream: int) -> ort.InferenceSession:
        seen.append((switches.graph, switches.nhwc))
        place.name = "cuda" if resists(switches) else "cpu"
        if resists(switches):
            raise ModelError("This session cannot use the feature")
        return ort.InferenceSession(data, providers=["CPUExecutionProvider"])

    place.name = "cuda"
    made = Flow(place, SHAPE, Switches(), make)
    assert seen == tried and (made.switches.graph, made.switches.nhwc) == tried[-1]
    assert f"without {lost}: This session cannot use" in caplog.text
    assert made.run(frames(1)[0], blank())
    made.close()
    assert not place._memory


def test_a_network_that_always_fails_tells_the_first_reason() -> None:
    place, reasons = Host(), iter(range(9))
    place.name = "cuda"

    def make(switches: Switches, stream: int) -> ort.InferenceSession:
        raise ModelError(f"reason {next(reasons)}")

    with pytest.raises(ModelError, match="reason 0"):
        Flow(place, SHAPE, Switches(), make)
    assert next(reasons) == 4 and not place._memory


def test_flows_are_shared_by_content_and_kept_for_a_while(small: Model) -> None:
    a, b = graphflow.acquire(small, key_of(small)), graphflow.acquire(small, key_of(small))
    other = graphflow.acquire(small, key_of(small, "fp16"))
    assert a.value is b.value and other.value is not a.value
    kept = a.value
    for lease in (a, b, other):
        lease.release()
    again = graphflow.acquire(small, key_of(small))
    assert again.value is kept
    again.release()
    del a, b, again, other, lease
    graphflow.flows.clear()
    assert len(graphflow.flows) == 0
    assert session.KEEP_SECONDS > 0


def test_models_that_cannot_take_this_way_say_why(tmp_path: Path, small: Model) -> None:
    assert graphflow.obstacle(small, SHAPE) is None
    fixed = replace(small, spec=replace(small.spec, size_rule=SizeRule(fixed=(8, 8))))
    assert "one size" in (graphflow.obstacle(fixed, SHAPE) or "")
    ictcp = replace(SHAPE, source=replace(YUV420P10, matrix=14))
    assert "ICtCp" in (graphflow.obstacle(small, ictcp) or "")


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


def test_stdout_comes_back_however_threads_overlap() -> None:
    before = sys.stdout

    def visit(n: int) -> None:
        with providers.quietly():
            assert sys.stdout is sys.stderr
            time.sleep(0.001 * (n % 3))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(visit, range(60)))
    assert sys.stdout is before


def test_a_machine_without_a_driver_is_told() -> None:
    with pytest.raises(ProviderError, match="no NVIDIA driver"):
        cuda_driver.Cuda(library="libcuda-that-is-not-there.so.1")
    assert issubclass(ProviderError, GansrError)
