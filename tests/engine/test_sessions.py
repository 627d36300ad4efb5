"""Sessions: real providers, precision, static shapes, and a cache that keeps and lets go."""

from __future__ import annotations

import contextlib
import gc
import io
import threading
import time
from pathlib import Path

import clips
import networks
import numpy as np
import onnx
import pytest
import vapoursynth as vs

from vs_gansr.engine import probe, providers, session
from vs_gansr.engine.session_cache import KeepAlive
from vs_gansr.model import library
from vs_gansr.model.spec import Model


@pytest.fixture
def clip() -> vs.VideoNode:
    return clips.noise(vs.YUV420P8, 64, 48, length=4, props={"_Matrix": 1})


def key(loaded: Model, width: int = 64, height: int = 48, **changes: object) -> session.EngineKey:
    values = {"provider": providers.CPU, "device_id": 0, "precision": "fp32", "streams": 1, "threads": 1} | changes
    return session.EngineKey(loaded.spec.digest, width=width, height=height, **values)


def test_engine_equals_a_bare_session(small_model: Path) -> None:
    import onnxruntime as ort

    loaded = probe.describe(library.load(str(small_model)))
    rng = np.random.default_rng(1)
    engine = session.Engine(loaded, key(loaded))
    bare = ort.InferenceSession(str(small_model), providers=[providers.CPU])
    for _ in range(3):
        x = rng.random((1, 3, 48, 64), np.float32)
        with engine.stream() as stream:
            stream.input[:] = x
            stream.run()
            assert engine.shuffle is not None
            want = bare.run(None, {"input": x})[0]
            got = np.empty_like(want)
            for i in range(3):
                engine.shuffle.write(stream.output[0], i, got[0, i])
            np.testing.assert_allclose(got, want, atol=1e-5)


def test_a_picture_alone_has_all_processors(small_model: Path) -> None:
    loaded = probe.describe(library.load(str(small_model)))
    engine = session.Engine(loaded, key(loaded, streams=2, alone=2))
    x = np.random.default_rng(1).random((1, 3, 48, 64), np.float32)
    outputs = []

    def run(stream: session.Stream) -> None:
        stream.input[:] = x
        stream.run()
        outputs.append(stream.output.copy())

    for _ in range(2):
        with engine.stream() as alone:
            run(alone)
            with engine.stream() as second:
                run(second)
                assert second is not alone
        with engine.stream() as again:
            assert again is alone
    with engine.stream() as first, engine.stream() as second, engine.stream() as third:
        assert first is alone and len({id(first), id(second), id(third)}) == 3
    for output in outputs[1:]:  # which stream takes a frame depends on time, what it gives must not
        np.testing.assert_array_equal(output, outputs[0])
    with engine.stream() as stream, pytest.raises(ZeroDivisionError), engine.stream():
        assert stream is alone
        1 / 0  # noqa: B018
    with engine.stream() as stream:
        assert stream is alone
    paired, single = (session.need(loaded.spec, key(loaded, streams=2, alone=alone)) for alone in (2, 0))
    assert paired > single


@pytest.mark.parametrize(("processors", "asked", "found"), [
    (1, None, (1, 1, 0)), (2, None, (2, 1, 2)), (3, None, (2, 2, 3)), (16, None, (2, 8, 16)),
    (16, 1, (1, 16, 0)), (16, 4, (4, 4, 0)), (2, 5, (5, 1, 0)),
])  # fmt: skip
def test_processors_are_shared_out(
    processors: int, asked: int | None, found: tuple[int, int, int], small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vs_gansr.filter import graph

    monkeypatch.setattr(session, "cpu_threads", lambda: processors)
    settings = graph.Settings(model=str(small_model), provider="CPU", num_streams=asked)
    chosen = graph.choose(vs.core.core, settings).key
    assert (chosen.streams, chosen.threads, chosen.alone) == found


def test_networks_that_see_everything_run_one_picture_at_a_time(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vs_gansr.filter import graph

    monkeypatch.setattr(session, "cpu_threads", lambda: 4)
    for name, found in (("realcugan-se-2x-conservative", (1, 4, 0)), ("realesr-animevideov3-x4", (2, 2, 4))):
        settings = graph.Settings(model=str(shared / "anchors" / f"{name}.onnx"), provider="CPU")
        chosen = graph.choose(vs.core.core, settings).key
        assert (chosen.streams, chosen.threads, chosen.alone) == found


def test_auto_picks_what_works_and_says_so(clip: vs.VideoNode, small_model: Path, core: vs.Core) -> None:
    from vs_gansr.filter import graph

    graph._said.clear()
    said: list[str] = []
    handle = core.add_log_handler(lambda kind, message: said.append(message))
    try:
        for _ in range(3):
            clip.gansr.Upscale(str(small_model)).get_frame(0)
    finally:
        core.remove_log_handler(handle)
    lines = [line for line in said if "small in" in line]
    assert len(lines) == 1
    assert providers.usable()[0] in lines[0]


def test_nothing_is_printed(clip: vs.VideoNode, small_model: Path) -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        clip.gansr.Upscale(str(small_model)).get_frame(0)
        providers.trouble.cache_clear()
        vs.core.gansr.Version()
    assert out.getvalue() == ""


def test_a_session_that_fell_back_is_an_error(small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime as ort

    class FallenBack(ort.InferenceSession):
        def get_providers(self) -> list[str]:
            return ["SomethingElseExecutionProvider"]

    monkeypatch.setattr(ort, "InferenceSession", FallenBack)
    loaded = probe.describe(library.load(str(small_model)))
    with pytest.raises(providers.ProviderError, match=r'provider "CPU" fell back to SomethingElse'):
        session.Engine(loaded, key(loaded))


@pytest.mark.parametrize("precision", ["auto", "fp32", "fp16"])
def test_precisions(precision: str, clip: vs.VideoNode, small_model: Path) -> None:
    got = clip.gansr.Upscale(str(small_model), precision=precision)
    want = clip.gansr.Upscale(str(small_model), precision="fp32")
    assert clips.largest_difference(got, want) <= (2 if precision == "fp16" else 0)


def test_int8_takes_the_twin(clip: vs.VideoNode, tmp_path: Path) -> None:
    path = networks.point(tmp_path / "a.onnx")
    twin = networks.point(tmp_path / "a.int8.onnx", scale=3, metadata={"precision": "int8"})
    assert clip.gansr.Upscale(str(path), precision="int8").width == 192
    assert clip.gansr.Upscale(str(path), precision="fp32").width == 128
    assert clip.gansr.Upscale(str(twin)).width == 192


def test_auto_takes_int8_where_it_is_fast(clip: vs.VideoNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = networks.point(tmp_path / "b.onnx")
    networks.point(tmp_path / "b.int8.onnx", scale=3, metadata={"precision": "int8"})
    for fast, width in ((True, 192), (False, 128)):
        monkeypatch.setattr(providers, "fast_int8", lambda fast=fast: fast)
        assert clip.gansr.Upscale(str(path), provider="CPU").width == width
        assert clip.gansr.Upscale(str(path), provider="CPU", precision="fp32").width == 128


def test_shipped_twins_stay_close(core: vs.Core) -> None:
    for name in library.shipped():
        if library.has_twin(name):
            smooth = clips.noise(vs.RGBS, 24, 16, 1).resize.Bicubic(96, 64)
            pair = [smooth.gansr.Upscale(name, provider="CPU", precision=p).get_frame(0) for p in ("int8", "fp32")]
            apart = [a - b for a, b in zip(*map(clips.planes, pair), strict=True)]
            assert 0 < np.sqrt(np.mean(np.square(apart))) < 10 ** (-42 / 20)


def test_fixed_size_networks(tmp_path: Path, small_model: Path) -> None:
    proto = onnx.load(str(small_model))
    for dim, size in zip(proto.graph.input[0].type.tensor_type.shape.dim, (1, 3, 32, 40), strict=True):
        dim.dim_value = size
    path = tmp_path / "fixed.onnx"
    onnx.save(proto, str(path))
    for width, height in ((40, 32), (64, 48), (30, 20)):
        clip = clips.noise(vs.RGBS, width, height)
        difference = clips.largest_difference(clip.gansr.Upscale(str(path)), clip.gansr.Upscale(str(small_model)))
        assert difference < 1e-4 or (width, height) == (30, 20)  # padding changes what is near the edge


def test_second_evaluation_gets_the_session_back(clip: vs.VideoNode, small_model: Path) -> None:
    gc.collect()
    session.sessions.clear()
    before = len(session.sessions)
    first = clip.gansr.Upscale(str(small_model))
    first.get_frame(0)
    assert len(session.sessions) == before + 1
    engines = set(map(id, (entry.value for entry in session.sessions._entries.values())))
    del first
    gc.collect()
    again = clip.gansr.Upscale(str(small_model))
    again.get_frame(0)
    assert engines == set(map(id, (entry.value for entry in session.sessions._entries.values())))
    del again
    gc.collect()
    session.sessions.clear()
    assert len(session.sessions) == before


def test_replaced_file_is_loaded_anew(clip: vs.VideoNode, tmp_path: Path) -> None:
    path = networks.compact(tmp_path / "m.onnx", 8, 3, seed=1)
    old = clip.gansr.Upscale(str(path))
    old.get_frame(0)
    networks.compact(path, 8, 3, seed=2)
    new = clip.gansr.Upscale(str(path))
    assert clips.largest_difference(old, new) > 1
    fresh = clip.gansr.Upscale(str(networks.compact(tmp_path / "n.onnx", 8, 3, seed=2)))
    assert clips.largest_difference(new, fresh) == 0


def test_sizes_of_a_varying_clip_are_given_back(core: vs.Core, small_model: Path) -> None:
    session.sessions.clear()
    parts = [clips.noise(vs.RGBS, 16 + 8 * i, 16, length=1, seed=i) for i in range(8)]
    out = core.std.Splice(parts, mismatch=True).gansr.Upscale(str(small_model))
    for n in range(8):
        out.get_frame(n)
    held = [entry for entry in session.sessions._entries.values() if entry.holders]
    assert len(held) <= 4
    del out
    gc.collect()
    assert not [entry for entry in session.sessions._entries.values() if entry.holders]
    session.sessions.clear()


class Thing:
    """A value whose life can be watched."""

    alive = 0

    def __init__(self) -> None:
        type(self).alive += 1

    def __del__(self) -> None:
        type(self).alive -= 1


@pytest.fixture(autouse=True)
def none_alive() -> None:
    Thing.alive = 0


def test_keep_alive_shares_and_drops_after_its_time() -> None:
    cache: KeepAlive[str, Thing] = KeepAlive(0.2, 1000)
    a, b = (cache.acquire("x", Thing, lambda _: 1) for _ in range(2))
    assert a.value is b.value
    a.release()
    a.release()
    time.sleep(0.4)
    assert Thing.alive == 1  # b holds it
    b.release()
    assert cache.acquire("x", Thing, lambda _: 1).value is b.value
    del a, b
    assert Thing.alive == 1


def test_keep_alive_lets_go_by_itself() -> None:
    cache: KeepAlive[str, Thing] = KeepAlive(0.15, 1000)
    cache.acquire("x", Thing, lambda _: 1).release()
    assert Thing.alive == 1
    deadline = time.monotonic() + 5
    while Thing.alive and time.monotonic() < deadline:
        time.sleep(0.02)
    assert Thing.alive == 0
    assert len(cache) == 0


def test_keep_alive_stays_within_its_cap_oldest_first() -> None:
    cache: KeepAlive[int, Thing] = KeepAlive(60, 250)
    leases = [cache.acquire(i, Thing, lambda _: 100) for i in range(4)]
    for lease in leases:
        lease.release()
        time.sleep(0.001)
    assert set(cache._entries) == {2, 3}


def test_keep_alive_from_many_threads() -> None:
    cache: KeepAlive[int, Thing] = KeepAlive(0.01, 2)
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            for _ in range(300):
                lease = cache.acquire(int(rng.integers(5)), Thing, lambda _: 1)
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


@pytest.mark.parametrize("size", [(640, 360), (1280, 720), (1920, 1080), (3840, 2160)])
def test_what_is_chosen_for_any_size_is_kept(core: vs.Core, small_model: Path, size: tuple[int, int]) -> None:
    """A preview's next evaluation finds its session again: by default none is larger than what the cache keeps."""
    from vs_gansr.filter import graph
    from vs_gansr.filter.render import Network

    for name in ("general-2x", str(small_model)):
        chosen = graph.choose(core, graph.Settings(model=name, provider="CPU"))
        net = Network(core, chosen.model, chosen.key, chosen.limits)
        tile = net.layout(*size).size
        assert net.need(*tile) <= session.KEEP_BYTES
