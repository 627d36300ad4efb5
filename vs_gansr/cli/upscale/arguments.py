"""The arguments of `gansr upscale`, and how their values are read; docs/cli.md explains each."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any

from ...filter.settings import ARGUMENTS
from ..ffmpeg import ENCODERS
from .ffmpeg.command import CONTAINERS
from .script.filters import FIELDS

__all__ = ["add_arguments", "grammar", "moment"]

DROPPABLE = ("sound", "subtitles", "attachments", "cover")
MATRICES = {"rgb": 0, "709": 1, "fcc": 4, "470bg": 5, "170m": 6, "601": 6, "240m": 7, "ycgco": 8, "2020ncl": 9,
            "2020nc": 9, "2020cl": 10, "ictcp": 14}  # fmt: skip
PRIMARIES = {"709": 1, "470m": 4, "470bg": 5, "170m": 6, "240m": 7, "film": 8, "2020": 9, "st428": 10, "st431-2": 11,
             "st432-1": 12, "ebu3213-e": 22}  # fmt: skip
TRANSFERS = {"709": 1, "470m": 4, "470bg": 5, "601": 6, "170m": 6, "240m": 7, "linear": 8, "log100": 9,
             "log316": 10, "xvycc": 11, "srgb": 13, "2020_10": 14, "2020_12": 15, "st2084": 16, "pq": 16, "st428": 17,
             "std-b67": 18, "hlg": 18}  # fmt: skip
RANGES = {"limited": 0, "tv": 0, "full": 1, "pc": 1}


def named(numbers: dict[str, int]) -> Callable[[str], int]:
    """A reader of the names in `numbers` (H.273's numbers), with or without "bt" or "smpte" in front."""

    def number(text: str) -> int:
        if text.isdecimal() and int(text) in numbers.values() and text not in numbers:
            return int(text)
        name = re.sub(r"^(bt|smpte)", "", text.lower())
        if name not in numbers:
            raise argparse.ArgumentTypeError(f'"{text}" is unknown; use one of: {", ".join(numbers)}')
        return numbers[name]

    return number


def moment(text: str) -> float:
    """Seconds, from `90`, `90.5`, `90s`, `1:30` or `0:01:30.5`."""
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d+)?s?", text):
        raise argparse.ArgumentTypeError(f'"{text}" is not a time; write 90, 1:30 or 0:01:30.5')
    seconds = 0.0
    for part in text.rstrip("s").split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


def ratio(text: str) -> str:
    """`16:11` or `24000/1001` as Fraction takes it."""
    if not re.fullmatch(r"[1-9]\d*([:/][1-9]\d*|\.\d+)?", text):
        raise argparse.ArgumentTypeError(f'"{text}" is not a ratio; write 16:11 or 24000/1001')
    return text.replace(":", "/")


def within(kind: type[int] | type[float], least: float, most: float, what: str) -> Callable[[str], Any]:
    """A reader of numbers from `least` to `most`, which are `what`."""

    def number(text: str) -> int | float:
        if not least <= (found := kind(text)) <= most:
            raise argparse.ArgumentTypeError(f"{text} is not {what}")
        return found

    return number


amount = within(float, 0, 100, "from 0 to 100")
positive = within(int, 1, float("inf"), "above 0")
seconds = within(float, 0, 999_999, "a length in seconds")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `gansr upscale`; docs/cli.md explains them."""
    parser.usage = (
        "gansr upscale [options] source output [-- options for ffmpeg]\n"
        "       gansr upscale [options] --output-dir FOLDER source [source ...] [-- ...]"
    )
    add = parser.add_argument
    add("paths", nargs="+", metavar="source output", help="the source: a video file, a .vpy script or images such as "
        f"im%%05d.png; and the output: a file to write ({', '.join(CONTAINERS)}); with --output-dir: sources only, as "
        "files, folders and globs")  # fmt: skip
    add("--output-dir", metavar="FOLDER", help="upscale one or more sources into this folder")
    add("--name", default="{stem}.mkv", metavar="PATTERN", help="file names in --output-dir, made of {stem}, {ext}, "
        "{folder} and {n} (default: {stem}.mkv)")  # fmt: skip
    add("--dry-run", action="store_true", help="write nothing; estimate time and size by rendering 2 s of each source; "
        "show the free space")  # fmt: skip
    add("-y", "--overwrite", action="store_true", help="replace the output if it exists")
    add("--script-only", action="store_true", help="print the equivalent .vpy to stdout and write nothing")
    add("-q", "--quiet", action="store_true", help="print errors only")
    add("--progress", choices=("auto", "json"), default="auto", help="json: print JSON lines on stdout")
    add("--report", metavar="HTML", help="also write an HTML page about the finished film: stills of source and "
        "result, speed, bitrate; with --output-dir a pattern like --name")  # fmt: skip
    add("-v", "--verbose", action="store_true", help="also print what workers and ffmpeg print")
    picture_arguments(parser.add_argument_group("picture"))
    part_arguments(parser.add_argument_group("part of the source"))
    network_arguments(parser.add_argument_group("network (arguments of core.gansr.Upscale)"))
    encoder_arguments(parser.add_argument_group("encoder"))
    long_films_arguments(parser.add_argument_group("long films"))
    source_arguments(parser.add_argument_group("source"))


def picture_arguments(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--width", type=positive, default=0, help="width of the result; Spline36 reduces the network's output to it")
    add("--height", type=positive, default=0, help="height of the result; give only one to keep the aspect ratio")
    add("--depth", type=int, choices=(8, 10), default=0, help="bit depth (default: the source's, at most 10)")
    add("--chroma", choices=("420", "422", "444"), default="", help="chroma subsampling (default: the source's)")
    add("--denoise", type=amount, default=0.0, metavar="N", help="denoise before the network (zsmooth FluxSmoothST); "
        "strength 1 to 10, in 8-bit values; needs the extra `filters` (default: 0)")  # fmt: skip
    add("--deband", type=amount, default=0.0, metavar="N", help="deband after the network (vszip Deband); strength "
        "1 to 3, in 8-bit values; needs the extra `filters` (default: 0)")  # fmt: skip
    add("--grain", type=amount, default=0.0, metavar="N", help="add grain to luma after the network (vszip Deband); "
        "strength 0.5 to 3; needs the extra `filters` (default: 0); not Upscale's argument `grain`, which is "
        "--source-grain")  # fmt: skip


def part_arguments(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--start", type=moment, default=0.0, metavar="TIME", help="start of the part: 90, 1:30 or 0:01:30.5")
    add("--end", type=moment, metavar="TIME", help="end of the part")
    add("--frames", type=positive, default=0, metavar="N", help="number of source frames to render")
    add("--test", type=moment, default=0.0, metavar="TIME", help="render a part from the middle, such as 10s")
    add("--compare", action="store_true", help="render a video with source and result on either side of a moving line "
        "(10 s by default)")  # fmt: skip
    add("--stills", type=positive, default=0, metavar="N",
        help="write PNG images beside OUTPUT instead of a video: N frames, source left and result right, each at 100 "
        "and at 300 %%")  # fmt: skip
    add("--preview", action="store_true",
        help="write an HTML page instead of a video, such as out.preview.html for out.mkv: ten moments, source and "
        "result")  # fmt: skip


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
    add("--encoder", choices=tuple(ENCODERS), default="x265", help="default: x265")
    add("--crf", type=float, help=f"quality, lower is better (default: {defaults})")
    add("--preset", help="the encoder's speed preset (default: medium; svt-av1 6)")
    add("--params", default="", metavar="A=B:C=D", help="parameters of the encoder, such as aq-mode=3:psy-rd=1.5")
    add("--preset-file", metavar="TOML", help="read options of `gansr upscale` from a file, with lines such as: "
        "crf = 16 (not the encoder's --preset)")  # fmt: skip
    add("--like", metavar="FILE", help="use the settings stored in an earlier output of gansr")
    add("--ffmpeg", metavar="PATH", help="the ffmpeg to use (default: of PATH's and pip's, one that has the encoder "
        "and can tag HDR10)")  # fmt: skip


def long_films_arguments(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--chunk", type=seconds, default=20.0, metavar="SECONDS", help="render in chunks of this length; an "
        "interruption loses only unfinished chunks; 0: in one piece (default: 20)")  # fmt: skip
    add("--workers", type=positive, default=0, metavar="N", help="number of processes that render chunks "
        "(default: 1; on a cluster: one per GPU, and one per node without GPUs)")  # fmt: skip
    add("--cluster", metavar="ADDRESS", help="render on a Ray cluster: its address, auto, or local to start one here")
    only = group.add_mutually_exclusive_group()
    only.add_argument("--resume", action="store_true", help="fail if there is nothing to resume (default: resume if "
        "possible, otherwise start from the beginning)")  # fmt: skip
    only.add_argument("--restart", action="store_true", help="discard finished chunks and start again")


def source_arguments(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    for name, numbers in (("matrix", MATRICES), ("primaries", PRIMARIES), ("transfer", TRANSFERS), ("range", RANGES)):
        add(f"--{name}", type=named(numbers), metavar="NAME",
            help=f"override a missing or wrong source tag: {synonyms(numbers)}")  # fmt: skip
    add("--sar", type=ratio, metavar="W:H", help="override the source's sample aspect ratio, such as 16:11")
    add("--field", choices=FIELDS, default="", help="how to make interlaced sources progressive: ivtc: telecined film "
        "(VIVTC); deinterlace: same frame rate (Bwdif); bob: double frame rate (Bwdif); progressive: the frames are "
        "wrongly flagged as interlaced; all but progressive need the extra `filters` (default: refuse interlaced "
        "sources)")  # fmt: skip
    add("--fps", type=ratio, help="frame rate of images, raw streams and scripts, such as 24000/1001; "
        "required where the source states none, refused for files with timestamps; without it a script is computed "
        "twice, first for its timestamps")  # fmt: skip
    add("--tracks", metavar="FILE", help="file with sound, subtitles, chapters and tags for a script or images")
    add("--arg", action="append", default=[], metavar="NAME=VALUE",
        help="set a variable of the script, like vspipe -a; may be repeated")  # fmt: skip
    add("--as-is", action="store_true", help="encode the source as it is: gansr adds no Upscale of its own, for "
        "scripts that call it themselves")  # fmt: skip
    add("--drop", action="append", choices=DROPPABLE, default=[], help="omit these tracks; may be repeated")
    add("--accept-damage", action="store_true", help="render although frames are missing from the source")


def synonyms(numbers: dict[str, int]) -> str:
    """The names in `numbers` in one line, names of the same number together: `st2084 (= pq)`."""
    groups: dict[int, list[str]] = {}
    for name, number in numbers.items():
        groups.setdefault(number, []).append(name)
    return ", ".join(f"{name} (= {', '.join(others)})" if others else name for name, *others in groups.values())


def grammar() -> argparse.ArgumentParser:
    """The command's arguments alone, for settings that are kept elsewhere."""
    parser = argparse.ArgumentParser(prog="gansr upscale")
    add_arguments(parser)
    return parser
