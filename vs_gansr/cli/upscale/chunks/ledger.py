"""The job folder of a film in chunks, beside the output, and the ledger in it: which chunks are finished.

`out.mkv.gansr/` holds `plan.json`, `ledger.json`, a lock and the chunks. One scheduler writes it, `gansr status` reads
it. The ledger is replaced as a whole, and only after the chunk it speaks of has its name, so it never promises too
much.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ....common import files
from ...common import CommandError
from ..job.plain_data import simple
from .file import ChunkFacts, digest
from .plan import NAME, VERSION, Fingerprint, read_json, write_json

__all__ = [
    "LONGEST_NAME", "MANY_DAYS", "Ledger", "busy", "clear_finished", "folder_of", "locked", "old_folders", "stamp_of",
]  # fmt: skip

LEDGER = "ledger.json"
LOCK = "lock"
ENDING = ".gansr"
LONGEST_NAME = 255  # bytes, on the usual file systems
MANY_DAYS = 30.0  # without a change, after which chunks are old


def folder_of(output: Path) -> Path:
    """Where the chunks of `output` lie until it is finished; a name too long for another ending is shortened."""
    name = output.name
    if len(os.fsencode(name)) > LONGEST_NAME - len(ENDING):
        short = os.fsencode(name)[: LONGEST_NAME - len(ENDING) - 13].decode("utf-8", "ignore")
        name = f"{short}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:12]}"
    return output.with_name(f"{name}{ENDING}")


@dataclass
class Ledger:
    """What is finished of one film.

    `folder` of the film's job · `fingerprint` of what renders the chunks, empty before the first worker has opened the
    film · `chunks` the finished ones by number · `seconds` how long each took, and `retries` how often each had to be
    begun again, by number · `joined` size and time of change (in ns) of the whole
    film, once it is about to get its name
    """

    folder: Path
    fingerprint: Fingerprint = field(default_factory=dict)
    chunks: dict[int, ChunkFacts] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    retries: dict[int, int] = field(default_factory=dict)
    joined: tuple[int, int] | None = None
    version: int = VERSION

    @classmethod
    def load(cls, folder: Path) -> Ledger | None:
        """The ledger in `folder`, or None where there is none. Raises CommandError for one that is not understood."""
        return read_json(cls, folder / LEDGER, folder=folder)

    def save(self) -> None:
        """Writes it down for good. Raises CommandError where the disk does not take it."""
        write_json(self.folder / LEDGER, {**simple(self), "folder": ""})

    def path(self, number: int) -> Path:
        """The file of chunk `number`, all of it or none."""
        return self.folder / f"chunk-{number:05}.mp4"

    def record(self, number: int, facts: ChunkFacts, seconds: float) -> None:
        """Chunk `number` is finished. Raises CommandError where its header is not the others'."""
        other = next((n for n, known in self.chunks.items() if known.header != facts.header), None)
        if other is not None:
            raise CommandError(
                f"chunks {other} and {number} have different encoder headers and cannot be joined; install the same "
                "ffmpeg on every machine, then start again with --restart"
            )
        self.chunks[number] = facts
        self.seconds[number] = seconds
        self.save()

    def missing(self, count: int) -> list[int]:
        """Numbers of the chunks, of `count`, that are still to be rendered."""
        return [n for n in range(count) if n not in self.chunks]

    def done(self) -> tuple[int, int]:
        """Finished frames and their size in bytes."""
        return sum(c.frames for c in self.chunks.values()), sum(c.size for c in self.chunks.values())

    def sweep(self) -> list[int]:
        """Forgets chunks whose files are gone or of another size, deletes files that no chunk owns; the former."""
        sizes = {path: path.stat().st_size for path in self.folder.glob("chunk-*.mp4")}
        lost = [n for n, c in self.chunks.items() if sizes.get(self.path(n)) != c.size]
        with contextlib.suppress(CommandError):  # a full disk: the ledger on it still promises too much, and is checked
            self.forget(lost)
        known = {self.path(n).name for n in self.chunks}
        for path in [*self.folder.glob("chunk-*"), *self.folder.glob("joined-*")]:
            if path.name not in known:
                files.delete(path)
        return lost

    def sound(self, number: int) -> bool:
        """Whether the chunk's file still is what was written, bit by bit."""
        try:
            return digest(self.path(number)) == self.chunks[number].sha256
        except OSError:
            return False

    def forget(self, numbers: list[int]) -> None:
        """These are to be rendered again."""
        for n in numbers:
            del self.chunks[n]
            self.retries[n] = self.retries.get(n, 0) + 1
            files.delete(self.path(n))
        if numbers:
            self.save()

    def clear(self) -> None:
        """Deletes what an earlier run left in the folder, but not the lock."""
        for kind in ("chunk-*", "joined-*", LEDGER, NAME):
            for path in self.folder.glob(kind):
                files.delete(path)

    def remove(self) -> None:
        """Deletes the folder with all it holds; the ledger last, so that whoever is ended here can go on."""
        self.clear()
        shutil.rmtree(self.folder, ignore_errors=True)  # on Windows `locked` takes away what it has open


def stamp_of(path: Path) -> tuple[int, int]:
    """Size of a file, and when it was last changed, in ns since 1970."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def clear_finished(output: Path) -> bool:
    """Whether `output` is the very film whose chunks are still there, because whoever joined them was ended before
    they were deleted; they are now."""
    folder = folder_of(output)
    if not output.exists() or busy(folder):
        return False
    try:
        ledger = Ledger.load(folder)
    except CommandError:  # it says nothing of `output`; whoever goes on with it is told
        return False
    if not ledger:
        clear_empty(folder)
        return False
    if ledger.joined != stamp_of(output):
        return False
    ledger.remove()
    return True


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """While it is entered, no other scheduler works in `folder`, which is made. Raises CommandError if one does."""
    try:
        folder.mkdir(exist_ok=True)
        file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise CommandError(f"{folder} cannot be written to: {error.strerror}") from error
    try:
        if not take(file):
            raise CommandError(f"another gansr works in {folder}; wait for it, or end it")
        yield
    finally:
        os.close(file)
        # There the open lock outlives `Ledger.remove`, and one that the next scheduler has open cannot be deleted.
        if os.name == "nt" and not (folder / LEDGER).exists():
            clear_empty(folder)


def clear_empty(folder: Path) -> None:
    """Deletes a folder of chunks that holds nothing, or only the lock; where it holds more it is not ours."""
    with contextlib.suppress(OSError):
        if {path.name for path in folder.iterdir()} <= {LOCK}:
            (folder / LOCK).unlink(missing_ok=True)
            folder.rmdir()


def busy(folder: Path) -> bool:
    """Whether a scheduler works in `folder` now."""
    try:
        file = os.open(folder / LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        return not take(file)
    finally:
        os.close(file)


def take(file: int) -> bool:
    """Locks an open file until it is closed or its process ends, if nobody else has."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def old_folders(place: Path, days: float = MANY_DAYS) -> dict[Path, int]:
    """The job folders in the folder `place` that nobody has gone on with for `days` days, with their sizes in bytes."""
    since = time.time() - 86400 * days
    found = {}
    for folder in sorted(place.glob(f"*{ENDING}")):
        files = [path for path in folder.iterdir() if path.is_file()] if (folder / LEDGER).is_file() else []
        if files and max(path.stat().st_mtime for path in files) <= since and not busy(folder):
            found[folder] = sum(path.stat().st_size for path in files)
    return found
