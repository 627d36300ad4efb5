"""CUDA's tiers on a GPU that the driver's stand-in and the CPU stand in for: pictures, shortages, losses, no leaks."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import fakegpu
import networks
import numpy as np
import pytest
from cuda_cases import blank, broken, check, check_engine, expected, in_time, key_of, picture

from vs_gansr.engine import probe
from vs_gansr.engine.base import Engine, EngineKey
from vs_gansr.engine.cuda import driver
from vs_gansr.engine.cuda.provider import FAST, FAST_NHWC, CudaProvider, TensorRt
from vs_gansr.errors import DeviceLostError, GansrError, NotFiniteError, ProviderError, RenderError, ShortageError
from vs_gansr.model import library
from vs_gansr.model.spec import Model

TIERS = pytest.mark.parametrize("tier", [None, FAST, FAST_NHWC], ids=["plain", "fast", "NHWC"])


def made(machine: fakegpu.StandIn, model: Model, precision: str = "fp32", streams: int = 2, tier: Any = FAST) -> Engine:
    return machine.make(model, key_of(model, machine, precision, streams, tier))


@TIERS
@pytest.mark.parametrize(("precision", "most"), [("fp32", 1e-5), ("fp16", 0.02)])
def test_pictures(machine: fakegpu.StandIn, small: Model, tier: Any, precision: str, most: float) -> None:
    before = machine.live()
    engine = made(machine, small, precision, tier=tier)
    check_engine(engine, small, most)
    part = [np.zeros((10, 20), np.float32) for _ in range(3)]
    engine.run(picture(), part, (3, 5))
    check(part, [plane[10:20, 6:26] for plane in expected(small, picture())], most)
    assert engine.size() > 0
    engine.close()
    assert machine.live() == before and not list(machine.sessions)


@TIERS
def test_many_callers_get_their_own_frames(machine: fakegpu.StandIn, small: Model, tier: Any) -> None:
    engine = made(machine, small, streams=3, tier=tier)
    want = [expected(small, picture(seed)) for seed in range(12)]

    def one(i: int) -> None:
        out = blank()
        engine.run(picture(i % 12), out)
        check(out, want[i % 12])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(60)))
    engine.close()
    assert len(machine.made) == 3  # a session a stream


def test_luma_of_three_frames(machine: fakegpu.StandIn, tmp_path: Path) -> None:
    model = probe.describe(library.load(str(networks.compact_of_three(tmp_path / "m.onnx"))))
    engine = made(machine, model)
    out = blank()[:1]
    engine.run(picture(), out)
    check(out, expected(model, picture()))
    engine.close()


def test_options_become_the_providers() -> None:
    cuda = CudaProvider()
    fast = cuda.options(EngineKey("", cuda, 3, "fp16", 8, 8, 1, 1, limit=1 << 30, options=FAST_NHWC))
    assert fast["device_id"] == "3" and fast["prefer_nhwc"] == "1"
    assert fast["gpu_mem_limit"] == str(1 << 30) and fast["use_tf32"] == "1"
    plain = cuda.options(EngineKey("", cuda, 0, "fp32", 8, 8, 1, 1))
    assert not {"enable_cuda_graph", "user_compute_stream", "gpu_mem_limit"} & set(plain)
    assert plain["use_tf32"] == plain["prefer_nhwc"] == "0"


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_gpu_is_tried_in_the_plain_layout(machine: fakegpu.StandIn, precision: str) -> None:
    """NCHW, as the plain tier has it: kernels of the other layout alone are not enough."""
    assert machine.attempt(0, precision) is None
    [(_, told)] = machine.made
    assert told["prefer_nhwc"] == "0" and "user_compute_stream" not in told
    machine.refuse = lambda options: "no kernel for NCHW" if options["prefer_nhwc"] == "0" else None
    assert machine.attempt(0, precision) == "no kernel for NCHW"


def test_nhwc_is_asked_for_in_its_tier_alone(machine: fakegpu.StandIn, small: Model) -> None:
    for tier in (None, FAST, FAST_NHWC):
        made(machine, small, streams=1, tier=tier).close()
    told = [(given["prefer_nhwc"], "user_compute_stream" in given) for _, given in machine.made]
    assert told == [("0", False), ("0", True), ("1", True)]


@TIERS
def test_a_failing_run_is_told_and_harms_nothing_after(machine: fakegpu.StandIn, small: Model, tier: Any) -> None:
    engine = made(machine, small, streams=1, tier=tier)
    for message, kind in (("the bus fell off", RenderError), ("Failed to allocate memory of size 12", ShortageError)):
        machine.fault = lambda session, message=message: message
        for _ in range(3):
            with pytest.raises(kind, match=message):
                engine.run(picture(), blank())
    machine.fault = lambda session: None
    check_engine(engine, small)
    engine.close()


def test_wrong_planes_are_refused_and_the_buffer_comes_back(machine: fakegpu.StandIn, small: Model) -> None:
    engine = made(machine, small, streams=1)
    planes, out = picture(0), blank()
    for bad in (planes[:2], [p.astype(complex) for p in planes], [p[:-1] for p in planes]):
        with pytest.raises((TypeError, ValueError)):
            engine.run(bad, out)
    engine.run(planes, out)
    check(out, expected(small, planes))
    engine.close()


@TIERS
def test_what_is_not_finite_is_told(machine: fakegpu.StandIn, tmp_path: Path, tier: Any) -> None:
    model = probe.describe(library.load(str(networks.point(tmp_path / "p.onnx", metadata={"scale": "2"}))))
    engine = made(machine, model, tier=tier)
    planes, out = picture(0), blank()
    engine.run(planes, out)
    planes[1][2, 2] = np.nan
    with pytest.raises(NotFiniteError):
        engine.run(planes, out)
    engine.close()


def test_a_download_that_never_lands_is_told(
    machine: fakegpu.StandIn, small: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The picture before would be shown again: its watch was sound."""
    engine = made(machine, small, streams=1)
    check_engine(engine, small)
    download = machine.gpu.download
    for lands in (0.0, 0.5, 0.9):

        def cut(memory: driver.Bytes, address: int, stream: int, lands: float = lands) -> None:
            part = memory[: int(memory.nbytes * lands)]
            if part.nbytes:
                download(part, address, stream)

        monkeypatch.setattr(machine.gpu, "download", cut)
        with pytest.raises(RenderError, match="the device returned no result"):
            engine.run(picture(1), blank())
    monkeypatch.setattr(machine.gpu, "download", download)
    check_engine(engine, small)
    engine.close()


def test_a_run_that_leaves_the_plain_tiers_result_alone_is_told(machine: fakegpu.StandIn, small: Model) -> None:
    engine = made(machine, small, streams=1, tier=None)
    check_engine(engine, small)
    for session in list(machine.sessions):
        session.real = None  # computes nothing
        session.run_with_iobinding = lambda *_: None  # type: ignore[method-assign]
    with pytest.raises(RenderError, match="returned no result"):
        engine.run(picture(1), blank())


@pytest.mark.parametrize("error", [RenderError("CUDA driver: no"), OSError("no")])
def test_a_device_that_cannot_be_made_current_is_told(
    machine: fakegpu.StandIn, small: Model, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine.gpu, "current", broken(error))
    with pytest.raises(type(error), match="no"):
        in_time(lambda: made(machine, small))


@pytest.mark.parametrize("name", ["close_stream", "free", "free_host"])
def test_what_cannot_be_closed_neither_hangs_nor_hides_the_reason(
    machine: fakegpu.StandIn, small: Model, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine.gpu, name, broken(RenderError("not now")))
    machine.refuse = lambda options: "the network is odd"
    with pytest.raises(GansrError, match="the network is odd"):
        in_time(lambda: made(machine, small))
    machine.refuse = lambda options: None
    engine = in_time(lambda: made(machine, small))
    check_engine(engine, small)
    in_time(engine.close)
    gc.collect()
    assert not list(machine.sessions)  # one thing that cannot be given back keeps no other


def test_whatever_is_short_is_given_back(machine: fakegpu.StandIn, small: Model) -> None:
    before = machine.live()
    made(machine, small).close()
    for room in range(12):  # two streams take six things each
        machine.room(room)
        with pytest.raises(ShortageError, match="out of memory"):
            in_time(lambda: made(machine, small))
        machine.room(-1)
        gc.collect()
        assert machine.live() == before and not list(machine.sessions)


def test_a_loss_is_told_and_sessions_on_a_lost_device_are_never_destroyed(
    machine: fakegpu.StandIn, small: Model
) -> None:
    """Their destructors would end the host's process."""
    engine = made(machine, small, streams=1)
    check_engine(engine, small)
    machine.lose()
    with pytest.raises(DeviceLostError, match="700"):
        engine.run(picture(), blank())
    engine.close()
    del engine
    gc.collect()
    assert list(machine.sessions)
    with pytest.raises(DeviceLostError):
        made(machine, small)
    assert "700" in (machine.trouble(0) or "")


def test_a_loss_that_nobody_was_told_of_is_noticed_before_anything_is_destroyed(
    machine: fakegpu.StandIn, small: Model
) -> None:
    """Another plugin's kernel may have gone astray since our last picture."""
    engine = made(machine, small, streams=1)
    machine.lose()
    engine.close()
    del engine
    gc.collect()
    assert machine.gpu.lost and list(machine.sessions)


def test_a_machine_without_a_driver_is_told() -> None:
    with pytest.raises(ProviderError, match="no NVIDIA driver"):
        driver.Cuda(library="libcuda-that-is-not-there.so.1")


def test_classic_tensorrt_has_its_caches_half_precision_and_cuda_behind_it(
    machine: fakegpu.StandIn, small: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    provider = TensorRt()
    key = replace(key_of(small, provider, "fp16", options=None), device_id=1)
    told = provider.options(key)
    assert told["device_id"] == "1" and told["trt_fp16_enable"] == "1"
    assert Path(told["trt_engine_cache_path"]).is_relative_to(tmp_path)
    assert provider.behind(key) == [("CUDAExecutionProvider", CudaProvider().options(key))]
    assert provider.precisions(0)[0] == "fp16" and not provider.automatic
