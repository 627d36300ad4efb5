"""Owns one measurement: what it is, and the process of its own that it runs in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.paths import ROOT

PROGRAM = "benchmarks.speed.bench_cuda"

type Result = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """`kind` names a function of contestants or agreement; `model` is a file; `options` are that function's own."""

    kind: str
    model: str
    width: int
    height: int
    provider: str
    precision: str
    seconds: float = 5.0
    device_id: int = 0
    format: str = "YUV420P10"
    options: dict[str, Any] = field(default_factory=dict)


def measure(job: Job, timeout: float = 1800.0) -> Result:
    """The result of `job`; `{"missing": why}` where it cannot be had."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-m", PROGRAM, "--job", json.dumps(asdict(job))],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )
    if done.returncode:
        lines = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()
        return {"missing": lines[-1][:300]}
    answer: Result = json.loads(done.stdout.splitlines()[-1])
    return answer
