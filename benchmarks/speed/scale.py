"""What chunks and workers cost and bring: the same film by several ways, and a two-hour film by arithmetic.

    python benchmarks/speed/scale.py equal --clips a.mp4 b.mp4         # one process against two Ray workers, 8 chunks
    python benchmarks/speed/scale.py overhead --clips a.mp4 b.mp4      # one piece, chunks of 20 s, two workers
    python benchmarks/speed/scale.py simulate --times chunks.json      # 1 to 64 workers, from recorded chunk times

The clips are joined into one film of `--seconds` at 320x180, with sound. `overhead` prints the chunk times that
`simulate` reads.
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
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg  # type: ignore[import-untyped]

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
KINDS = ("constant", "variable", "10 bit", "open start")


def film(clips: Sequence[str], path: Path, seconds: float, kind: str = "constant") -> None:
    """Joins clips into one film with chapters' worth of cuts, B-frames and sound, of one kind."""
    words = [FFMPEG, "-v", "error", "-y"]
    for clip in clips:
        words += ["-i", clip]
    words += ["-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={seconds}"]
    shape = "scale=320:180:force_original_aspect_ratio=increase,crop=320:180,fps=25,setsar=1,format=yuv420p"
    graph = ";".join(f"[{n}:v]{shape}[v{n}]" for n in range(len(clips)))
    graph += ";" + "".join(f"[v{n}]" for n in range(len(clips))) + f"concat=n={len(clips)}"
    graph += ",loop=-1:32767,trim=end_frame=" + str(round(seconds * 25))
    if kind == "variable":
        graph += ",select='not(mod(n,3))+gt(mod(n,200),90)'"
    graph += f",format={'yuv420p10le' if kind == '10 bit' else 'yuv420p'}"
    graph += ",setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv[v]"
    words += ["-filter_complex", graph, "-map", "[v]", "-map", f"{len(clips)}:a", "-fps_mode", "vfr", "-c:v", "libx264"]
    words += ["-preset", "veryfast", "-bf", "3", "-x264-params", "open-gop=1:keyint=125", "-c:a", "aac", str(path)]
    subprocess.run(words, check=True)
    if kind == "open start":
        data = path.read_bytes()
        path.write_bytes(data[len(data) // 60 // 188 * 188 :])


def upscale(source: Path, output: Path, *words: str) -> tuple[float, dict[str, Any]]:
    """Runs the command; its wall time in seconds, and what it says at the end."""
    command = [
        sys.executable,
        "-m",
        "vs_gansr",
        "upscale",
        str(source),
        str(output),
        "-y",
        "--progress",
        "json",
        *words,
    ]
    begun = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr}")
    last: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return time.monotonic() - begun, last


def hashes(path: Path) -> list[str]:
    """Display time and MD5 of every decoded frame."""
    words = [FFMPEG, "-v", "error", "-i", str(path), "-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framemd5", "-"]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    return [",".join(line.split(",")[2::3]) for line in lines if not line.startswith("#")]


def starts(path: Path) -> tuple[Any, ...]:
    """Tracks, when each starts, and how long the file is."""
    with av.open(str(path)) as container:
        return (container.duration, *((stream.type, stream.start_time) for stream in container.streams))


def equal(args: argparse.Namespace, folder: Path) -> None:
    """Frames and times of one process and of two Ray workers, of each kind of film."""
    for kind in args.kinds:
        source = folder / ("in.ts" if kind == "open start" else "in.mkv")
        film(args.clips, source, args.seconds, kind)
        words = ["--model", args.model, "--preset", "ultrafast", "--chunk", f"{args.seconds / 8:g}", "--accept-damage"]
        one, said = upscale(source, folder / "one.mkv", *words)
        two, _ = upscale(source, folder / "two.mkv", *words, "--cluster", "local", "--workers", "2")
        same = hashes(folder / "one.mkv") == hashes(folder / "two.mkv")
        sound = starts(folder / "one.mkv") == starts(folder / "two.mkv")
        print(
            f"{kind}: {said['frames']} frames in {len(said['chunk_seconds'])} chunks; frames and times equal: {same}; "
            f"tracks' starts equal: {sound}; {one:.0f} s, on Ray {two:.0f} s",
            flush=True,
        )
        source.unlink()


def overhead(args: argparse.Namespace, folder: Path) -> None:
    """Time and size in one piece, in chunks and by two workers, `--repeat` times in turn; medians."""
    source = folder / "in.mkv"
    film(args.clips, source, args.seconds)
    words = ["--model", args.model, "--preset", args.preset]
    ways = {
        "one piece": ["--chunk", "0"],
        "chunks of 20 s": ["--chunk", "20"],
        "chunks of 20 s, 2 workers": ["--chunk", "20", "--workers", "2"],
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    sizes: dict[str, int] = {}
    recorded: list[float] = []
    for _ in range(args.repeat):
        for way, more in ways.items():
            spent, said = upscale(source, folder / "out.mkv", *words, *more)
            times[way].append(spent)
            sizes[way] = sum(packet_sizes(folder / "out.mkv"))
            if way == "chunks of 20 s":
                recorded += said["chunk_seconds"]
    base, size = sorted(times["one piece"])[args.repeat // 2], sizes["one piece"]
    for way in ways:
        middle = sorted(times[way])[args.repeat // 2]
        print(f"{way}: {middle:.1f} s ({middle / base:.3f}), {sizes[way]} bytes of picture ({sizes[way] / size:.4f})")
    args.times.write_text(json.dumps(recorded))
    print(f"chunk times in {args.times}: {[round(t, 1) for t in recorded]}", flush=True)


def packet_sizes(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [packet.size for packet in container.demux(video=0)]


def wall(times: Sequence[float], workers: int, opening: float, joining: float) -> tuple[float, float]:
    """Seconds until a film is finished, and how long its last worker renders alone or nearly so.

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
    """A film of two hours, its chunks as long as the recorded ones, in their order, again and again."""
    recorded = json.loads(args.times.read_text())
    count = round(2 * 3600 / args.chunk)
    times = [recorded[n % len(recorded)] for n in range(count)]
    alone, _tail = wall(times, 1, args.opening, args.joining)
    print(f"{count} chunks of {args.chunk:g} s, {min(recorded):.1f} to {max(recorded):.1f} s each")
    print(
        "| workers | wall time, h | speed-up | efficiency | uneven end, s | joining, share |\n|---|---|---|---|---|---|"
    )
    for workers in (1, 2, 4, 8, 16, 32, 64):
        spent, tail = wall(times, workers, args.opening, args.joining)
        print(
            f"| {workers} | {spent / 3600:.2f} | {alone / spent:.1f} | {alone / spent / workers:.2f} | {tail:.0f} | "
            f"{args.joining / spent:.1%} |"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("equal", "overhead", "simulate"))
    parser.add_argument("--clips", nargs="+", default=[], metavar="FILE")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--model", default="fast-2x")
    parser.add_argument("--preset", default="medium")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--chunk", type=float, default=20, help="seconds of a recorded chunk")
    parser.add_argument("--opening", type=float, default=30, help="seconds until a worker is ready")
    parser.add_argument("--joining", type=float, default=60, help="seconds to join the film")
    parser.add_argument("--times", type=Path, default=Path("chunks.json"))
    args = parser.parse_args()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        {"equal": equal, "overhead": overhead, "simulate": simulate}[args.what](args, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
