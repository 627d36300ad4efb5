"""Describe one contestant's run, make the clip that it works on, and time its steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["DISTINCT", "BenchRun", "moving_clip", "timed"]

DISTINCT = 16  # frames the clip cycles through


@dataclass(frozen=True)
class BenchRun:
    """One contestant's run. `seconds` bounds the timed part, which is at least `frames` frames long.

    With `encoder`, the path of an ffmpeg, the timed part is a whole encode of the output by x265 at its medium preset.
    """

    contestant: str
    model: str
    width: int
    height: int
    format: str = "YUV420P8"
    provider: str = "auto"
    precision: str = "fp32"
    num_streams: int = 0
    frames: int = 12
    seconds: float = 6.0
    profile: bool = False
    encoder: str = ""


def moving_clip(job: BenchRun) -> Any:
    """A clip of smooth noise that moves, every frame different; its frames cost one copy each."""
    import numpy as np
    import vapoursynth as vs

    core = vs.core
    fmt = core.get_video_format(getattr(vs, job.format).value)
    blank = core.std.BlankClip(format=fmt.id, width=job.width, height=job.height, length=100_000, keep=True)
    blank = blank.std.SetFrameProps(_Matrix=0 if fmt.color_family == vs.RGB else 1)
    rng = np.random.default_rng(0)
    with blank.get_frame(0) as f:
        kinds = [np.asarray(f[i]) for i in range(f.format.num_planes)]
        top = (1 << f.format.bits_per_sample) - 1
    stills = []
    for plane in kinds:
        noise = rng.random((plane.shape[0] // 4 + 1, plane.shape[1] // 4 + 1)).repeat(4, 0).repeat(4, 1)
        scaled = noise[: plane.shape[0], : plane.shape[1]] * (top if plane.dtype.kind == "u" else 1.0)
        stills.append([np.roll(scaled, 3 * i, (0, 1)).astype(plane.dtype) for i in range(DISTINCT)])

    def fill(n: int, f: Any) -> Any:
        out = f.copy()
        for i, still in enumerate(stills):
            np.copyto(np.asarray(out[i]), still[n % DISTINCT])
        return out

    return blank.std.ModifyFrame(blank, fill)


def timed(job: BenchRun, step: Callable[[], object]) -> float:
    """Steps a second, over at least `job.frames` steps and `job.seconds` seconds, whichever is longer."""
    done = 0
    begin = time.perf_counter()
    while done < job.frames or time.perf_counter() - begin < job.seconds:
        step()
        done += 1
    return done / (time.perf_counter() - begin)
