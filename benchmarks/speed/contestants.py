"""Measure frames a second, memory and the time to the first frame through VapourSynth.

gansr    core.gansr.Upscale
mlrt     core.ort.Model (vs-mlrt) between core.resize calls, luma or RGB in float32 or, with `half`, float16
soak     gansr over many frames, with memory watched
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.speed import harness, run
from benchmarks.speed.job import Measured, SpeedJob
from vs_gansr.engine.cuda import driver as cuda_driver
from vs_gansr.engine.cuda import libraries as cuda_libraries

__all__ = ["CONTESTANTS", "MIB", "rate", "used", "watched"]

MIB = 1 << 20
STREAMS = 2  # frames at once, unless told


def used(job: SpeedJob) -> int:
    """Bytes in use: of the whole GPU, or of this process where the CPU stands in."""
    if job.provider == "CUDA":
        free, total = cuda_driver.device(job.device_id).memory()
        return total - free
    return resident()


def resident() -> int:
    """Bytes of this process."""
    import psutil

    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)  # what is free but kept in the C library's pools is not in use
    return int(psutil.Process().memory_info().rss)


def rate(job: SpeedJob, step: Callable[[], object]) -> float:
    """Steps a second over `job.seconds`, after three that do not count."""
    for _ in range(3):
        step()
    return run.timed(job, step)


def source(job: SpeedJob) -> Any:
    """Moving noise, every frame other than the one before, costing nothing once each was made."""
    few = run.moving_clip(job)[: run.DISTINCT]
    few.std.SetVideoCache(mode=1, fixedsize=1, maxsize=2 * run.DISTINCT)
    return few.std.Loop(1 << 20)


def rendered(job: SpeedJob, evaluate: Callable[[Any], Any]) -> Measured:
    clip = source(job)
    for frame in clip[: run.DISTINCT].frames(close=True):
        assert frame.width == job.width
    before = used(job)
    begin = time.perf_counter()
    out = evaluate(clip)
    out.get_frame(0).close()
    first_ms = 1000 * (time.perf_counter() - begin)
    frames = out[1:].frames(close=True)
    fps = rate(job, lambda: next(frames))
    return {"fps": fps, "first_ms": first_ms, "memory_mib": (used(job) - before) / MIB}


def upscaled(job: SpeedJob, clip: Any) -> Any:
    streams = {"num_streams": job.num_streams} if job.num_streams else {}
    return clip.gansr.Upscale(
        job.model, provider=job.provider, device_id=job.device_id, precision=job.precision, reuse=0, **streams
    )


def gansr(job: SpeedJob) -> Measured:
    return rendered(job, lambda clip: upscaled(job, clip))


def mlrt(job: SpeedJob) -> Measured:
    import vapoursynth as vs

    if not hasattr(vs.core, "ort"):
        return {"missing": "vapoursynth-mlrt-ort is not installed"}
    if job.provider == "CUDA":
        if not Path(os.fsdecode(vs.core.ort.Version()["path"])).with_name("libonnxruntime_providers_cuda.so").is_file():
            return {"missing": "vapoursynth-mlrt-ort-cuda is not installed"}
        cuda_libraries.preload()  # it finds them only where they are loaded already, or the system's
    half, graph = bool(job.options.get("half")), bool(job.options.get("graph"))
    if graph and job.provider != "CUDA":
        return {"missing": "CUDA graphs need CUDA"}
    more: dict[str, Any] = {"num_streams": job.num_streams or STREAMS, "device_id": job.device_id}
    more |= {"fp16": int(half or job.precision == "fp16"), "output_format": int(half)}
    if job.provider == "CUDA":
        more |= {"provider": "CUDA", "use_cuda_graph": int(graph), "prefer_nhwc": int(graph)}

    def network(clip: Any) -> Any:
        return vs.core.ort.Model(clip, job.model, **more)

    return rendered(job, lambda clip: harness.through_peer(clip, job.model, network, half))


def soak(job: SpeedJob) -> Measured:
    out = upscaled(job, source(job))
    return watched(job, out[: int(job.options["frames"])].frames(close=True))


def watched(job: SpeedJob, frames: Iterable[object]) -> Measured:
    """Memory after the first tenth of `frames`, and how much more it is at the most after it; on a GPU the host's too.

    What is not done when the job's time is over is left out; `frames` says how many there were.
    """
    count = int(job.options["frames"])
    samples: list[list[int]] = []
    begin, n = time.perf_counter(), 0
    for n, _ in enumerate(frames, 1):
        if n % max(1, count // 50) == 0:
            samples.append([used(job), resident()])
        if time.perf_counter() - begin > job.options.get("at_most", math.inf):
            break
    samples.append([used(job), resident()])
    tenth = max(1, len(samples) // 10)
    levels, most = (list(map(max, zip(*part, strict=True))) for part in (samples[: tenth + 1], samples[tenth:]))
    growth, on_host = ((b - a) / MIB for a, b in zip(levels, most, strict=True))
    fps = n / (time.perf_counter() - begin)
    return {"frames": n, "fps": fps, "level_mib": levels[0] / MIB, "growth_mib": growth, "host_growth_mib": on_host}


CONTESTANTS: dict[str, Callable[[SpeedJob], Measured]] = {"gansr": gansr, "mlrt": mlrt, "soak": soak}
