"""Long runs: frames through vspipe, evaluations in a VSScript host, storm, reload and hostile (see soaks/).

The first two run in real hosts, their memory watched from outside. They fail where resident memory grows by LIMIT or
more after the first tenth of a run: the median of the last tenth is held against that of the second.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import vapoursynth as vs

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(vs.__file__).parent
LIMIT = 0.02
MIB = 1 << 20
ENDLESS = 10_000_000
RUNS = ("frames", "evaluations", "storm", "reload", "hostile")

SCRIPT = """\
import vapoursynth as vs

core = vs.core
shades = [
    core.std.BlankClip(format=vs.YUV420P8, width={width}, height={height}, length={length} // 8 + 1,
                       color=[30 + 24 * i, 112 + 4 * i, 144 - 4 * i])
    for i in range(8)
]
clip = core.std.Interleave(shades)[:{length}].std.SetFrameProps(_Matrix=1)
clip.gansr.Upscale({model}).set_output()
"""


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
    """When a run ends: after `count` steps, or, where given, after `seconds`."""

    count: int
    seconds: float | None = None

    def progress(self, done: int, start: float) -> float:
        """How far a run is that began at `start` and has done so many steps."""
        return done / self.count if self.seconds is None else (time.monotonic() - start) / self.seconds


def frames(script: Path, frame_bytes: int, bound: Bound) -> bool:
    """One clip through vspipe, as an encoder would read it."""

    def steps(process: subprocess.Popen[bytes]) -> Iterator[None]:
        assert process.stdout is not None
        process.stdout.readline()
        while len(process.stdout.read(len(b"FRAME\n") + frame_bytes)) == len(b"FRAME\n") + frame_bytes:
            yield

    return run("frames", [str(PACKAGE / "vspipe"), "-c", "y4m", str(script), "-"], steps, bound)


def evaluations(script: Path, host: Path, bound: Bound) -> bool:
    """One script evaluated again and again in one process, its first frame rendered, as an editor's preview does."""

    def steps(process: subprocess.Popen[bytes]) -> Iterator[None]:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(b"error"):
                sys.exit(f"soak: {line.decode().strip()}")
            yield

    return run("evaluations", [str(host), str(script), str(bound.count)], steps, bound)


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
        for done, _ in enumerate(steps(process), 1):
            start = start or time.monotonic()
            progress = bound.progress(done, start)
            watch.sample(progress)
            if progress >= 1:
                break
        took = time.monotonic() - start
        process.kill()
    if bound.seconds is None and done < bound.count:
        sys.exit(f"soak: {name}: {done} of {bound.count}, then {command[0]} ended; its own words are above")
    before, after, growth = watch.growth()
    most = max(rss for _, rss in watch.samples)
    print(
        f"{name}: {done:,} in {took:.0f} s ({done / took:.1f}/s); resident: {before / MIB:.1f} MiB after the first "
        f"tenth, {after / MIB:.1f} MiB in the last, {growth:+.2%} (allowed: under {LIMIT:.0%}), peak {most / MIB:.1f}",
        flush=True,
    )
    return growth < LIMIT


def build_host(folder: Path) -> Path:
    """The VSScript host that the tests use, compiled."""
    host = folder / "host"
    source = ROOT / "tests" / "native" / "host.c"
    link = [f"-L{PACKAGE}", "-lvsscript", f"-Wl,-rpath,{PACKAGE}"]
    subprocess.run(["cc", "-I", vs.get_include(), str(source), "-o", str(host), *link], check=True)
    return host


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("runs", nargs="*", choices=RUNS, help="which to do; default: all")
    parser.add_argument("--minutes", type=float, help="run for so long in all, instead of for a number of steps")
    parser.add_argument("--frames", type=int, default=20_000, help="frames through vspipe (%(default)s)")
    parser.add_argument("--evaluations", type=int, default=500, help="script evaluations in a host (%(default)s)")
    parser.add_argument("--size", type=int, nargs=2, default=(160, 90), metavar=("W", "H"), help="of their clip")
    parser.add_argument("--model", help="theirs: a shipped model's name or an .onnx file; default: the plugin's")
    return parser.parse_args()


def watched(kind: str, arguments: argparse.Namespace, seconds: float | None) -> bool:
    """The run `frames` or `evaluations`."""
    width, height = arguments.size
    model = f"model={arguments.model!r}" if arguments.model else ""
    bound = Bound(ENDLESS if seconds else getattr(arguments, kind), seconds)
    length = bound.count if kind == "frames" else 16
    with tempfile.TemporaryDirectory() as name:
        script = Path(name) / "soak.vpy"
        script.write_text(SCRIPT.format(width=width, height=height, length=length, model=model), encoding="utf-8")
        if kind == "frames":
            return frames(script, 2 * width * 2 * height * 3 // 2, bound)
        return evaluations(script, build_host(Path(name)), bound)


def main() -> None:
    from soaks import hostile, reload, storm

    others = {"storm": storm.main, "reload": reload.main, "hostile": hostile.main}
    arguments = parse()
    chosen = arguments.runs or RUNS
    minutes = arguments.minutes / len(chosen) if arguments.minutes else None
    failed = []
    for kind in chosen:
        well = others[kind](minutes) if kind in others else watched(kind, arguments, minutes and 60 * minutes)
        failed += [] if well else [kind]
    sys.exit(f"soak: failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
