"""Long runs: frames through vspipe, evaluations in a VSScript host, storm, reload and hostile (each a module here).

The first two run in real hosts, their memory watched from outside. `scripts/soak film` is apart: what goes wrong on
the way of a film in chunks; see `scripts/soak film --help`. So is `scripts/soak --arm`: 64-bit Arm, emulated.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import vapoursynth as vs

from soak import arm, film_faults, hostile, reload, storm
from soak.watch import Bound, run

TESTS = Path(__file__).resolve().parents[1]
PACKAGE = Path(vs.__file__).parent
ENDLESS = 10_000_000
# Before release 2.39 glibc's allocator hardly reuses aligned blocks, as planes are (see common/process.py): with
# pictures of 64x48 the process grows by a quarter over 10,000 frames, all of it free memory between blocks in use. What
# is allocated stays at 25 MiB throughout, and with another allocator (jemalloc) the process does not grow.
SETTLE = 12_000
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
clip.gansr.Upscale({given}).set_output()
"""


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


def build_host(folder: Path) -> Path:
    """The VSScript host that the tests use, compiled."""
    host = folder / "host"
    source = TESTS / "support" / "native" / "host.c"
    link = [f"-L{PACKAGE}", "-lvsscript", f"-Wl,-rpath,{PACKAGE}"]
    subprocess.run(["cc", "-I", vs.get_include(), str(source), "-o", str(host), *link], check=True)
    return host


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("runs", nargs="*", choices=RUNS, help="which to do; default: all")
    parser.add_argument("--minutes", type=float, help="run for so long in all, instead of for a number of steps")
    parser.add_argument("--frames", type=int, default=20_000, help="frames through vspipe (%(default)s)")
    parser.add_argument(
        "--settle", type=int, default=SETTLE, help="frames before those, for the allocator to settle (%(default)s)"
    )
    parser.add_argument("--evaluations", type=int, default=500, help="script evaluations in a host (%(default)s)")
    parser.add_argument("--size", type=int, nargs=2, default=(160, 90), metavar=("W", "H"), help="of their clip")
    parser.add_argument("--model", help="theirs: a shipped model's name or an .onnx file; default: the plugin's")
    parser.add_argument(
        "--provider", help="what all of them run on; default: the plugin's choice, for the others the CPU"
    )
    return parser.parse_args()


def watched(kind: str, arguments: argparse.Namespace, seconds: float | None) -> bool:
    """The run `frames` or `evaluations`."""
    width, height = arguments.size
    named = {"model": arguments.model, "provider": arguments.provider}
    given = ", ".join(f"{name}={value!r}" for name, value in named.items() if value)
    settle = arguments.settle if kind == "frames" else 0
    bound = Bound(ENDLESS if seconds else getattr(arguments, kind), seconds, settle)
    length = settle + bound.count if kind == "frames" else 16
    with tempfile.TemporaryDirectory() as name:
        script = Path(name) / "soak.vpy"
        script.write_text(SCRIPT.format(width=width, height=height, length=length, given=given), encoding="utf-8")
        if kind == "frames":
            return frames(script, 2 * width * 2 * height * 3 // 2, bound)
        return evaluations(script, build_host(Path(name)), bound)


def main() -> None:
    if sys.argv[1:2] == ["film"]:
        sys.exit(0 if film_faults.main(sys.argv[2:]) else "soak: failed: film")
    if sys.argv[1:] == ["--arm"]:
        sys.exit(0 if arm.main() else "soak: failed: --arm")
    others: dict[str, Callable[..., bool]] = {"storm": storm.main, "reload": reload.main, "hostile": hostile.main}
    arguments = parse()
    chosen = arguments.runs or RUNS
    minutes = arguments.minutes / len(chosen) if arguments.minutes else None
    engine = {"provider": arguments.provider} if arguments.provider else {}
    failed = []
    for kind in chosen:
        well = others[kind](minutes, **engine) if kind in others else watched(kind, arguments, minutes and 60 * minutes)
        failed += [] if well else [kind]
    sys.exit(f"soak: failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
