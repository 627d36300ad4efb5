"""The command `gansr upscale`: check its arguments, run one film or several, and say how it ended."""

from __future__ import annotations

import argparse
import glob
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import one_line
from ..common import CommandError, say
from .arguments import add_arguments, grammar
from .chunks.ledger import LONGEST_NAME, clear_finished
from .ffmpeg import options
from .ffmpeg.command import container
from .job import UpscaleJob

if TYPE_CHECKING:
    from .preview.dry_run import Estimate

__all__ = ["HELP", "QueuedFilm", "add_arguments", "films", "run", "run_all"]

HELP = "upscale and clean a video; sound, subtitles, chapters and tags are kept"
ADDRESS = re.compile(r"(^|/)(https?|ftps?|rtmps?|rtsp|srt|udp):/", re.IGNORECASE)
COMPARED = 10.0  # seconds of a wipe, unless told otherwise

# Endings that a folder is searched for; a file that is named is taken as it is.
ENDINGS = {
    ".3gp", ".avi", ".flv", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogm",
    ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m",
}  # fmt: skip


@dataclass(frozen=True)
class QueuedFilm:
    """A source, its output, and the page that reports on it, if there is to be one."""

    source: Path
    output: Path
    report: Path | None = None


def run(args: argparse.Namespace) -> int:
    """Encodes, or prints the script, or what would be done; returns the exit code."""
    if args.like or args.preset_file:
        from .job.kept_options import kept

        args = kept(args, grammar())
    if not args.output_dir:
        if len(args.paths) != 2:
            given = "one path is" if len(args.paths) == 1 else f"{len(args.paths)} paths are"
            raise CommandError(f"{given} given; name a source and an output, or give --output-dir")
        film = QueuedFilm(Path(args.paths[0]), Path(args.paths[1]), Path(args.report) if args.report else None)
        if args.script_only:
            print(script_of(job_of(args, film)), end="")
            return 0
        one(args, film, [])
        return 0
    if args.script_only:
        raise CommandError("--script-only prints one script; leave --output-dir out")
    folder = Path(args.output_dir)
    queue = films(args.paths, folder, args.name, args.report)
    estimates: list[Estimate] = []
    code = run_all(queue, args.overwrite, args.quiet, lambda film: one(args, film, estimates), not args.dry_run)
    if estimates:
        from .preview.dry_run import summary

        print(summary(estimates, folder.absolute()), flush=True)
    return code


def one(args: argparse.Namespace, film: QueuedFilm, estimates: list[Estimate]) -> None:
    """One film; what a dry run finds goes to `estimates`. Raises CommandError where it fails."""
    job = job_of(args, film)
    looks = bool(args.stills or args.preview)
    stem = film.output.stem
    written = [f"{stem}.frame000000.100.png"] * bool(args.stills) + [f"{stem}.preview.html"] * bool(args.preview)
    refuse_long_names(*map(Path, written))
    if not (args.overwrite or args.dry_run or looks) and clear_finished(Path(job.output)):
        if not args.quiet:
            say(f"{film.output} was finished before; what was left of its chunks is gone now")
        return
    check(job, args.overwrite or looks, folder_must_exist=not (args.dry_run and args.output_dir))
    if film.report and not args.dry_run and not film.report.absolute().parent.is_dir():
        raise CommandError(f"the folder {film.report.absolute().parent} of the report does not exist; create it first")
    if args.stills:
        from .preview.pictures import write_stills

        write_stills(job, args.stills)
    if args.preview:
        from .preview.page import write_page

        write_page(job)
    if looks:
        return
    from .progress import JsonProgress, Progress, clock

    progress = JsonProgress() if args.progress == "json" else Progress(args.quiet)
    if args.dry_run:
        from .preview.dry_run import estimate

        estimates.append(estimate(job, progress))
        print(estimates[-1].describe(film.source, film.output), flush=True)
        return
    from .workers.scheduler import RunOptions, UpscaleRun

    begun = time.monotonic()
    options = RunOptions(args.workers, args.cluster, args.overwrite, args.resume, args.restart, args.verbose)
    outcome = UpscaleRun(job, progress, options).run()
    spent = time.monotonic() - begun
    chunk_seconds = list(outcome.ledger.seconds.values()) if outcome.ledger else []
    frames, width, height = outcome.plan.frames, outcome.plan.picture.width, outcome.plan.picture.height
    progress.done(output=job.output, frames=frames, size=(width, height), seconds=spent, chunk_seconds=chunk_seconds)
    if film.report:
        from .preview.report import write_report

        write_report(film.report, job, outcome, spent)
    if not args.quiet:
        say(f"{film.output}: {frames} frames of {width}x{height} in {clock(spent)} with {job.encoder}")


def job_of(args: argparse.Namespace, film: QueuedFilm) -> UpscaleJob:
    """The command line as a UpscaleJob: options by their names, paths made absolute."""
    refuse_long_names(film.source, film.output, *([Path(args.tracks)] if args.tracks else []))
    named = {field.name: getattr(args, field.name) for field in fields(UpscaleJob) if hasattr(args, field.name)}
    given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in named.items()}
    given |= {"source": str(film.source.absolute()), "output": str(film.output.absolute())}
    given |= {"extra": tuple(args.rest)}
    if args.model and args.model.lower().endswith(".onnx"):
        given["model"] = str(Path(args.model).absolute())  # the printed script may be run from anywhere
    given["tracks"] = str(Path(args.tracks).absolute()) if args.tracks else None
    if args.compare and not (args.start or args.end or args.frames or args.test):
        given["test"] = COMPARED
    return UpscaleJob(**given)


def script_of(job: UpscaleJob) -> str:
    """The job as a .vpy. Raises CommandError for whatever its source, plugins or arguments are refused for."""
    check_source(job)
    if job.is_script:
        raise CommandError(
            f"--script-only needs a video file or images; {job.source} is already a script: add "
            "clip = core.gansr.Upscale(clip) to it"
        )
    if job.compare:
        raise CommandError("--compare cannot be written as a script; omit --script-only")
    from .preview.pictures import opened
    from .script.steps import text

    with opened(job) as graph:
        return text(graph.steps)


def check(job: UpscaleJob, overwrite: bool, folder_must_exist: bool = True) -> None:
    """Raises CommandError for what can be known without opening anything."""
    source, output = Path(job.source), Path(job.output)
    check_source(job)
    container(job.output, job.encoder)
    options.check(job)
    if job.test and (job.start or job.end is not None or job.frames):
        raise CommandError("--test cannot be combined with --start, --end or --frames; omit one of them")
    if folder_must_exist and not output.parent.is_dir():
        raise CommandError(f"the folder {output.parent} does not exist; create it first")
    if output.is_dir():
        raise CommandError(f"{output} is a folder; name the file in it")
    if output.exists() and source.exists() and source.samefile(output):
        raise CommandError(f"{output} is the source itself; write to another name")
    if output.exists() and not overwrite:
        raise CommandError(f"{output} exists; give -y to replace it")


def refuse_long_names(*paths: Path) -> None:
    """Raises CommandError for names that no usual file system holds."""
    for path in paths:
        for name in path.parts:
            if len(os.fsencode(name)) > LONGEST_NAME:
                raise CommandError(
                    f"{name[:40]}... is a name of {len(os.fsencode(name))} bytes, and {LONGEST_NAME} are the most that "
                    "file systems take; shorten it"
                )


def check_source(job: UpscaleJob) -> None:
    """Raises CommandError where what is to be read is no file."""
    source = Path(job.source)
    if job.is_numbered and not source.exists():
        pass  # images; whether they are there is seen when they are opened
    elif source.is_dir():
        raise CommandError(
            f"{source} is a folder; for numbered images write {source.name}/%05d.png, for films give --output-dir"
        )
    elif not source.is_file() and ADDRESS.search(job.source):
        raise CommandError(f"{source.name} is a URL, which is not supported; download it first")
    elif not source.is_file():
        raise CommandError(f"{source} {'is not a file' if source.exists() else 'does not exist'}")
    if job.arg and not job.is_script:
        raise CommandError(f"--arg sets variables of scripts, but {source} is no script; omit it")
    if job.tracks and source.is_file() and not job.is_script:
        raise CommandError(f"--tracks is for scripts and images, {source} has its own tracks; omit it")
    if job.tracks and not Path(job.tracks).is_file():
        raise CommandError(f"--tracks {job.tracks} is not a file")


def films(words: Sequence[str], folder: Path, pattern: str, report: str | None = None) -> list[QueuedFilm]:
    """What is to be done for the files, folders and globs `words`, each film once, in order.

    `pattern` is the output's name below `folder`: {stem} and {ext} of the source, {folder} its place below the folder
    that was named, {n} its number from 1; `report` likewise, but where it says. Raises CommandError where nothing is
    found or two outputs, or reports, are one.
    """
    found: dict[Path, str] = {}
    for word in words:
        here = sources(word, folder.resolve())
        if not here:
            raise CommandError(f"{word} matches no video file; folders are searched for {', '.join(sorted(ENDINGS))}")
        for path in here:
            base = Path(word)
            found.setdefault(path, str(path.parent.relative_to(base)) if base.is_dir() else "")
    made = []
    for n, (path, place) in enumerate(found.items(), 1):
        facts = {"stem": path.stem, "ext": path.suffix[1:], "folder": place, "n": n}
        page = Path(filled("--report", report, facts)) if report else None
        made.append(QueuedFilm(path, folder / filled("--name", pattern, facts), page))
    owner: dict[Path, Path] = {}
    for film in made:
        for option, name in (("--name", film.output), ("--report", film.report)):
            other = owner.setdefault(name, film.source) if name else film.source
            if other != film.source:
                raise CommandError(f"{other} and {film.source} would both be written to {name}; change {option}")
    return made


def filled(option: str, pattern: str, facts: dict[str, Any]) -> str:
    """A name from its pattern. Raises CommandError for a field that there is not."""
    try:
        return pattern.format(**facts)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        fields = " ".join(f"{{{name}}}" for name in facts)
        raise CommandError(f"{option} {pattern} is not understood ({error}); it takes {fields}") from error


def sources(word: str, outputs: Path) -> list[Path]:
    """The files that one word means; of a folder all videos below it, but for those in the folder of outputs."""
    path = Path(word)
    if path.is_dir():
        below = sorted(p for p in path.rglob("*") if p.suffix.lower() in ENDINGS and p.is_file())
        within = {p: p.relative_to(path).parts for p in below}
        hidden = [p for p in below if any(part.startswith(".") or part.endswith(".gansr") for part in within[p])]
        inside = [p for p in below if outputs in p.resolve().parents and path.resolve() in outputs.parents]
        return [p for p in below if p not in hidden and p not in inside]
    if path.exists() or not glob.has_magic(word):
        return [path]
    return [p for name in sorted(glob.glob(word, recursive=True)) if (p := Path(name)).is_file()]  # noqa: PTH207


def run_all(
    queue: Sequence[QueuedFilm], overwrite: bool, quiet: bool, one: Callable[[QueuedFilm], None], write: bool = True
) -> int:
    """Runs `one` for every film that has no output yet; one that fails stops no other. Returns the exit code.

    Without `write` no folder is made and nothing deleted.
    """
    failed: list[str] = []
    done = skipped = 0
    for n, film in enumerate(queue, 1):
        if film.output.exists() and not overwrite:
            if write:
                clear_finished(film.output)
            skipped += 1
            if not quiet:
                say(f"{film.output} is there already; skipped")
            continue
        if not quiet:
            say(f"{n} of {len(queue)}: {film.source}")
        try:
            if write:
                film.output.parent.mkdir(parents=True, exist_ok=True)
            one(film)
            done += 1
        except (CommandError, OSError) as error:
            text = one_line(error, 1000)
            failed.append(f"{film.source}: {text}")
            say(f"gansr: {text}")
    say(f"{done} {'done' if write else 'to do'}, {skipped} there already, {len(failed)} failed")
    for text in failed:
        say(f"failed: {text}")
    return 1 if failed else 0
