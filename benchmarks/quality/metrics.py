"""Compare an upscaled clip with its reference.

Both clips go through the same conversions: SSIMULACRA2 sees BT.709 YUV turned into sRGB-coded float RGB, all
other measures the 8-bit planes as they are. Values are means over frames.
"""

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import vapoursynth as vs

from benchmarks.quality import media
from vs_gansr.colour import pictures

core = vs.core

NAMES = {
    "ssimulacra2": "SSIMULACRA2",
    "xpsnr": "XPSNR",
    "vmaf": "VMAF",
    "vmaf_neg": "VMAF-NEG",
    "psnr_y": "PSNR-Y",
    "psnr_u": "PSNR-U",
    "psnr_v": "PSNR-V",
    "temporal": "temporal delta",
}
Luma = npt.NDArray[np.float32]
"""One plane of every frame of a clip, most often luma, (frames, height, width), 8-bit code values."""
Values = dict[str, float | None]
"""What was measured by name; None where it is undefined."""

CAP = 100.0
"""Decibels given to identical frames, whose PSNR has no bound."""


def ssimulacra2(reference: vs.VideoNode, output: vs.VideoNode) -> float:
    """Mean SSIMULACRA2 (github.com/cloudinary/ssimulacra2) of vszip; 100 is identical, higher is better."""
    compared = core.vszip.SSIMULACRA2(_rgb(reference), _rgb(output))
    return _mean(_number(frame.props["SSIMULACRA2"]) for frame in compared.frames(close=True))


def xpsnr(reference: vs.VideoNode, output: vs.VideoNode) -> float:
    """Mean luma XPSNR (Helmrich et al., ICASSP 2020) of vszip in decibels."""
    compared = core.vszip.XPSNR(reference, output, verbose=False)
    return _mean(min(_number(frame.props["XPSNR_Y"]), CAP) for frame in compared.frames(close=True))


def luma(clip: vs.VideoNode) -> Luma:
    """All luma planes, (frames, height, width), 8-bit code values."""
    return plane_of(clip, 0)


def plane_of(clip: vs.VideoNode, plane: int) -> Luma:
    """Plane 0, 1 or 2 of every frame, (frames, height, width), 8-bit code values."""
    return np.stack([np.asarray(frame[plane]).astype(np.float32) for frame in clip.frames(close=True)])


def psnr(reference: npt.NDArray[np.float32], output: npt.NDArray[np.float32]) -> float:
    """Mean over frames of 10 log10(255^2 / MSE), identical frames at 100; (frames, height, width) each."""
    errors = np.mean((reference - output) ** 2, axis=(1, 2), dtype=np.float64)
    return _mean(pictures.psnr(float(error), 255, CAP) for error in errors)


def planes(frame: vs.VideoFrame) -> npt.NDArray[np.float64]:
    """All samples of all planes of a frame, one after another."""
    return np.concatenate([np.asarray(frame[i], np.float64).ravel() for i in range(frame.format.num_planes)])


def temporal_delta(reference: npt.NDArray[np.float32], output: npt.NDArray[np.float32]) -> float | None:
    """Mean over frames of mean |(out_t - out_t-1) - (ref_t - ref_t-1)|; None for a single frame."""
    if len(reference) < 2:
        return None
    return float(np.mean(np.abs(np.diff(output - reference, axis=0)), dtype=np.float64))


def vmaf(reference: Path, output: Path, frames: int) -> tuple[float, float]:
    """Mean VMAF and VMAF-NEG (libvmaf, vmaf_v0.6.1 and vmaf_v0.6.1neg) over the first `frames` frames.

    Raises RuntimeError when ffmpeg lacks libvmaf or compared another number of frames.
    """
    models = r"version=vmaf_v0.6.1\:name=vmaf|version=vmaf_v0.6.1neg\:name=vmaf_neg"
    graph = (
        f"[0:v]trim=end_frame={frames},setpts=N[out];[1:v]trim=end_frame={frames},setpts=N[ref];"
        f"[out][ref]libvmaf=model='{models}':n_threads={os.cpu_count() or 1}:log_fmt=json:log_path=log.json"
    )
    # ffmpeg runs in the folder of its log: paths inside a filter graph need escaping that differs by platform
    with tempfile.TemporaryDirectory() as folder:
        files = ("-i", str(output.resolve()), "-i", str(reference.resolve()))
        media.ffmpeg(*files, "-lavfi", graph, "-f", "null", "-", folder=Path(folder))
        report = json.loads((Path(folder) / "log.json").read_text())
    if len(report["frames"]) != frames:
        raise RuntimeError(f"vmaf: {output} gave {len(report['frames'])} frames, expected {frames}")
    pooled = report["pooled_metrics"]
    return float(pooled["vmaf"]["mean"]), float(pooled["vmaf_neg"]["mean"])


def measure(reference: Path, output: Path, frames: int) -> Values:
    """Every measure of NAMES for the first `frames` frames of two Matroska files of equal size."""
    ours, theirs = media.load(output)[:frames], media.load(reference)[:frames]
    if (ours.width, ours.height, ours.num_frames) != (theirs.width, theirs.height, theirs.num_frames):
        raise ValueError(f"measure: {output} is {ours.width}x{ours.height}x{ours.num_frames}, "
                         f"its reference {theirs.width}x{theirs.height}x{theirs.num_frames}")  # fmt: skip
    ours_luma, theirs_luma = luma(ours), luma(theirs)
    psnr_u, psnr_v = (psnr(plane_of(theirs, plane), plane_of(ours, plane)) for plane in (1, 2))
    plain, neg = vmaf(reference, output, frames)
    return {
        "ssimulacra2": ssimulacra2(theirs, ours),
        "xpsnr": xpsnr(theirs, ours),
        "vmaf": plain,
        "vmaf_neg": neg,
        "psnr_y": psnr(theirs_luma, ours_luma),
        "psnr_u": psnr_u,
        "psnr_v": psnr_v,
        "temporal": temporal_delta(theirs_luma, ours_luma),
    }


def _rgb(clip: vs.VideoNode) -> vs.VideoNode:
    return clip.resize.Bicubic(format=vs.RGBS, matrix_in=1, range_in=0, chromaloc_in=0, **media.CATMULL_ROM)


def _number(value: object) -> float:
    if not isinstance(value, (int, float)):
        raise TypeError(f"expected a number in the frame's properties, got {value!r}")
    return float(value)


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(np.fromiter(values, np.float64)))
