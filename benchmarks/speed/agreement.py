"""Compare the outputs of the provider under test with float32 on the CPU.

planes   by the engines alone, for every sample type
formats  through VapourSynth, for every kind of format
clips    through VapourSynth, on real frames
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed import run
from benchmarks.speed.alone import chosen
from benchmarks.speed.job import Measured, SpeedJob
from benchmarks.speed.report import NOISE
from vs_gansr.colour.pictures import psnr
from vs_gansr.engine.onnxruntime.provider import CPU
from vs_gansr.engine.planes import Tensor
from vs_gansr.model.rewrite.ends import Samples

# Every kind of format once: depths, subsamplings, families, floats.
FORMATS = (
    "GRAY8", "GRAY16", "GRAYH", "GRAYS", "YUV420P8", "YUV420P10", "YUV420P12", "YUV420P16", "YUV422P8", "YUV422P10",
    "YUV444P8", "YUV444P10", "YUV444P16", "YUV410P8", "YUV411P8", "YUV440P8", "YUV420PH", "YUV420PS", "YUV444PH",
    "YUV444PS", "RGB24", "RGB30", "RGB48", "RGBH", "RGBS",
)  # fmt: skip


# How planes store their samples, as engines tell them apart.
STORED = {
    "8 bit": Samples.integer(8, full_range=False),
    "10 bit": Samples.integer(10, full_range=False),
    "16 bit, full range": Samples.integer(16, full_range=True),
    "half float": Samples(np.dtype(np.float16)),
    "float": Samples.float32(),
}


def planes(job: SpeedJob) -> Measured:
    """The engine against ONNX Runtime's on the CPU, on smooth noise: needs no VapourSynth."""
    model, key = chosen(job)
    scale = model.spec.scale
    found: Measured = {}
    for name, stored in STORED.items():
        mine = replace(key, source=stored, target=stored, streams=1)
        values = smooth(np.random.default_rng(0), (model.spec.inputs, job.height, job.width))
        picture = [(v * stored.scale + stored.offset).round(0 if stored.is_integer else 9) for v in values]
        picture = [plane.astype(stored.dtype) for plane in picture]
        results = []
        for place in (mine, replace(mine, provider=CPU, device_id=0, precision="fp32", options=None)):
            engine = place.provider.make(model, place)
            shape = (model.spec.channels, scale * job.height, scale * job.width)
            results.append(np.zeros(shape, stored.dtype))
            engine.run(picture, list(results[-1]))
            engine.close()
        difference = results[0].astype(np.float64) - results[1]
        found[name] = distance(float(np.square(difference / stored.scale).mean()), float(np.abs(difference).max()))
    return found


def smooth(rng: np.random.Generator, shape: tuple[int, int, int]) -> Tensor:
    """Noise of 0 to 1 in cells of 4x4 pixels."""
    planes, height, width = shape
    cells = rng.random((planes, height // 4 + 1, width // 4 + 1))
    return cells.repeat(4, 1).repeat(4, 2)[:, :height, :width]


def distance(square: float, largest: float) -> dict[str, float]:
    """`psnr` in decibels for a mean square, white 1, 200 where equal and 0 where not finite; `largest` difference."""
    if not np.isfinite(square):
        return {"psnr": 0.0, "largest": float(np.finfo(np.float32).max)}
    return {"psnr": psnr(square, most=200.0), "largest": largest}


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
    return distance(squares / count, largest)


def clips(job: SpeedJob) -> Measured:
    """Over real frames: `files`, `frames` of each, spread evenly; in 16 bit, so that rounding hides nothing.

    Without files over noise that moves.
    """
    import vapoursynth as vs

    core = vs.core
    frames = int(job.options["frames"])
    if not job.options["files"]:
        made = run.moving_clip(replace(job, format="YUV420P16", width=job.width or 640, height=job.height or 360))
        return {NOISE: compared(*both(job, made), frames)}
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
                [value] = smooth(rng, (1, *plane.shape))
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


AGREEMENTS: dict[str, Callable[[SpeedJob], Measured]] = {"planes": planes, "clips": clips, "formats": formats}
