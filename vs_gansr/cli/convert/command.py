"""Owns `gansr convert`: its arguments, where the result goes, and what is said of it."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...model.user_folders import models_folder
from ..common import CommandError, note, say
from ..show import channels

__all__ = ["HELP", "add_arguments", "run"]

HELP = "make a self-describing .onnx of a PyTorch network (.pth, .pt, .ckpt, .safetensors) or of another .onnx"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `gansr convert`; docs/migration.md explains them."""
    add = parser.add_argument
    add("source", type=Path, help="the file to convert; only weights are read, a file that would run code is refused")
    add("-o", "--output", type=Path, help="the .onnx to write (default: the source's name, among your own models)")
    add("-y", "--overwrite", action="store_true", help="replace the output if it exists")
    add("--frames", type=Path, nargs="+", default=[], metavar="PATH",
        help="images, videos, folders of images to verify on (default: photographs) and calibrate int8 on")  # fmt: skip
    add("--fp16", action="store_true", help="keep the weights in half precision: half the size")
    add("--int8", action="store_true", help="make an int8 twin for CPUs, too; needs --frames")
    add("--tile", type=int, default=128, metavar="N", help="side of the tile for networks that need a fixed size")

    group = parser.add_argument_group("what the file says of itself")
    add = group.add_argument
    add("--name", default="", help="default: the output's name")
    add("--summary", default="", help="one line")
    add("--licence", default="", help="default: what the source says, else unknown")
    add("--origin", default="", metavar="TEXT", help="where the network came from, an address or an author")


def run(args: argparse.Namespace) -> int:
    """Converts and says how near the result is; 0."""
    from . import converter

    target = args.output
    if target is None:
        folder = models_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CommandError(f"{folder} cannot be made: {error.strerror}; give --output") from error
        target = folder / f"{args.source.stem}.onnx"
    job = converter.Conversion(
        source=args.source,
        target=target,
        name=args.name,
        licence=args.licence,
        origin=args.origin,
        summary=args.summary,
        precision="fp16" if args.fp16 else "fp32",
        int8=args.int8,
        frames=tuple(args.frames),
        tile=args.tile,
        overwrite=args.overwrite,
    )
    try:
        report = converter.convert(job, say)
    except OSError as error:
        raise CommandError(f"{error.filename or target}: {error.strerror}; nothing was written") from error
    fixed, multiple = report.size_rule.fixed, report.size_rule.multiple
    sizes = f"tiles of {fixed[0]}x{fixed[1]}" if fixed else "any size"
    if multiple > 1:
        sizes += f", padded to multiples of {multiple}"
    kind = channels(report.channels, report.frames)
    say(f"{report.architecture}, {report.scale}x, {kind}, {sizes}, licence {report.licence}")
    for file in report.files:
        say(f"{file.path}: {file.precision}, {file.psnr:.0f} dB from the original, at most {file.difference:.1g} off")
    if report.licence == "unknown":
        note("its licence is unknown: ask its author before you pass it on, and record it with --licence")
    if not args.frames:
        note("verified on photographs that scikit-image carries; --frames takes your own")
    return 0
