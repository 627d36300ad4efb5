"""Run a soak's work in its own process, and watch there everything that could grow."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from soak.watch import LIMIT, MIB, Watch

__all__ = ["MIB", "Levels", "run"]

TESTS = Path(__file__).resolve().parents[1]
PATH = [str(TESTS), str(TESTS / "support"), str(TESTS.parent)]


def run(module: str, *arguments: object) -> bool:
    """Runs a module of this folder as a program; True if it ended well. What it prints goes where ours goes."""
    path = os.pathsep.join([*PATH, *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", f"soak.{module}", *map(str, arguments)]
    more = {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}  # no threads of numpy's before a fork
    return subprocess.run(command, env=os.environ | more, check=False).returncode == 0


@dataclass
class Levels:
    """Resident memory, open files and threads of this process over a run."""

    memory: Watch = field(default_factory=lambda: Watch(os.getpid()))
    others: list[tuple[float, int, int]] = field(default_factory=list)

    def sample(self, progress: float) -> None:
        self.memory.sample(progress)
        process = psutil.Process()
        self.others.append((progress, process.num_fds(), process.num_threads()))

    def verdict(self) -> tuple[str, bool]:
        """What grew after the first tenth, in words, and whether all of it is within bounds."""
        before, after, growth = self.memory.growth()
        rest = [(files, threads) for progress, files, threads in self.others if progress >= 0.1]
        (files, threads), most = rest[0], [max(values) for values in zip(*rest, strict=True)]
        words = (
            f"resident {before / MIB:.1f} -> {after / MIB:.1f} MiB ({growth:+.2%}, allowed: under {LIMIT:.0%}), "
            f"open files {files} -> {most[0]}, threads {threads} -> {most[1]}"
        )
        return words, growth < LIMIT and most[0] <= files and most[1] <= threads
