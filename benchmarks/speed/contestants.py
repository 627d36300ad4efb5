"""Owns what is measured, each inside its own process: frames a second, memory, milliseconds to the first frame.

gansr    core.gansr.Upscale, colour in the graph     around  the same with zimg around the session
mlrt     core.ort.Model (vs-mlrt) between two core.resize calls, frames in float32 or, `half`, float16
bound    our graph on planes that stay on the device: no copies, no VapourSynth
flow     planes in host memory to planes in host memory: no VapourSynth
torch    the bare network in PyTorch, channels last, on a picture that stays on the device
soak     gansr over many frames, memory watched
"""

from __future__ import annotations

import ctypes
import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.job import Job, Result
from vs_gansr import bench, colour, cuda, flow, graphflow, model, probe, providers
from vs_gansr.conversion import Side
from vs_gansr.cuda import Switches
from vs_gansr.flow import Shape
from vs_gansr.graphflow import FlowKey

MIB = 1 << 20

type Caller = Generator[None]


def used(job: Job) -> int:
    """Bytes in use: of the whole GPU, or of this process where the CPU stands in."""
    if job.provider == "CUDA":
        free, total = cuda.device(job.device_id).memory()
        return total - free
    import psutil  # type: ignore[import-untyped]

    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)  # what is free but kept in the C library's pools is not in use
    return int(psutil.Process().memory_info().rss)


def timed(job: Job, step: Callable[[], object], settle: Callable[[], object] = lambda: None) -> float:
    """Steps a second over `job.seconds`, after three that do not count; `settle` waits for what steps left running."""
    for _ in range(3):
        step()
    settle()
    begin, done = time.perf_counter(), 0
    while time.perf_counter() - begin < job.seconds or done < 3:
        step()
        done += 1
    settle()
    return done / (time.perf_counter() - begin)


# ---- through VapourSynth ----------------------------------------------------------------------------


def source(job: Job) -> Any:
    """Moving noise, every frame other than the one before, costing nothing once each was made."""
    few = bench.moving_clip(bench.Job("gansr", job.model, job.width, job.height, job.format))[: bench.DISTINCT]
    few.std.SetVideoCache(mode=1, fixedsize=1, maxsize=2 * bench.DISTINCT)
    return few.std.Loop(1 << 20)


def rendered(job: Job, evaluate: Callable[[Any], Any]) -> Result:
    clip = source(job)
    for frame in clip[: bench.DISTINCT].frames(close=True):
        assert frame.width == job.width
    before = used(job)
    begin = time.perf_counter()
    out = evaluate(clip)
    out.get_frame(0).close()
    first_ms = 1000 * (time.perf_counter() - begin)
    frames = out[1:].frames(close=True)
    fps = timed(job, lambda: next(frames))
    return {"fps": fps, "first_ms": first_ms, "memory_mib": (used(job) - before) / MIB}


def upscaled(job: Job, clip: Any) -> Any:
    streams = {"num_streams": job.options["streams"]} if "streams" in job.options else {}
    return clip.gansr.Upscale(
        job.model, provider=job.provider, device_id=job.device_id, precision=job.precision, reuse=0, **streams
    )


def gansr(job: Job) -> Result:
    os.environ["GANSR_COLOUR"] = "graph"
    return rendered(job, lambda clip: upscaled(job, clip))


def around(job: Job) -> Result:
    os.environ["GANSR_COLOUR"] = "zimg"
    return rendered(job, lambda clip: upscaled(job, clip))


def mlrt(job: Job) -> Result:
    import vapoursynth as vs

    if not hasattr(vs.core, "ort"):
        return {"missing": "vapoursynth-mlrt-ort is not installed"}
    if job.provider == "CUDA":
        if not Path(os.fsdecode(vs.core.ort.Version()["path"])).with_name("libonnxruntime_providers_cuda.so").is_file():
            return {"missing": "vapoursynth-mlrt-ort-cuda is not installed"}
        providers.load_nvidia()  # it finds them only where they are loaded already, or the system's
    half, graph = bool(job.options.get("half")), bool(job.options.get("graph"))
    if graph and job.provider != "CUDA":
        return {"missing": "CUDA graphs need CUDA"}
    more: dict[str, Any] = {"num_streams": job.options.get("streams", 2), "device_id": job.device_id}
    more |= {"fp16": int(half or job.precision == "fp16"), "output_format": int(half)}
    if job.provider == "CUDA":
        more |= {"provider": "CUDA", "use_cuda_graph": int(graph), "prefer_nhwc": int(graph)}

    def evaluate(clip: Any) -> Any:
        rgb = clip.resize.Bicubic(format=vs.RGBH if half else vs.RGBS, **colour.CATMULL_ROM)
        large = vs.core.ort.Model(rgb, job.model, **more)
        return large.resize.Bicubic(format=clip.format.id, matrix=1, **colour.CATMULL_ROM)

    return rendered(job, evaluate)


def soak(job: Job) -> Result:
    """Memory after the first tenth of `frames` and at the most after it."""
    os.environ["GANSR_COLOUR"] = "graph"
    count = int(job.options["frames"])
    out = upscaled(job, source(job))
    samples = []
    for n, _ in enumerate(out[:count].frames(close=True)):
        if n % max(1, count // 50) == 0:
            samples.append(used(job))
    tenth = max(1, len(samples) // 10)
    level = max(samples[: tenth + 1])
    return {"frames": count, "level_mib": level / MIB, "growth_mib": (max(samples[tenth:]) - level) / MIB}


# ---- without it -------------------------------------------------------------------------------------


def chosen(job: Job) -> tuple[model.Model, FlowKey]:
    """The model and its flow, with the job's switches."""
    loaded = probe.describe(model.load(job.model))
    known = {f.name for f in fields(Switches)}
    switches = replace(Switches(), **{k: v for k, v in job.options.items() if k in known})
    side = side_of(job.format)
    shape = Shape(side, side, job.width, job.height, loaded.spec.scale or 1)
    provider = providers.full_name(job.provider)
    return loaded, FlowKey(loaded.spec.digest, provider, job.device_id, job.precision, shape, switches)


def side_of(name: str) -> Side:
    """The side of YUV frames of this format, BT.709."""
    import vapoursynth as vs

    fmt = vs.core.get_video_format(getattr(vs, name).value)
    return Side(
        colour.Family.YUV, fmt.sample_type == vs.FLOAT, fmt.bits_per_sample, fmt.subsampling_w, fmt.subsampling_h,
        matrix=1,
    )  # fmt: skip


def noise(side: Side, width: int, height: int, seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    shapes = [side.shape(i, width, height) for i in range(side.planes)]
    if side.is_float:
        return [rng.random(s).astype(side.dtype) - (0.5 if i else 0) for i, s in enumerate(shapes)]
    return [rng.integers(0, side.peak + 1, s).astype(side.dtype) for s in shapes]


def through_flow(job: Job) -> Result:
    loaded, key = chosen(job)
    before = used(job)
    begin = time.perf_counter()
    made = graphflow.make(loaded, key)
    shape = key.shape
    pictures = [noise(shape.source, job.width, job.height, seed) for seed in range(4)]
    size = (shape.scale * job.width, shape.scale * job.height)
    first_ms = 1000 * (time.perf_counter() - begin)
    callers = key.switches.streams + key.switches.spare

    def caller(i: int) -> Caller:
        out = [np.empty(shape.target.shape(p, *size), shape.target.dtype) for p in range(shape.target.planes)]
        for n in itertools.count(i):
            made.run(pictures[n % len(pictures)], out)
            yield

    fps = at_once(job, [caller(i) for i in range(callers)])
    result = {"fps": fps, "first_ms": first_ms, "memory_mib": (used(job) - before) / MIB}
    result["graph"] = made.switches.graph and job.provider == "CUDA"
    made.close()
    return result


class Resident(flow.Stream):
    """A stream whose picture is on the device already and whose result stays there."""

    def fill(self, shape: Shape, planes: list[Any]) -> None:
        slot = flow.Slot(self.device, shape, self.switches.pinned)
        for place, plane in zip(slot.inputs, planes, strict=True):
            np.copyto(place, plane)
        self.device.upload(self.memory[0], slot.upload, self.handle)
        self.device.wait(self.handle, False)
        slot.close(self.device)

    def compute(self) -> None:
        assert self.session is not None
        self.session.run_with_iobinding(self.binding, self.options)
        self.device.wait(self.handle, self.switches.block)


def bound(job: Job) -> Result:
    loaded, key = chosen(job)
    place, make = graphflow.place(key), graphflow.session_maker(loaded, key)
    before = used(job)
    planes = noise(key.shape.source, job.width, job.height, 0)

    def caller() -> Caller:
        with place.current():
            stream = Resident(place, key.switches)
            try:
                stream.open(key.shape, make)
                stream.fill(key.shape, planes)
                while True:
                    stream.compute()
                    yield
            finally:
                stream.close()

    fps = at_once(job, [caller() for _ in range(key.switches.streams)])
    return {"fps": fps, "memory_mib": (used(job) - before) / MIB}


def at_once(job: Job, callers: list[Caller]) -> float:
    """Steps a second of all callers together, each on a thread of its own; opening and warming up do not count."""
    counts = [0] * len(callers)
    go, stop = threading.Barrier(len(callers) + 1), threading.Event()
    failed: list[BaseException] = []

    def drive(i: int) -> None:
        try:
            for _ in range(3):
                next(callers[i])
            go.wait()
            while not stop.is_set():
                next(callers[i])
                counts[i] += 1
            callers[i].close()  # on the thread that its device memory belongs to
        except BaseException as error:
            failed.append(error)
            go.abort()

    threads = [threading.Thread(target=drive, args=(i,), daemon=True) for i in range(len(callers))]
    for thread in threads:
        thread.start()
    try:
        go.wait()
    except threading.BrokenBarrierError:
        raise failed[0] from None
    begin = time.perf_counter()
    while time.perf_counter() - begin < job.seconds or sum(counts) < 3:
        if failed:
            raise failed[0]
        time.sleep(0.01)
    fps = sum(counts) / (time.perf_counter() - begin)
    stop.set()
    for thread in threads:
        thread.join()
    return fps


def pytorch(job: Job) -> Result:
    import torch

    from benchmarks.speed.torchnet import OnnxModule

    gpu = job.provider == "CUDA"
    if gpu and not torch.cuda.is_available():
        return {"missing": "this PyTorch sees no GPU"}
    place = torch.device("cuda", job.device_id) if gpu else torch.device("cpu")
    kind = torch.float16 if job.precision == "fp16" else torch.float32
    before = used(job)
    with torch.inference_mode():
        network = OnnxModule(Path(job.model)).to(place, kind).eval()
        network = network.to(memory_format=torch.channels_last)
        shape = (1, 3, job.height, job.width)
        picture = torch.rand(shape, device=place).to(kind).to(memory_format=torch.channels_last)
        if not gpu:
            return {"fps": timed(job, lambda: network(picture)), "memory_mib": (used(job) - before) / MIB}
        torch.backends.cudnn.benchmark = True
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        with torch.cuda.stream(side):
            for _ in range(3):
                network(picture)
        side.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            network(picture)

        def replay() -> None:
            for _ in range(10):
                graph.replay()
            torch.cuda.synchronize()

        fps = 10 * timed(job, replay)
    return {"fps": fps, "memory_mib": (used(job) - before) / MIB}


CONTESTANTS: dict[str, Callable[[Job], Result]] = {
    "gansr": gansr,
    "around": around,
    "mlrt": mlrt,
    "bound": bound,
    "flow": through_flow,
    "torch": pytorch,
    "soak": soak,
}
