"""Measure a run's pictures on held-out crops: PSNR-Y, SSIMULACRA2, amount of fine detail."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray
from PIL import Image

from vs_gansr.colour.pictures import psnr
from vs_gansr.common import files

from ..material.codec import Frames, rgb_clip
from ..material.luma import luma_of


def psnr_y(made: Frames, real: Frames) -> float:
    """Mean PSNR of luma in dB: (n, height, width, 3) uint8 both; equal pictures count as 100 dB."""
    errors = ((luma_of(made) - luma_of(real)) ** 2).mean(axis=(1, 2))
    return float(np.mean([psnr(float(error), 255) for error in errors]))


def ssimulacra2(made: Frames, real: Frames) -> float:
    """Mean SSIMULACRA2 (100 is equal, higher is better) by vszip: (n, height, width, 3) uint8 both."""

    def linear(frames: Frames) -> vs.VideoNode:
        return rgb_clip(frames).std.SetFrameProps(_Transfer=13, _Primaries=1)

    scored = vs.core.vszip.SSIMULACRA2(linear(real), linear(made))
    return float(np.mean([float(frame.props["SSIMULACRA2"]) for frame in scored.frames()]))


def texture(made: Frames, real: Frames) -> float:
    """Fine detail of the made pictures as a share of the real ones': mean |luma - its 3x3 mean|, made over real.

    1 is as much as there should be; resizing and pixel losses give less. Flat real pictures count as 1.
    """

    wanted = detail(luma_of(real))
    return detail(luma_of(made)) / wanted if wanted > 1e-6 else 1.0


def detail(luma: NDArray[np.float32]) -> float:
    """Mean |luma - its 3x3 mean| of (n, height, width), in its own units."""
    rows = luma[:, :-2] + luma[:, 1:-1] + luma[:, 2:]
    mean = (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]) / 9
    return float(np.abs(luma[:, 1:-1, 1:-1] - mean).mean())


def lanczos(low: Frames, scale: int) -> Frames:
    """Three-lobed Lanczos enlargement by `scale`, (n, h, w, 3) uint8: what everybody has without this project."""
    size = (low.shape[2] * scale, low.shape[1] * scale)
    return np.stack([np.asarray(Image.fromarray(f).resize(size, Image.Resampling.LANCZOS)) for f in low])


def to_uint8(pictures: NDArray[np.float32]) -> Frames:
    """(n, 3, height, width) in [0, 1] to (n, height, width, 3) uint8, clamped and rounded."""
    return np.clip(np.rint(pictures.transpose(0, 2, 3, 1) * 255), 0, 255).astype(np.uint8)


def score(made: Frames, real: Frames) -> dict[str, float]:
    """All three measures by name: (n, height, width, 3) uint8 both."""
    return {
        "psnr_y": psnr_y(made, real),
        "ssimulacra2": ssimulacra2(made, real),
        "texture": texture(made, real),
    }


def sheet(columns: Sequence[Frames]) -> Image.Image:
    """A picture with one row per crop and one column per version; smaller versions are enlarged pixel by pixel."""
    side = max(column.shape[1] for column in columns)
    gap = 4
    rows = len(columns[0])
    page = Image.new("RGB", (len(columns) * (side + gap) - gap, rows * (side + gap) - gap), "white")
    for x, column in enumerate(columns):
        for y, frame in enumerate(column):
            tile = Image.fromarray(frame).resize((side, side), Image.Resampling.NEAREST)
            page.paste(tile, (x * (side + gap), y * (side + gap)))
    return page


def save_sheet(page: Image.Image, target: Path) -> None:
    """Write the page as PNG, whole or not at all."""
    memory = io.BytesIO()
    page.save(memory, "PNG")
    files.write(target, memory.getvalue())
