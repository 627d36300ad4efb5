"""Measure what chunks and workers cost, on a short film, and simulate a film of two hours.

    python benchmarks/speed/scale.py overhead --clips a.mp4 b.mp4      # chunks of 20 s against one piece, in pairs
    python benchmarks/speed/scale.py overhead --clips a.mp4 --workers 2    # and the chunks by two workers
    python benchmarks/speed/scale.py simulate                          # 1 to 64 workers, from what `overhead` recorded

The clips are repeated until the film has `--seconds`, with sound. tests/cli/test_whole_film.py verifies that two
workers render the same film as one process.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import av
import imageio_ffmpeg  # type: ignore[import-untyped]

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
TWO_HOURS = 7200.0


@dataclass(frozen=True)
class Run:
    """One run of the command, in seconds: in all, of the processors (the command's and all its processes'), until the
    first frame, after the last one, and of each chunk."""

    spent: float
    cpu: float
    opening: float
    joining: float
    chunks: list[float]
    film: float


def film(clips: Sequence[str], path: Path, seconds: float, size: tuple[int, int]) -> None:
    """Joins clips into one film of 25 frames a second with B-frames and sound."""
    words = [FFMPEG, "-v", "error", "-y"]
    for clip in clips:
        words += ["-i", clip]
    words += ["-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={seconds}"]
    box = "{}:{}".format(*size)
    shape = f"scale={box}:force_original_aspect_ratio=increase,crop={box},fps=25,setsar=1,format=yuv420p"
    graph = ";".join(f"[{n}:v]{shape}[v{n}]" for n in range(len(clips)))
    graph += ";" + "".join(f"[v{n}]" for n in range(len(clips))) + f"concat=n={len(clips)}"
    graph += f",loop=-1:32767,trim=end_frame={round(seconds * 25)}"
    graph += ",setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv[v]"
    words += ["-filter_complex", graph, "-map", "[v]", "-map", f"{len(clips)}:a", "-c:v", "libx264"]
    words += ["-preset", "veryfast", "-bf", "3", "-c:a", "aac", str(path)]
    subprocess.run(words, check=True)


def upscale(source: Path, output: Path, *words: str) -> Run:
    """Runs the command and notes when what happens."""
    command = [sys.executable, "-m", "vs_gansr", "upscale", str(source), str(output), "-y", "--progress", "json"]
    begun, used = time.monotonic(), processors()
    first = last = 0.0
    said: dict[str, list[float]] = {}
    with subprocess.Popen([*command, *words], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            said = json.loads(line)
            if line.startswith('{"event": "progress"'):
                first, last = first or time.monotonic() - begun, time.monotonic() - begun
    spent = time.monotonic() - begun
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return Run(spent, processors() - used, first, spent - last, said["chunk_seconds"], 0.0)


def processors() -> float:
    """Seconds of the processors that the ended processes of this one have used."""
    used = os.times()
    return used.children_user + used.children_system


def overhead(args: argparse.Namespace, folder: Path) -> None:
    """Time, time of the processors and size of chunks over those of one piece, in `--repeat` pairs."""
    source = folder / "in.mkv"
    film(args.clips, source, args.seconds, args.size)
    words = ["--model", args.model, "--preset", args.preset]
    whole, pieces = "one piece", f"chunks of {args.chunk:g} s"
    ways = {whole: ["--chunk", "0"], pieces: ["--chunk", f"{args.chunk:g}"]}
    if args.workers:
        ways[f"{pieces}, {args.workers} workers"] = [*ways[pieces], "--workers", str(args.workers)]
    runs: dict[str, list[Run]] = {way: [] for way in ways}
    sizes: dict[str, int] = {}
    for turn in range(args.repeat):
        for way in list(ways)[:: -1 if turn % 2 else 1]:
            run = upscale(source, folder / "out.mkv", *words, *ways[way])
            runs[way].append(run)
            sizes[way] = sum(packet_sizes(folder / "out.mkv"))
            print(f"  {way}: {run.spent:.2f} s, {run.cpu:.2f} s of the processors", flush=True)
    spent, cpu = (
        {way: median(getattr(r, key) for r in found) for way, found in runs.items()} for key in ("spent", "cpu")
    )
    for way in ways:
        share = sizes[way] / sizes[whole]
        print(
            f"{way}: {spent[way]:.2f} s ({spent[way] / spent[whole]:.4f}), of the processors {cpu[way]:.2f} s "
            f"({cpu[way] / cpu[whole]:.4f}), {sizes[way]} bytes of picture ({share:.4f})",
            flush=True,
        )
    last = runs[pieces]
    kept = Run(
        spent[pieces],
        cpu[pieces],
        median(run.opening for run in last),
        median(run.joining for run in last),
        [seconds for run in last for seconds in run.chunks],
        args.seconds,
    )
    args.times.write_text(json.dumps(asdict(kept)))
    print(f"opening {kept.opening:.1f} s, joining {kept.joining:.1f} s; chunk times are in {args.times}", flush=True)


def packet_sizes(path: Path) -> list[int]:
    """Bytes of each packet of the picture."""
    with av.open(str(path)) as container:
        return [packet.size for packet in container.demux(video=0)]


def wall(times: Sequence[float], workers: int, opening: float, joining: float) -> tuple[float, float]:
    """Seconds until a film is finished, and how long its last worker renders after the first one has no more to do.

    `times` of its chunks, dealt out in order, each to whoever is free first · `opening` of a worker, all at once ·
    `joining` of the film, when all are done
    """
    free = [opening] * workers
    heapq.heapify(free)
    for spent in times:
        heapq.heappush(free, heapq.heappop(free) + spent)
    ends = sorted(free)
    return ends[-1] + joining, ends[-1] - ends[0]


def simulate(args: argparse.Namespace, _: Path) -> None:
    """A film of two hours, its chunks as long as the recorded ones, in their order, again and again.

    Joining takes as much longer as the film is; every worker opens the film as long as the one recorded did.
    """
    known = Run(**json.loads(args.times.read_text()))
    joining = known.joining * TWO_HOURS / known.film
    print(f"opening {known.opening:.1f} s, joining {joining:.0f} s; of the wall time, in chunks of:")
    for length in (5, 20, 60, 300):
        count, share = round(TWO_HOURS / length), args.slower * length / args.chunk
        times = [known.chunks[n % len(known.chunks)] * share for n in range(count)]
        alone, _tail = wall(times, 1, known.opening, joining)
        print(f"\n{count} chunks of {length} s, {min(times):.0f} to {max(times):.0f} s each\n")
        print("| workers | wall time, h | speed-up | of ideal | uneven end | joining |\n|---|---|---|---|---|---|")
        for workers in (1, 2, 4, 8, 16, 32, 64):
            spent, tail = wall(times, workers, known.opening, joining)
            print(
                f"| {workers} | {spent / 3600:.2f} | {alone / spent:.1f} | {alone / spent / workers:.0%} | "
                f"{tail / spent:.1%} | {joining / spent:.1%} |"
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("overhead", "simulate"))
    parser.add_argument("--clips", nargs="+", default=[], metavar="FILE")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--size", type=int, nargs=2, default=(320, 180), metavar=("W", "H"))
    parser.add_argument("--model", default="fast-2x")
    parser.add_argument("--preset", default="medium")
    parser.add_argument("--repeat", type=int, default=5, help="pairs (%(default)s)")
    parser.add_argument("--workers", type=int, default=0, help="measure so many workers, too")
    parser.add_argument("--chunk", type=float, default=20, help="seconds of a chunk")
    parser.add_argument("--slower", type=float, default=1, help="simulated chunks take so many times as long")
    parser.add_argument("--times", type=Path, default=Path("chunks.json"), help="what is recorded, and simulated from")
    args = parser.parse_args()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        {"overhead": overhead, "simulate": simulate}[args.what](args, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
