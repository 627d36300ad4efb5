"""Owns `gansr upscale`: its arguments, what is wrong with them before anything starts, and its last word."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from ..common import CommandError, say
from . import shelf
from .encode import CONTAINERS, container
from .job import ENCODERS, UpscaleJob

__all__ = ["HELP", "add_arguments", "run"]

HELP = "make a video file larger and cleaner; sound, subtitles, chapters and tags come along"
DROPPABLE = ("sound", "subtitles", "attachments", "cover")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `gansr upscale`; docs/cli.md explains them."""
    defaults = ", ".join(f"{name} {e.crf:g}" for name, e in ENCODERS.items())
    parser.usage = (
        "gansr upscale [options] source output [-- options for ffmpeg's output, as they are]\n"
        "       gansr upscale [options] --output-dir FOLDER source [source ...] [-- ...]"
    )
    add = parser.add_argument
    add("paths", nargs="+", metavar="source output", help="the file to read, and the file to write: "
        f"{', '.join(CONTAINERS)}; with --output-dir files, folders and globs to read")  # fmt: skip
    add("--output-dir", metavar="FOLDER", help="write into this folder, for several sources")
    add("--name", default="{stem}.mkv", metavar="PATTERN", help="the outputs' names there, of {stem}, {ext}, {folder}, "
        "{n} (default: {stem}.mkv)")  # fmt: skip
    add("--dry-run", action="store_true", help="say what would be made; time and size by rendering 2 s of each")
    add("-y", "--overwrite", action="store_true", help="replace the output if it exists")
    add("--script-only", action="store_true", help="print the equivalent .vpy to stdout and write nothing")
    add("-q", "--quiet", action="store_true", help="no progress, no notes")
    add("--progress", choices=("auto", "json"), default="auto", help="json: lines for programs on stdout")
    add("--report", metavar="HTML", help="write a page on the result: stills beside the source, speed, bitrate")
    add("-v", "--verbose", action="store_true", help="show what renderer and ffmpeg print")

    group = parser.add_argument_group("picture")
    add = group.add_argument
    add("--width", type=positive, default=0, help="width of the result: the network, then Spline36 down to it")
    add("--height", type=positive, default=0, help="height of the result; the other side keeps the shape")
    add("--depth", type=int, choices=(8, 10), default=0, help="bits of the result (default: the source's, at most 10)")
    add("--chroma", choices=("420", "422", "444"), default="", help="chroma layout (default: the source's)")

    group = parser.add_argument_group("network, as core.gansr.Upscale has them")
    add = group.add_argument
    add("--model", help="a name that `gansr models` lists, or a path to an .onnx file")
    add("--provider", help="auto, CPU, CUDA, ...")
    add("--device-id", type=int)
    add("--precision", help="auto, fp32, fp16 or int8")
    add("--num-streams", type=int)
    add("--tilesize", type=int, nargs="+", metavar="N", help="width and height of a tile")
    add("--overlap", type=int, nargs="+", metavar="N")
    add("--memory", type=int, metavar="MIB")
    add("--strength", type=float)

    group = parser.add_argument_group("encoder")
    add = group.add_argument
    add("--encoder", choices=tuple(ENCODERS), default="x265")
    add("--crf", type=float, help=f"quality, lower is better (default: {defaults})")
    add("--preset", help="speed against size, as the encoder names it")
    add("--params", default="", metavar="A=B:C=D", help="the encoder's own parameters")
    add("--ffmpeg", metavar="PATH", help="the ffmpeg to use (default: the best equipped one found)")

    group = parser.add_argument_group("source")
    add = group.add_argument
    add("--drop", action="append", choices=DROPPABLE, default=[], help="leave these tracks out; may be repeated")
    add("--accept-damage", action="store_true", help="go on although frames are missing from the source")
    add_long_film_arguments(parser)


def add_long_film_arguments(parser: argparse.ArgumentParser) -> None:
    """How a film is divided, resumed and shared out."""
    group = parser.add_argument_group("long films")
    add = group.add_argument
    add("--chunk", type=seconds, default=20.0, metavar="SECONDS", help="what is rendered at a time, and lost at most "
        "where the command is ended; 0 for all at once (default: 20)")  # fmt: skip
    add("--workers", type=positive, default=0, metavar="N", help="processes that render chunks at a time (default: 1; "
        "on a cluster one for each GPU, or node)")  # fmt: skip
    add("--cluster", metavar="ADDRESS", help="render on a Ray cluster: its address, auto, or local to start one here")
    only = group.add_mutually_exclusive_group()
    only.add_argument("--resume", action="store_true", help="go on with what is begun, or refuse; done by itself, too")
    only.add_argument("--restart", action="store_true", help="throw away the chunks that are finished")


def positive(text: str) -> int:
    """A whole number above 0."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not above 0")
    return number


def seconds(text: str) -> float:
    """A length of time, 0 or more."""
    number = float(text)
    if not 0 <= number < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is no length of time in seconds")
    return number


def run(args: argparse.Namespace) -> int:
    """Encodes, or prints the script, or what would be done; returns the exit code."""
    if not args.output_dir:
        if len(args.paths) != 2:
            raise CommandError(f"{len(args.paths)} paths are given; name a source and an output, or give --output-dir")
        film = shelf.QueuedFilm(*map(Path, args.paths))
        if args.script_only:
            from . import media, script

            job = job_of(args, film)
            print(script.text(script.build(job, media.probe(job.source).video.index).steps), end="")
            return 0
        one(args, film)
        return 0
    if args.script_only:
        raise CommandError("--script-only prints one script; leave --output-dir out")
    queue = shelf.films(args.paths, Path(args.output_dir), args.name)
    return shelf.run_all(queue, args.overwrite, args.quiet, lambda film: one(args, film), not args.dry_run)


def one(args: argparse.Namespace, film: shelf.QueuedFilm) -> None:
    """One film. Raises CommandError where it fails."""
    job = job_of(args, film)
    check(job, args.overwrite, folder_must_exist=not (args.dry_run and args.output_dir))
    from .progress import clock, progress_of

    progress = progress_of(args.progress, args.quiet)
    if args.dry_run:
        from .estimate import estimate

        print(estimate(job, progress).describe(film.source, film.output), flush=True)
        return
    from .driver import run as run_job
    from .wish import Wish

    begun = time.monotonic()
    wish = Wish(args.workers, args.cluster, args.overwrite, args.resume, args.restart, args.verbose)
    outcome = run_job(job, progress, wish)
    spent = time.monotonic() - begun
    chunk_seconds = list(outcome.ledger.seconds.values()) if outcome.ledger else []
    progress.done(
        output=job.output, frames=outcome.frames, size=outcome.size, seconds=spent, chunk_seconds=chunk_seconds
    )
    width, height = outcome.size
    if args.report:
        from . import report

        report.write(Path(args.report), job, outcome, spent)
    if not args.quiet:
        say(f"{film.output}: {outcome.frames} frames of {width}x{height} in {clock(spent)} with {job.encoder}")


def job_of(args: argparse.Namespace, film: shelf.QueuedFilm) -> UpscaleJob:
    """The command line as a UpscaleJob."""
    return UpscaleJob(
        source=str(film.source.absolute()),
        output=str(film.output.absolute()),
        encoder=args.encoder,
        crf=args.crf,
        preset=args.preset,
        params=args.params,
        extra=tuple(args.rest),
        ffmpeg=args.ffmpeg,
        width=args.width,
        height=args.height,
        depth=args.depth,
        chroma=args.chroma,
        drop=tuple(args.drop),
        chunk=args.chunk,
        accept_damage=args.accept_damage,
        model=model_argument(args.model),
        provider=args.provider,
        device_id=args.device_id,
        precision=args.precision,
        num_streams=args.num_streams,
        tilesize=tuple(args.tilesize) if args.tilesize else None,
        overlap=tuple(args.overlap) if args.overlap else None,
        memory=args.memory,
        strength=args.strength,
    )


def model_argument(name: str | None) -> str | None:
    """A path becomes absolute, because the printed script may be run from anywhere; a name stays."""
    return str(Path(name).absolute()) if name and name.lower().endswith(".onnx") else name


def check(job: UpscaleJob, overwrite: bool, folder_must_exist: bool = True) -> None:
    """Raises CommandError for what can be known without opening anything."""
    source, output = Path(job.source), Path(job.output)
    if not source.is_file():
        raise CommandError(f"{source} {'is not a file' if source.exists() else 'does not exist'}")
    container(job.output, job.encoder)
    if folder_must_exist and not output.parent.is_dir():
        raise CommandError(f"the folder {output.parent} does not exist; create it first")
    if output.is_dir():
        raise CommandError(f"{output} is a folder; name the file in it")
    if output.exists() and source.samefile(output):
        raise CommandError(f"{output} is the source itself; write to another name")
    if output.exists() and not overwrite:
        raise CommandError(f"{output} exists; give -y to replace it")
