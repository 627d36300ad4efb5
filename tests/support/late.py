"""A method with slow frames, to be run by another process; imports little, since that process does too."""

from __future__ import annotations

import os
import time
from pathlib import Path

import vapoursynth as vs


def late(seconds: float, note: Path, clip: vs.VideoNode, factor: int) -> vs.VideoNode:
    """Every frame late; writes the process that computes it into `note`."""
    large = clip.resize.Bilinear(clip.width * factor, clip.height * factor)

    def wait(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        note.write_text(str(os.getpid()))
        time.sleep(seconds * (20 if n == 2 else 1))  # one frame is an exception: the median does not mind
        return f

    return large.std.ModifyFrame(large, wait)
