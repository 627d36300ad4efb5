"""Whether a model of three frames is steadier than that of one, and nowhere worse, on the evaluation's filmed clips.

    scripts/steady general-2x-psnr runs/x.onnx --slices FOLDER
    scripts/steady general-2x-psnr runs/x.onnx --repair model,classic --clips ducks,selfie
    scripts/steady general-2x-psnr --repair mean

Preparations A and B, each clip and condition by itself: Lanczos, the model of one frame, with --repair the same
repaired afterwards by vs_temporalfix (pip install vs-temporalfix "vapoursynth-mvutensils<10") or by a mean over time,
and the model of three. The last of them is held against the first model.
Prints a table, and on how many cases what is asked for holds. What was measured is kept, as by scripts/evaluate.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path

import vapoursynth as vs

from benchmarks.paths import CACHE, CLIPS, FILMED
from benchmarks.quality import media, methods, slices, temporal_mean
from benchmarks.quality.evaluate import chosen
from benchmarks.quality.methods import LANCZOS, Method
from benchmarks.quality.metrics import Values
from benchmarks.quality.prepare import KINDS, Case, Footage, material, preparations, prepare
from benchmarks.quality.score import score
from benchmarks.quality.store import Store, source
from benchmarks.quality.suites import FIDELITY

ENOUGH_CALM = 12.0
"""Per cent that the temporal delta falls by, at least."""
REPAIRS = ("model", "classic", "mean")
"""vs_temporalfix's functions, both at their defaults: its network, on PyTorch's CPU, and motion compensation; and the
mean over time of temporal_mean.py."""
COLUMNS = {"temporal": "temporal delta", "ssimulacra2": "SSIMULACRA2", "vmaf_neg": "VMAF-NEG"}


@dataclass(frozen=True)
class Verdict:
    """What one case says of the model of three frames beside that of one."""

    less: float
    """Per cent that the temporal delta falls by."""
    below_lanczos: bool
    """Whether the temporal delta is below that of Lanczos."""
    gains: tuple[float, float]
    """Points of SSIMULACRA2 and VMAF-NEG."""


def judge(lanczos: Values, one: Values, three: Values) -> Verdict:
    """Compares what was measured of the three methods on one case."""

    def number(values: Values, name: str) -> float:
        value = values[name]
        if value is None:
            raise ValueError(f"judge: {name} is undefined; a clip of several frames is needed")
        return value

    before, after = number(one, "temporal"), number(three, "temporal")
    less = 100 * (1 - after / before) if before else 0.0
    ssimulacra2, vmaf_neg = (number(three, name) - number(one, name) for name in ("ssimulacra2", "vmaf_neg"))
    return Verdict(less, after < number(lanczos, "temporal"), (ssimulacra2, vmaf_neg))


def filmed(names: Sequence[str] = ()) -> list[Footage]:
    """The evaluation's filmed clips, or those of these names. Raises ValueError for others."""
    found = [*material(CLIPS), *material(FILMED, halved=True)]
    found = [each for each in found if KINDS.get(each.path.stem) == "filmed"]
    stems = [each.path.stem for each in found]
    if unknown := [name for name in names if name not in stems]:
        raise ValueError(f"steady: {', '.join(unknown)} is no filmed clip; use some of {', '.join(stems)}")
    return [each for each in found if not names or each.path.stem in names]


def repaired(method: Method, way: str) -> Method:
    """`method` and one of REPAIRS after it, in the format that it wants. Raises ImportError without vs_temporalfix."""
    name = f"{method.name}, repaired ({way})"
    if way == "mean":
        identity = ("mean", source(temporal_mean), *method.identity)
        return Method(name, identity, lambda clip, factor: temporal_mean.steadied(method.upscale(clip, factor)))
    vs_temporalfix = import_module("vs_temporalfix")

    def upscale(clip: vs.VideoNode, factor: int) -> vs.VideoNode:
        large = method.upscale(clip, factor)
        if way == "classic":
            return media.tagged(vs_temporalfix.classic(large))
        rgb = vs_temporalfix.model(large.resize.Bicubic(format=vs.RGBS, **media.CATMULL_ROM), backend="cpu")
        yuv = rgb.resize.Bicubic(format=vs.YUV420P8, matrix=1, range=0, chromaloc=0, **media.CATMULL_ROM)
        return media.tagged(yuv)

    versions = [metadata.version(name) for name in ("vs-temporalfix", "vapoursynth-mvutensils")]
    return Method(name, ("repaired", way, *versions, *method.identity), upscale)


def report(measured: Sequence[tuple[Case, dict[str, Values]]]) -> str:
    """Markdown: for each measure a row for each case and a column for each method; then what holds on how many.

    The first method is Lanczos, the second the model of one frame, the last what is held against it.
    """
    names = list(measured[0][1])
    lines = []
    for measure, heading in COLUMNS.items():
        lines += [f"| {heading} | | {' | '.join(names)} |", "|---|---|" + "---:|" * len(names)]
        for case, found in measured:
            cells = " | ".join(f"{found[name][measure]:.2f}" for name in names)
            lines.append(f"| {case.clip} | {case.preparation} {case.condition} | {cells} |")
        lines.append("")
    verdicts = [judge(found[names[0]], found[names[1]], found[names[-1]]) for _, found in measured]
    lines.append(f"{names[-1]} against {names[1]}, {len(verdicts)} cases:")
    less = [each.less for each in verdicts]
    calm, below = sum(each >= ENOUGH_CALM for each in less), sum(each.below_lanczos for each in verdicts)
    lines.append(
        f"- temporal delta {sum(less) / len(less):.1f} % less in the mean ({min(less):.1f} to {max(less):.1f}), "
        f"at least {ENOUGH_CALM:g} % on {calm}, below Lanczos' on {below};"
    )
    for place, heading in enumerate(("SSIMULACRA2", "VMAF-NEG")):
        gains = [each.gains[place] for each in verdicts]
        lines.append(
            f"- {heading} {sum(gains) / len(gains):+.2f} in the mean ({min(gains):+.2f} to {max(gains):+.2f}), "
            f"not below on {sum(gain >= 0 for gain in gains)}."
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `scripts/steady`; prints the table."""
    parser = argparse.ArgumentParser(
        prog="scripts/steady", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("one", help="model of one frame: a name in models/ or an .onnx file")
    parser.add_argument("three", nargs="?", help="model of three frames; may be left out with --repair")
    parser.add_argument("--preparations", default="A,B", metavar="LIST", help="of A, B, C, S (%(default)s)")
    parser.add_argument("--clips", default="", metavar="LIST", help="some of the filmed clips; default: all")
    parser.add_argument(
        "--repair", default="", metavar="LIST", help="of model, classic (vs_temporalfix) and mean, after the first"
    )
    parser.add_argument("--slices", type=Path, metavar="FOLDER", help="write a column of each clip over time as a PNG")
    args = parser.parse_args(argv)
    lanczos = next(method for method in methods.resizers() if method.name == LANCZOS)
    one, *three = chosen([name for name in (args.one, args.three) if name], 2)
    wanted = [way for way in args.repair.split(",") if way]
    if unknown := [way for way in wanted if way not in REPAIRS]:
        parser.error(f"--repair {','.join(unknown)} is unknown; use some of {','.join(REPAIRS)}")
    between = [repaired(one, way) for way in REPAIRS if way in wanted]
    if not between and not three:
        parser.error(f"{args.one} has nothing beside it; name a model of three frames or give --repair")
    try:
        listed = preparations(args.preparations)
    except ValueError as error:
        parser.error(str(error))
    field, store = [lanczos, one, *between, *three], Store(CACHE)
    footage = filmed([name for name in args.clips.split(",") if name])
    measured = []
    for preparation in listed:
        for case in prepare(store, footage, preparation, 2):
            rows = {method.name: score(store, case, method, (FIDELITY,)).values for method in field}
            measured.append((case, rows))
            if args.slices:
                slices.write(args.slices, case, field)
    print(report(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())
