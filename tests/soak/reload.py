"""A script evaluated again and again with three models in turn, its requests abandoned in the middle of a frame.

Each evaluation has a core of its own, as an editor's preview gives it. Memory must stay at its level: the median of the
last third of the run is held against that of the first, since allocators settle by a few MiB up or down at any time.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import vapoursynth as vs

from soak import worker
from soak.clips import windows

EVALUATIONS = 300
LIMIT = 0.05
"""Growth that is still allowed, as a part of what was held before."""
AT_ONCE = 6
SIZE = (320, 180)


class Host(vs.EnvironmentPolicy):  # type: ignore[misc]
    """Gives each evaluation its own environment, and so its own core."""

    def __init__(self) -> None:
        self.here = threading.local()  # VapourSynth's threads change theirs when they call Python
        self.api: Any = None

    @property
    def current(self) -> Any:
        """The calling thread's environment."""
        return getattr(self.here, "environment", None)

    @current.setter
    def current(self, environment: Any) -> None:
        self.here.environment = environment

    def on_policy_registered(self, api: Any) -> None:
        self.api = api

    def on_policy_cleared(self) -> None:
        self.api = None

    def get_current_environment(self) -> Any:
        return self.current

    def set_environment(self, environment: Any) -> Any:
        before, self.current = self.current, environment
        return before

    def is_alive(self, environment: Any) -> bool:
        return True

    def evaluate(self, model: str, number: int, provider: str) -> None:
        """One evaluation: a few frames asked for, one of them awaited, the rest left under way."""
        environment = self.api.create_environment()
        self.current = environment
        try:
            vs.core.num_threads = 2
            out = windows(*SIZE, 64).gansr.Upscale(model, provider=provider)
            futures = [out.get_frame_async((number + n) % 64) for n in range(AT_ONCE)]
            with futures[number % AT_ONCE].result(timeout=60) as frame:
                if (frame.width, frame.height) != (2 * SIZE[0], 2 * SIZE[1]):
                    raise ValueError(f"evaluation {number} gave {frame.width}x{frame.height}")
        finally:
            self.current = None
            self.api.destroy_environment(environment)


def reload(
    models: list[str], evaluations: int, seconds: float | None, provider: str = "CPU", limit: float = LIMIT
) -> bool:
    """Evaluates with each of `models` in turn; False if memory, files or threads did not come back."""
    host = Host()
    vs.register_policy(host)
    begin, done, progress = time.monotonic(), 0, 0.0
    levels = worker.Levels()
    while progress < 1:
        host.evaluate(models[done % len(models)], done, provider)
        done += 1
        progress = done / evaluations if seconds is None else (time.monotonic() - begin) / seconds
        if done % len(models) == 0:
            gc.collect()
            levels.sample(min(progress, 1))
    took = time.monotonic() - begin
    samples = levels.memory.samples
    before = statistics.median(rss for progress, rss in samples if progress <= 1 / 3)
    after = statistics.median(rss for progress, rss in samples if progress >= 2 / 3)
    files, threads = ([sample[i] for sample in levels.others] for i in (1, 2))
    print(
        f"reload: {done:,} evaluations with {len(models)} models in turn, {AT_ONCE - 1} frames abandoned in each, in "
        f"{took:.0f} s; resident {before / worker.MIB:.1f} MiB in the first third, {after / worker.MIB:.1f} in the "
        f"last ({after / before - 1:+.2%}, allowed: under {limit:.0%}), at most "
        f"{max(rss for _, rss in samples) / worker.MIB:.1f}; open files {files[0]} -> {files[-1]}, "
        f"threads {threads[0]} -> {threads[-1]}",
        flush=True,
    )
    return after / before - 1 < limit and files[-1] <= files[0] and threads[-1] <= threads[0]


def main(
    minutes: float | None = None, evaluations: int = EVALUATIONS, provider: str = "CPU", limit: float = LIMIT
) -> bool:
    seconds = ["--seconds", 60 * minutes] if minutes else []
    return worker.run("reload", "--evaluations", evaluations, "--provider", provider, "--limit", limit, *seconds)


if __name__ == "__main__":
    import networks

    parser = argparse.ArgumentParser()
    parser.add_argument("--evaluations", type=int, default=EVALUATIONS)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--provider", default="CPU")
    parser.add_argument("--limit", type=float, default=LIMIT)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        made = [
            str(networks.compact(Path(name) / f"m{i}.onnx", features=width, convs=4, seed=i))
            for i, width in enumerate((8, 16, 24))
        ]
        sys.exit(not reload(made, given.evaluations, given.seconds, given.provider, given.limit))
