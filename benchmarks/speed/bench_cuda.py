"""Test and measure a GPU in ten minutes, by one command that installs and fetches nothing.

Checks one convolution; compares every sample type, format and clip with float32 on the CPU; measures frames a second
beside vs-mlrt and PyTorch, each tier alone with its memory, memory that runs out, memory over a long run, and the
network's time by operator. Every measurement runs in its own process, so that one that crashes ends no other. All ends
after `--minutes`; the page says what was left out, for lack of time or of VapourSynth. The page is
runs/bench_cuda/bench_cuda.md, with its figures as JSON, written after every measurement. Without a GPU the CPU stands
in and the page says so; use --quick then.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnxruntime as ort

from benchmarks.paths import CLIPS, ROOT
from benchmarks.speed import report
from benchmarks.speed.contestants import STREAMS
from benchmarks.speed.job import Measured, SpeedJob, measure
from vs_gansr.engine.auto import registry
from vs_gansr.engine.base import cpu_threads
from vs_gansr.engine.cuda import libraries as cuda_libraries
from vs_gansr.errors import one_line
from vs_gansr.model import library

SHARES = {
    "trial": 0.06,
    "planes": 0.08,
    "speed": 0.26,
    "options": 0.22,
    "soak": 0.10,
    "formats": 0.10,
    "agreement": 0.08,
    "shortage": 0.05,
    "profile": 0.05,
}
"""Stages in order, and which share of the time is kept for each, whatever those before it take."""
SUFFIXES = (".mp4", ".mkv", ".webm", ".mov")
PRECISIONS = ("fp32", "fp16")
LEAST_SECONDS = 2.0  # no measurement can be had in less

# Who runs in a row of the speed table, and with which options.
RIVALS: dict[str, tuple[str, dict[str, Any]]] = {
    "gansr": ("gansr", {}),
    "mlrt, float": ("mlrt", {}),
    "mlrt, half float": ("mlrt", {"half": True}),
    "mlrt, float, CUDA graph, NHWC": ("mlrt", {"graph": True}),
    "mlrt, half float, CUDA graph, NHWC": ("mlrt", {"half": True, "graph": True}),
    "engine (no VapourSynth)": ("engine", {}),
    "PyTorch, network alone": ("torch", {}),
}


class Bench:
    """One run: what was asked for, what is known so far, and how much time is left."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        """As given."""
        self.provider: str = arguments.provider
        """`CUDA` or `CPU`."""
        self.results: dict[str, Any] = {"machine": machine(self.provider), "measured": []}
        """By stage, and one by one as they came."""
        self._begin = time.monotonic()
        self._until = self._begin

    def run(self) -> None:
        """All stages that were asked for; one that fails keeps none from running."""
        whole = 60 * self.arguments.minutes
        stages = [stage for stage in SHARES if stage in self.arguments.only]
        for i, stage in enumerate(stages):
            kept = sum(SHARES[later] for later in stages[i + 1 :])
            self._until = self._begin + whole * (1 - kept)
            try:
                self.results[stage] = RUN[stage](self)
            except Exception as error:
                self.results[stage] = {"missing": f"{type(error).__name__}: {one_line(error)}"}
            self.save()

    def save(self) -> None:
        """Writes what is known: first the figures, which no fault of the page can take away."""
        out: Path = self.arguments.out
        (out / "bench_cuda.json").write_text(json.dumps(self.results, indent=1))
        try:
            page = report.markdown(self.results)
        except Exception as error:
            why = f"{type(error).__name__}, {one_line(error)}"
            page = f"# CUDA bench\n\nNo page can be made of bench_cuda.json: {why}\n"
        (out / "bench_cuda.md").write_text(page)

    def job(self, kind: str, name: str, size: str, **options: Any) -> SpeedJob:
        """The measurement of a model at a size; the options `streams` and `precision` are for every kind."""
        width, height = map(int, size.split("x"))
        return SpeedJob(
            contestant=kind,
            model=str(library.find(name).resolve()),
            width=width,
            height=height,
            format="YUV420P10",
            provider=self.provider,
            precision=options.pop("precision", self.arguments.precision),
            num_streams=options.pop("streams", 0),
            frames=3,
            seconds=self.arguments.seconds,
            device_id=self.arguments.device_id,
            options=options,
        )

    def told(self, what: str, job: SpeedJob) -> Measured:
        """Measures, says so and writes it down."""
        left = self._until - time.monotonic()
        begin = time.monotonic()
        result = measure(job, left) if left > LEAST_SECONDS else {"missing": "no time was left"}
        rate = f"{result['fps']:.1f} fps" if "fps" in result else result.get("missing", "done")
        took = time.monotonic() - begin
        print(f"{what}: {rate} ({took:.0f} s)", file=sys.stderr, flush=True)
        self.results["measured"].append({"what": what, "seconds": round(took, 1), **result})
        self.save()
        return result

    def in_turn(self, jobs: dict[str, SpeedJob]) -> dict[str, Measured]:
        """Results by name, the jobs run in turn, so that a slow minute meets all.

        `fps` is the median of the `runs`, as many as were asked for or as there was time for.
        """
        found: dict[str, list[Measured]] = {}
        for turn in range(self.arguments.repeats):
            for name, job in jobs.items():
                if turn == 0 or "fps" in found[name][-1]:
                    found.setdefault(name, []).append(self.told(name, job))
        return {name: median(results) for name, results in found.items()}


def median(results: list[Measured]) -> Measured:
    good = [result for result in results if "fps" in result]
    if not good:
        return results[0]
    runs = [result["fps"] for result in good]
    return good[0] | {"fps": statistics.median(runs), "runs": runs}


def main() -> None:
    bench = Bench(parse())
    if bench.provider != "CUDA":
        print("no NVIDIA driver is installed: the CPU stands in", file=sys.stderr)
    bench.arguments.out.mkdir(parents=True, exist_ok=True)
    bench.run()
    print((bench.arguments.out / "bench_cuda.md").read_text())


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", help="names or files (default: the default model)")
    parser.add_argument("--sizes", nargs="+", default=["640x360", "1920x1080"], help="of the input, WxH")
    parser.add_argument("--provider", default="auto", choices=["auto", "CUDA", "CPU"])
    parser.add_argument("--device-id", type=int, default=0)
    parser.add_argument("--precision", default="", help="fp16 or fp32 (default: fp16 on CUDA, fp32 on the CPU)")
    parser.add_argument("--minutes", type=float, default=9.0, help="after which the whole ends (default: 9)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each timing")
    parser.add_argument("--frames", type=int, default=8, help="of each clip, for the agreement")
    parser.add_argument("--soak", type=int, default=5000, help="frames of the long run")
    parser.add_argument("--clips", type=Path, default=CLIPS)
    parser.add_argument("--crop", default="0x0", help="of the clips, WxH (default: whole frames)")
    parser.add_argument("--only", nargs="+", default=list(SHARES), choices=list(SHARES))
    parser.add_argument("--rivals", nargs="+", default=list(RIVALS), choices=list(RIVALS))
    parser.add_argument("--repeats", type=int, default=1, help="of every timing, in turn; the median counts")
    names = ["tier", "streams"]
    parser.add_argument("--option", nargs="+", default=names, choices=names, help="those to try the other way")
    parser.add_argument("--quick", action="store_true", help="small and short, for a machine without a GPU")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "bench_cuda")
    arguments = parser.parse_args(words)
    arguments.models = arguments.models or [library.default_model()]
    if arguments.provider == "auto":  # this process itself never touches the GPU: nothing of it can hang or spoil it
        arguments.provider = "CUDA" if cuda_libraries.driver() else "CPU"
    arguments.precision = arguments.precision or ("fp16" if arguments.provider == "CUDA" else "fp32")
    if arguments.quick:
        arguments.sizes, arguments.crop = ["96x64"], "96x64"
        arguments.seconds, arguments.frames, arguments.soak = 0.2, 1, 40
    return arguments


def machine(provider: str) -> dict[str, Any]:
    """What the figures are taken on; the trial tells the GPU."""
    return {
        "provider": provider,
        "processor": f"{platform.processor() or platform.machine()}, {cpu_threads()} usable",
        "ONNX Runtime": f"{ort.__version__} (CUDA {getattr(ort, 'cuda_version', 'none')})",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "date": datetime.date.today().isoformat(),
    }


def trial(bench: Bench) -> Measured:
    return bench.told("one convolution", bench.job("trial", bench.arguments.models[0], "8x8"))


def planes(bench: Bench) -> dict[str, Any]:
    made = bench.job("planes", bench.arguments.models[0], "96x64")
    return {p: bench.told(f"planes in {p}", replace(made, precision=p)) for p in PRECISIONS}


def formats(bench: Bench) -> dict[str, Any]:
    made = bench.job("formats", bench.arguments.models[0], "64x32")
    return {p: bench.told(f"formats in {p}", replace(made, precision=p)) for p in PRECISIONS}


def agreement(bench: Bench) -> dict[str, Any]:
    arguments = bench.arguments
    files = sorted(str(f.resolve()) for f in arguments.clips.glob("*") if f.suffix in SUFFIXES)
    found: dict[str, Any] = {}
    for precision in reversed(PRECISIONS):
        for name in arguments.models:
            made = bench.job("clips", name, arguments.crop, files=files, frames=arguments.frames, precision=precision)
            found.setdefault(precision, {})[Path(name).stem] = bench.told(f"{name}, {precision} on clips", made)
    return found


def speed(bench: Bench) -> list[dict[str, Any]]:
    arguments = bench.arguments
    rows = []
    for name in arguments.models:
        for size in arguments.sizes:
            jobs = {r: bench.job(RIVALS[r][0], name, size, **RIVALS[r][1]) for r in arguments.rivals}
            about = {k: getattr(next(iter(jobs.values())), k) for k in ("width", "height", "format", "precision")}
            print(f"{name}, {size}:", file=sys.stderr)
            rows.append({"model": Path(name).stem, **about, "results": bench.in_turn(jobs)})
    return rows


def alternatives(provider: str, precision: str) -> Iterator[dict[str, Any]]:
    """Every tier of the provider, float32, and other numbers of streams; {} is the default."""
    yield {}
    if precision != "fp32":
        yield {"precision": "fp32"}
    yield from ({"tier": name} for name in list(registry.find(provider).tiers())[1:])
    yield from ({"streams": n} for n in (1, 3) if n != STREAMS)


def options(bench: Bench) -> dict[str, Any]:
    """By the engine alone, so that nothing else limits."""
    name, size = bench.arguments.models[0], bench.arguments.sizes[0]
    tried = [
        o
        for o in alternatives(bench.provider, bench.arguments.precision)
        if set(o) <= {*bench.arguments.option, "precision"}
    ]
    jobs = {str(given or "defaults"): bench.job("engine", name, size, **given) for given in tried}
    found = bench.in_turn(jobs)
    rows = []
    for given, (title, made) in zip(tried, jobs.items(), strict=True):
        changed = {key: value for key, value in given.items() if key != "precision"}
        rows.append({"options": changed, "precision": made.precision, "result": found[title]})
    return {"model": Path(name).stem, "size": size, "results": rows}


def shortage(bench: Bench) -> Measured:
    return bench.told("too little memory", bench.job("shortage", bench.arguments.models[0], bench.arguments.sizes[0]))


def soak(bench: Bench) -> Measured:
    """Through VapourSynth, or by the engine alone where that cannot be."""
    arguments, found = bench.arguments, {}
    for kind, through in (("soak", "Upscale"), ("endless", "the engine alone")):
        most = 0.7 * 60 * arguments.minutes * SHARES["soak"]
        made = bench.job(kind, arguments.models[0], arguments.sizes[0], frames=arguments.soak, at_most=most)
        found = {"through": through, **bench.told(f"{arguments.soak} frames through {through}", made)}
        if "missing" not in found:
            break
    return found


def profile(bench: Bench) -> dict[str, Any]:
    size = bench.arguments.sizes[-1]
    made = bench.job("profile", bench.arguments.models[0], size)
    return {"size": size, "precision": made.precision, **bench.told("nodes", made)}


RUN: dict[str, Callable[[Bench], Any]] = {
    "trial": trial,
    "planes": planes,
    "speed": speed,
    "options": options,
    "soak": soak,
    "formats": formats,
    "agreement": agreement,
    "shortage": shortage,
    "profile": profile,
}


if __name__ == "__main__":
    main()
