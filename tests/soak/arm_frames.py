"""Write frames of the plugin as arrays: python -m soak.arm_frames FILE. Both systems that are compared run this."""

from __future__ import annotations

import sys
from itertools import product
from typing import Any

import clips
import numpy as np
import vapoursynth as vs

FORMATS = ("YUV420P8", "YUV444P16", "RGB24")
ENGINES = product(("CPU", "OpenVINO"), ("fp32", "int8"))
GRAIN = ("GRAY8", "GRAY16", "GRAYS")
MODEL = "fast-2x"


def noise(format: str) -> vs.VideoNode:
    """A clip of 48x36, 2 frames, with its matrix."""
    matrix = {"RGB24": vs.MATRIX_RGB}.get(format, vs.MATRIX_BT709)
    return clips.noise(getattr(vs, format), 48, 36, length=2, props={"_Matrix": matrix})


def samples(clip: vs.VideoNode) -> np.ndarray:
    """All samples of all frames, a row."""
    return np.concatenate([np.asarray(plane).ravel() for frame in clip.frames() for plane in frame])


def main(path: str) -> None:
    """Writes an .npz file: an array by "name of the network, engine, precision, format", and by "Grain, format"."""
    found: dict[str, Any] = {}
    for (provider, precision), format in product(ENGINES, FORMATS):
        clip = noise(format).gansr.Upscale(MODEL, provider=provider, precision=precision)
        found[f"{MODEL}, {provider}, {precision}, {format}"] = samples(clip)
    for format in GRAIN:
        source = noise(format)
        found[f"Grain, {format}"] = samples(source.std.BoxBlur().gansr.Grain(source, 1.0))
    np.savez(path, **found)


if __name__ == "__main__":
    main(sys.argv[1])
