"""A GPU that fails under way, the CPU computing in its place: what goes on with what, and what is told."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path

import clips
import fakegpu
import networks
import pytest
import vapoursynth as vs
from cuda_cases import HEIGHT, WIDTH, blank, broken, check, expected, key_of, picture, recovering

from vs_gansr.engine import engines, memory
from vs_gansr.engine.cuda.engine import CudaEngine
from vs_gansr.engine.cuda.provider import CudaProvider
from vs_gansr.engine.onnxruntime.provider import CPU
from vs_gansr.engine.tiled.tile_planner import Limits, TilePlanner
from vs_gansr.errors import DeviceLostError, RenderError, ShortageError
from vs_gansr.model.spec import Model

pytestmark = pytest.mark.skipif(fakegpu.missing() is not None, reason=str(fakegpu.missing()))


LOST = "CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; hostname=x"


# ---- a device that is lost ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "lost"),
    [
        (LOST, True),
        ("CUDA driver: cuMemcpyHtoDAsync_v2 says 719, unspecified launch failure", True),
        ("CUDA error 999", True),
        ("CUDA failure 2: out of memory", False),
        ("CUDA failure 701: too many resources requested", False),
        ("CUDA failure 7000", False),
        ("tensor of size 700", False),
    ],
)
def test_a_loss_is_told_from_other_errors(words: str, lost: bool) -> None:
    assert memory.is_loss(RuntimeError(words)) == lost


@pytest.mark.parametrize(
    "words",
    [
        "CUDNN failure 5003: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED ; GPU=0",
        "CUDNN failure 4: CUDNN_STATUS_ALLOC_FAILED",
        "CUDA driver: cuMemAlloc_v2 says 2, out of memory",
    ],
)
def test_a_shortage_is_told_from_other_errors(words: str) -> None:
    assert memory.is_shortage(RuntimeError(words))


def test_sessions_on_a_lost_device_are_never_destroyed(machine: fakegpu.StandIn, small: Model) -> None:
    """Their destructors would end the host's process."""
    engine = CudaEngine(small, key_of(small, machine))
    machine.lose()
    with pytest.raises(DeviceLostError, match="says 700"):
        engine.run(picture(), blank())
    with pytest.raises(DeviceLostError):  # refused at once, nothing is asked of the device
        engine.run(picture(), blank())
    engine.close()
    del engine
    gc.collect()
    assert len(machine.sessions) == 2
    with pytest.raises(DeviceLostError, match="says 700"):
        CudaEngine(small, key_of(small, machine))
    assert "start the program again" in (CudaProvider().trouble(0) or "")


def test_a_loss_that_only_the_wait_tells_is_one(machine: fakegpu.StandIn, small: Model) -> None:
    engine = CudaEngine(small, key_of(small, machine, streams=1))

    def failing(session: fakegpu.CpuSession) -> str:
        machine.lose(719)
        return "CUDNN failure 5000: CUDNN_STATUS_EXECUTION_FAILED"

    machine.fault = failing
    with pytest.raises(DeviceLostError, match=r"EXECUTION_FAILED.*says 719"):
        engine.run(picture(), blank())


def test_a_loss_while_an_engine_is_made_is_one(machine: fakegpu.StandIn, small: Model) -> None:
    machine.refuse = lambda options: LOST
    with pytest.raises(DeviceLostError, match="failure 700"):
        CudaEngine(small, key_of(small, machine))
    assert len(machine.made) == 1 and "failure 700" in machine.gpu.lost  # no simpler options are tried


def moving(length: int) -> vs.VideoNode:
    return clips.noise(vs.YUV420P8, WIDTH, HEIGHT, length=length, props={"_Matrix": 1})


def test_auto_goes_on_with_the_cpu_where_the_gpu_is_lost(
    machine: fakegpu.StandIn, small: Model, said: list[str]
) -> None:
    length = 12
    out = moving(length).gansr.Upscale(str(small.path), precision="fp32", reuse=0)
    assert "Upscale: small in fp32 on CUDA (3 times the CPU's speed here)" in said
    want = moving(length).gansr.Upscale(str(small.path), precision="fp32", provider="CPU", reuse=0)
    for n in range(length):
        if n == 5:
            machine.lose()
        assert clips.largest_difference(out, want, n) <= 1
    told = [line for line in said if "CUDA fails" in line]
    assert told and "700" in told[0] and told[-1].endswith("continuing with CPU")
    assert not engines.engines.values(held=True) or all(engine.key.provider == CPU for engine in
                                                        engines.engines.values(held=True))  # fmt: skip


def test_a_named_gpu_that_is_lost_is_an_error(machine: fakegpu.StandIn, small: Model) -> None:
    out = moving(3).gansr.Upscale(str(small.path), precision="fp32", provider="CUDA", reuse=0)
    out.get_frame(0).close()
    machine.lose()
    with pytest.raises(vs.Error, match=r"^Upscale: frame 1: .*700"):
        out.get_frame(1)
    with pytest.raises(vs.Error, match=r'^Upscale: provider "CUDA" cannot run: .*700'):
        moving(3).gansr.Upscale(str(small.path), provider="CUDA")
    moving(3).gansr.Upscale(str(small.path)).get_frame(0).close()  # `auto` knows better


# ---- pictures that fail ------------------------------------------------------------------------------------


def test_a_failing_wait_does_not_hide_the_reason(
    machine: fakegpu.StandIn, small: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = CudaEngine(small, key_of(small, machine, streams=1))
    monkeypatch.setattr(machine.gpu, "wait", broken(RenderError("CUDA driver: cuEventSynchronize says 1, bad")))
    machine.fault = lambda session: "the bus fell off"
    with pytest.raises(RenderError, match="the bus fell off"):
        engine.run(picture(), blank())
    monkeypatch.undo()
    engine.close()


def test_after_a_failed_picture_the_gpu_goes_on(machine: fakegpu.StandIn, small: Model) -> None:
    """On the same engine, with the same tiles: one failure changes nothing for the pictures that follow."""
    faults = iter(["the bus fell off"])
    said: list[str] = []
    network = recovering(small, key_of(small, machine), said)
    network.prepare(WIDTH, HEIGHT)
    [engine] = engines.engines.values()
    machine.fault = lambda session: next(faults, None)
    for n in range(4):
        out = blank()
        network.render(n, picture(n), out)
        check(out, expected(small, picture(n)))
    assert len(said) == 1 and "frame 0: ONNX Runtime failed: the bus fell off; trying again" in said[0]
    assert engines.engines.values() == [engine] and len(network.planner.layout(WIDTH, HEIGHT).tiles) == 1
    assert len(machine.made) == 2  # the two streams' sessions, and no more


def test_a_shortage_of_one_picture_makes_the_engine_anew(machine: fakegpu.StandIn, small: Model) -> None:
    faults = iter(["CUDA failure 2: out of memory"] * 2)  # it is tried twice on the same engine
    said: list[str] = []
    network = recovering(small, key_of(small, machine, streams=1), said)
    network.prepare(WIDTH, HEIGHT)
    machine.fault = lambda session: next(faults, None)
    for n in range(3):
        out = blank()
        network.render(n, picture(n), out)
        check(out, expected(small, picture(n)))
    assert not said and len(machine.made) == 2 and len(machine.sessions) == 1
    assert len(network.planner.layout(WIDTH, HEIGHT).tiles) == 1


def test_engines_that_nobody_holds_make_room(machine: fakegpu.StandIn, small: Model) -> None:
    old = engines.acquire(small, key_of(small, machine))
    kept = machine.live()
    old.release()
    assert len(engines.engines) == 1 and machine.live() == kept  # for whoever wants it again
    made: list[int] = []
    machine.refuse = lambda options: made.append(len(machine.sessions))  # type: ignore[func-returns-value]
    machine.room(3)  # too few for a stream
    lease = engines.acquire(small, replace(key_of(small, machine), height=2 * HEIGHT))
    assert made == [0, 1] and len(engines.engines) == 1  # the old one was gone by then
    machine.room(3)
    with pytest.raises(ShortageError):  # what somebody holds stays
        engines.acquire(small, key_of(small, machine))
    assert engines.engines.values(held=True) == [lease.value]
    lease.release()


def test_memory_of_engines_that_nobody_holds_counts_as_free(machine: fakegpu.StandIn, small: Model) -> None:
    def budget() -> int:
        return TilePlanner(small, replace(key_of(small, machine), width=0, height=0), Limits()).budget

    alone = budget()
    lease = engines.acquire(small, key_of(small, machine))
    assert budget() == alone  # the stand-in tells the same free memory all the time
    lease.release()
    assert budget() == alone + lease.value.size() // 2


def test_integers_are_refused_on_a_named_gpu(machine: fakegpu.StandIn, tmp_path: Path, said: list[str]) -> None:
    path = networks.compact(tmp_path / "m.onnx", features=8, convs=2)
    path.with_suffix(".int8.onnx").write_bytes(path.read_bytes())
    with pytest.raises(vs.Error, match=r'in int8 does not run on provider "CUDA", which computes in fp16, fp32'):
        moving(1).gansr.Upscale(str(path), precision="int8", provider="CUDA")
    moving(1).gansr.Upscale(str(path), precision="int8").get_frame(0).close()
    assert any("in int8 on " in line and "in int8 does not run on provider" in line for line in said), said
