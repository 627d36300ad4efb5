"""The command `gansr convert`: its arguments, the path of the output and the report."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...model.user_folders import models_folder
from ..common import CommandError, note, say

__all__ = ["HELP", "add_arguments", "run"]

HELP = "convert a PyTorch network (.pth, .pt, .ckpt, .safetensors) or an .onnx file to a model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `gansr convert`; docs/migration.md explains them."""
    add = parser.add_argument
    add("source", type=Path, help="the file to convert; files that would run code are refused")
    add("-o", "--output", type=Path, help="the .onnx file to write (default: the source's name in your model folder)")
    add("-y", "--overwrite", action="store_true", help="overwrite the output, and its int8 variant, if they exist")
    add("--frames", type=Path, nargs="+", default=[], metavar="PATH",
        help="images, videos or folders of images to check the conversion with (default: photographs from "
        "scikit-image) and to calibrate --int8 with (required then)")  # fmt: skip
    add("--fp16", action="store_true", help="store the weights in half precision; halves the file size")
    add("--int8", action="store_true", help="also make an int8 variant for CPUs; needs --frames")
    add(
        "--tile",
        type=int,
        default=128,
        metavar="N",
        help="tile width and height for networks that need a fixed size (default: %(default)s)",
    )

    group = parser.add_argument_group("metadata of the output")
    add = group.add_argument
    add("--name", default="", help="name of the model (default: the output's name)")
    add("--summary", default="", help="one-line description (default: the architecture)")
    add("--licence", default="", help="licence of the network (default: the source's, else unknown)")
    add("--origin", default="", metavar="TEXT", help="origin of the network: a URL or an author")


def run(args: argparse.Namespace) -> int:
    """Convert the file, print how close the result is, and return 0."""
    from ...model.spec import kind_of
    from . import converter

    target = args.output
    if target is None:
        folder = models_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CommandError(f"{folder} cannot be created: {error.strerror}; give --output") from error
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
    kind = kind_of(report.channels, report.frames)
    say(f"{report.architecture}, {report.scale}x, {kind}, {sizes}, licence {report.licence}")
    for file in report.files:
        say(
            f"{file.path}: {file.precision}, PSNR {file.psnr:.0f} dB against the original, largest difference "
            f"{file.difference:.1g}"
        )
    if report.licence == "unknown":
        note("the licence is unknown; ask the author before you share the model, and record it with --licence")
    if not args.frames:
        note("verified on photographs from scikit-image; give your own pictures with --frames")
    return 0
