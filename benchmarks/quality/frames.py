"""Compares a network of three frames with its control of one on videos that neither was trained on.

    scripts/compare_frames RECIPE

trains both and calls this. Each held-out video of the recipe is halved, shrunk and encoded as preparations A and B of
the evaluation do; both files run in the plugin in float32.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import vs_gansr
from benchmarks.paths import CACHE
from benchmarks.quality import methods, metrics
from benchmarks.quality.prepare import PREPARATIONS, Case, Footage, prepare
from benchmarks.quality.store import Store
from vs_gansr.train import data, recipe

ENOUGH_GAIN = 0.1
"""dB of PSNR-Y."""
ENOUGH_CALM = 8.0
"""Per cent that the temporal delta falls by."""


@dataclass(frozen=True)
class Comparison:
    """PSNR-Y in dB and temporal delta in code values of one case, by method."""

    case: Case
    """What was upscaled."""
    lanczos: tuple[float, float]
    """Of Lanczos."""
    control: tuple[float, float]
    """Of the network of one frame."""
    three: tuple[float, float]
    """Of that of three."""

    @property
    def gain(self) -> float:
        """dB of PSNR-Y that three frames bring."""
        return self.three[0] - self.control[0]

    @property
    def calm(self) -> float:
        """Per cent that the temporal delta falls by with three frames; 0 where there was none."""
        return 100 * (1 - self.three[1] / self.control[1]) if self.control[1] else 0.0


def compare(case: Case, three: Path, control: Path) -> Comparison:
    """Runs both files and Lanczos over a case of at least two frames."""
    reference, source = metrics.luma(case.load_reference()), case.load_source()

    def measured(output: metrics.Luma) -> tuple[float, float]:
        return metrics.psnr(reference, output), metrics.temporal_delta(reference, output) or 0.0

    clips = (
        methods.lanczos(source, case.factor),
        *(vs_gansr.upscale(source, model=str(path), precision="fp32") for path in (control, three)),
    )
    return Comparison(case, *(measured(metrics.luma(clip)) for clip in clips))


def held_out(settings: recipe.Recipe) -> list[Footage]:
    """The recipe's videos that only measure. Raises RecipeError where there are none."""
    found = [each for each in data.sources(settings.data) if each.held_out and each.video]
    if not found:
        raise recipe.RecipeError(f"{settings.name}: data.held_out names no video in {settings.data.root}/train")
    return [Footage(Path(settings.data.root) / each.name, halved=True) for each in found]


def report(found: Sequence[Comparison]) -> str:
    """Markdown: a row for each case, the means, and whether three frames were worth it."""
    lines = [
        "| clip | condition | PSNR-Y: Lanczos | control | three frames | gain, dB |"
        " temporal delta: Lanczos | control | three frames | less, % |",
        "|---|---|" + "---:|" * 8,
    ]
    for each in found:
        columns = [f"{way[n]:.2f}" for n in (0, 1) for way in (each.lanczos, each.control, each.three)]
        columns.insert(3, f"{each.gain:+.2f}")
        lines.append(f"| {each.case.clip} | {each.case.condition} | {' | '.join(columns)} | {each.calm:.1f} |")
    gain, calm = (float(np.mean([getattr(each, name) for each in found])) for name in ("gain", "calm"))
    worth = "go on" if gain >= ENOUGH_GAIN or calm >= ENOUGH_CALM else "too little, try something else"
    lines.append(
        f"\nMean gain {gain:+.3f} dB (enough: {ENOUGH_GAIN}), temporal delta {calm:.1f} % less "
        f"(enough: {ENOUGH_CALM:g}): {worth}."
    )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Compares two exported files; prints the table."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.quality.frames", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", help="of the network of three frames: a TOML file or a name under scripts/recipes")
    parser.add_argument("three", type=Path, help="its exported file")
    parser.add_argument("control", type=Path, help="the control's")
    args = parser.parse_args(argv)
    path = Path(args.recipe)
    settings = recipe.load(path if path.suffix == ".toml" else Path("scripts/recipes") / f"{args.recipe}.toml")
    footage = held_out(settings)
    found = [
        compare(case, args.three, args.control)
        for name in ("A", "B")
        for case in prepare(Store(CACHE), footage, PREPARATIONS[name], settings.generator.scale)
    ]
    print(report(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
