"""Render several films: which files are meant, what their outputs are called, and one film after the other."""

from __future__ import annotations

import glob
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import one_line
from ..common import CommandError, say
from .chunks.ledger import clear_finished

__all__ = ["QueuedFilm", "films", "run_all"]

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
