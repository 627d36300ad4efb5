"""The command as users run it: another process, its own cache and data folders, and what it leaves behind."""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import wild
from gansr_process import Gansr, Running, command


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home for caches and own models."""
    folder = tmp_path / "home"
    for variable, place in (("XDG_CACHE_HOME", "cache"), ("XDG_DATA_HOME", "data")):
        (folder / place).mkdir(parents=True)
        monkeypatch.setenv(variable, str(folder / place))
    return folder


@pytest.fixture
def gansr(home: Path) -> Gansr:
    """Runs the command to its end."""

    def run(*words: str | Path, timeout: float = 120, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command(*words), capture_output=True, text=True, timeout=timeout, **options)  # type: ignore

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


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Draws a kind of source (support/wild.py), once a session."""

    @functools.cache
    def draw(name: str) -> Path:
        path = tmp_path_factory.mktemp("wild") / wild.KINDS[name].file
        wild.KINDS[name].draw(path)
        return path

    return draw
