"""A clip of many distinct frames that is cheap to make, so that a run spends its time in Upscale."""

from __future__ import annotations

import hashlib

import numpy as np
import vapoursynth as vs

DISTINCT = 256


def windows(width: int, height: int, length: int, format: int = vs.YUV420P8) -> vs.VideoNode:
    """`length` frames, DISTINCT different ones in turn: windows on one large noisy frame."""
    core = vs.core.core
    side = round(DISTINCT**0.5)
    large = core.std.BlankClip(format=format, width=width + 4 * side, height=height + 4 * side, length=1, keep=True)

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        rng = np.random.default_rng(7)
        for i in range(out.format.num_planes):
            plane = np.asarray(out[i])
            noise = rng.integers(16, 236, plane.shape)
            plane[:] = (noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1)) // 3
        return out

    large = large.std.ModifyFrame(large, fill).std.SetFrameProps(_Matrix=1)
    large.std.SetVideoCache(mode=1, fixedsize=1, maxsize=1)
    cut = [large.std.CropAbs(width, height, 4 * (i % side), 4 * (i // side)) for i in range(side * side)]
    return core.std.Splice(cut).std.Loop(-(-length // len(cut)))[:length]


def digest(frame: vs.VideoFrame) -> bytes:
    """A hash of a frame's samples."""
    taken = hashlib.blake2b(digest_size=16)
    for i in range(frame.format.num_planes):
        taken.update(np.ascontiguousarray(np.asarray(frame[i])))
    return taken.digest()
