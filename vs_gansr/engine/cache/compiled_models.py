"""Keep compiled networks in files of the user's cache folder.

A file is the SHA-256 of its content, and the content. A network whose file is damaged or missing is compiled again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from ...common import files
from ...model import user_folders

__all__ = ["MOST", "CompiledModels"]

MOST = 32  # files of one runtime; the one unused for longest goes first
LARGEST = 64 << 20  # bytes of one file: larger networks take so long for a picture that nobody notices
DIGEST = hashlib.sha256().digest_size


class CompiledModels:
    """The place on disk of one network compiled in one way."""

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
