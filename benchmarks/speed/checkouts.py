"""Time Upscale of two checkouts in pairs, every run in a process of its own.

    git worktree add /tmp/before 68fc744
    python -P benchmarks/speed/checkouts.py /tmp/before . --model models/fast-2x.onnx --precision int8

The model is a file, so both run the same weights; beside it lies its int8 variant. Both run on the native library and
the packages of this Python, or of that of `--pythons`. Each checkout has a cache folder of its own, which a first run
fills and which is not counted. The first frame counts from the call of Upscale on, with the imports.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Prints a line for each pair and one with the medians of the ratios, second checkout over first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("checkouts", nargs=2, type=Path, help="folders with vs_gansr/, the one to compare with first")
    add("--pythons", nargs=2, default=[sys.executable] * 2, help="their Pythons (default: this one for both)")
    add("--model", required=True, type=Path, help="an .onnx file")
    add("--precision", default="auto", help="default: auto")
    add("--size", nargs=2, type=int, default=[640, 360], metavar=("W", "H"), help="input size (default: 640 360)")
    add("--pairs", type=int, default=5, help="default: 5")
    add("--seconds", type=float, default=4.0, help="timed in each run, at least 12 frames (default: 4)")
    arguments = parser.parse_args()
    places = list(zip((path.resolve() for path in arguments.checkouts), arguments.pythons, strict=True))
    run = {
        "contestant": "gansr",
        "model": str(arguments.model.resolve(strict=True)),
        "width": arguments.size[0],
        "height": arguments.size[1],
        "precision": arguments.precision,
        "seconds": arguments.seconds,
    }
    ratios: list[list[float]] = []
    with tempfile.TemporaryDirectory() as folder:
        caches = [Path(folder) / name for name in ("first", "second")]
        for turn in range(arguments.pairs + 1):
            run["seconds"] = arguments.seconds if turn else 0.0
            pair = [child(*place, cache, run) for place, cache in zip(places, caches, strict=True)]
            if turn:
                ratios.append([pair[1][name] / pair[0][name] for name in ("fps", "first_ms", "cpu_ms")])
                texts = [f"{p['fps']:.2f} fps, {p['first_ms']:.0f} ms, CPU {p['cpu_ms']:.1f} ms" for p in pair]
                sys.stdout.write(" | ".join(texts) + "\n")
    fps, first, cpu = (median(column) for column in zip(*ratios, strict=True))
    sys.stdout.write(f"second over first: fps {fps:.3f}, first frame {first:.3f}, processor time {cpu:.3f}\n")
    return 0


def child(checkout: Path, python: str, cache: Path, run: dict[str, Any]) -> dict[str, float]:
    """One run of a checkout. Raises RuntimeError with the last line of its output where it fails."""
    places = {"PYTHONPATH": str(checkout), "XDG_CACHE_HOME": str(cache), "LOCALAPPDATA": str(cache)}
    words = [python, "-P", __file__, "--run", json.dumps(run), str(checkout)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | places)
    if done.returncode:
        last = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
        raise RuntimeError(f"{checkout}: {last}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(run: dict[str, Any], checkout: Path) -> dict[str, float]:
    """Frames a second, milliseconds to the first frame and of the processors a frame, in this process."""
    import vs_gansr

    if not Path(vs_gansr.__file__).resolve().is_relative_to(checkout):
        raise RuntimeError(f"this process runs {vs_gansr.__file__}")
    sys.path.insert(0, str(ROOT))  # for the clip; vs_gansr is loaded
    from benchmarks.speed.run import BenchRun, moving_clip, timed

    job = BenchRun(**run)
    source = moving_clip(job)
    source.get_frame(0).close()
    begin = time.perf_counter()
    out = source.gansr.Upscale(job.model, precision=job.precision, reuse=0)
    out.get_frame(0).close()
    first_ms = 1000 * (time.perf_counter() - begin)
    if not job.seconds:  # the caches are full
        return {"first_ms": first_ms}
    frames = out[1:].frames(close=True)
    for _ in range(4):
        next(frames)
    begin, busy = time.perf_counter(), time.process_time()
    fps = timed(job, lambda: next(frames))
    cpu_ms = 1000 * (time.process_time() - busy) / (fps * (time.perf_counter() - begin))
    return {"fps": fps, "first_ms": first_ms, "cpu_ms": cpu_ms}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        sys.stdout.write(json.dumps(measure(json.loads(sys.argv[2]), Path(sys.argv[3]))) + "\n")
    else:
        sys.exit(main())
