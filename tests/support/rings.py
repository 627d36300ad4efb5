"""The clip for tests of the evaluation."""

from __future__ import annotations

import numpy as np
import vapoursynth as vs

from benchmarks.quality import media

WIDTH, HEIGHT, LENGTH = 192, 132, 4


def moving(width: int = WIDTH, height: int = HEIGHT, length: int = LENGTH) -> vs.VideoNode:
    """YUV420P8: rings and a chequer under fine grain, sliding by a pixel and a half a frame."""
    blank = vs.core.std.BlankClip(format=vs.YUV420P8, width=width, height=height, length=length, fpsnum=25, fpsden=1)
    grain = np.random.default_rng(1).normal(0, 6, (height, width))

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        y, x = np.mgrid[:height, :width]
        x = x + 1.5 * n
        rings = 60 * np.sin(np.hypot(x - width / 2, y - height / 2) ** 1.5 / 12)
        chequer = 40 * (((x // 12) + (y // 12)) % 2)
        np.asarray(out[0])[:] = np.clip(110 + rings + chequer + grain, 16, 235)
        for plane in (1, 2):
            np.asarray(out[plane])[:] = np.clip(128 + 40 * np.cos(x[::2, ::2] / 20 * plane), 16, 240)
        return out

    return media.tagged(blank.std.ModifyFrame(blank, fill))
