"""What a GPU makes of it, in one command that needs nothing from outside: its first ten minutes.

Whether it computes at all; agreement of every clip and format with float32 on the CPU; where the network's time goes;
each option alone, with the memory it takes; memory that runs out; frames a second beside vs-mlrt, PyTorch and the
device-resident bound; memory over a long run. Every measurement runs in a process of its own. The page is
runs/bench_cuda/bench_cuda.md, its figures lie beside it as JSON. Without a GPU the CPU stands in and the page says so;
--quick makes that short.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import onnxruntime as ort

from benchmarks.paths import CLIPS, ROOT
from benchmarks.speed import report
from benchmarks.speed.contestants import STREAMS
from benchmarks.speed.job import Measured, SpeedJob, measure
from vs_gansr.engine import cuda_driver, providers
from vs_gansr.engine.base import cpu_threads
from vs_gansr.engine.cuda_options import CudaOptions
from vs_gansr.model import library

STAGES = ("trial", "formats", "agreement", "profile", "options", "shortage", "speed", "soak")
SUFFIXES = (".mp4", ".mkv", ".webm", ".mov")

# Who runs in a row of the speed table, and with which options.
RIVALS: dict[str, tuple[str, dict[str, Any]]] = {
    "gansr": ("gansr", {}),
    "mlrt, RGBS": ("mlrt", {}),
    "mlrt, RGBH": ("mlrt", {"half": True}),
    "mlrt, RGBS, CUDA graph, NHWC": ("mlrt", {"graph": True}),
    "mlrt, RGBH, CUDA graph, NHWC": ("mlrt", {"half": True, "graph": True}),
    "engine (no VapourSynth)": ("engine", {}),
    "bound": ("bound", {}),
    "PyTorch, network alone": ("torch", {}),
}


def main() -> None:
    arguments = parse()
    provider, passed = providers.pick(arguments.provider, arguments.device_id)
    short = providers.short_name(provider)
    if passed:
        print(f"{'; '.join(passed)}: {short} stands in", file=sys.stderr)
    arguments.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {"machine": machine(short, arguments.device_id)}
    for stage in STAGES:
        if stage in arguments.only:
            results[stage] = RUN[stage](arguments, short)
            (arguments.out / "bench_cuda.json").write_text(json.dumps(results, indent=1))
            (arguments.out / "bench_cuda.md").write_text(report.markdown(results))
    print((arguments.out / "bench_cuda.md").read_text())


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", help="names or files (default: the default model)")
    parser.add_argument("--sizes", nargs="+", default=["640x360", "1920x1080"], help="of the input, WxH")
    parser.add_argument("--provider", default="auto", help="auto, CUDA or CPU")
    parser.add_argument("--device-id", type=int, default=0)
    parser.add_argument("--precision", default="", help="fp16 or fp32 (default: fp16 on CUDA, fp32 on the CPU)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each timing")
    parser.add_argument("--frames", type=int, default=8, help="of each clip, for the agreement")
    parser.add_argument("--soak", type=int, default=5000, help="frames of the long run")
    parser.add_argument("--clips", type=Path, default=CLIPS)
    parser.add_argument("--crop", default="0x0", help="of the clips, WxH (default: whole frames)")
    parser.add_argument("--only", nargs="+", default=list(STAGES), choices=STAGES)
    parser.add_argument("--rivals", nargs="+", default=list(RIVALS), choices=list(RIVALS))
    parser.add_argument("--repeats", type=int, default=1, help="of every timing, in turn; the median counts")
    names = [field.name for field in fields(CudaOptions)] + ["streams"]
    parser.add_argument("--option", nargs="+", default=names, choices=names, help="those to try the other way")
    parser.add_argument("--quick", action="store_true", help="small and short, for a machine without a GPU")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "bench_cuda")
    arguments = parser.parse_args()
    arguments.models = arguments.models or [library.default_model()]
    if arguments.quick:
        arguments.sizes, arguments.crop = ["96x64"], "96x64"
        arguments.seconds, arguments.frames, arguments.soak = 0.2, 1, 40
    return arguments


def machine(provider: str, device_id: int) -> dict[str, Any]:
    """What the figures were taken on."""
    told: dict[str, Any] = {"provider": provider, "device": platform.processor() or platform.machine()}
    if provider == "CUDA":
        gpu = cuda_driver.device(device_id)
        told["device"] = f"{gpu.title}, {gpu.memory()[1] / (1 << 30):.0f} GiB"
    told["processors"] = cpu_threads()
    told["ONNX Runtime"] = f"{ort.__version__} (CUDA {getattr(ort, 'cuda_version', 'none')})"
    told["system"] = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    told["date"] = datetime.date.today().isoformat()
    return told


def job(arguments: argparse.Namespace, provider: str, kind: str, name: str, size: str, **options: Any) -> SpeedJob:
    """The measurement of a model at a size; the option `streams` is for every kind."""
    width, height = map(int, size.split("x"))
    return SpeedJob(
        contestant=kind,
        model=str(library.find(name).resolve()),
        width=width,
        height=height,
        format="YUV420P10",
        provider=provider,
        precision=arguments.precision or ("fp16" if provider == "CUDA" else "fp32"),
        num_streams=options.pop("streams", 0),
        frames=3,
        seconds=arguments.seconds,
        device_id=arguments.device_id,
        options=options,
    )


def told(what: str, made: SpeedJob) -> Measured:
    """Measures, and says so."""
    result = measure(made)
    rate = f"{result['fps']:.1f} fps" if "fps" in result else result.get("missing", "done")
    print(f"{what}: {rate}", file=sys.stderr, flush=True)
    return result


def in_turn(jobs: dict[str, SpeedJob], repeats: int) -> dict[str, Measured]:
    """Results by name, the jobs run in turn, so that a slow minute meets all; `fps` is the median of the `runs`."""
    found: dict[str, list[Measured]] = {}
    for _ in range(repeats):
        for name, made in jobs.items():
            if not any("missing" in result for result in found.get(name, [])):
                found.setdefault(name, []).append(told(name, made))
    return {name: median(results) for name, results in found.items()}


def median(results: list[Measured]) -> Measured:
    failed = [result for result in results if "missing" in result]
    if failed:
        return failed[0]
    runs = [result["fps"] for result in results]
    return results[0] | {"fps": statistics.median(runs), "runs": runs}


def agreement(arguments: argparse.Namespace, provider: str) -> dict[str, Any]:
    files = sorted(str(f.resolve()) for f in arguments.clips.glob("*") if f.suffix in SUFFIXES)
    found: dict[str, Any] = {}
    for precision in ("fp32", "fp16"):
        for name in arguments.models:
            made = job(arguments, provider, "clips", name, arguments.crop, files=files, frames=arguments.frames)
            result = told(f"{name}, {precision} on clips", replace(made, precision=precision))
            found.setdefault(precision, {})[Path(name).stem] = result
    return found


def formats(arguments: argparse.Namespace, provider: str) -> dict[str, Any]:
    made = job(arguments, provider, "formats", arguments.models[0], "64x32")
    return {p: told(f"formats in {p}", replace(made, precision=p)) for p in ("fp32", "fp16")}


def speed(arguments: argparse.Namespace, provider: str) -> list[dict[str, Any]]:
    rows = []
    for name in arguments.models:
        for size in arguments.sizes:
            jobs = {r: job(arguments, provider, RIVALS[r][0], name, size, **RIVALS[r][1]) for r in arguments.rivals}
            about = {k: getattr(next(iter(jobs.values())), k) for k in ("width", "height", "format", "precision")}
            print(f"{name}, {size}:", file=sys.stderr)
            rows.append({"model": Path(name).stem, **about, "results": in_turn(jobs, arguments.repeats)})
    return rows


def alternatives() -> Iterator[dict[str, Any]]:
    """Every option away from its default, one at a time; {} is the default."""
    base = asdict(CudaOptions())
    yield {}
    for name, value in base.items():
        if isinstance(value, bool):
            yield {name: not value}
    yield from ({"tf32": on} for on in (False, True))  # by default it depends on the precision
    yield from ({"search": search} for search in ("DEFAULT", "EXHAUSTIVE") if search != base["search"])
    yield from ({"streams": n} for n in (1, 2, 3, 4) if n != STREAMS)
    yield from ({"spare": n} for n in (0, 1, 2, 4) if n != base["spare"])


def options(arguments: argparse.Namespace, provider: str) -> dict[str, Any]:
    """By the engine alone, so that nothing else limits; TF32 in both precisions."""
    name, size = arguments.models[0], arguments.sizes[0]
    jobs: dict[str, SpeedJob] = {}
    tried: dict[str, tuple[dict[str, Any], str]] = {}
    for given in alternatives():
        if not set(given) <= set(arguments.option):
            continue
        made = job(arguments, provider, "engine", name, size, **given)
        both = not given or "tf32" in given
        for precision in dict.fromkeys([made.precision, "fp32"] if both else [made.precision]):
            title = f"{given or 'defaults'}, {precision}"
            jobs[title], tried[title] = replace(made, precision=precision), (given, precision)
    found = in_turn(jobs, arguments.repeats)
    rows = [{"options": tried[t][0], "precision": tried[t][1], "result": result} for t, result in found.items()]
    return {"model": Path(name).stem, "width": made.width, "height": made.height, "results": rows}


def trial(arguments: argparse.Namespace, provider: str) -> Measured:
    return told("one convolution", job(arguments, provider, "trial", arguments.models[0], "8x8"))


def profile(arguments: argparse.Namespace, provider: str) -> dict[str, Any]:
    made = job(arguments, provider, "profile", arguments.models[0], arguments.sizes[-1])
    return {"size": arguments.sizes[-1], "precision": made.precision, **told("nodes", made)}


def shortage(arguments: argparse.Namespace, provider: str) -> Measured:
    return told("too little memory", job(arguments, provider, "shortage", arguments.models[0], arguments.sizes[0]))


def soak(arguments: argparse.Namespace, provider: str) -> Measured:
    made = job(arguments, provider, "soak", arguments.models[0], arguments.sizes[0], frames=arguments.soak)
    return told(f"{arguments.soak} frames", made)


RUN: dict[str, Callable[[argparse.Namespace, str], Any]] = {
    "trial": trial,
    "formats": formats,
    "agreement": agreement,
    "profile": profile,
    "options": options,
    "shortage": shortage,
    "speed": speed,
    "soak": soak,
}


if __name__ == "__main__":
    main()
