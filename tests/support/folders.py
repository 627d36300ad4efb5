"""Move the user's cache and model folders elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

__all__ = ["redirect"]


def redirect(monkeypatch: pytest.MonkeyPatch, cache: Path, data: Path | None = None) -> None:
    """Own models lie in `data`/gansr/models from now on, caches in `cache`/gansr; on Windows, which has one folder for
    both, caches lie in `data`/gansr/Cache. Where `data` is not given, models are looked for where they were, or on
    Windows in `cache`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    if data:
        monkeypatch.setenv("XDG_DATA_HOME", str(data))
    if sys.platform == "win32":
        monkeypatch.setenv("WIN_PD_OVERRIDE_LOCAL_APPDATA", str(data or cache))
