"""Write files so that readers find either the old content or the complete new content."""

from __future__ import annotations

import glob
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["delete", "rename", "replacement", "remove_leftovers", "write", "write_through"]

PATIENCE = 5.0  # seconds to wait for a virus scanner, an indexer or a player to close a file
HELD = (5, 32, 33)  # Windows errors: access denied, sharing violation, lock violation


def while_in_use[T](act: Callable[[], T]) -> T:
    """Return what `act` returns; on Windows, retry it while another program has one of its files open."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return act()
        except PermissionError as error:
            if getattr(error, "winerror", None) not in HELD or time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def rename(source: Path, target: Path) -> None:
    """Rename `source` to `target` and replace the file of that name. Raises OSError; both files are unchanged then."""
    while_in_use(lambda: source.replace(target))


def delete(path: Path) -> None:
    """Delete a file if it exists. Raises OSError."""
    while_in_use(lambda: path.unlink(missing_ok=True))


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`, with its suffix; the file of that name becomes `path` when the block
    succeeds.

    If the block raises, `path` is unchanged and the temporary file is deleted. Raises OSError where the renaming
    fails.
    """
    part = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.part{path.suffix}")
    try:
        yield part
        rename(part, path)
    finally:
        delete(part)


def remove_leftovers(path: Path) -> None:
    """Delete the temporary files that killed writers of `path` left beside it. Call it only while no other process
    writes `path`.
    """
    token = "[0-9a-f]" * 8
    for part in path.parent.glob(f".{glob.escape(path.stem)}.{token}.part{glob.escape(path.suffix)}"):
        part.unlink(missing_ok=True)


def write(path: Path, data: bytes | str) -> None:
    """Write `data`, text as UTF-8, to `path`; create its folder if needed. Readers find either the old file or the
    new one.

    The data is forced to disk, so that a full disk is noticed here. Raises OSError; the old file is unchanged then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacement(path) as part:
        write_through(part, data)


def write_through(path: Path, data: bytes | str) -> None:
    """Write `data`, text as UTF-8, to `path` itself and force it to disk. Raises OSError."""
    with path.open("wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
        file.flush()
        os.fsync(file.fileno())
