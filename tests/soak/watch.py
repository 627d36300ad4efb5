"""Watch the resident memory of a process over a run.

A run fails where memory grows by LIMIT or more after its first tenth: the median of the last tenth is held against that
of the second.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psutil

LIMIT = 0.02
"""Growth that is still allowed, as a part of what was held before."""
MIB = 1 << 20


@dataclass
class Watch:
    """Resident memory of a process over a run; `progress` goes from 0 to 1."""

    pid: int
    samples: list[tuple[float, int]] = field(default_factory=list)

    def sample(self, progress: float) -> None:
        """Notes the memory now, at most a thousand times per run."""
        if not self.samples or progress - self.samples[-1][0] >= 0.001 or progress >= 1:
            self.samples.append((progress, psutil.Process(self.pid).memory_info().rss))

    def growth(self) -> tuple[float, float, float]:
        """Bytes held in the second tenth and in the last, and by what part the latter are more."""
        second = [rss for progress, rss in self.samples if 0.1 <= progress < 0.2]
        last = [rss for progress, rss in self.samples if progress >= 0.9]
        if not second or not last:
            raise ValueError(f"growth: {len(self.samples)} samples are too few; make the run longer")
        before, after = statistics.median(second), statistics.median(last)
        return before, after, after / before - 1


@dataclass(frozen=True)
class Bound:
    """When a run ends: after `count` steps, or, where given, after `seconds`; it begins after `settle` steps more."""

    count: int
    seconds: float | None = None
    settle: int = 0

    def progress(self, done: int, start: float) -> float:
        """How far a run is that began at `start` and has done so many steps."""
        return done / self.count if self.seconds is None else (time.monotonic() - start) / self.seconds


def run(
    name: str,
    command: list[str],
    steps: Callable[[subprocess.Popen[bytes]], Iterator[None]],
    bound: Bound,
) -> bool:
    """Runs `command`, one item of `steps` per step; True if memory held still."""
    done = 0
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        watch = Watch(process.pid)
        start = 0.0
        for done, _ in enumerate(steps(process), 1 - bound.settle):
            if done < 1:
                continue
            start = start or time.monotonic()
            progress = bound.progress(done, start)
            watch.sample(progress)
            if progress >= 1:
                break
        took = time.monotonic() - start
        process.kill()
    if bound.seconds is None and done < bound.count:
        sys.exit(f"soak: {name}: {done} of {bound.count}, then {command[0]} ended; its output is above")
    before, after, growth = watch.growth()
    most = max(rss for _, rss in watch.samples)
    settled = f" after {bound.settle:,} to settle" if bound.settle else ""
    print(
        f"{name}: {done:,}{settled} in {took:.0f} s ({done / took:.1f}/s); resident: {before / MIB:.1f} MiB after the "
        f"first tenth, {after / MIB:.1f} MiB in the last, {growth:+.2%} (allowed: under {LIMIT:.0%}), "
        f"peak {most / MIB:.1f}",
        flush=True,
    )
    return growth < LIMIT
