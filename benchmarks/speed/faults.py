"""Owns what a GPU must survive before it is timed: the trial, memory that runs out, a second stream that fails.

trial     one convolution in half precision, made and run
shortage  an engine that gets too little memory, and one whose second stream does: what is told, what is not given back
"""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable
from dataclasses import replace

import onnxruntime as ort

from benchmarks.speed.alone import chosen, noise
from benchmarks.speed.contestants import MIB, used
from benchmarks.speed.job import Measured, SpeedJob
from vs_gansr.cli.doctor import nvidia
from vs_gansr.engine.auto import providers
from vs_gansr.engine.cuda import driver as cuda_driver
from vs_gansr.engine.cuda.engine import CudaEngine, MakeSession
from vs_gansr.engine.cuda.options import CudaOptions
from vs_gansr.errors import ShortageError, one_line

__all__ = ["FAULTS"]

TOO_LITTLE = 1 * MIB  # for any network's arena


def trial(job: SpeedJob) -> Measured:
    """`trouble`, empty if the provider computes, the milliseconds until that is known, and the `device` it is about."""
    begin = time.perf_counter()
    reason = providers.trouble(providers.full_name(job.provider), job.device_id)
    found: Measured = {"trouble": reason or "", "first_ms": 1000 * (time.perf_counter() - begin)}
    if job.provider == "CUDA":
        found["device"] = ", ".join(map(asked, (lambda: memory_of(job), driver)))
    return found


def memory_of(job: SpeedJob) -> str:
    """The GPU's name and memory."""
    gpu = cuda_driver.device(job.device_id)
    return f"{gpu.title}, {gpu.memory()[1] / (1 << 30):.0f} GiB"


def driver() -> str:
    """The driver's version."""
    known = nvidia.driver()
    return f"driver {known.version}" if known else "no driver"


def asked(question: Callable[[], str]) -> str:
    """What is answered, or why nothing is: of less interest than the trial."""
    try:
        return question()
    except Exception as error:
        return f"unknown ({one_line(error, 80)})"


class OneStream(CudaEngine):
    """An engine whose second stream finds no memory."""

    def _start(self, make: MakeSession) -> CudaOptions:
        count = itertools.count()

        def first_only(options: CudaOptions, stream: int) -> ort.InferenceSession:
            if next(count):
                raise RuntimeError("CUDA failure 2: out of memory (for the sake of the trial)")
            return make(options, stream)

        return super()._start(first_only)


def shortage(job: SpeedJob) -> Measured:
    """`limited` and `second`: what became of each; `..._left_mib`: what is in use more than before.

    A first engine comes and goes before anything is counted, for what CUDA keeps for good.
    """
    model, key = chosen(job)
    picture = noise(model.spec.inputs, job.width, job.height, 0)
    large = noise(model.spec.channels, model.spec.scale * job.width, model.spec.scale * job.height, 0)

    def runs(engine: CudaEngine) -> str:
        engine.run(picture, large)
        engine.close()
        return f"runs on {engine.streams} of {key.streams} streams"

    def limited() -> str:
        try:
            return runs(CudaEngine(model, replace(key, limit=TOO_LITTLE)))
        except ShortageError as error:
            return f"told: {one_line(error, 120)}"

    runs(CudaEngine(model, key))
    found: Measured = {}
    steps: dict[str, Callable[[], str]] = {"limited": limited, "second": lambda: runs(OneStream(model, key))}
    for name, step in steps.items():
        before = used(job)
        found[name] = step()
        gc.collect()
        found[f"{name}_left_mib"] = (used(job) - before) / MIB
    return found


FAULTS: dict[str, Callable[[SpeedJob], Measured]] = {"trial": trial, "shortage": shortage}
