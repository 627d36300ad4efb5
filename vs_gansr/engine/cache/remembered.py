"""Keep facts that were found by trying for other processes, in the user's cache folder."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...common import files
from ...model import user_folders

__all__ = ["Remembered"]

type Fact = dict[str, Any]


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
