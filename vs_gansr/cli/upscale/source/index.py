"""Keep BestSource's index of a file where only that very file finds it again."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from ....model.user_folders import cache_folder

__all__ = ["clear", "forget", "index_folder"]

LIMIT = 1 << 30  # bytes of all indexes together
END = 1 << 16  # bytes at each end of a file that its index is kept by


def index_folder(path: str) -> Path:
    """The folder for the index of the file at `path`, by its size, its time of change and a digest of its two ends.

    BestSource itself asks for the size alone, and takes the index of a file that was replaced by one as large. Indexes
    of what was at `path` before are deleted.
    """
    place = cache_folder() / "index" / hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    found = Path(path).stat()
    state = hashlib.sha256(f"{found.st_size} {found.st_mtime_ns}".encode())
    with Path(path).open("rb") as file:
        state.update(file.read(END))
        file.seek(max(0, found.st_size - END))
        state.update(file.read(END))
    folder = place / state.hexdigest()[:16]
    for other in place.iterdir() if place.is_dir() else ():
        if other != folder:
            forget(other)
    if folder.is_dir():
        os.utime(folder)
    limit(place.parent, folder)
    return folder


def limit(place: Path, used: Path, most: int = LIMIT) -> None:
    """Deletes the indexes in `place` that were not used for longest, until `most` bytes are left; never `used`."""
    total = 0
    for folder in sorted(place.glob("*/*"), key=lambda path: path.stat().st_mtime, reverse=True):
        total += size_of(folder)
        if total > most and folder != used:
            forget(folder)


def clear() -> int:
    """Deletes all indexes; returns their size in bytes."""
    place = cache_folder() / "index"
    size = size_of(place)
    forget(place)
    return size


def size_of(folder: Path) -> int:
    """The size of all files in a folder, in bytes."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def forget(folder: Path) -> None:
    """Deletes an index; somebody who reads it just now is not disturbed."""
    shutil.rmtree(folder, ignore_errors=True)
