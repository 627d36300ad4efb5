"""Describe one measurement and run it in its own process."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from typing import Any

from benchmarks.paths import ROOT
from benchmarks.speed import harness
from benchmarks.speed.run import BenchRun
from vs_gansr.errors import one_line

__all__ = ["Measured", "SpeedJob", "measure"]

PROGRAM = "benchmarks.speed.worker"

type Measured = dict[str, Any]


@dataclass(frozen=True)
class SpeedJob(BenchRun):
    """`contestant` names one of worker.KINDS; `model` is a file."""

    device_id: int = 0
    """Which of the provider's devices."""
    options: dict[str, Any] = field(default_factory=dict)
    """What that kind takes: `tier` by name, `frames` of a long run ..."""


def measure(job: SpeedJob, timeout: float = 1800.0) -> Measured:
    """The result of `job`; `{"missing": why}` where it cannot be had in `timeout` seconds."""
    try:
        return harness.answer(PROGRAM, job, timeout, [str(ROOT)])
    except subprocess.TimeoutExpired:
        return {"missing": f"not done in {timeout:.0f} s"}
    except (RuntimeError, OSError, ValueError, IndexError) as error:  # the last two: it ended without a result
        return {"missing": one_line(error, 300)}
