"""Synthetic clips for the tests: every frame different, every sample value reached."""

from __future__ import annotations

from typing import Any

import numpy as np
import vapoursynth as vs


def noise(
    format: int, width: int, height: int, length: int = 2, seed: int = 0, props: dict[str, Any] | None = None
) -> vs.VideoNode:
    """Smooth noise over the format's whole range, other in every frame."""
    core = vs.core.core
    blank = core.std.BlankClip(format=format, width=width, height=height, length=length, keep=True)

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        rng = np.random.default_rng([seed, n])
        for i in range(out.format.num_planes):
            plane = np.asarray(out[i])
            value = rng.random(plane.shape)
            value = (value + np.roll(value, 1, 0) + np.roll(value, 1, 1)) / 3
            if out.format.sample_type == vs.FLOAT:
                chroma = i > 0 and out.format.color_family == vs.YUV
                plane[:] = value - 0.5 if chroma else value
            else:
                plane[:] = np.round(value * ((1 << out.format.bits_per_sample) - 1))
        return out

    clip = blank.std.ModifyFrame(blank, fill)
    return clip.std.SetFrameProps(**props) if props else clip


def panning(fmt: int, length: int, width: int = 80, height: int = 60) -> vs.VideoNode:
    """A camera that moves 3 pixels right and 1 down a frame over blurred noise, the scene changing every 9 frames."""
    core = vs.core.core
    scenes = []
    for seed in range(-(-length // 9)):
        still = noise(vs.YUV444P8, width + 40, height + 20, 1, seed=seed).std.BoxBlur(hradius=2, vradius=2)
        still = still.std.Expr("x 128 - 4 * 128 +").std.Loop(9)

        def move(n: int, still: vs.VideoNode = still) -> vs.VideoNode:
            return still.std.CropAbs(width, height, 3 * n, n)

        blank = core.std.BlankClip(still, width=width, height=height)
        scenes.append(blank.std.FrameEval(move))
    clip = core.std.Splice(scenes)[:length].std.SetFrameProps(_Matrix=1, _Range=0)
    return clip if fmt == vs.YUV444P8 else clip.resize.Bicubic(format=fmt)


def planes(frame: vs.VideoFrame) -> list[np.ndarray]:
    """Copies of a frame's planes, as float64."""
    return [np.asarray(frame[i]).astype(np.float64) for i in range(frame.format.num_planes)]


def largest_difference(a: vs.VideoNode, b: vs.VideoNode, n: int = 0) -> float:
    """The largest difference of any sample of frame n, in code values or float units."""
    with a.get_frame(n) as fa, b.get_frame(n) as fb:
        assert (fa.width, fa.height, fa.format.id) == (fb.width, fb.height, fb.format.id)
        return max(float(np.abs(x - y).max()) for x, y in zip(planes(fa), planes(fb), strict=True))
