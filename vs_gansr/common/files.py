"""Owns how files are written so that nobody ever sees half of one; knows no content."""

from __future__ import annotations

import glob
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["delete", "rename", "replaced", "sweep", "write", "write_through"]

PATIENCE = 5.0  # seconds that a virus scanner, an indexer or a player may hold a file before we give up
HELD = (5, 32, 33)  # Windows: access denied, sharing violation, lock violation


def patiently[T](act: Callable[[], T]) -> T:
    """What `act` returns; on Windows it is tried again while another program has one of its files open."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return act()
        except PermissionError as error:
            if getattr(error, "winerror", None) not in HELD or time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def rename(source: Path, target: Path) -> None:
    """Gives `source` the name `target`, whose file it replaces. Raises OSError; both are as they were then."""
    patiently(lambda: source.replace(target))


def delete(path: Path) -> None:
    """Deletes a file if it is there. Raises OSError."""
    patiently(lambda: path.unlink(missing_ok=True))


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A name beside `path`, of its ending, to write its new content to: it becomes `path` when the block ends well.

    Where the block raises, `path` stays as it was and nothing is left. Raises OSError where the renaming fails.
    """
    part = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.part{path.suffix}")
    try:
        yield part
        rename(part, path)
    finally:
        delete(part)


def sweep(path: Path) -> None:
    """Removes what writers of `path` that were killed left beside it; for places where nobody else is writing it."""
    token = "[0-9a-f]" * 8
    for part in path.parent.glob(f".{glob.escape(path.stem)}.{token}.part{glob.escape(path.suffix)}"):
        part.unlink(missing_ok=True)


def write(path: Path, data: bytes | str) -> None:
    """Writes `data`, text as UTF-8, to `path`, whose folder is made if need be; at any moment the old file or the new.

    Forced to disk, so that a full one is noticed here. Raises OSError; the old file is untouched then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path) as part:
        write_through(part, data)


def write_through(path: Path, data: bytes | str) -> None:
    """Writes `data` to `path` itself and forces it to disk."""
    with path.open("wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
        file.flush()
        os.fsync(file.fileno())
