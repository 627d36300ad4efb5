"""Owns the ledger of a film in chunks: a folder beside the output, what the film is, which chunks are finished.

`out.mkv.gansr/` holds `ledger.json`, a lock and the chunks. One driver writes it, `gansr status` reads it. The
ledger is replaced as a whole, and only after the chunk it speaks of has its name, so it never promises too much.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ....common import files
from ...common import CommandError
from . import storage
from .file import ChunkFacts, digest, keep
from .spans import Span

__all__ = ["LONGEST_NAME", "Identity", "Ledger", "busy", "clear_finished", "folder_of", "locked", "stamp_of"]

NAME = "ledger.json"
LOCK = "lock"
FORMAT = 1
ENDING = ".gansr"
LONGEST_NAME = 255  # bytes, on the usual file systems

type Identity = dict[str, str]
"""What must not change between two runs: names that a user knows, and values or digests."""


def folder_of(output: Path) -> Path:
    """Where the chunks of `output` lie until it is finished; a name too long for another ending is shortened."""
    name = output.name
    if len(os.fsencode(name)) > LONGEST_NAME - len(ENDING):
        short = os.fsencode(name)[: LONGEST_NAME - len(ENDING) - 13].decode("utf-8", "ignore")
        name = f"{short}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:12]}"
    return output.with_name(f"{name}{ENDING}")


@dataclass
class Ledger:
    """The state of one film.

    `folder` it lies in · `identity` of the film · `spans` the plan · `chunks` the finished ones by number ·
    `seconds` how long each took, and `retries` how often each had to be begun again, by number · `begun` when, in
    seconds since 1970 · `frame_threads` of the encoder, which its result depends on · `joined` size and time of change
    (in ns) of the whole film, once it is about to get its name
    """

    folder: Path
    identity: Identity
    spans: tuple[Span, ...]
    frame_threads: int
    chunks: dict[int, ChunkFacts] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    retries: dict[int, int] = field(default_factory=dict)
    begun: float = field(default_factory=time.time)
    joined: tuple[int, int] | None = None

    @classmethod
    def load(cls, folder: Path) -> Ledger | None:
        """The ledger in `folder`, or None where there is none. Raises CommandError for one that is not understood."""
        try:
            said = json.loads((folder / NAME).read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise CommandError(f"{folder / NAME} cannot be read ({error}); begin anew with --restart") from error
        if not isinstance(said, dict) or said.get("format") != FORMAT:
            raise CommandError(f"{folder / NAME} is of another version of gansr; begin anew with --restart")
        try:
            return cls(
                folder,
                said["identity"],
                tuple((a, b) for a, b in said["spans"]),
                said["frame_threads"],
                {int(n): ChunkFacts(**facts) for n, facts in said["chunks"].items()},
                {int(n): value for n, value in said["seconds"].items()},
                {int(n): value for n, value in said["retries"].items()},
                said["begun"],
                tuple(said["joined"]) if said["joined"] else None,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CommandError(f"{folder / NAME} makes no sense ({error!r}); begin anew with --restart") from error

    def save(self) -> None:
        """Writes it down for good. Raises CommandError where the disk does not take it."""
        said: dict[str, Any] = {"format": FORMAT, **asdict(self)}
        del said["folder"]
        temporary = self.folder / f"{NAME}.part"
        try:
            temporary.write_text(json.dumps(said, indent=1), "utf-8")
            keep(temporary, self.folder / NAME)
        except OSError as error:
            raise CommandError(f"{self.folder / NAME} cannot be written: {error.strerror}") from error

    def path(self, number: int) -> Path:
        """The file of chunk `number`, all of it or none."""
        return self.folder / f"chunk-{number:05}.mp4"

    def record(self, number: int, facts: ChunkFacts, seconds: float) -> None:
        """Chunk `number` is finished. Raises CommandError where its header is not the others'."""
        other = next((n for n, known in self.chunks.items() if known.header != facts.header), None)
        if other is not None:
            raise CommandError(
                f"the encoder wrote another header for chunk {number} than for chunk {other}, so they cannot be one "
                "stream; are the encoder's versions equal everywhere?"
            )
        self.chunks[number] = facts
        self.seconds[number] = seconds
        self.save()

    def missing(self) -> list[int]:
        """Numbers of the chunks that are still to be rendered."""
        return [n for n in range(len(self.spans)) if n not in self.chunks]

    def done(self) -> tuple[int, int]:
        """Finished frames and their size in bytes."""
        return sum(c.frames for c in self.chunks.values()), sum(c.size for c in self.chunks.values())

    def sweep(self) -> list[int]:
        """Forgets chunks whose files are gone or of another size, deletes files that no chunk owns; the former."""
        lost = [n for n, c in self.chunks.items() if not self._has_size(n, c)]
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

    def _has_size(self, number: int, facts: ChunkFacts) -> bool:
        path = self.path(number)
        return path.is_file() and path.stat().st_size == facts.size

    def refuse_change(self, identity: Identity) -> None:
        """Raises CommandError that names what is no longer as it was when the film was begun."""
        names = sorted(self.identity.keys() | identity.keys())
        changed = [n for n in names if self.identity.get(n) != identity.get(n)]
        if not changed:
            return
        said = "; ".join(f"{n} was {self.identity.get(n, 'unset')}, is {identity.get(n, 'unset')}" for n in changed)
        raise CommandError(
            f"{len(self.chunks)} of {len(self.spans)} chunks in {self.folder} were made differently: {said}; "
            "go on with what they were made with, or throw them away with --restart"
        )

    def remove(self) -> None:
        """Deletes the folder with all it holds, and what runs on a cluster left in storage; the ledger last, so that
        whoever is ended here can go on."""
        storage.clear(self.folder)
        for path in [*self.folder.glob("chunk-*"), *self.folder.glob("joined-*"), self.folder / NAME]:
            files.delete(path)
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
    """While it is entered, no other driver works in `folder`, which is made. Raises CommandError if one does."""
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
        # There the open lock outlives `Ledger.remove`, and one that the next driver has open cannot be deleted.
        if os.name == "nt" and not (folder / NAME).exists():
            clear_empty(folder)


def clear_empty(folder: Path) -> None:
    """Deletes a folder of chunks that holds nothing, or only the lock; where it holds more it is not ours."""
    with contextlib.suppress(OSError):
        if {path.name for path in folder.iterdir()} <= {LOCK}:
            (folder / LOCK).unlink(missing_ok=True)
            folder.rmdir()


def busy(folder: Path) -> bool:
    """Whether a driver works in `folder` now."""
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
