"""GPU trial: test in a separate process whether a device computes a network correctly, and faster than the CPU.

docs/cuda.md says what is tested. A crash or a hang of the process is a verdict, too.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...colour.pictures import psnr
from ...common import process
from ...errors import ArgumentError, one_line
from ...model.spec import Model
from ..base import Engine, EngineKey, cpu_threads
from ..disk import Remembered
from ..planes import Tensor
from .fidelity import ENOUGH, IDENTICAL, computed_by, picture_for, run
from .sampling import Reference, reference_key

__all__ = ["MODES", "Proof", "Verdict", "mode", "prove", "remembered"]

log = logging.getLogger("vs_gansr")

MODES = ("", "plain", "fast", "off", "retest")  # of the environment variable GANSR_GPU
CROPS, PICTURES = 16, 2
BLOCK = 32  # pixels a side that are judged for themselves
RACERS, RUNS = 8, 64
CODE = 1 / 255  # of white: how far runs at once may lie from runs alone
WHOLE = 192  # pixels a side of the pictures where the reach is unknown
GLANCE, HOPELESS = 64, 20.0  # pixels a side of the first speed test, and times as long as the CPU that end the trial
TRIAL = 1.0  # seconds of the real speed test
MEASURED = 256  # pixels a side at most of the processors' pictures; larger ones take as long a pixel

remembered = Remembered("gpu_trials", 1, 1000)


@dataclass(frozen=True)
class Verdict:
    """The result of a GPU trial."""

    decibels: float = 0.0  # peak signal-to-noise ratio against the processors, over all crops
    block: float = 0.0  # peak signal-to-noise ratio of the worst block
    race: float = np.inf  # the largest difference between a run among others and the same alone; white is 1
    speedup: float = 0.0  # times the processors' speed; 0 if that was not asked
    failed: str = ""  # what else went wrong; "" if nothing did

    def against(self) -> str:
        """Why the device's numbers cannot be trusted; "" if they can."""
        if self.failed:
            return self.failed
        if min(self.decibels, self.block) < ENOUGH:
            return (
                f"PSNR {self.decibels:.1f} dB against float32 on the CPU, {self.block:.1f} dB in the worst block (at "
                f"least {ENOUGH:g} dB are required)"
            )
        if not self.race <= CODE:
            return (
                f"results change if several pictures are computed at once: by {255 * self.race:.3g}/255 (at most 1/255 "
                "is allowed)"
            )
        return ""


@dataclass(frozen=True)
class Proof:
    """What a GPU trial tests."""

    model: Model  # the network as the device runs it
    key: EngineKey  # where and how, at the real size
    plain: Model  # the network in float32
    rival: tuple[Model, EngineKey] | None = None  # what the processors would run; None: the speed is not compared

    def name(self) -> str:
        """Text with everything that the verdict depends on."""
        key = self.key
        size = f"{key.width}x{key.height} {key.streams} {cpu_threads()} processors"
        return f"{computed_by(self.model, key)} {size}"


def mode() -> str:
    """The value of the environment variable GANSR_GPU. Raises ArgumentError for an unknown value."""
    said = os.environ.get("GANSR_GPU", "")
    if said not in MODES:
        raise ArgumentError(f"the environment variable GANSR_GPU is {said!r}; it can be {', '.join(MODES[1:])}")
    return said


_proven: set[str] = set()  # in this process, for `retest`


def prove(proof: Proof) -> Verdict:
    """The verdict, remembered or found now."""
    name, key = proof.name(), proof.key
    if known := recalled(proof, name):
        return known
    with one_at_a_time(key.provider.patience):
        if known := recalled(proof, name):  # another process has tried it meanwhile
            return known
        log.info("GPU trial of %s for %s at %dx%d", key.provider.name, proof.model.spec.name, key.width, key.height)
        verdict = in_a_process(proof)
        _proven.add(name)
        keep(proof, verdict)
        return verdict


def recalled(proof: Proof, name: str) -> Verdict | None:
    """The stored verdict; None if there is none or the user wants a new trial."""
    known = remembered.get(name)
    if not known or not (known["speedup"] or known["failed"] or not proof.rival):
        return None
    if mode() == "retest" and name not in _proven:
        return None
    return Verdict(**{field: known[field] for field in asdict(Verdict())})


@contextmanager
def one_at_a_time(seconds: float) -> Iterator[None]:
    """Waits for another process's GPU trial, `seconds` at most: both would be slow, and short of memory.

    SQLite locks the file; the operating system ends the lock with the process, even one that is killed.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(sqlite3.Error, OSError):  # the folder cannot be written: nothing is remembered either
            path = remembered.path().with_suffix(".lock")
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(contextlib.closing(sqlite3.connect(path, seconds)))
            lock.execute("BEGIN EXCLUSIVE")
        yield


def keep(proof: Proof, verdict: Verdict) -> None:
    """Remembers the verdict, with words for people."""
    key = proof.key
    what = f"{proof.model.spec.name} in {key.precision} on {key.provider.name} {key.device_id}, {key.tier}"
    remembered.put(proof.name(), {"what": f"{what}, {key.width}x{key.height}", **asdict(verdict)})


def in_a_process(proof: Proof) -> Verdict:
    """The verdict of a process, which is ended after the provider's patience."""
    interpreter = process.interpreter()
    if interpreter is None:
        return Verdict(failed=f"no Python interpreter was found for the GPU trial (sys.prefix is {sys.prefix})")
    seconds = proof.key.provider.patience
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        told = Path(folder) / "verdict.json"
        words = [interpreter, "-c", "from vs_gansr.engine.auto.proof import child; child()", str(told)]
        job = pickle.dumps(proof)
        environment = {**process.environment(), "GANSR_GPU": ""}
        ended, how = "", {"input": job, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "env": environment}
        try:
            done = subprocess.run(words, timeout=seconds, **how)  # type: ignore[call-overload]
            if done.returncode:
                last = " ".join(done.stderr.decode(errors="replace").split("\n")[-2:]).strip()
                code = done.returncode
                status = signal.Signals(-code).name if code < 0 else f"status {code}"
                ended = f"the process of the GPU trial ended with {status}: {last or 'no message'}"
        except subprocess.TimeoutExpired:
            ended = f"the GPU trial did not end within {seconds:.0f} s"
        except OSError as error:
            return Verdict(failed=f"the process of the GPU trial cannot be started: {one_line(error)}")
        try:
            found = json.loads(told.read_text())
        except (OSError, ValueError):
            found = {"stage": "start"}
    stage = found.pop("stage")
    return Verdict(
        **{**found, "failed": f"{one_line(RuntimeError(ended), 200)} (in its part: {stage})"} if ended else found
    )


def child() -> None:
    """The process: reads the proof from stdin, writes what is found to the file named by the first argument."""
    proof: Proof = pickle.load(sys.stdin.buffer)  # from the process that started this one
    told = Path(sys.argv[1])
    found: dict[str, Any] = {}

    def tell(stage: str) -> None:
        part = told.with_suffix(".part")
        part.write_text(json.dumps({"stage": stage, **found}))
        part.replace(told)

    try:
        for stage, more in stages(proof):
            found |= more
            tell(stage)
    except Exception as error:  # runtimes raise types of their own
        found["failed"] = one_line(error, 200)
    tell("end")
    os._exit(0)  # what a device does while its libraries are unloaded is of no interest


def stages(proof: Proof) -> Iterator[tuple[str, dict[str, float]]]:
    """The name of each stage that begins, and what the one before found."""
    yield "first pictures", {}
    if proof.rival and (factor := glance(proof)) * HOPELESS < 1:
        yield "end", {"speedup": factor, "decibels": IDENTICAL, "block": IDENTICAL, "race": 0.0}
        return
    key = proof.key
    engine = key.provider.make(proof.model, key)
    yield "numbers", {}
    yield "races", numbers(proof, engine)
    yield "speed", {"race": races(proof, engine)}
    if proof.rival:
        ours = speed(proof.model, key, engine)
        model, theirs = proof.rival
        rule = model.spec.size_rule
        width, height = rule.fixed or rule.padded(min(MEASURED, key.width), min(MEASURED, key.height))
        theirs = replace(theirs, width=width, height=height)
        slow = speed(model, theirs, theirs.provider.make(model, theirs))
        yield "end", {"speedup": ours / slow}


def glance(proof: Proof) -> float:
    """The device's speed divided by the CPU's, on one small picture: a GPU in software is much slower there."""
    assert proof.rival
    took = []
    for model, key in (proof.rival, (proof.model, proof.key)):
        width, height = model.spec.size_rule.fixed or model.spec.size_rule.padded(GLANCE, GLANCE)
        small = replace(key, width=width, height=height, streams=1, alone=0, threads=cpu_threads())
        engine = key.provider.make(model, small)
        run(model, engine, 0)
        begin = time.perf_counter()
        for n in range(3):
            run(model, engine, n)
        took.append(time.perf_counter() - begin)
        engine.close()
    return took[0] / took[1]


def numbers(proof: Proof, engine: Engine) -> dict[str, float]:
    """Peak signal-to-noise ratios: over all crops, and of the worst block."""
    spec, key, rng = proof.model.spec, proof.key, np.random.default_rng(1)
    reference = Reference(proof.plain, key)
    pairs: list[tuple[Tensor, Tensor]] = []
    for seed in range(PICTURES):
        picture = picture_for(spec, key.width, key.height, seed)
        got = list(run(proof.model, engine, seed, picture))
        pairs += filter(None, [reference.pair(picture, got, rng) for _ in range(CROPS // PICTURES)])
    if not pairs:
        width, height = spec.size_rule.fixed or spec.size_rule.padded(WHOLE, WHOLE)
        small = replace(key, width=width, height=height, streams=1)
        right = reference_key(proof.plain, key, width, height)
        ours, theirs = key.provider.make(proof.model, small), right.provider.make(proof.plain, right)
        for seed in range(PICTURES):
            pairs.append((run(proof.model, ours, seed), run(proof.plain, theirs, seed)))
        ours.close()
    squares = [np.square(a.astype(np.float64) - b) for a, b in pairs]
    whole = float(np.mean([square.mean() for square in squares]))
    blocks = [
        float(square[:, y : y + BLOCK, x : x + BLOCK].mean())
        for square in squares
        for y in range(0, max(1, square.shape[1] - BLOCK + 1), BLOCK)
        for x in range(0, max(1, square.shape[2] - BLOCK + 1), BLOCK)
    ]
    found = {"decibels": psnr(whole, most=IDENTICAL), "block": psnr(max(blocks), most=IDENTICAL)}
    return {name: value if value == value else 0.0 for name, value in found.items()}


def races(proof: Proof, engine: Engine) -> float:
    """The largest difference between a picture computed among others and the same computed alone; white is 1."""
    spec, key = proof.model.spec, proof.key
    first = picture_for(spec, key.width, key.height)
    pictures = [[np.roll(plane, (5 * n, 9 * n), (0, 1)) for plane in first] for n in range(RACERS)]
    alone = [run(proof.model, engine, 0, picture) for picture in pictures]

    def once(n: int) -> float:
        return float(np.abs(run(proof.model, engine, 0, pictures[n % RACERS]) - alone[n % RACERS]).max())

    with ThreadPoolExecutor(key.streams + 2) as pool:
        return max(pool.map(once, range(RUNS)))


def speed(model: Model, key: EngineKey, engine: Engine) -> float:
    """Pixels a second, with as many pictures at once as the key has streams."""
    pictures = [picture_for(model.spec, key.width, key.height, seed) for seed in range(2)]
    run(model, engine, 0, pictures[0])
    begin, count = time.perf_counter(), 0
    with ThreadPoolExecutor(key.streams) as pool:
        while count < 2 * key.streams or time.perf_counter() - begin < TRIAL:
            list(pool.map(lambda n: run(model, engine, 0, pictures[n % 2]), range(2 * key.streams)))
            count += 2 * key.streams
    return count * key.width * key.height / (time.perf_counter() - begin)
