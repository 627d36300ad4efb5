"""Run `scripts/bench`: speed, latency and memory of the plugin, its engines and its peers, as a table.

The timing itself is harness.py's. Sizes, models and precisions are multiplied out; with `--peers` every installed peer
runs the same files, float32 and int8, on the same clip in turn with ours; with `--providers` so does every engine here.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed import harness
from benchmarks.speed.run import BenchRun
from vs_gansr.cli.common import FAILED, CommandError, say
from vs_gansr.cli.ffmpeg import choose
from vs_gansr.errors import GansrError, one_line
from vs_gansr.model import library

__all__ = ["main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `scripts/bench`."""
    add = parser.add_argument
    add("--model", action="append", help="name or path, repeatable (default: the default model)")
    add("--size", action="append", type=size, metavar="WxH", help="input size, repeatable (default: 640x360)")
    add("--precision", action="append", help="repeatable (default: auto)")
    add("--provider", default="auto", help="what to run on (default: auto)")
    add("--providers", action="store_true", help="what auto takes beside every engine and precision of this machine")
    add("--format", default="YUV420P8", help="clip format by its VapourSynth name (default: YUV420P8)")
    add("--streams", type=int, default=0, help="num_streams (default: the plugin's own choice)")
    add("--repeats", type=int, default=3, help="turns of every contestant (default: 3)")
    add("--seconds", type=float, default=6.0, help="least length of one measurement (default: 6)")
    add("--bare", action="store_true", help="also a bare ONNX Runtime loop over ready tensors")
    add("--peers", action="store_true", help="also core.ort.Model and core.ov.Model where installed")
    add("--peer-model", help="the file the peers run (default: the model's float32 file and its int8 variant)")
    add("--profile", action="store_true", help="where a frame's time goes")
    add("--encode", action="store_true", help="time whole x265 encodes of the output, preset medium")
    add("--json", action="store_true", help="print JSON")


def size(text: str) -> tuple[int, int]:
    """`640x360` as (640, 360)."""
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; write it as 640x360") from error
    return width, height


def peers() -> list[str]:
    """The peers that are installed beside this plugin."""
    import vapoursynth as vs

    present = {plugin.namespace for plugin in vs.core.plugins()}
    return [name for name in ("ort", "ov") if name in present]


def jobs(args: argparse.Namespace, width: int, height: int) -> list[BenchRun]:
    """Every contestant at one size, ours first."""
    names = args.model or [library.default_model()]
    precisions = args.precision or ["auto"]
    common = {"width": width, "height": height, "format": args.format}
    common |= {"seconds": args.seconds, "num_streams": args.streams, "profile": args.profile}
    common["encoder"] = choose("x265").path if args.encode else ""
    alike = {**common, "provider": args.provider}
    made = []
    for name in names:
        path = library.find(name)
        made += [BenchRun("gansr", name, precision=p, **alike) for p in precisions]
        if args.providers:
            pairs = [(provider, p) for provider, p in engines(name) if (provider, p) != (args.provider, precisions[0])]
            made += [BenchRun("gansr", name, precision=p, provider=provider, **common) for provider, p in pairs]
        if args.bare:
            settled = ["fp32" if p == "auto" else p for p in precisions]
            made += [BenchRun("bare", str(path), precision=p, **alike) for p in dict.fromkeys(settled)]
        if args.peers:
            files = [Path(args.peer_model)] if args.peer_model else library.files(name)
            kinds = [("int8" if file.stem.endswith(".int8") else "fp32", str(file)) for file in files]
            made += [BenchRun(peer, file, precision=kind, **alike) for peer in peers() for kind, file in kinds]
    return made


def engines(name: str) -> list[tuple[str, str]]:
    """Every engine that runs here with every precision that it has for a model."""
    from vs_gansr.engine.auto import registry

    pairs: list[tuple[str, str]] = []
    for provider in registry.usable():
        for precision in ("fp32", "int8", "bf16", "fp16"):
            idle = precision == "fp16" and provider.widens_half(0)  # no quicker than float32
            if precision in provider.precisions(0) and not idle and (precision != "int8" or library.has_int8(name)):
                pairs.append((provider.name, precision))
    return pairs


def verdicts(rows: list[dict[str, Any]]) -> list[str]:
    """For each model what `auto` is against the quickest of the others."""
    lines = []
    own = [entry for entry in rows if entry["job"]["contestant"] == "gansr"]
    for name in dict.fromkeys(entry["job"]["model"] for entry in own):
        ours, *others = [entry for entry in own if entry["job"]["model"] == name]
        best = max(others, key=lambda entry: entry["fps"])
        ratio = ours["fps"] / best["fps"]
        engine = f"{best['job']['provider']} in {best['job']['precision']}"
        lines.append(f"{Path(name).stem}: auto runs at {ratio:.2f} times the quickest, {engine}")
    return lines


def run(args: argparse.Namespace) -> int:
    """Prints one table for each size; FAILED where a contestant could not run."""
    if args.repeats < 1:
        raise CommandError(f"--repeats {args.repeats} must be at least 1")
    check_format(args.format)
    if args.encode and (args.bare or args.profile):
        raise CommandError("--encode times an encode: leave out --bare and --profile")
    if args.providers and (args.provider, args.precision) != ("auto", None):
        raise CommandError("--providers measures what auto takes: leave out --provider and --precision")
    if args.peers and not peers():
        raise CommandError("no peer is installed beside this plugin; pip install vapoursynth-mlrt-ort")
    tables = []
    for width, height in args.size or [(640, 360)]:
        entries = jobs(args, width, height)
        try:
            results = harness.compare(entries, args.repeats)
        except RuntimeError as error:
            say(f"bench: {error}")
            return FAILED
        tables.append([row(job, held, results[0]) for job, held in zip(entries, results, strict=True)])
        if not args.json:
            print(f"{width}x{height} {args.format}, {args.provider}, medians of {args.repeats} turns")
            print(format_table(tables[-1]), end="\n\n")
            if args.providers:
                print("\n".join(verdicts(tables[-1])), end="\n\n")
    if args.json:
        print(json.dumps(tables, indent=1))
    return 0


def check_format(name: str) -> None:
    """Raises CommandError for a format that VapourSynth has no such name for."""
    import vapoursynth as vs

    formats = list(vs.PresetVideoFormat.__members__)
    if name not in formats or name == "NONE":
        near = [format for format in formats if name and format.startswith(name.upper())][:3]
        near = near or difflib.get_close_matches(name.upper(), formats, 3, 0.6)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise CommandError(f'--format "{name}" is not a format of VapourSynth\'s, such as YUV420P8{hint}')


def row(job: BenchRun, held: list[harness.Result], first: list[harness.Result]) -> dict[str, Any]:
    """One contestant's medians; `ratio` is the first contestant's speed over this one's: median, least, greatest."""

    def median(name: str) -> float:
        return float(statistics.median(getattr(result, name) for result in held))

    return {
        "job": dataclasses.asdict(job),
        "fps": median("fps"),
        "ns_per_pixel": 1e9 / (median("fps") * job.width * job.height),
        "first_ms": median("first_ms"),
        "again_ms": median("again_ms"),
        "cpu_ms": median("cpu_ms"),
        "peak_mib": median("peak_mib"),
        "ratio": harness.ratios(first, held),
        "parts": held[-1].parts,
        "turns": [result.fps for result in held],
    }


def format_table(rows: list[dict[str, Any]]) -> str:
    """The rows as aligned text."""
    head = (
        "contestant",
        "model",
        "on",
        "precision",
        "fps",
        "ns a pixel",
        "CPU ms",
        "first frame",
        "again",
        "peak MiB",
        "ours / this (least, most)",
    )
    lines = [head]
    for entry in rows:
        job, (middle, least, most) = entry["job"], entry["ratio"]
        lines.append(
            (
                job["contestant"],
                Path(job["model"]).name.removesuffix(".onnx"),
                job["provider"] if job["contestant"] == "gansr" else "",
                "its own" if (job["contestant"], job["precision"]) == ("ov", "fp32") else job["precision"],
                f"{entry['fps']:.2f}",
                f"{entry['ns_per_pixel']:.0f}",
                f"{entry['cpu_ms']:.0f}" if entry["cpu_ms"] else "-",  # an encoder's is not known
                f"{entry['first_ms']:.0f} ms",
                f"{entry['again_ms']:.0f} ms",
                f"{entry['peak_mib']:.0f}",
                f"{middle:.2f} ({least:.2f}, {most:.2f})",
            )
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    for entry in rows:
        if entry["parts"]:
            parts = ", ".join(f"{name} {value:.1f}" for name, value in entry["parts"].items())
            text.append(f"ms a frame, {Path(entry['job']['model']).stem}: {parts}")
    return "\n".join(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `scripts/bench`; 0, or FAILED with one line on stderr."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    add_arguments(parser)
    try:
        return run(parser.parse_args(argv))
    except GansrError as error:
        say(f"bench: {one_line(error)}")
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
