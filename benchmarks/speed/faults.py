"""Test a GPU before it is timed: one convolution, and memory that runs out.

trial     create and run one convolution in half precision
shortage  give an engine too little memory; check its error and that it returns all memory
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import replace

from benchmarks.speed.alone import chosen, noise
from benchmarks.speed.contestants import MIB, used
from benchmarks.speed.job import Measured, SpeedJob
from vs_gansr.cli.doctor.examine import nvidia_gpus
from vs_gansr.engine.auto import registry
from vs_gansr.engine.base import EngineKey
from vs_gansr.engine.cuda import driver as cuda_driver
from vs_gansr.errors import ShortageError, one_line
from vs_gansr.model.spec import Model

__all__ = ["FAULTS"]

TOO_LITTLE = 1 * MIB  # for any network's arena


def trial(job: SpeedJob) -> Measured:
    """`trouble`, empty if the provider computes, the milliseconds until that is known, and the `device` it is about."""
    begin = time.perf_counter()
    reason = registry.find(job.provider).trouble(job.device_id)
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
    cards, trouble = nvidia_gpus()
    return f"driver {cards[0].driver}" if cards else trouble or "nvidia-smi is not found"


def asked(question: Callable[[], str]) -> str:
    """What is answered, or why nothing is: of less interest than the trial."""
    try:
        return question()
    except Exception as error:
        return f"unknown ({one_line(error, 80)})"


def shortage(job: SpeedJob) -> Measured:
    """`limited`: what became of it; `limited_left_mib`: what is in use more than before.

    A first engine comes and goes before anything is counted, for what CUDA keeps for good.
    """
    model, key = chosen(job)
    picture = noise(model.spec.inputs, job.width, job.height, 0)
    large = noise(model.spec.channels, model.spec.scale * job.width, model.spec.scale * job.height, 0)

    def runs(model: Model, key: EngineKey) -> str:
        engine = key.provider.make(model, key)
        engine.run(picture, large)
        engine.close()
        return f"runs on {getattr(engine, 'streams', key.streams)} of {key.streams} streams"

    def limited() -> str:
        try:
            return runs(model, replace(key, limit=TOO_LITTLE))
        except ShortageError as error:
            return f"told: {one_line(error, 120)}"

    runs(model, key)
    found: Measured = {}
    steps: dict[str, Callable[[], str]] = {"limited": limited}
    for name, step in steps.items():
        before = used(job)
        found[name] = step()
        gc.collect()
        found[f"{name}_left_mib"] = (used(job) - before) / MIB
    return found


FAULTS: dict[str, Callable[[SpeedJob], Measured]] = {"trial": trial, "shortage": shortage}
