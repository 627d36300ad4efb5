"""Measure how far the int8 variant of a shipped model is from its float32 file on the evaluation clips.

    scripts/quantise --check general-2x fast-2x --provider OpenVINO --preparations A

For a few frames of each clip and condition: PSNR between both results, luma and chroma together, and the SSIMULACRA2
that the variant loses. The float32 file always runs on ONNX Runtime's CPU. The exit status is 1 if a variant is worse
than LEAST decibels or MOST points.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import vapoursynth as vs

import vs_gansr
from benchmarks.paths import CACHE
from benchmarks.quality import evaluate
from benchmarks.quality.metrics import CAP, planes, ssimulacra2
from benchmarks.quality.prepare import PREPARATIONS, Case, preparations, prepare
from benchmarks.quality.store import Store
from vs_gansr.colour.pictures import psnr
from vs_gansr.model import library

FRAMES = 3
"""Frames of each clip that are compared, evenly spread."""

LEAST = 48.0
"""Lowest PSNR in dB between an int8 variant and float32 on any clip."""

MOST = 0.3
"""Most SSIMULACRA2 points that it may lose on any clip."""


@dataclass(frozen=True)
class Loss:
    """What an int8 variant loses on one clip."""

    decibels: float
    """PSNR between both results (peak 255, all samples of all planes and frames alike)."""
    points: float
    """SSIMULACRA2 of the float32 file's result minus that of the variant's, means over the compared frames."""


def loss(name: str, case: Case, provider: str) -> Loss:
    """The loss of the int8 variant of `name` on `provider`."""
    every = max(1, case.frames // FRAMES)
    low, high = case.load_source(), case.load_reference()[::every]
    plain, variant = (computed_once(low, every, name, *how) for how in (("fp32", "CPU"), ("int8", provider)))
    errors = [np.mean((planes(a) - planes(b)) ** 2) for a, b in zip(plain.frames(), variant.frames(), strict=True)]
    return Loss(psnr(float(np.mean(errors)), 255, CAP), ssimulacra2(high, plain) - ssimulacra2(high, variant))


def computed_once(clip: vs.VideoNode, every: int, name: str, precision: str, provider: str) -> vs.VideoNode:
    """Every `every`th frame of the clip, upscaled and cached."""
    large = vs_gansr.upscale(clip, model=name, precision=precision, provider=provider)[::every]
    large.std.SetVideoCache(mode=1, fixedsize=1, maxsize=large.num_frames)
    return large


def report(name: str, provider: str, cases: Sequence[Case]) -> tuple[str, bool]:
    """Markdown: a row for each case, and the worst of all; and whether that is within bounds."""
    losses = [loss(name, case, provider) for case in cases]
    least, most = min(found.decibels for found in losses), max(found.points for found in losses)
    lines = [f"| {name}: clip | condition | int8 on {provider} from float32, dB | SSIMULACRA2 lost |"]
    lines += ["|---|---|---:|---:|"]
    lines += [
        f"| {case.clip} | {case.preparation} {case.condition} | {found.decibels:.1f} | {found.points:.2f} |"
        for case, found in zip(cases, losses, strict=True)
    ]
    held = least >= LEAST and most <= MOST
    lines += [
        f"\nLeast: {least:.1f} dB (bound: {LEAST:g}); most lost: {most:.2f} points (bound: {MOST:g}): "
        f"{'within bounds' if held else 'too far'}."
    ]
    return "\n".join(lines), held


def main(argv: Sequence[str] | None = None) -> int:
    """Run `scripts/quantise --check`; prints a table for each model. 0 where all are within bounds."""
    parser = argparse.ArgumentParser(
        prog="scripts/quantise --check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("names", nargs="+", metavar="NAME", help="of models in models/ that have an int8 variant")
    add("--provider", default="CPU", help="that runs the variant, as in Upscale (%(default)s, ONNX Runtime)")
    add("--preparations", default="A,B,C", metavar="LIST", help=f"of {', '.join(PREPARATIONS)} (%(default)s)")
    add("--material", default="clips,filmed", metavar="LIST", help="as in scripts/evaluate (%(default)s)")
    options = parser.parse_args(argv)
    try:
        listed = preparations(options.preparations)
    except ValueError as error:
        parser.error(str(error))
    well = True
    for name in options.names:
        scale = library.load(name).spec.scale or 1
        footage = evaluate.footage(options.material)
        cases = [case for each in listed for case in prepare(Store(CACHE), footage, each, scale)]
        table, held = report(name, options.provider, cases)
        print(table, flush=True)
        well = well and held
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
