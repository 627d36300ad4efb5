"""Owns the grammar of `gansr upscale`; docs/cli.md explains each option."""

from __future__ import annotations

import argparse
from typing import Any

from ...filter.settings import ARGUMENTS
from ..ffmpeg import ENCODERS
from .ffmpeg.command import CONTAINERS
from .job.option_types import amount, moment, positive, ratio, reads, seconds
from .script.filters import FIELDS
from .source.names import MATRICES, PRIMARIES, RANGES, TRANSFERS, named

__all__ = ["add_arguments", "grammar"]

DROPPABLE = ("sound", "subtitles", "attachments", "cover")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `gansr upscale`; docs/cli.md explains them."""
    parser.usage = (
        "gansr upscale [options] source output [-- options for ffmpeg's output, as they are]\n"
        "       gansr upscale [options] --output-dir FOLDER source [source ...] [-- ...]"
    )
    add = parser.add_argument
    add("paths", nargs="+", metavar="source output", help="what to read: a file, a .vpy, images as in im%%05d.png; and "
        f"the file to write: {', '.join(CONTAINERS)}; with --output-dir files, folders and globs to read")  # fmt: skip
    add("--output-dir", metavar="FOLDER", help="write into this folder, for several sources")
    add("--name", default="{stem}.mkv", metavar="PATTERN", help="the outputs' names there, of {stem}, {ext}, {folder}, "
        "{n} (default: {stem}.mkv)")  # fmt: skip
    add("--dry-run", action="store_true", help="say what would be made; time and size by rendering 2 s of each")
    add("-y", "--overwrite", action="store_true", help="replace the output if it exists")
    add("--script-only", action="store_true", help="print the equivalent .vpy to stdout and write nothing")
    add("-q", "--quiet", action="store_true", help="no progress, no notes")
    add("--progress", choices=("auto", "json"), default="auto", help="json: lines for programs on stdout")
    add("--report", metavar="HTML", help="write a page on the result: stills beside the source, speed, bitrate; "
        "with --output-dir a pattern as --name is")  # fmt: skip
    add("-v", "--verbose", action="store_true", help="show what renderer and ffmpeg print")
    picture_arguments(parser.add_argument_group("picture"))
    part_arguments(parser.add_argument_group("a part of it, to look at"))
    network_arguments(parser.add_argument_group("network, as core.gansr.Upscale has them"))
    encoder_arguments(parser.add_argument_group("encoder"))
    long_films_arguments(parser.add_argument_group("long films"))
    source_arguments(parser.add_argument_group("source"))


def picture_arguments(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--width", type=positive, default=0, help="width of the result: the network, then Spline36 down to it")
    add("--height", type=positive, default=0, help="height of the result; the other side keeps the shape")
    add("--depth", type=int, choices=(8, 10), default=0, help="bits of the result (default: the source's, at most 10)")
    add("--chroma", choices=("420", "422", "444"), default="", help="chroma layout (default: the source's)")
    add("--denoise", type=amount, default=0.0, metavar="N", help="before the network: 1 to 10 codes of 8 bits")
    add("--deband", type=amount, default=0.0, metavar="N", help="after it: bands of up to so many codes, 1 to 3")
    add("--grain", type=amount, default=0.0, metavar="N", help="after it: new grain on luma, 0.5 to 3")


def part_arguments(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--start", type=reads(moment), default=0.0, metavar="TIME", help="seconds, 1:30 or 0:01:30.5")
    add("--end", type=reads(moment), metavar="TIME")
    add("--frames", type=positive, default=0, metavar="N", help="so many frames of the source")
    add("--test", type=reads(moment), default=0.0, metavar="TIME", help="a sample from the middle, as in 10s")
    add("--compare", action="store_true", help="a wipe between source and result (of 10 s unless told otherwise)")
    add("--stills", type=positive, default=0, metavar="N",
        help="write no video, but N frames beside the source as PNG, at 100 and at 300 %%")  # fmt: skip


def network_arguments(group: argparse._ArgumentGroup) -> None:
    """Upscale's own arguments but those that the command decides on: reuse and format."""
    readers = {"int": int, "int[]": int, "float": float, "data": str}
    for argument in ARGUMENTS:
        kind = argument.metadata["kind"]
        if argument.name in ("reuse", "format"):
            continue
        several: dict[str, Any] = {"nargs": "+", "metavar": "N"} if kind == "int[]" else {}
        name = "source_grain" if argument.name == "grain" else argument.name  # --grain is new grain
        flag = f"--{name.replace('_', '-')}"
        group.add_argument(flag, type=readers[kind], help=argument.metadata["help"], **several)


def encoder_arguments(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    defaults = ", ".join(f"{name} {e.crf:g}" for name, e in ENCODERS.items())
    add("--encoder", choices=tuple(ENCODERS), default="x265")
    add("--crf", type=float, help=f"quality, lower is better (default: {defaults})")
    add("--preset", help="speed against size, as the encoder names it")
    add("--params", default="", metavar="A=B:C=D", help="the encoder's own parameters")
    add("--preset-file", metavar="TOML", help="options, one below the other, as in: crf = 16")
    add("--like", metavar="FILE", help="as an earlier output was made; it carries its settings")
    add("--ffmpeg", metavar="PATH", help="the ffmpeg to use (default: the best equipped one found)")


def long_films_arguments(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--chunk", type=seconds, default=20.0, metavar="SECONDS", help="what is rendered at a time, and lost at most "
        "where the command is ended; 0 for all at once (default: 20)")  # fmt: skip
    add("--workers", type=positive, default=0, metavar="N", help="processes that render chunks at a time (default: 1; "
        "on a cluster one for each GPU, or node)")  # fmt: skip
    add("--cluster", metavar="ADDRESS", help="render on a Ray cluster: its address, auto, or local to start one here")
    add("--cluster-storage", metavar="URL", help="what its chunks come here through, as fsspec names it: s3://..., "
        "gs://..., sftp://..., file:///mnt/share (default: the output's folder, or Ray)")  # fmt: skip
    only = group.add_mutually_exclusive_group()
    only.add_argument("--resume", action="store_true", help="go on with what is begun, or refuse; done by itself, too")
    only.add_argument("--restart", action="store_true", help="throw away the chunks that are finished")


def source_arguments(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    for name, numbers in (("matrix", MATRICES), ("primaries", PRIMARIES), ("transfer", TRANSFERS), ("range", RANGES)):
        add(f"--{name}", type=reads(named(numbers)), metavar="NAME",
            help=f"what it is where the source says nothing or lies: {', '.join(numbers)}")  # fmt: skip
    add("--sar", type=reads(ratio), metavar="W:H", help="its pixels' shape where the source lies: 16:11")
    add("--field", choices=FIELDS, default="", help="what to make of interlaced frames")
    add("--fps", type=reads(ratio), help="the rate of what has no times, images and bare streams: 25, 24000/1001")
    add("--tracks", metavar="FILE", help="where sound and the rest come from beside a script or images")
    add("--arg", action="append", default=[], metavar="NAME=VALUE",
        help="a variable for a script, as text; may be repeated")  # fmt: skip
    add("--as-is", action="store_true", help="no network: only what is before and after it")
    add("--drop", action="append", choices=DROPPABLE, default=[], help="leave these tracks out; may be repeated")
    add("--accept-damage", action="store_true", help="go on although frames are missing from the source")


def grammar() -> argparse.ArgumentParser:
    """The command's arguments alone, for settings that are kept elsewhere."""
    parser = argparse.ArgumentParser(prog="gansr upscale")
    add_arguments(parser)
    return parser
