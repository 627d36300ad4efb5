"""Sum ONNX Runtime's profile of a network by operator and provider."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from benchmarks.speed.alone import chosen
from benchmarks.speed.job import Measured, SpeedJob
from vs_gansr.engine.onnxruntime import sessions
from vs_gansr.engine.onnxruntime.provider import OnnxRuntimeProvider

__all__ = ["NODES", "summed"]

WARM, RUNS = 3, 10


def profile(job: SpeedJob) -> Measured:
    """`operators`: [name, provider, milliseconds a picture, nodes], longest first.

    Without CUDA graphs and without our ends. Where ONNX Runtime does not ask the GPU itself, the times are those that
    launching takes; kernels are listed beside them where it does.
    """
    model, key = chosen(job)
    with tempfile.TemporaryDirectory() as folder:
        settings = ort.SessionOptions()
        settings.enable_profiling = True
        settings.profile_file_prefix = str(Path(folder) / "profile")
        proto = sessions.fix(onnx.load_model_from_string(model.data), model.spec, key)
        assert isinstance(key.provider, OnnxRuntimeProvider)
        session = key.provider.session(proto.SerializeToString(), settings, key)
        entry = session.get_inputs()[0]
        kind = np.float16 if "float16" in entry.type else np.float32
        picture = np.random.default_rng(0).random((1, model.spec.inputs, job.height, job.width), np.float32)
        for _ in range(WARM + RUNS):
            session.run(None, {entry.name: picture.astype(kind)})
        events = json.loads(Path(session.end_profiling()).read_text())
    return {"operators": summed(events, WARM + RUNS)}


def summed(events: Iterable[Mapping[str, Any]], runs: int) -> list[list[Any]]:
    """Milliseconds a picture and nodes by operator and provider, of all of ONNX Runtime's events of nodes."""
    times: dict[tuple[str, str], float] = defaultdict(float)
    nodes: dict[tuple[str, str], set[str]] = defaultdict(set)
    for event in events:
        told = event.get("args", {})
        is_kernel = event.get("cat") == "Kernel"
        if not is_kernel and not (event.get("cat") == "Node" and event["name"].endswith("_kernel_time")):
            continue
        provider = told.get("provider", "").removesuffix("ExecutionProvider")
        who = ("kernel " + event["name"][:60], "") if is_kernel else (told.get("op_name", ""), provider)
        times[who] += event["dur"] / 1000 / runs
        nodes[who].add(event["name"])
    longest = sorted(times, key=lambda who: -times[who])
    return [[*who, round(times[who], 4), len(nodes[who])] for who in longest]


NODES: dict[str, Callable[[SpeedJob], Measured]] = {"profile": profile}
