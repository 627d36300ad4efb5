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
class Measurement:
    """What is measured, by which function, on which picture; everything in it can be said in JSON."""

    kind: str
    """Of contestants.CONTESTANTS or agreement.AGREEMENTS."""
    model: str
    """Path of an .onnx file."""
    width: int
    """Of the input, pixels."""
    height: int
    """Of the input, pixels."""
    provider: str
    """CUDA or CPU."""
    precision: str
    """fp16 or fp32."""
    seconds: float = 5.0
    """Of a timing, at least three steps."""
    device_id: int = 0
    """The GPU's number."""
    format: str = "YUV420P10"
    """VapourSynth's name of the clip's format."""
    options: dict[str, Any] = field(default_factory=dict)
    """The function's own."""


def measure(job: Measurement, timeout: float = 1800.0) -> Result:
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
