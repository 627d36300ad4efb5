"""Time contestants on the same clip and network, each in a process of its own, in turn.

Every frame of the clip differs from the one before, nothing is reused, and frames are requested as a player or
encoder requests them: in order, several under way. A contestant is one of

    gansr   core.gansr.Upscale
    bare    a bare ONNX Runtime loop over ready tensors: the bound that a frame-server cannot pass
    ort     core.ort.Model (vs-mlrt) between two core.resize calls
    ov      core.ov.Model (vs-mlrt, OpenVINO) between two core.resize calls

This module is also the program that each of those processes runs:
`python -m benchmarks.speed.harness '<BenchRun as JSON>'`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.paths import ROOT
from benchmarks.speed.run import DISTINCT, BenchRun, moving_clip, timed
from vs_gansr.engine.auto import registry

__all__ = ["CONTESTANTS", "Result", "answer", "compare", "measure", "ratios", "through_peer"]


@dataclass(frozen=True)
class Result:
    """What a run gave: frames a second, milliseconds to the first frame after evaluating the script the first and
    the second time, mebibytes of resident memory at the peak, milliseconds by part of a frame's way if profiled (see
    `profiling`), milliseconds of processor time a frame, which hardly change where other programs run."""

    fps: float
    first_ms: float
    again_ms: float
    peak_mib: float
    parts: dict[str, float] = dataclasses.field(default_factory=dict)
    cpu_ms: float = 0.0


def measure(job: BenchRun, timeout: float = 900.0) -> Result:
    """Runs `job` in a fresh process. Raises RuntimeError with its last line of output where it fails."""
    return Result(**answer("benchmarks.speed.harness", job, timeout, [str(ROOT)]))


def answer(module: str, job: BenchRun, timeout: float, paths: Sequence[str] = ()) -> dict[str, Any]:
    """What `python -m module '<job as JSON>'` prints last, as JSON; `paths` go before PYTHONPATH.

    Raises RuntimeError with its last line of output where it fails.
    """
    command = [sys.executable, "-m", module, json.dumps(dataclasses.asdict(job))]
    path = os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | ({"PYTHONPATH": path} if path else {}),
    )
    if done.returncode:
        last = (done.stderr.strip() or f"no output, exit status {done.returncode}").splitlines()[-1]
        raise RuntimeError(f"{job.contestant} at {job.width}x{job.height}: {last}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(jobs: Sequence[BenchRun], repeats: int) -> list[list[Result]]:
    """Results of every job, the jobs run in turn `repeats` times over, so that a slow minute meets all of them."""
    results: list[list[Result]] = [[] for _ in jobs]
    for _ in range(repeats):
        for job, held in zip(jobs, results, strict=True):
            held.append(measure(job))
    return results


def ratios(ours: Sequence[Result], theirs: Sequence[Result]) -> tuple[float, float, float]:
    """Median, least and greatest of fps over fps, turn by turn."""
    pairs = [a.fps / b.fps for a, b in zip(ours, theirs, strict=True)]
    return statistics.median(pairs), min(pairs), max(pairs)


# ---- inside the process ---------------------------------------------------------------------------


def script(job: BenchRun) -> Callable[[], Any]:
    """What a user's script does, as a function: the clip in, the upscaled clip out."""
    import vapoursynth as vs

    source = moving_clip(job)

    def ours() -> Any:
        more = {"num_streams": job.num_streams} if job.num_streams else {}
        return source.gansr.Upscale(job.model, provider=job.provider, precision=job.precision, reuse=0, **more)

    def theirs() -> Any:
        more: dict[str, Any] = {"num_streams": job.num_streams} if job.num_streams else {}
        provider = elsewhere(job.provider)
        if not registry.on_processors(provider):
            more["fp16"] = job.precision == "fp16"
        if job.contestant == "ort":
            more["provider"] = provider
        plugin = getattr(vs.core, job.contestant)
        return through_peer(source, job.model, lambda clip: plugin.Model(clip, job.model, **more))

    return ours if job.contestant == "gansr" else theirs


def through_peer(source: Any, model: str, evaluate: Callable[[Any], Any], half: bool = False) -> Any:
    """`source` upscaled as users of vs-mlrt do it: `evaluate` takes and gives RGB, or luma where the network does.

    In floats, `half` ones if so; chroma beside a network of luma is resized.
    """
    import vapoursynth as vs

    from vs_gansr.model import library

    core, fmt = vs.core, source.format
    is_rgb = fmt.color_family == vs.RGB
    kernel = {"filter_param_a": 0, "filter_param_b": 0.5}
    spec = library.load(model).spec
    if spec.channels == 3:
        large = evaluate(source.resize.Bicubic(format=vs.RGBH if half else vs.RGBS, **kernel))
        return large.resize.Bicubic(format=fmt.id, matrix=0 if is_rgb else 1, **kernel)
    whole = source.resize.Bicubic(format=vs.YUV444PS, matrix=1, **kernel) if is_rgb else source
    luma = whole.std.ShufflePlanes(0, vs.GRAY).resize.Point(format=vs.GRAYH if half else vs.GRAYS)
    stored = core.query_video_format(vs.GRAY, whole.format.sample_type, whole.format.bits_per_sample)
    large = evaluate(luma).resize.Point(format=stored.id)
    if fmt.color_family == vs.GRAY:
        return large
    chroma = [whole.std.ShufflePlanes(plane, vs.GRAY) for plane in (1, 2)]
    divided = large.width >> whole.format.subsampling_w, large.height >> whole.format.subsampling_h
    chroma = [plane.resize.Bicubic(*divided, **kernel) for plane in chroma]
    joined = core.std.ShufflePlanes([large, *chroma], [0, 0, 0], vs.YUV)
    return joined.resize.Bicubic(format=fmt.id, matrix=0, **kernel) if is_rgb else joined


def elsewhere(provider: str) -> str:
    """What stands for one of our providers where there is no such choice: the same, or the CPU."""
    return registry.CPU.name if provider == "auto" or registry.on_processors(provider) else provider


def time_clip(job: BenchRun) -> Result:
    evaluate = script(job)
    first_ms, again_ms = 0.0, 0.0
    for attempt in range(2):
        begin = time.perf_counter()
        out = evaluate()
        out.get_frame(attempt).close()
        took = 1000 * (time.perf_counter() - begin)
        first_ms, again_ms = (took, 0.0) if attempt == 0 else (first_ms, took)
        if attempt == 0:
            del out
    frames = out[2:].frames(close=True)
    for _ in range(3):
        next(frames)
    if job.encoder:
        seconds = min(2.0, job.seconds)
        alone = timed(dataclasses.replace(job, frames=3, seconds=seconds), lambda: next(frames))
        frames.close()
        fps = encode(job, out, max(job.frames, round(job.seconds * alone)))
        return Result(fps, first_ms, again_ms, peak_mib())
    begin, busy = time.perf_counter(), time.process_time()
    fps = timed(job, lambda: next(frames))
    cpu_ms = 1000 * (time.process_time() - busy) / (fps * (time.perf_counter() - begin))
    parts: dict[str, float] = {}
    if job.profile and job.contestant == "gansr":
        from benchmarks.speed.profile import parts_of

        frames.close()
        parts = parts_of(job, 1000 / fps)
    return Result(fps, first_ms, again_ms, peak_mib(), parts, cpu_ms)


def encode(job: BenchRun, out: Any, count: int) -> float:
    """Frames a second of `count` frames through the encoder, from its start to its end. Raises RuntimeError."""
    command = [job.encoder, "-hide_banner", "-loglevel", "error", "-f", "yuv4mpegpipe", "-i", "pipe:0"]
    command += ["-c:v", "libx265", "-preset", "medium", "-x265-params", "log-level=error", "-f", "null", "-"]
    begin = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the encoder is gone: its status tells
            out[100 : 100 + count].output(process.stdin, y4m=True)
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        if process.wait():
            raise RuntimeError(f"the encoder ended with {process.returncode}")
    return count / (time.perf_counter() - begin)


def time_bare(job: BenchRun) -> Result:
    """ONNX Runtime alone, tuned as well as we know: static shape, all processors, tensors ready."""
    import numpy as np
    import onnx
    import onnxruntime as ort

    from vs_gansr.engine import probe
    from vs_gansr.engine.base import EngineKey, cpu_threads
    from vs_gansr.engine.onnxruntime import sessions
    from vs_gansr.engine.onnxruntime.provider import OnnxRuntimeProvider
    from vs_gansr.model import library

    loaded = probe.describe(library.load(job.model, job.precision))
    key = EngineKey(
        loaded.spec.digest,
        registry.find(elsewhere(job.provider)),
        0,
        job.precision,
        job.width,
        job.height,
        1,
        cpu_threads(),
    )
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = key.threads
    proto = sessions.fix(onnx.load_model_from_string(loaded.data), loaded.spec, key)
    assert isinstance(key.provider, OnnxRuntimeProvider)
    begin = time.perf_counter()
    bare = key.provider.session(proto.SerializeToString(), settings, key)
    shape = (DISTINCT, 1, loaded.spec.inputs, job.height, job.width)
    ready = np.random.default_rng(0).random(shape, np.float32)
    bare.run(None, {loaded.spec.input: ready[0]})
    first_ms = 1000 * (time.perf_counter() - begin)
    count = iter(range(1, 1 << 30))
    fps = timed(job, lambda: bare.run(None, {loaded.spec.input: ready[next(count) % DISTINCT]}))
    return Result(fps, first_ms, first_ms, peak_mib())


def peak_mib() -> float:
    if sys.platform == "win32":
        import psutil

        peak_bytes: int = psutil.Process().memory_info().peak_wset
        return peak_bytes / (1 << 20)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


CONTESTANTS = {"gansr": time_clip, "bare": time_bare, "ort": time_clip, "ov": time_clip}


def main(argument: str) -> None:
    """Runs the job in `argument` and prints its result as the last line of stdout."""
    job = BenchRun(**json.loads(argument))
    print(json.dumps(dataclasses.asdict(CONTESTANTS[job.contestant](job))))


if __name__ == "__main__":
    main(sys.argv[1])
