"""A Ray cluster renders the same packets as one machine, although workers die; unsuitable nodes are refused."""

from __future__ import annotations

import queue
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import footage
import plans
import psutil
import pytest
import ray_cluster
from encodes import frame_hashes
from footage import facts
from gansr_process import Gansr, Running
from workers import Named

from vs_gansr.cli.common import CommandError
from vs_gansr.cli.upscale.chunks.file import ChunkFacts, digest
from vs_gansr.cli.upscale.chunks.ledger import Ledger
from vs_gansr.cli.upscale.chunks.messages import (
    Done,
    Failed,
    MakePlan,
    Opened,
    OpenPlan,
    Placement,
    RenderChunk,
)
from vs_gansr.cli.upscale.job import UpscaleJob
from vs_gansr.cli.upscale.progress import Progress
from vs_gansr.cli.upscale.workers.pool import Watchdog, WorkerState
from vs_gansr.cli.upscale.workers.process import Ended, Events, LocalWorker, Told
from vs_gansr.cli.upscale.workers.scheduler import RunOptions, UpscaleRun

ray = pytest.importorskip("ray", reason="the extra [cluster] is not installed")
SECONDS = 300  # for one step of a busy machine: Ray's start takes several tries then, each worker's half a minute
WORDS = ["--chunk", "0.6", "--preset", "ultrafast"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A cluster of two processors, for the tests of this file."""
    made = ray_cluster.start()
    yield made.address
    ray.shutdown()
    made.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(3 * SECONDS)
def test_two_workers_on_a_cluster_make_the_same_packets(
    gansr: Gansr, cluster: str, tmp_path: Path, small_model: Path
) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=60)
    words = ["--model", small_model, *WORDS]
    for name, more in (("one", []), ("ray", ["--cluster", cluster, "--workers", "2"])):
        done = gansr("upscale", source, tmp_path / f"{name}.mkv", *words, *more, timeout=SECONDS)
        assert done.returncode == 0, done.stderr
    one, other = facts(tmp_path / "one.mkv"), facts(tmp_path / "ray.mkv")
    assert one.content == other.content and one.times == other.times and one.picture["frames"] == 60
    assert not list(tmp_path.glob(".gansr-*")) and not list(tmp_path.glob("*.gansr"))


@pytest.mark.slow
@pytest.mark.timeout(4 * SECONDS)
def test_an_actor_that_dies_is_replaced(
    start: Callable[..., Running], gansr: Gansr, cluster: str, tmp_path: Path, point_model: Path
) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=100)
    words = ["--model", str(point_model), *WORDS, "--params", "lossless=1"]
    running = start("upscale", source, tmp_path / "out.mkv", *words, "--cluster", cluster, "--workers", "1")

    def strike(_: Running) -> bool:
        for process in psutil.process_iter():
            try:
                line = " ".join(process.cmdline())
            except psutil.Error:
                continue
            if re.search(r"/gansr-\w+/chunk.mp4", line) and "ffmpeg" in process.name():
                return process.parent().send_signal(signal.SIGKILL) is None
        return False

    running.until(strike, SECONDS)
    assert running.end(SECONDS) == 0, running.said()
    assert "another worker continues" in running.said()
    whole = gansr("upscale", source, tmp_path / "whole.mkv", *words, "--chunk", "0", timeout=SECONDS)
    assert whole.returncode == 0, whole.stderr
    assert frame_hashes(tmp_path / "out.mkv") == frame_hashes(tmp_path / "whole.mkv")


@pytest.mark.slow
@pytest.mark.timeout(3 * SECONDS)
def test_a_chunk_comes_from_its_node(cluster: str, tmp_path: Path, point_model: Path) -> None:
    from vs_gansr.cli.upscale.workers.ray import RayWorker, connect

    source = footage.plain(tmp_path / "in.mp4", frames=20)
    connect(cluster)
    events: Events = queue.SimpleQueue()
    job = UpscaleJob(str(source), str(tmp_path / "out.mkv"), model=str(point_model), preset="ultrafast", chunk=0.4)
    plan = tmp_path / "plan.json"
    planner = LocalWorker("worker 1", events, Placement())
    planner.order(MakePlan(job, str(plan), str(tmp_path / "scratch.mkv")))
    await_answer(events, Done)
    planner.end()
    worker = RayWorker("worker 2", events, plan, {"num_cpus": 1})
    try:
        worker.order(OpenPlan(str(plan)))
        assert await_answer(events, Opened).fingerprint["engine"] == "point in fp32 on CPU"
        worker.order(RenderChunk(str(plan), (0, 10), str(tmp_path / "chunk-00000.mp4")))
        done = await_answer(events, Done)
    finally:
        worker.end()
        ray.shutdown()
    assert done.facts and (tmp_path / "chunk-00000.mp4").stat().st_size == done.facts.size
    assert facts(tmp_path / "chunk-00000.mp4").picture["frames"] == 10
    assert not list(tmp_path.glob("*.part"))


def test_a_command_that_ends_late_takes_no_answer_of_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    from vs_gansr.cli.upscale.workers.ray import Node

    node, next_one = Node("{}"), threading.Event()

    def obey(command: OpenPlan | RenderChunk) -> None:
        if isinstance(command, OpenPlan):
            node.renderer.tell(Opened({}, "a"))
            next_one.wait(10)
        else:
            Path(command.path).write_bytes(b"chunk")
            next_one.set()
            time.sleep(0.3)
            node.renderer.tell(Done())

    monkeypatch.setattr(node.renderer, "obey", obey)
    first = node.obey(OpenPlan(""))
    assert isinstance(next(first), Opened)
    assert list(node.obey(RenderChunk("", (0, 1), ""))) == [b"chunk", Done()]
    assert not list(first)
    node.close()


def await_answer[T](events: Events, wanted: type[T]) -> T:
    while True:
        event = events.get(timeout=SECONDS)
        if isinstance(event, Told) and isinstance(event.answer, wanted):
            return event.answer
        ended = isinstance(event, Ended) and event.worker.name == "worker 2"
        assert not ended and not isinstance(getattr(event, "answer", None), Failed), event


def test_a_chunk_that_arrives_changed_is_no_chunk(tmp_path: Path) -> None:
    from vs_gansr.cli.upscale.workers.ray import arrive

    part, chunk = tmp_path / "a.part", tmp_path / "chunk-00000.mp4"
    part.write_bytes(b"encoded")
    with pytest.raises(CommandError, match=r"chunk-00000.mp4 was corrupted in transfer"):
        arrive(part, chunk, Done(ChunkFacts(5, 7, "0" * 64, "", 0)))
    assert not chunk.exists()
    arrive(part, chunk, Done(ChunkFacts(5, 7, digest(part), "", 0)))
    assert chunk.read_bytes() == b"encoded" and not part.exists()


def test_a_worker_that_would_make_another_picture_is_refused_by_name(tmp_path: Path) -> None:
    scheduler = UpscaleRun(UpscaleJob("in.mkv", "out.mkv"), Progress(quiet=True), RunOptions(workers=2))
    scheduler.plan, scheduler.ledger = plans.plan(), Ledger(tmp_path)
    first, second = (WorkerState(Named(f"worker {n}"), Watchdog(60)) for n in (1, 2))
    scheduler._hear(first, Opened({"engine": "net in int8 on CPU"}, "a"))
    with pytest.raises(CommandError, match=r"worker 2 on b .* was .* int8 on CPU, is .* fp32 on CPU; add --restart"):
        scheduler._hear(second, Opened({"engine": "net in fp32 on CPU"}, "b"))


def test_a_node_that_does_not_start_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    class Late:
        started: ClassVar[list[subprocess.Popen[bytes]]] = []

        def __init__(self, **_: Any) -> None:
            self.started.append(subprocess.Popen(["sh", "-c", "sleep 1000 & wait"]))
            raise TimeoutError

    monkeypatch.setattr("ray.cluster_utils.Cluster", Late)
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(TimeoutError):
        ray_cluster.start(tries=2)
    assert len(Late.started) == 2 and set(psutil.Process().children(recursive=True)) <= before


def test_no_cluster_there(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=3)
    done = gansr("upscale", source, tmp_path / "out.mkv", "--model", point_model, "--cluster", "127.0.0.1:1")
    assert done.returncode == 1 and "no Ray cluster answers at 127.0.0.1:1" in done.stderr
    assert not (tmp_path / "out.mkv").exists()
