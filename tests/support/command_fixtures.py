"""Fixtures for tests of the command: its process, its cache and data folders, and a check for leftovers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import folders
import footage
import pytest
from gansr_process import Gansr, Running, command

__all__ = ["SECONDS", "WITH_SVT_AV1", "gansr", "home", "quiet_environment", "start"]

SECONDS = 600 if sys.platform == "win32" else 120  # for one command; Wine is slow where others compute


def encodes_svt_av1() -> bool:
    """Whether the ffmpeg of the tests names SVT-AV1 among its encoders."""
    words = [footage.FFMPEG, "-hide_banner", "-encoders"]
    return "libsvtav1" in subprocess.run(words, capture_output=True, text=True, check=True).stdout


WITH_SVT_AV1 = pytest.mark.skipif(
    sys.platform == "win32" and not encodes_svt_av1(),
    reason="encodes with SVT-AV1, which imageio-ffmpeg's ffmpeg for Windows lacks",
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home for caches and own models."""
    folder = tmp_path / "home"
    for place in ("cache", "data"):
        (folder / place).mkdir(parents=True)
    folders.redirect(monkeypatch, folder / "cache", folder / "data")
    return folder


@pytest.fixture
def gansr(home: Path) -> Gansr:
    """Runs the command to its end."""

    def run(*words: str | Path, timeout: float = SECONDS, **options: object) -> subprocess.CompletedProcess[str]:
        given = {"capture_output": True, "encoding": "utf-8", "timeout": timeout, **options}
        return subprocess.run(command(*words), **given)  # type: ignore

    return run


@pytest.fixture
def start(home: Path, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts the command without waiting; whatever a failing test leaves is ended."""
    running: list[Running] = []

    def run(*words: str | Path, terminal: bool = False, prefix: Sequence[str] = ()) -> Running:
        running.append(Running(tmp_path, *words, terminal=terminal, prefix=prefix))
        return running[-1]

    yield run
    for one in running:
        for process in [*one.children(), *one.seen.values(), one.handle]:
            if process.is_running():
                process.kill()
        one.process.wait()


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the developer's own settings reaches the command."""
    for name in [name for name in os.environ if name.startswith("GANSR_") and name != "GANSR_PYTHON"]:
        monkeypatch.delenv(name)
