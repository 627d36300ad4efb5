"""Keep options for later runs: in the output (`--like` reads them there), or in a TOML file.

Kept settings are words of the command line in front of those that the user gives, so whatever is given wins.
"""

from __future__ import annotations

import argparse
import shlex
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

from ...common import CommandError
from . import UpscaleJob

__all__ = ["TAG", "kept", "of_file", "of_output", "stored"]

TAG = "gansr"
LEAD = "gansr upscale "
# What says how, not what, where, or with which machine.
LASTING = (
    "width", "height", "depth", "chroma", "encoder", "crf", "preset", "params", "drop", "accept_damage", "field",
    "denoise", "deband", "grain", "model", "precision", "strength", "texture", "clamp", "source_grain",
)  # fmt: skip


def stored(job: UpscaleJob) -> str:
    """The job's lasting settings as a line that `--like` reads back. A model's folder is nobody's business."""
    words: list[str] = []
    default = {field.name: field.default for field in fields(UpscaleJob)}
    for name in LASTING:
        value = getattr(job, name)
        if value == default[name]:
            continue
        if name == "model" and len(Path(value).parts) > 1:
            value = Path(value).stem
        words += option(name, list(value) if isinstance(value, tuple) else value)
    return LEAD + shlex.join([*words, *(["--", *job.extra] if job.extra else [])])


def option(name: str, value: Any) -> list[str]:
    """One setting as words of the command line."""
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [flag] if value else []
    if isinstance(value, list):
        if name in ("tilesize", "overlap"):
            return [flag, *map(str, value)]
        return [word for item in value for word in (flag, str(item))]
    return [f"{flag}={value:g}" if isinstance(value, float) else f"{flag}={value}"]


def of_output(path: str) -> list[str]:
    """The words that an earlier output carries. Raises CommandError where it carries none."""
    import av

    try:
        with av.open(path) as container:
            tags = {name.lower(): value for name, value in container.metadata.items()}
    except (av.error.FFmpegError, OSError) as error:
        raise CommandError(f"--like {path} cannot be read as video ({error.strerror})") from error
    for name in (TAG, "comment"):
        if tags.get(name, "").startswith(LEAD):
            return shlex.split(tags[name].removeprefix(LEAD))
    raise CommandError(
        f"--like {path}: no options are stored in this file (gansr did not write it, or its tags were changed); give "
        "the options themselves"
    )


def of_file(path: str, parser: argparse.ArgumentParser) -> list[str]:
    """The words that a TOML file of options stands for; `extra` is the list of options behind `--`.

    Raises CommandError for a file that cannot be read and for names that are no options.
    """
    try:
        found = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"--preset-file {path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CommandError(f"--preset-file {path} cannot be read: {error}") from error
    known = set(vars(parser.parse_args(["source", "output"]))) - {"paths", "preset_file", "like"}
    words: list[str] = []
    extra = found.pop("extra", [])
    for name, value in found.items():
        if name.replace("-", "_") not in known:
            raise CommandError(
                f'--preset-file {path}: "{name}" is not an option; the options are: {", ".join(sorted(known))}'
            )
        if isinstance(value, dict):
            raise CommandError(f"--preset-file {path}: [{name}] is a section; write options without section headings")
        words += option(name, value)
    return [*words, *(["--", *map(str, extra)] if extra else [])]


def kept(args: argparse.Namespace, parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The command line with the settings that it refers to in front, or as it is."""
    front: list[str] = []
    rest: list[str] = []
    stored_words = of_output(args.like) if args.like else []
    for words in (stored_words, of_file(args.preset_file, parser) if args.preset_file else []):
        place = words.index("--") if "--" in words else len(words)
        front += words[:place]
        rest += words[place + 1 :]
    merged = parser.parse_args([*front, *args.words])
    merged.rest = [*rest, *args.rest]
    merged.words = args.words
    return merged
