"""Measure engines without VapourSynth, on planes of noise.

engine   from planes in host memory to planes in host memory; endless: for long, with memory watched
torch    the network alone in PyTorch, channels last, on a picture that stays on the device
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from itertools import batched
from pathlib import Path
from queue import SimpleQueue

import numpy as np

from benchmarks.speed.contestants import MIB, STREAMS, rate, used, watched
from benchmarks.speed.job import Measured, SpeedJob
from vs_gansr.engine import probe
from vs_gansr.engine.auto import registry
from vs_gansr.engine.base import EngineKey, cpu_threads
from vs_gansr.engine.planes import Plane
from vs_gansr.model import library
from vs_gansr.model.spec import Model

__all__ = ["ALONE", "chosen", "noise"]

SPARE = 2  # callers beyond one a stream

type Caller = Generator[None]


def chosen(job: SpeedJob) -> tuple[Model, EngineKey]:
    """The model and the key of its engine, with the job's options."""
    model = probe.describe(library.load(job.model))
    provider = registry.find(job.provider)
    key = EngineKey(
        digest=model.spec.digest,
        provider=provider,
        device_id=job.device_id,
        precision=job.precision,
        width=job.width,
        height=job.height,
        streams=job.num_streams or STREAMS,
        threads=cpu_threads(),
        options=provider.tiers()[job.options.get("tier", "plain")],
    )
    return model, key


def noise(channels: int, width: int, height: int, seed: int) -> list[Plane]:
    """Planes of 0 to 1, none like another."""
    return list(np.random.default_rng(seed).random((channels, height, width), np.float32))


def engine(job: SpeedJob) -> Measured:
    model, key = chosen(job)
    spec = model.spec
    before = used(job)
    begin = time.perf_counter()
    made = key.provider.make(model, key)
    pictures = [noise(spec.inputs, job.width, job.height, seed) for seed in range(4)]
    first_ms = 1000 * (time.perf_counter() - begin)

    def caller(i: int) -> Caller:
        out = noise(spec.channels, spec.scale * job.width, spec.scale * job.height, 0)
        for n in itertools.count(i):
            made.run(pictures[n % len(pictures)], out)
            yield

    fps = at_once(job, [caller(i) for i in range(key.streams + SPARE)])
    result: Measured = {"fps": fps, "first_ms": first_ms, "memory_mib": (used(job) - before) / MIB}
    made.close()
    return result


def endless(job: SpeedJob) -> Measured:
    """The long run where there is no VapourSynth: pictures through the engine."""
    model, key = chosen(job)
    spec = model.spec
    made = key.provider.make(model, key)
    pictures = [noise(spec.inputs, job.width, job.height, seed) for seed in range(4)]
    outputs = SimpleQueue[list[Plane]]()
    for _ in range(key.streams + SPARE):
        outputs.put(noise(spec.channels, spec.scale * job.width, spec.scale * job.height, 0))

    def one(n: int) -> None:
        out = outputs.get()
        made.run(pictures[n % len(pictures)], out)
        outputs.put(out)

    with ThreadPoolExecutor(key.streams + SPARE) as pool:
        batches = batched(range(int(job.options["frames"])), 64)
        result = watched(job, itertools.chain.from_iterable(pool.map(one, batch) for batch in batches))
    made.close()
    return result


def at_once(job: SpeedJob, callers: list[Caller]) -> float:
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


def pytorch(job: SpeedJob) -> Measured:
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
        shape = (1, network.channels, job.height, job.width)
        picture = torch.rand(shape, device=place).to(kind).to(memory_format=torch.channels_last)
        if not gpu:
            return {"fps": rate(job, lambda: network(picture)), "memory_mib": (used(job) - before) / MIB}
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

        fps = 10 * rate(job, replay)
    return {"fps": fps, "memory_mib": (used(job) - before) / MIB}


ALONE: dict[str, Callable[[SpeedJob], Measured]] = {
    "engine": engine,
    "endless": endless,
    "torch": pytorch,
}
