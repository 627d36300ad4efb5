"""Keep BestSource's index of a file where only that very file finds it again."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from ....model.user_folders import cache_folder

__all__ = ["forget", "index_folder"]

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
    return folder


def forget(folder: Path) -> None:
    """Deletes an index; somebody who reads it just now is not disturbed."""
    shutil.rmtree(folder, ignore_errors=True)
