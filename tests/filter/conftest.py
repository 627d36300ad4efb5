"""Fixtures of the filter's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from vs_gansr.engine import probe


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are unknown, and the user has no models."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    probe.cache.clear()
