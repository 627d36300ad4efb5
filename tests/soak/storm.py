"""A storm of requests: random seeks, eight at once, and every frame must be the one of a sequential run.

Nothing may grow after the first tenth: resident memory, open files, threads.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import vapoursynth as vs

from soak import worker
from soak.clips import DISTINCT, digest, windows

FRAMES = 20_000
AT_ONCE = 8
SIZE = (160, 90)
EVERY = 50  # frames between two looks at what could grow


def order(frames: int, seed: int) -> Iterator[int]:
    """Frame numbers as an impatient user asks for them: runs forwards and backwards from random places."""
    rng = np.random.default_rng(seed)
    while True:
        start, length = int(rng.integers(frames)), int(rng.integers(1, 24))
        step = int(rng.choice([1, 1, 1, -1, 3]))
        yield from (n for n in range(start, start + step * length, step) if 0 <= n < frames)


def storm(model: str, frames: int, seconds: float | None, provider: str = "CPU") -> bool:
    """Requests `frames` frames, or as many as fit in `seconds`; False if one is wrong or something grew."""
    vs.core.max_cache_size = 1  # MiB; else the core's caches of frames go on filling for thousands of frames
    clip = windows(*SIZE, FRAMES)
    sequential = clip[:DISTINCT].gansr.Upscale(model, reuse=0, provider=provider)
    want = [digest(frame) for frame in sequential.frames(close=True)]
    assert len(set(want)) == DISTINCT
    out = clip.gansr.Upscale(model, reuse=0, provider=provider, num_streams=2)
    pending: deque[tuple[int, Future[vs.VideoFrame]]] = deque()
    numbers, begin, done, progress = order(FRAMES, 1), time.monotonic(), 0, 0.0
    levels = worker.Levels()
    while progress < 1:
        while len(pending) < AT_ONCE:
            n = next(numbers)
            pending.append((n, out.get_frame_async(n)))
        n, future = pending.popleft()
        with future.result(timeout=60) as frame:
            if digest(frame) != want[n % DISTINCT]:
                print(f"storm: frame {n} is not that of a sequential run")
                return False
        done += 1
        progress = done / frames if seconds is None else (time.monotonic() - begin) / seconds
        if done % EVERY == 0 or progress >= 1:
            levels.sample(min(progress, 1))
    for _, future in pending:
        future.result(timeout=60).close()
    words, held = levels.verdict()
    took = time.monotonic() - begin
    print(f"storm: {done:,} frames by random seeks, {AT_ONCE} at once, in {took:.0f} s, all right; {words}", flush=True)
    return held


def main(minutes: float | None = None, frames: int = FRAMES, provider: str = "CPU") -> bool:
    seconds = ["--seconds", 60 * minutes] if minutes else []
    return worker.run("storm", "--frames", frames, "--provider", provider, *seconds)


if __name__ == "__main__":
    import networks

    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--provider", default="CPU")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        small = networks.compact(Path(name) / "small.onnx", features=8, convs=4)
        sys.exit(not storm(str(small), given.frames, given.seconds, given.provider))
