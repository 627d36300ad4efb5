"""What three frames cost: gansr.Align alone, and a model beside itself with two more frames that have no say.

    scripts/bench_frames [general-2x-psnr] [--clip FILE ...]

The model's file is given three frames whose outer ones weigh nothing: the same pictures, the work of three. Both run
over the same frames by turns. Align is timed by processor time on one thread.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import vapoursynth as vs

import vs_gansr
from benchmarks.paths import CLIPS, FILMED
from benchmarks.quality import media, prepare
from vs_gansr.model import library
from vs_gansr.train import export
from vs_gansr.train.generator import of_frames

SIZE = (640, 360)
FRAMES = 24


def source(path: Path) -> vs.VideoNode:
    """24 frames at 640x360, YUV420P8, held in memory."""
    clip = media.read(path)
    start = prepare.FIRST_FRAME if clip.num_frames > prepare.FIRST_FRAME + FRAMES else 0
    clip = clip[start : start + FRAMES].resize.Bicubic(*SIZE, format=vs.YUV420P8, matrix=1, range=0)
    clip.std.SetVideoCache(mode=1, fixedsize=1, maxsize=FRAMES)
    played(clip)
    return clip


def played(clip: vs.VideoNode) -> int:
    """Requests every frame; how many there were."""
    return sum(1 for _ in clip.frames(close=True))


def align(clip: vs.VideoNode, repeats: int = 5) -> float:
    """Milliseconds of processor time a frame, both neighbours, the least of `repeats` passes."""
    threads, vs.core.num_threads = vs.core.num_threads, 1
    passes: list[float] = []
    for _ in range(repeats):
        aligned = clip.gansr.Align()
        aligned.std.SetVideoCache(mode=0)
        begin = time.process_time()
        for n in range(1, clip.num_frames - 1):
            aligned.get_frame(n).close()
        passes.append(1000 * (time.process_time() - begin) / (clip.num_frames - 2))
    vs.core.num_threads = threads
    return min(passes)


def with_three(name: str, target: Path) -> Path:
    """A shipped model's float32 file as one of three aligned frames that gives the same pictures."""
    plain, said = export.from_onnx(library.find(name))
    wide = export.to_onnx(of_frames(plain, 3), replace(said, name=f"{name}-t3", frames=3, aligned=1))
    target.write_bytes(wide.SerializeToString())
    return target


def fps(clip: vs.VideoNode, model: str, provider: str) -> float:
    """Frames a second of a second pass."""
    large = vs_gansr.upscale(clip, model=model, provider=provider, precision="fp32", reuse=False)
    large.std.SetVideoCache(mode=0)
    large.get_frame(0).close()
    begin = time.perf_counter()
    return played(large) / (time.perf_counter() - begin)


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a line for each clip, then the model's frames a second with one frame and with three, by turns."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench_frames", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="general-2x-psnr", help="a shipped model (%(default)s)")
    parser.add_argument("--clip", type=Path, nargs="+", help="videos; default: the evaluation's")
    parser.add_argument("--provider", default="CPU", help="where the model runs (%(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each (%(default)s)")
    args = parser.parse_args(argv)
    paths = args.clip or [each.path for folder in (CLIPS, FILMED) for each in prepare.material(folder)]
    loaded = [(path.stem, source(path)) for path in paths]
    for name, clip in loaded:
        print(f"{name}: Align {align(clip):.2f} ms of one processor a frame")
    with tempfile.TemporaryDirectory() as folder:
        wide = str(with_three(args.model, Path(folder) / "t3.onnx"))
        pairs = [
            [fps(loaded[turn % len(loaded)][1], model, args.provider) for model in (args.model, wide)]
            for turn in range(args.repeats)
        ]
    one, three = (median(column) for column in zip(*pairs, strict=True))
    cost = 100 * (median(a / b for a, b in pairs) - 1)
    print(f"{args.model} on {args.provider} in fp32: {one:.2f} fps, with three frames {three:.2f}: {cost:.1f} % slower")
    return 0


if __name__ == "__main__":
    sys.exit(main())
