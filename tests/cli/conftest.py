"""The command as users run it, and sources to run it on."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import wild
from command_fixtures import gansr, home, quiet_environment, start

__all__ = ["drawn", "gansr", "home", "quiet_environment", "start"]


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Draws a kind of source (support/wild.py), once a session."""

    @functools.cache
    def draw(name: str) -> Path:
        path = tmp_path_factory.mktemp("wild") / wild.KINDS[name].file
        wild.KINDS[name].draw(path)
        return path

    return draw
