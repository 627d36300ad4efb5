"""A GPU is trusted only after a process has shown that it computes right; a made-up one stands in, with every fault."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import clips
import folders
import pytest
import vapoursynth as vs
from faulty_gpu import FaultyGpu

from vs_gansr.engine import engines
from vs_gansr.engine.auto import cpu_rules, fidelity, proof, registry
from vs_gansr.engine.auto.proof import Proof, Verdict
from vs_gansr.engine.auto.sampling import EVERY, FIRST
from vs_gansr.engine.base import EngineKey, Provider
from vs_gansr.engine.onnxruntime.provider import CPU
from vs_gansr.errors import ProviderError
from vs_gansr.filter import choose, computed, log, overdue
from vs_gansr.filter.settings import Settings
from vs_gansr.model.spec import Model

type Plant = Callable[..., FaultyGpu]


@pytest.fixture
def plant(tmp_path: Path, providers: list[Provider], monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Adds the made-up GPU to the one list of providers; nothing is remembered. `verdict` takes its trial's place."""
    folders.redirect(monkeypatch, tmp_path / "cache")
    monkeypatch.delenv("GANSR_GPU", raising=False)
    log._said.clear()
    proof._proven.clear()

    def planted(fault: str = "", verdict: Callable[[Proof], Verdict] | None = None, **more: object) -> FaultyGpu:
        if verdict:
            monkeypatch.setattr(proof, "prove", verdict)
        for key in engines.engines:  # of another made-up GPU
            engines.engines.forget(key)
        gpu = FaultyGpu(fault, **more)  # type: ignore[arg-type]
        providers[:] = [gpu, CPU, registry.OPENVINO]
        return gpu

    return planted


def job(gpu: FaultyGpu, model: Model, gpu_trial: bool = False) -> Proof:
    key = EngineKey(model.spec.digest, gpu, 0, "fp32", 96, 64, 2, 1)
    rival = (model, replace(key, provider=CPU, streams=1)) if gpu_trial else None
    return Proof(model, key, model, rival)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("wrong block", "dB against float32 on the CPU"),
        ("tiny block", "in the worst block"),
        ("all wrong", "dB against float32 on the CPU"),
        ("one in 20", "results change if several pictures are computed at once: by"),
        ("swapped", "dB against float32|computed at once"),
        ("stale", "dB against float32|computed at once"),
        ("nan", "not finite"),
        ("out of memory", "no memory on the made-up GPU"),
        ("lost", "fell off the bus"),
        ("crash", r"the process of the GPU trial ended with (SIGABRT|status \d+).* \(in its part: first pictures\)"),
        ("hang", r"the GPU trial did not end within 3 s \(in its part: (first pictures|start)\)"),
    ],
)
def test_every_fault_is_a_verdict(fault: str, words: str, plant: Plant, small: Model) -> None:
    gpu = plant(fault)
    if fault == "hang":
        gpu.patience = 3.0
    verdict = proof.prove(job(gpu, small))
    assert re.search(words, verdict.against()), verdict
    [fact] = json.loads(proof.remembered.path().read_text())["gpu_trials"].values()
    assert fact["what"] == "small in fp32 on Faulty 0, plain, 96x64"
    gpu.fault = ""  # the verdict stands until it is asked for again
    assert proof.prove(job(gpu, small)) == verdict


def test_a_sound_gpu_passes_and_is_measured_once(plant: Plant, small: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = plant()
    verdict = proof.prove(job(gpu, small, gpu_trial=True))
    assert verdict.against() == "" and verdict.decibels > 100 and verdict.block > 100 and verdict.race == 0
    assert 0.05 < verdict.speedup < 20
    found = Verdict(1.0, 1.0, 1.0, 1.0, "asked again")
    monkeypatch.setattr(proof, "in_a_process", lambda job: found)
    assert proof.prove(job(gpu, small, gpu_trial=True)) == verdict
    proof._proven.clear()  # as another process
    monkeypatch.setenv("GANSR_GPU", "retest")
    assert proof.prove(job(gpu, small, gpu_trial=True)) == found


def test_whole_pictures_where_the_reach_is_unknown(plant: Plant, small: Model) -> None:
    unknown = replace(small, spec=replace(small.spec, radius=None))
    assert proof.prove(job(plant(), unknown)).against() == ""
    assert (
        "dB"
        in proof.prove(job(plant("wrong block"), replace(unknown, spec=replace(unknown.spec, digest="x")))).against()
    )


def test_a_slow_gpu_loses_the_speed_test_at_the_first_picture(plant: Plant, small: Model) -> None:
    verdict = proof.prove(job(plant("slow"), small, gpu_trial=True))
    assert verdict.against() == "" and 0 < verdict.speedup < 0.05


def test_several_processes_prove_one_after_the_other(
    plant: Plant, small: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one finds the verdict of the first; a process that is killed holds up nobody."""
    gpu, begun, runs = plant(), threading.Event(), []

    def slow(job: Proof) -> Verdict:
        runs.append(job)
        begun.set()
        time.sleep(0.5)
        return Verdict(90.0, 90.0, 0.0, 1.5)

    monkeypatch.setattr(proof, "in_a_process", slow)
    first = threading.Thread(target=proof.prove, args=(job(gpu, small),))
    first.start()
    assert begun.wait(20)
    assert proof.prove(job(gpu, small)).decibels == 90.0
    first.join(20)
    assert len(runs) == 1
    program = (
        "import sqlite3, sys, time; lock = sqlite3.connect(sys.argv[1]); lock.execute('BEGIN EXCLUSIVE'); "
        "print('held', flush=True); time.sleep(600)"
    )
    words = [sys.executable, "-c", program, str(proof.remembered.path().with_suffix(".lock"))]
    half = replace(job(gpu, small).key, precision="fp16")
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        waiting = ThreadPoolExecutor(1).submit(proof.prove, replace(job(gpu, small), key=half))
        time.sleep(0.5)
        assert not waiting.done()
        holder.kill()
        assert waiting.result(20).speedup == 1.5


def test_no_interpreter_is_no_proof(plant: Plant, small: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof.process, "interpreter", lambda: None)
    assert "no Python interpreter was found" in proof.prove(job(plant(), small)).against()


# ---- what `auto` and names make of it ----------------------------------------------------------------


def passing(speedup: float = 3.0, wrong: str = "") -> Callable[[Proof], Verdict]:
    """Verdicts without a process: right, but for the precision or tier that is `wrong`."""

    def prove(job: Proof) -> Verdict:
        bad = wrong in (job.key.precision, job.key.tier)
        return Verdict(20.0 if bad else 90.0, 90.0, 0.0, speedup)

    return prove


@pytest.mark.parametrize(
    ("wrong", "found"), [("", ("fp16", "plain")), ("fp16", ("fp32", "plain")), ("plain", ("fp16", "fast"))]
)
def test_auto_takes_the_usual_precision_and_the_safest_tier_that_is_right(
    wrong: str, found: tuple[str, str], plant: Plant
) -> None:
    plant(both=True, verdict=passing(wrong=wrong))
    chosen = choose.choose(Settings(model="fast-2x"))
    assert (chosen.choice.key.precision, chosen.choice.key.tier) == found
    assert "on Faulty (3 times the CPU's speed here)" in chosen.summary
    assert chosen.fallbacks[-1]().key.provider.processor(0)


def test_auto_says_why_a_gpu_is_not_taken(plant: Plant) -> None:
    plant(verdict=lambda job: Verdict(31.4, 12.0, 0.0))
    chosen = choose.choose(Settings(model="fast-2x"))
    assert chosen.choice.key.provider.processor(0)
    assert (
        "Faulty in fp16, tier plain: PSNR 31.4 dB against float32 on the CPU, 12.0 dB in the worst block"
        in chosen.summary
    )
    with pytest.raises(ProviderError, match=r"computes this network wrong \(fp16, tier plain: PSNR 31.4 dB"):
        choose.choose(Settings(model="fast-2x", provider="Faulty"))
    with pytest.raises(ProviderError, match=r'provider "Faulty" cannot run: no such device'):
        choose.choose(Settings(model="fast-2x", provider="faulty", device_id=1))


def test_a_named_gpu_skips_the_speed_test(plant: Plant) -> None:
    asked: list[Proof] = []
    plant(verdict=lambda job: (asked.append(job), Verdict(90.0, 90.0, 0.0))[1])
    assert choose.choose(Settings(model="fast-2x", provider="Faulty")).choice.key.provider.name == "Faulty"
    assert [each.rival for each in asked] == [None]


def test_the_environment_forces_tiers_or_the_cpu(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(both=True, verdict=passing())
    for said, tier in (("plain", "plain"), ("fast", "fast")):
        monkeypatch.setenv("GANSR_GPU", said)
        assert choose.choose(Settings(model="fast-2x")).choice.key.tier == tier
    monkeypatch.setenv("GANSR_GPU", "off")
    assert choose.choose(Settings(model="fast-2x")).choice.key.provider.processor(0)
    monkeypatch.setenv("GANSR_GPU", "maybe")
    with pytest.raises(vs.Error, match="GANSR_GPU is 'maybe'; it can be plain, fast, off, retest"):
        clips.noise(vs.RGB24, 8, 8).gansr.Upscale("fast-2x")


def test_hardware_that_cannot_be_used_is_a_warning(plant: Plant) -> None:
    plant(cards={"card": 'a library is missing; pip install "vs-gansr[made-up]"'})
    chosen = choose.choose(Settings(model="fast-2x"))
    [warning] = chosen.warnings
    assert "Faulty is not used although there is hardware" in warning and "vs-gansr[made-up]" in warning


def test_every_device_is_tried(plant: Plant) -> None:
    plant(cards={"display": "too old", "card": None}, verdict=passing())
    assert choose.choose(Settings(model="fast-2x")).choice.key.device_id == 1


# ---- while frames flow ---------------------------------------------------------------------------------


def flowing(model: Model, length: int, gpu: FaultyGpu, said: list[str], **arguments: object) -> list[float]:
    """How far each frame is from the CPU's, in codes, on a GPU that goes wrong after its proof."""
    clip = clips.noise(vs.RGB24, 96, 64, length=length)
    want = clip.gansr.Upscale(str(model.path), provider="CPU", precision="fp32", reuse=0)
    got = clip.gansr.Upscale(str(model.path), precision="fp32", reuse=0, **arguments)
    assert any(" on Faulty" in line for line in said), said
    return [clips.largest_difference(got, want, n) for n in range(length)]


@pytest.mark.parametrize(
    "fault",
    ["all wrong", "wrong block", "stale", "swapped", "nan", "out of memory", "lost", "slow"],
)
def test_no_wrong_frame_reaches_the_clip(fault: str, plant: Plant, small: Model, said: list[str]) -> None:
    gpu = plant(fault, passing())
    assert max(flowing(small, 6, gpu, said)) <= 1
    if fault in ("all wrong", "stale", "swapped"):
        assert any("Faulty fails" in line and "dB against the CPU's result" in line for line in said), said
        [fact] = json.loads(proof.remembered.path().read_text())["gpu_trials"].values()
        assert "dB against the CPU's result" in fact["failed"]


def test_a_gpu_that_stops_answering_is_told_and_not_used_again(
    plant: Plant, small: Model, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant("stuck", passing()).patience = 0.5
    monkeypatch.setattr(overdue, "LOOK", 0.2)
    overdue.watcher.cache_clear()  # one that an earlier test has begun sleeps for longer than the frame takes
    clip = clips.noise(vs.RGB24, 96, 64)
    out = clip.gansr.Upscale(str(small.path), precision="fp32", reuse=0)
    with out.get_frame(0):  # it came after all
        pass
    [line] = [line for line in said if "seems to have stopped" in line]
    assert "Faulty" in line and "GANSR_GPU=off" in line
    [fact] = json.loads(proof.remembered.path().read_text())["gpu_trials"].values()
    assert "stopped answering: no frame was done in" in fact["failed"]


def test_the_next_tier_takes_over(plant: Plant, small: Model, said: list[str], told: list[computed.Computed]) -> None:
    """Programs that read the log as data get the change, too."""
    gpu = plant("all wrong", passing(), both=True)
    assert max(flowing(small, 4, gpu, said)) <= 1
    assert any(line.endswith("continuing with Faulty (fast)") for line in said), said
    assert [(now.precision, now.provider, now.tier, now.replaced) for now in told] == [
        ("fp32", "CPU", "plain", False),
        ("fp32", "Faulty", "plain", False),
        ("fp32", "Faulty", "fast", True),
    ]


def test_a_rare_fault_reaches_no_frame_beyond_the_next_check(
    plant: Plant, small: Model, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One wrong frame in 20, of which none among the first: those before the sampled frame pass, none after it."""
    gpu = plant("one in 20", passing())
    monkeypatch.setattr("vs_gansr.engine.auto.sampling.EVERY", 19)
    off = flowing(small, 60, gpu, said)
    assert EVERY == 250 and FIRST == 8
    wrong = [n for n, far in enumerate(off) if far > 1]
    assert len(wrong) <= 2, wrong


def test_a_named_gpu_that_goes_wrong_is_an_error(plant: Plant, small: Model) -> None:
    plant("all wrong", passing())
    out = clips.noise(vs.RGB24, 96, 64).gansr.Upscale(str(small.path), provider="Faulty", precision="fp32")
    with pytest.raises(
        vs.Error,
        match=r"^Upscale: frame 0: the device computes wrong: PSNR \d+\.\d dB against the CPU's result for frame 0",
    ):
        out.get_frame(0)


@pytest.mark.parametrize(("decibels", "precision"), [(60.0, "int8"), (10.0, "fp32")])
def test_after_a_failure_the_processors_compute_in_int8_only_after_its_check(
    decibels: float,
    precision: str,
    plant: Plant,
    said: list[str],
    told: list[computed.Computed],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant("lost", passing())
    checked: list[str] = []
    monkeypatch.setattr(cpu_rules, "features", lambda: frozenset({"avx512_vnni"}))
    monkeypatch.setattr(fidelity, "decibels", lambda *how: (checked.append(how[2]), decibels)[1])
    clip = clips.noise(vs.YUV420P8, 48, 32, length=3, props={"_Matrix": 1})
    out = clip.gansr.Upscale("fast-2x", reuse=0)
    assert told[0].provider == "Faulty" and not told[0].replaced
    out.get_frame(0).close()
    now = told[-1]
    assert checked and now.replaced and now.precision == precision
    want = clip.gansr.Upscale("fast-2x", provider=now.provider, precision=precision, reuse=0)
    assert all(clips.largest_difference(out, want, n) == 0 for n in range(3))
    assert sum("Faulty fails" in line for line in said) == 1, said
