"""Find and delete the chunks of films that nobody has gone on with for long."""

from __future__ import annotations

import time
from pathlib import Path

from .ledger import ENDING, LEDGER, Ledger, busy

__all__ = ["MANY_DAYS", "clear", "old"]

MANY_DAYS = 30.0


def old(place: Path, days: float = MANY_DAYS) -> dict[Path, int]:
    """The job folders in the folder `place` in which nothing was written for `days` days, with their sizes in bytes."""
    since = time.time() - 86400 * days
    found = {}
    for folder in sorted(place.glob(f"*{ENDING}")):
        files = [path for path in folder.iterdir() if path.is_file()] if (folder / LEDGER).is_file() else []
        if files and max(path.stat().st_mtime for path in files) <= since and not busy(folder):
            found[folder] = sum(path.stat().st_size for path in files)
    return found


def clear(place: Path, days: float) -> dict[Path, int]:
    """Deletes what `old` finds, and returns it."""
    found = old(place, days)
    for folder in found:
        Ledger(folder).remove()
    return found
