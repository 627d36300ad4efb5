"""Prints how far a shipped model's int8 twin lies from its float32 file on the evaluation clips.

    scripts/quantise --check NAME

Three frames of each clip under every condition, luma and chroma together, in dB.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np

import vs_gansr
from benchmarks.paths import CACHE, CLIPS
from benchmarks.quality.metrics import CAP, planes
from benchmarks.quality.prepare import PREPARATIONS, Case, material, prepare
from benchmarks.quality.store import Store
from vs_gansr.common.decibels import psnr
from vs_gansr.model import library

FRAMES = 3
"""Frames of each clip that are compared, evenly spread."""


def apart(name: str, case: Case) -> float:
    """PSNR in dB (peak 255, all samples of all planes and frames alike) between both files' results."""
    clip = case.load_source()
    plain, twin = (
        vs_gansr.upscale(clip, model=name, precision=p, provider="CPU")[:: max(1, case.frames // FRAMES)]
        for p in ("fp32", "int8")
    )
    errors = [np.mean((planes(a) - planes(b)) ** 2) for a, b in zip(plain.frames(), twin.frames(), strict=True)]
    return psnr(float(np.mean(errors)), 255, CAP)


def report(name: str) -> str:
    """Markdown: a row for each clip and condition, and the least."""
    rows, values = [], []
    for preparation in PREPARATIONS.values():
        for case in prepare(Store(CACHE), material(CLIPS), preparation, library.load(name).spec.scale or 1):
            values.append(apart(name, case))
            rows.append(f"| {case.clip} | {preparation.name} {case.condition} | {values[-1]:.1f} |")
    lines = [f"| {name}: clip | condition | int8 against float32, dB |", "|---|---|---:|", *rows]
    return "\n".join([*lines, f"\nLeast: {min(values):.1f} dB."])


def main(argv: Sequence[str] | None = None) -> int:
    """Run `scripts/quantise --check`; prints the table."""
    parser = argparse.ArgumentParser(
        prog="scripts/quantise --check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="of a model in models/ that has a twin")
    print(report(parser.parse_args(argv).name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
