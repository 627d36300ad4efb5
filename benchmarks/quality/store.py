"""Cache files by what they were computed from.

A key is the SHA-256 of a JSON text that names everything the content depends on: content hashes of inputs,
settings and the source of the code concerned. Nothing is ever looked up by name or date.
"""

import hashlib
import inspect
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType

from vs_gansr.common import files


@cache
def content(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def source(*modules: ModuleType) -> str:
    """SHA-256 over the source text of `modules`."""
    return hashlib.sha256("".join(inspect.getsource(module) for module in modules).encode()).hexdigest()


class Store:
    """A folder of computed files that git ignores, safe for several processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        (root / ".gitignore").write_text("*\n")

    def path(self, kind: str, suffix: str, *parts: object) -> Path:
        """Where the thing of `kind` that depends on `parts` (anything JSON can say) is, or would be."""
        text = json.dumps([kind, *parts], sort_keys=True)
        return self.root / kind / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}{suffix}"

    @contextmanager
    def writing(self, path: Path) -> Iterator[Path]:
        """A scratch path beside `path` that becomes `path` when the block ends well."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.replacement(path) as scratch:
            yield scratch

    def keep(self, path: Path, value: object) -> None:
        """Write a JSON value to `path`, whole or not at all."""
        with self.writing(path) as scratch:
            scratch.write_text(json.dumps(value))


def stored[T](store: Store, path: Path, compute: Callable[[], T], fresh: bool = False) -> T:
    """The JSON value at `path`, computed and kept there when it is missing or `fresh`."""
    if fresh or not path.exists():
        store.keep(path, compute())
    result: T = json.loads(path.read_text())
    return result
