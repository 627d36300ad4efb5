"""Time each part of a frame's way alone, one frame at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import vapoursynth as vs

from benchmarks.speed.run import BenchRun, moving_clip, timed
from vs_gansr.colour import tags
from vs_gansr.engine import planes, probe
from vs_gansr.engine.base import EngineKey, cpu_threads
from vs_gansr.engine.onnxruntime.engine import OnnxRuntimeEngine
from vs_gansr.engine.onnxruntime.provider import CPU
from vs_gansr.filter import samples
from vs_gansr.model import library

__all__ = ["parts_of"]


def parts_of(job: BenchRun, frame: float) -> dict[str, float]:
    """Milliseconds a frame by part of its way on the CPU; `frame` is what all take together.

    `fetch` is the source, `convert` the way to the network's colours and back, `copy in`, `run` and `copy out` the
    network. `overlapped` is how much less a frame takes than the parts, below 0 where frames wait.
    """
    parts = {**around(job), **inside(job)}
    return {**parts, "overlapped": sum(parts.values()) - frame, "frame": frame}


def inside(job: BenchRun) -> dict[str, float]:
    """The network's own parts, with all processors."""
    model = probe.describe(library.load(job.model, job.precision))
    spec = model.spec
    key = EngineKey(spec.digest, CPU, 0, job.precision, job.width, job.height, 1, cpu_threads())
    engine = OnnxRuntimeEngine(model, key)
    scale = spec.scale
    source = moving_clip(job)
    working = source.resize.Bicubic(format=vs.RGBS if spec.channels == 3 else vs.GRAYS, **tags.CATMULL_ROM)
    with working.get_frame(0) as frame:
        large = vs.core.core.create_video_frame(working.format, scale * job.width, scale * job.height)
        inputs, outputs = samples.views(frame) * spec.frames, samples.views(large)
        with engine.stream() as stream:
            steps: dict[str, Callable[[], object]] = {
                "copy in": lambda: planes.load(inputs, stream.input),
                "run": stream.run,
                "copy out": lambda: planes.store(stream.output, outputs, (0, 0), scale, engine.shuffle),
            }
            return {name: 1000 / timed(short(job), step) for name, step in steps.items()}


def short(job: BenchRun) -> BenchRun:
    """The job, for a second at most."""
    return dataclasses.replace(job, seconds=min(1.0, job.seconds))


def around(job: BenchRun) -> dict[str, float]:
    """Milliseconds a frame of the source and of both colour conversions, each alone, one frame at a time."""
    source = moving_clip(job)
    scale = probe.describe(library.load(job.model)).spec.scale
    large = {"width": scale * source.width, "height": scale * source.height}
    result = source.std.BlankClip(format=vs.RGBS, keep=True, color=[0.3, 0.5, 0.7], **large)

    def alone(clip: Any) -> float:
        clip.std.SetVideoCache(mode=0)
        count = iter(range(1 << 30))
        clip.get_frame(next(count)).close()
        return 1000 / timed(short(job), lambda: clip.get_frame(next(count)).close())

    fetch = alone(source)
    there = alone(source.resize.Bicubic(format=vs.RGBS, **tags.CATMULL_ROM)) - fetch
    back = alone(result.resize.Bicubic(format=source.format.id, matrix=1, **tags.CATMULL_ROM))
    return {"fetch": fetch, "convert": max(0.0, there) + back}
