"""Keep what took long to find or to compile for other processes, in files of the user's cache folder.

What is lost, damaged or cannot be written is found or compiled again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..common import files
from ..model import user_folders

__all__ = ["MOST", "CompiledModels", "Remembered"]

MOST = 32  # files of one runtime; the one unused for longest goes first
LARGEST = 64 << 20  # bytes of one file: larger networks take so long for a picture that nobody notices
DIGEST = hashlib.sha256().digest_size


type Fact = dict[str, Any]


class CompiledModels:
    """The file of one network compiled in one way: the SHA-256 of its content, and the content."""

    def __init__(self, runtime: str, network: bytes, how: str) -> None:
        """`how` describes everything besides the network that the compiled network depends on."""
        self.folder = user_folders.cache_folder() / "compiled" / runtime  # of all networks compiled by this runtime
        self.path = self.folder / hashlib.sha256(hashlib.sha256(network).digest() + how.encode()).hexdigest()
        """The file; need not exist."""

    def load(self) -> bytes | None:
        """The bytes that were stored; None if there are none or they are damaged."""
        try:
            data = self.path.read_bytes()
            if hashlib.sha256(data[DIGEST:]).digest() == data[:DIGEST]:
                os.utime(self.path)
                return data[DIGEST:]
        except OSError:
            pass
        return None

    def store(self, write: Callable[[Path], None]) -> None:
        """Keeps what `write` puts into a file. A failure is silent: the network is compiled again next time."""
        with contextlib.suppress(Exception):  # a runtime that cannot write raises types of its own
            self.folder.mkdir(parents=True, exist_ok=True)
            with files.replacement(self.path) as part:
                write(part)
                blob = part.read_bytes()
                if len(blob) > LARGEST:
                    raise OSError("too large to keep")
                part.write_bytes(hashlib.sha256(blob).digest() + blob)
            kept = [path for path in self.folder.iterdir() if not path.suffix]
            for old in sorted(kept, key=lambda path: path.stat().st_mtime)[:-MOST]:
                old.unlink(missing_ok=True)


class Remembered:
    """A file of facts, numbers and texts by name, for each key. Where it is lost, damaged or unwritable it is empty."""

    def __init__(self, name: str, version: int, most: int) -> None:
        self.name = name  # of the file, without its suffix
        self.version = version  # of the facts' meaning; those of others are not read
        self.most = most  # facts kept, the newest
        self._writing = threading.Lock()

    def path(self) -> Path:
        """The file; need not exist."""
        return user_folders.cache_folder() / f"{self.name}.json"

    def get(self, key: str) -> Fact:
        """What is known of `key`; empty if nothing."""
        known = self._read().get(key)
        return known if isinstance(known, dict) else {}

    def all(self) -> list[Fact]:
        """All facts, the newest last."""
        return [fact for fact in self._read().values() if isinstance(fact, dict)]

    def put(self, key: str, fact: Mapping[str, Any]) -> None:
        """Keeps `fact`."""
        with self._writing:
            known = self._read()
            known.pop(key, None)
            known[key] = dict(fact)  # the newest is the last
            known = dict(list(known.items())[-self.most :])
            with contextlib.suppress(OSError):
                files.write(self.path(), json.dumps({"version": self.version, self.name: known}, indent=1))

    def _read(self) -> dict[str, Fact]:
        try:
            said = json.loads(self.path().read_text(encoding="utf-8"))
            return dict(said[self.name]) if said["version"] == self.version else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}
