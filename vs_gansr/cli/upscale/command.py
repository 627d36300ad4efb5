"""Owns `gansr upscale`: its arguments, what is wrong with them before anything starts, and its last word."""

from __future__ import annotations

import argparse
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..common import CommandError, say
from . import encoder_options
from .arguments import add_arguments, grammar
from .colour_names import NUMBERED
from .encode import container
from .job import Job

__all__ = ["HELP", "add_arguments", "run"]

HELP = "make a video file larger and cleaner; sound, subtitles, chapters and tags come along"
COMPARED = 10.0  # seconds of a wipe, unless told otherwise


def run(args: argparse.Namespace) -> int:
    """Encodes, or prints the script; returns the exit code."""
    if args.like or args.preset_file:
        from .presets import kept

        args = kept(args, grammar())
    job = job_of(args)
    if args.script_only:
        from .printed import printed

        print(printed(job), end="")
        return 0
    check(job, args.overwrite or bool(args.stills))
    if args.stills:
        from .stills import write_stills

        write_stills(job, args.stills)
        return 0
    from .driver import Wish
    from .driver import run as run_job
    from .progress import Progress, clock

    begun = time.monotonic()
    wish = Wish(args.workers, args.overwrite, args.resume, args.restart, args.verbose)
    outcome = run_job(job, Progress(args.quiet), wish)
    if not args.quiet:
        spent = time.monotonic() - begun
        width, height = outcome.size
        say(f"{args.output}: {outcome.frames} frames of {width}x{height} in {clock(spent)} with {job.encoder}")
    return 0


def job_of(args: argparse.Namespace) -> Job:
    """The command line as a Job: options by their names, paths made absolute."""
    named = {field.name: getattr(args, field.name) for field in fields(Job) if hasattr(args, field.name)}
    given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in named.items()}
    given |= {"source": str(Path(args.source).absolute()), "output": str(Path(args.output).absolute())}
    given |= {"extra": tuple(args.rest), "model": model_argument(args.model)}
    given["tracks"] = str(Path(args.tracks).absolute()) if args.tracks else None
    if args.compare and not (args.start or args.end or args.frames or args.test):
        given["test"] = COMPARED
    return Job(**given)


def model_argument(name: str | None) -> str | None:
    """A path becomes absolute, because the printed script may be run from anywhere; a name stays."""
    return str(Path(name).absolute()) if name and name.lower().endswith(".onnx") else name


def check(job: Job, overwrite: bool) -> None:
    """Raises CommandError for what can be known without opening anything."""
    source, output = Path(job.source), Path(job.output)
    if NUMBERED.search(source.name) and not source.exists():
        pass  # images; whether they are there is seen when they are opened
    elif not source.is_file():
        raise CommandError(f"{source} {'is not a file' if source.exists() else 'does not exist'}")
    container(job.output, job.encoder)
    encoder_options.check(job)
    if not output.parent.is_dir():
        raise CommandError(f"the folder {output.parent} does not exist; create it first")
    if output.is_dir():
        raise CommandError(f"{output} is a folder; name the file in it")
    if job.tracks and not Path(job.tracks).is_file():
        raise CommandError(f"--tracks {job.tracks} is not a file")
    if output.exists() and source.exists() and source.samefile(output):
        raise CommandError(f"{output} is the source itself; write to another name")
    if output.exists() and not overwrite:
        raise CommandError(f"{output} exists; give -y to replace it")
