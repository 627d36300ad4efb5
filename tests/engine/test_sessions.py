"""Sessions: real providers, precision, static shapes, and a cache that keeps and lets go."""

from __future__ import annotations

import contextlib
import gc
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import clips
import networks
import numpy as np
import onnx
import pytest
import vapoursynth as vs

from vs_gansr.engine import memory, probe
from vs_gansr.engine.auto import cpu_rules as rules
from vs_gansr.engine.auto import registry
from vs_gansr.engine.base import EngineKey
from vs_gansr.engine.engines import KEEP_BYTES, engines
from vs_gansr.engine.onnxruntime.engine import OnnxRuntimeEngine, Stream
from vs_gansr.engine.onnxruntime.provider import CPU, OnnxRuntimeProvider, tried
from vs_gansr.engine.tiled.tile_planner import Limits, TilePlanner
from vs_gansr.errors import NotFiniteError, ProviderError
from vs_gansr.filter import choose, log
from vs_gansr.filter.settings import Settings
from vs_gansr.model import library
from vs_gansr.model.spec import Model


@pytest.fixture
def clip() -> vs.VideoNode:
    return clips.noise(vs.YUV420P8, 64, 48, length=4, props={"_Matrix": 1})


def key(loaded: Model, width: int = 64, height: int = 48, **changes: object) -> EngineKey:
    values = {"provider": CPU, "device_id": 0, "precision": "fp32", "streams": 1, "threads": 1} | changes
    return EngineKey(loaded.spec.digest, width=width, height=height, **values)


def test_engine_equals_a_bare_session(small_model: Path) -> None:
    import onnxruntime as ort

    loaded = probe.describe(library.load(str(small_model)))
    rng = np.random.default_rng(1)
    engine = OnnxRuntimeEngine(loaded, key(loaded))
    bare = ort.InferenceSession(str(small_model), providers=["CPUExecutionProvider"])
    for _ in range(3):
        x = rng.random((1, 3, 48, 64), np.float32)
        got = np.empty((3, 96, 128), np.float32)
        engine.run(list(x[0]), list(got))
        want = bare.run(None, {"input": x})[0][0]
        np.testing.assert_allclose(got, want, atol=1e-5)
        part = np.empty((3, 20, 30), np.float32)
        engine.run(list(x[0]), list(part), offset=(7, 5))
        np.testing.assert_array_equal(part, got[:, 10:30, 14:44])
    x[0, 1, 3, 4] = np.nan
    with pytest.raises(NotFiniteError):
        engine.run(list(x[0]), list(got))
    engine.close()


def test_a_picture_alone_has_all_processors(small_model: Path) -> None:
    loaded = probe.describe(library.load(str(small_model)))
    engine = OnnxRuntimeEngine(loaded, key(loaded, streams=2, alone=2))
    x = np.random.default_rng(1).random((1, 3, 48, 64), np.float32)
    outputs = []

    def run(stream: Stream) -> None:
        stream.input[:] = x
        stream.run()
        outputs.append(stream.output.copy())

    for _ in range(2):
        with engine.stream() as alone:
            run(alone)
            with engine.stream() as second:
                run(second)
                assert second is not alone
        with engine.stream() as between:  # the first after two at once: in an encode another follows soon
            run(between)
            assert between is not alone
        with engine.stream() as again:
            assert again is alone
    with engine.stream() as first, engine.stream() as second, engine.stream() as third:
        assert first is alone and len({id(first), id(second), id(third)}) == 3
    for output in outputs[1:]:  # which stream takes a frame depends on time, what it gives must not
        np.testing.assert_array_equal(output, outputs[0])
    with engine.stream(), pytest.raises(ZeroDivisionError), engine.stream():
        1 / 0  # noqa: B018
    with engine.stream() as stream:
        assert stream is not alone
    with engine.stream() as stream:
        assert stream is alone
    paired, single = (memory.need(loaded.spec, key(loaded, streams=2, alone=alone)) for alone in (2, 0))
    assert paired > single


@pytest.mark.parametrize(("processors", "asked", "found"), [
    (1, None, (1, 1, 0)), (2, None, (2, 1, 2)), (3, None, (2, 2, 3)), (16, None, (2, 8, 16)),
    (16, 1, (1, 16, 0)), (16, 4, (4, 4, 0)), (2, 5, (5, 1, 0)),
])  # fmt: skip
def test_processors_are_shared_out(
    processors: int, asked: int | None, found: tuple[int, int, int], small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "cpu_threads", lambda: processors)
    settings = Settings(model=str(small_model), provider="CPU", num_streams=asked)
    chosen = choose.choose(settings).choice.key
    assert (chosen.streams, chosen.threads, chosen.alone) == found


def test_networks_that_see_everything_run_one_picture_at_a_time(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "cpu_threads", lambda: 4)
    for name, found in (("realcugan-se-2x-conservative", (1, 4, 0)), ("realesr-animevideov3-x4", (2, 2, 4))):
        settings = Settings(model=str(shared / "anchors" / f"{name}.onnx"), provider="CPU")
        chosen = choose.choose(settings).choice.key
        assert (chosen.streams, chosen.threads, chosen.alone) == found


def test_auto_picks_what_works_and_says_so(clip: vs.VideoNode, small_model: Path, core: vs.Core) -> None:
    log._said.clear()
    said: list[str] = []
    handle = core.add_log_handler(lambda kind, message: said.append(message))
    try:
        for _ in range(3):
            clip.gansr.Upscale(str(small_model)).get_frame(0)
    finally:
        core.remove_log_handler(handle)
    lines = [line for line in said if "small in" in line]
    assert len(lines) == 1
    assert any(f"on {provider.name}" in lines[0] for provider in registry.usable())


def test_nothing_is_printed(clip: vs.VideoNode, small_model: Path) -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        clip.gansr.Upscale(str(small_model)).get_frame(0)
        tried.cache_clear()
        vs.core.gansr.Version()
    assert out.getvalue() == ""


class FallsBack(OnnxRuntimeProvider):
    """A provider whose sessions run on the CPU."""

    def session(self, *arguments: Any, **more: Any) -> Any:
        return CPU.session(*arguments, **more)


def test_a_session_that_fell_back_is_an_error(small_model: Path) -> None:
    loaded = probe.describe(library.load(str(small_model)))
    gone = replace(key(loaded), provider=FallsBack("GoneExecutionProvider"))
    with pytest.raises(ProviderError, match=r'provider "Gone" cannot run this network; ONNX Runtime would use CPU'):
        OnnxRuntimeEngine(loaded, gone)


@pytest.mark.parametrize("precision", ["auto", "fp32", "fp16"])
def test_precisions(precision: str, clip: vs.VideoNode, small_model: Path) -> None:
    got = clip.gansr.Upscale(str(small_model), precision=precision)
    want = clip.gansr.Upscale(str(small_model), precision="fp32")
    assert clips.largest_difference(got, want) <= (2 if precision == "fp16" else 0)


def test_int8_takes_the_int8_variant(clip: vs.VideoNode, tmp_path: Path) -> None:
    path = networks.point(tmp_path / "a.onnx")
    variant = networks.point(tmp_path / "a.int8.onnx", scale=3, metadata={"precision": "int8"})
    assert clip.gansr.Upscale(str(path), precision="int8").width == 192
    assert clip.gansr.Upscale(str(path), precision="fp32").width == 128
    assert clip.gansr.Upscale(str(variant)).width == 192


def test_auto_takes_int8_where_it_is_fast(clip: vs.VideoNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = networks.point(tmp_path / "b.onnx")
    networks.point(tmp_path / "b.int8.onnx", scale=3, metadata={"precision": "int8"})
    for fast, width in ((True, 192), (False, 128)):
        monkeypatch.setattr(rules, "fast_int8", lambda fast=fast: fast)
        assert clip.gansr.Upscale(str(path), provider="CPU").width == width
        assert clip.gansr.Upscale(str(path), provider="CPU", precision="fp32").width == 128


def test_shipped_int8_variants_stay_close(core: vs.Core) -> None:
    for name in library.shipped():
        if library.has_int8(name):
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
    engines.clear()
    before = len(engines)
    first = clip.gansr.Upscale(str(small_model))
    first.get_frame(0)
    assert len(engines) == before + 1
    kept = set(map(id, engines.values()))
    del first
    gc.collect()
    again = clip.gansr.Upscale(str(small_model))
    again.get_frame(0)
    assert kept == set(map(id, engines.values()))
    del again
    gc.collect()
    engines.clear()
    assert len(engines) == before


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
    engines.clear()
    parts = [clips.noise(vs.RGBS, 16 + 8 * i, 16, length=1, seed=i) for i in range(8)]
    out = core.std.Splice(parts, mismatch=True).gansr.Upscale(str(small_model))
    for n in range(8):
        out.get_frame(n)
    assert len(engines.values(held=True)) <= 4
    del out
    gc.collect()
    assert not engines.values(held=True)
    engines.clear()


@pytest.mark.parametrize("size", [(640, 360), (1280, 720), (1920, 1080), (3840, 2160)])
def test_what_is_chosen_for_any_size_is_kept(core: vs.Core, small_model: Path, size: tuple[int, int]) -> None:
    """A preview's next evaluation finds its session again: by default none is larger than what the cache keeps."""
    for name in ("general-2x", str(small_model)):
        choice = choose.choose(Settings(model=name, provider="CPU")).choice
        planner = TilePlanner(choice.model, choice.key, Limits())
        assert planner.need(*planner.layout(*size).size) <= KEEP_BYTES
