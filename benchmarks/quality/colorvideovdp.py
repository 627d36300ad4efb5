"""Measures ColorVideoVDP, in its plain form: what an observer would see of the difference, in colour and in motion.

Mantiuk et al., ColorVideoVDP: A visual difference predictor for image, video and display distortions, SIGGRAPH 2024; by
the package `cvvdp` (extra `[cvvdp]`), which brings PyTorch: some seconds a frame of 960x540 on two CPU cores.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import vapoursynth as vs

from benchmarks.quality import media
from benchmarks.quality.metrics import Values

NAMES = {"cvvdp": "ColorVideoVDP, JOD"}

FRAMES = 8
"""Frames in a row that are looked at, from the middle of a clip: a third of a second shows flicker."""
DISPLAY = "standard_fhd"
"""24 inch, 1920x1080, 200 cd/m2, seen from 60 cm: where a pixel of an upscaled picture is a pixel."""


def measure(reference: Path, output: Path, frames: int) -> Values:
    """Just-objectionable differences from FRAMES of the first `frames` frames: 10 is no visible difference, 1 less is
    preferred by three of four observers."""
    import pycvvdp
    import torch

    first = max(0, (frames - FRAMES) // 2)
    made, wanted = (_rgb(media.load(path)[:frames][first : first + FRAMES]) for path in (output, reference))
    if made.shape != wanted.shape:
        raise ValueError(f"measure: {output} has {made.shape} (frames, height, width, RGB), "
                         f"its reference {wanted.shape}")  # fmt: skip
    metric = pycvvdp.cvvdp(display_name=DISPLAY, device=torch.device("cpu"), quiet=True)
    clip = media.load(reference)
    rate = clip.fps_num / clip.fps_den if len(made) > 1 and clip.fps_num else 0
    quality, _ = metric.predict(made, wanted, dim_order="FHWC", frames_per_second=rate)
    return {"cvvdp": float(quality)}


def _rgb(clip: vs.VideoNode) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(frames, height, width, 3) uint8, sRGB-coded."""
    clip = clip.resize.Bicubic(format=vs.RGB24, matrix_in=1, range_in=0, chromaloc_in=0, **media.CATMULL_ROM)
    frames = (np.stack([np.asarray(f[plane]) for plane in range(3)], axis=-1) for f in clip.frames(close=True))
    return np.stack(list(frames))
