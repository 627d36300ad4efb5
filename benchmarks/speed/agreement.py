"""Owns how far outputs lie apart: the provider under test against float32 on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.job import Measured, SpeedJob
from vs_gansr.cli.bench import harness

# Every kind of format once: depths, subsamplings, families, floats.
FORMATS = (
    "GRAY8", "GRAY16", "GRAYH", "GRAYS", "YUV420P8", "YUV420P10", "YUV420P12", "YUV420P16", "YUV422P8", "YUV422P10",
    "YUV444P8", "YUV444P10", "YUV444P16", "YUV410P8", "YUV411P8", "YUV440P8", "YUV420PH", "YUV420PS", "YUV444PH",
    "YUV444PS", "RGB24", "RGB30", "RGB48", "RGBH", "RGBS",
)  # fmt: skip


def both(job: SpeedJob, clip: Any) -> tuple[Any, Any]:
    """The clip upscaled by what is under test, and by the reference."""
    under_test = clip.gansr.Upscale(
        job.model, provider=job.provider, device_id=job.device_id, precision=job.precision, reuse=0
    )
    return under_test, clip.gansr.Upscale(job.model, provider="CPU", precision="fp32", reuse=0)


def compared(a: Any, b: Any, frames: int) -> dict[str, float]:
    """`psnr` in decibels over all samples of all frames, 200 where equal; `largest` difference in code values."""
    fmt = a.format
    floats = fmt.sample_type == 1
    peak = 1.0 if floats else float((1 << fmt.bits_per_sample) - 1)
    squares, count, largest = 0.0, 0, 0.0
    for n in range(frames):
        with a.get_frame(n) as fa, b.get_frame(n) as fb:
            for i in range(fmt.num_planes):
                difference = np.asarray(fa[i]).astype(np.float64) - np.asarray(fb[i])
                squares += float(np.square(difference / peak).sum())
                count += difference.size
                largest = max(largest, float(np.abs(difference).max()))
    return {"psnr": 10 * float(np.log10(count / squares)) if squares else 200.0, "largest": largest}


def clips(job: SpeedJob) -> Measured:
    """Over real frames: `files`, `frames` of each, spread evenly; in 16 bit, so that rounding hides nothing.

    Without files over noise that moves.
    """
    import vapoursynth as vs

    core = vs.core
    frames = int(job.options["frames"])
    if not job.options["files"]:
        made = harness.moving_clip(replace(job, format="YUV420P16", width=job.width or 640, height=job.height or 360))
        return {"noise that moves": compared(*both(job, made), frames)}
    if not hasattr(core, "bs"):
        return {"missing": "vapoursynth-bestsource is not installed"}
    found: Measured = {}
    for file in job.options["files"]:
        clip = core.bs.VideoSource(file, cachemode=0)
        count = min(frames, clip.num_frames)
        clip = clip.std.SelectEvery(max(1, clip.num_frames // count), 0)[:count]
        if job.width:
            left, top = (clip.width - job.width) // 4 * 2, (clip.height - job.height) // 4 * 2
            clip = clip.std.CropAbs(job.width, job.height, left, top)
        deep = core.query_video_format(
            clip.format.color_family, vs.INTEGER, 16, clip.format.subsampling_w, clip.format.subsampling_h
        )
        found[Path(file).stem] = compared(*both(job, clip.resize.Point(format=deep.id)), count)
    return found


def formats(job: SpeedJob) -> Measured:
    """Every format once, on smooth noise."""
    import vapoursynth as vs

    core = vs.core
    found: Measured = {}
    rng = np.random.default_rng(0)
    for name in FORMATS:
        fmt = core.get_video_format(getattr(vs, name).value)
        props = {"_Matrix": 0 if fmt.color_family == vs.RGB else 1}
        blank = core.std.BlankClip(format=fmt.id, width=job.width, height=job.height, length=1, keep=True)

        def fill(n: int, f: Any) -> Any:
            out = f.copy()
            for i in range(out.format.num_planes):
                plane = np.asarray(out[i])
                value = rng.random((plane.shape[0] // 4 + 1, plane.shape[1] // 4 + 1)).repeat(4, 0).repeat(4, 1)
                value = value[: plane.shape[0], : plane.shape[1]]
                if plane.dtype.kind == "f":
                    chroma = i > 0 and out.format.color_family == vs.YUV
                    plane[:] = value - 0.5 if chroma else value
                else:
                    plane[:] = np.round(value * ((1 << out.format.bits_per_sample) - 1))
            return out

        clip = blank.std.ModifyFrame(blank, fill).std.SetFrameProps(**props)
        clip.std.SetVideoCache(mode=1, fixedsize=1, maxsize=4)  # made once: both see the same frame
        clip.get_frame(0).close()
        found[name] = compared(*both(job, clip), 1)
    return found


AGREEMENTS: dict[str, Callable[[SpeedJob], Measured]] = {"clips": clips, "formats": formats}
