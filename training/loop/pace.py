"""Average a run's numbers between two lines of its log, and estimate the time left."""

from __future__ import annotations

import math
import time

import numpy as np

from ..recipe.config import RunConfig
from ..records.run_log import Row


class Pace:
    """Gathers the numbers of steps, and the clock."""

    def __init__(self, run: RunConfig, step: int, minutes: float) -> None:
        """Start the clock of a call that begins with `step` and ends, if not done, after `minutes`."""
        self._run, self._minutes = run, minutes
        self._first = self._marked = step
        self._began = self._mark = time.monotonic()
        self._said = -math.inf
        self._sums: dict[str, list[float]] = {}

    def add(self, numbers: Row) -> None:
        """Take the numbers of a step."""
        for key, value in numbers.items():
            self._sums.setdefault(key, []).append(value)

    def row(self, step: int) -> Row:
        """Their means since the last call, and the seconds a step took if there was one."""
        now = time.monotonic()
        row = {key: float(np.mean(values)) for key, values in self._sums.items()}
        if step > self._marked:
            row["seconds_per_step"] = (now - self._mark) / (step - self._marked)
        self._mark, self._marked, self._sums = now, step, {}
        return row

    def due(self) -> bool:
        """Whether ten seconds are over since this was so last."""
        due = time.monotonic() - self._said > 10
        if due:
            self._said = time.monotonic()
        return due

    def left(self, step: int, elapsed: float) -> float:
        """Seconds until the run, or this call, is over, after `step` steps and `elapsed` seconds of training."""
        spent = time.monotonic() - self._began
        if self._run.minutes:
            rest = 60 * self._run.minutes - elapsed
        else:
            rest = spent / max(1, step - self._first) * (self._run.steps - step)
        return min(rest, 60 * self._minutes - spent)
