"""Run one measurement in this process and print its result as the last line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from benchmarks.speed.agreement import AGREEMENTS
from benchmarks.speed.alone import ALONE
from benchmarks.speed.contestants import CONTESTANTS
from benchmarks.speed.faults import FAULTS
from benchmarks.speed.job import Measured, SpeedJob
from benchmarks.speed.nodes import NODES

__all__ = ["KINDS"]

KINDS: dict[str, Callable[[SpeedJob], Measured]] = CONTESTANTS | ALONE | AGREEMENTS | FAULTS | NODES

if __name__ == "__main__":
    job = SpeedJob(**json.loads(sys.argv[1]))
    print(json.dumps(KINDS[job.contestant](job)))
