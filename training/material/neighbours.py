"""Owns what a generator of three frames is shown of a clip beside its frames; aligned by what aligns at run time."""

from __future__ import annotations

from typing import Any

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray

from .codec import Frames, clip_of
from .luma import luma_of

Inputs = NDArray[Any]
"""Frames as `Frames`, uint8, or as `with_neighbours` makes them, float16."""


def with_neighbours(frames: Frames) -> NDArray[np.float16]:
    """(n, height, width, 3) uint8 RGB to (n, height, width, 5) float16 in code values: RGB, then luma of the frame
    before and of the one after, both moved onto the frame by gansr.Align; the frame's own at the ends."""
    planes = [[luma / np.float32(255)] for luma in luma_of(frames)]
    aligned = clip_of(vs.GRAYS, planes, {}).gansr.Align()
    made = np.empty((*frames.shape[:3], 5), np.float16)
    made[..., :3] = frames
    for n, frame in enumerate(aligned.frames(close=True)):
        for place, plane in ((3, 0), (4, 2)):
            made[n, ..., place] = 255 * np.asarray(frame[plane])
    return made


def pictures(inputs: Inputs) -> Frames:
    """The frames themselves, (..., 3) uint8 RGB."""
    frames: Frames = inputs[..., :3].astype(np.uint8)
    return frames


def seen_luma(inputs: Inputs, frames: int) -> NDArray[np.float32]:
    """What a file of `frames` frames is given: (..., height, width, 3 or 5) code values to (..., frames, height, width)
    luma in [0, 1], in order of time."""
    planes = [luma_of(inputs[..., :3])]
    if frames > 1:
        planes = [inputs[..., 3].astype(np.float32), *planes, inputs[..., 4].astype(np.float32)]
    return np.stack(planes, -3) / np.float32(255)
