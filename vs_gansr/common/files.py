"""Owns how files are written so that nobody ever sees half of one; knows no content."""

from __future__ import annotations

import glob
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replaced", "sweep", "write", "write_through"]


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A name beside `path`, of its ending, to write its new content to: it becomes `path` when the block ends well.

    Where the block raises, `path` stays as it was and nothing is left. Raises OSError where the renaming fails.
    """
    part = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.part{path.suffix}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


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
