"""A Ray cluster renders the same packets as one machine, although workers die; unsuitable nodes are refused."""

from __future__ import annotations

import queue
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import footage
import psutil
import pytest
import ray_cluster
from encodes import chunks_of, frame_hashes
from footage import facts
from gansr_process import Gansr, Running
from workers import Named

from vs_gansr.cli.common import CommandError
from vs_gansr.cli.upscale.job.job import UpscaleJob
from vs_gansr.cli.upscale.job.run_options import RunOptions
from vs_gansr.cli.upscale.progress import Progress
from vs_gansr.cli.upscale.workers.pool import WorkerState
from vs_gansr.cli.upscale.workers.process import Event, Events
from vs_gansr.cli.upscale.workers.scheduler import UpscaleRun

ray = pytest.importorskip("ray", reason="the extra [cluster] is not installed")
WORDS = ["--chunk", "0.6", "--preset", "ultrafast"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A cluster of two processors, for the tests of this file."""
    made = ray_cluster.start()
    yield made.address
    ray.shutdown()
    made.shutdown()


@pytest.mark.slow
def test_two_workers_on_a_cluster_make_the_same_packets(
    gansr: Gansr, cluster: str, tmp_path: Path, small_model: Path
) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=60)
    words = ["--model", small_model, *WORDS]
    for name, more in (("one", []), ("ray", ["--cluster", cluster, "--workers", "2"])):
        done = gansr("upscale", source, tmp_path / f"{name}.mkv", *words, *more)
        assert done.returncode == 0, done.stderr
    one, other = facts(tmp_path / "one.mkv"), facts(tmp_path / "ray.mkv")
    assert one.content == other.content and one.times == other.times and one.picture["frames"] == 60
    assert not list(tmp_path.glob(".gansr-*")) and not list(tmp_path.glob("*.gansr"))


@pytest.mark.slow
def test_an_actor_that_dies_is_replaced(
    start: Callable[..., Running], gansr: Gansr, cluster: str, tmp_path: Path, point_model: Path
) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=200)
    words = ["--model", str(point_model), *WORDS, "--params", "lossless=1"]
    running = start("upscale", source, tmp_path / "out.mkv", *words, "--cluster", cluster, "--workers", "1")

    def strike(_: Running) -> bool:
        for process in psutil.process_iter():
            try:
                line = " ".join(process.cmdline())
            except psutil.Error:
                continue
            if str(tmp_path) in line and "chunk-0000" in line and "ffmpeg" in process.name():
                relay = process.parent().parent()
                return relay.send_signal(signal.SIGKILL) is None
        return False

    running.until(strike)
    assert running.end(100) == 0, running.said()
    assert "another one goes on" in running.said()
    assert gansr("upscale", source, tmp_path / "whole.mkv", *words, "--chunk", "0").returncode == 0
    assert frame_hashes(tmp_path / "out.mkv") == frame_hashes(tmp_path / "whole.mkv")


@pytest.mark.slow
def test_a_chunk_comes_from_a_node_that_does_not_see_the_folder(
    cluster: str, tmp_path: Path, point_model: Path
) -> None:
    from vs_gansr.cli.upscale.workers.ray import RayWorker, connect

    source = footage.plain(tmp_path / "in.mp4", frames=20)
    connect(cluster)
    events: Events = queue.SimpleQueue()
    job = UpscaleJob(str(source), str(tmp_path / "out.mkv"), model=str(point_model), preset="ultrafast", chunk=0.4)
    seat = {"first": False, "resuming": True, "token": str(tmp_path / "unseen")}
    worker = RayWorker("worker 2", events, job, seat, {"num_cpus": 1})
    try:
        await_answer(events, "ready")
        worker.order(do="chunk", start=0, end=10, path=str(tmp_path / "chunk-00000.mp4"))
        done = await_answer(events, "done")
    finally:
        worker.end()
        ray.shutdown()
    assert (tmp_path / "chunk-00000.mp4").stat().st_size == done["facts"]["size"]
    assert facts(tmp_path / "chunk-00000.mp4").picture["frames"] == 10
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.slow
def test_chunks_go_through_storage_and_leave_nothing_there(
    start: Callable[..., Running], gansr: Gansr, cluster: str, tmp_path: Path, point_model: Path
) -> None:
    source, share = footage.plain(tmp_path / "in.mp4", frames=100), tmp_path / "share"
    words = ["--model", str(point_model), "--chunk", "0.4", "--preset", "ultrafast", "--params", "lossless=1"]
    more = ["--cluster", cluster, "--workers", "1", "--cluster-storage", f"file://{share}"]
    running = start("upscale", source, tmp_path / "out.mkv", *words, *more)
    arrived: list[Path] = []

    def strike(_: Running) -> bool:
        arrived[:] = share.glob("gansr-*/chunk-*")
        return bool(arrived) and chunks_of(tmp_path) >= 2

    running.until(strike)
    running.process.kill()
    running.process.wait(30)
    running.end()
    (arrived[0].parent / "chunk-00099-orphan.mp4").write_bytes(b"of a driver that was killed")
    done = gansr("upscale", source, tmp_path / "out.mkv", *words, *more)
    assert done.returncode == 0 and "are there already" in done.stderr, done.stderr
    assert gansr("upscale", source, tmp_path / "whole.mkv", *words, "--chunk", "0").returncode == 0
    assert frame_hashes(tmp_path / "out.mkv") == frame_hashes(tmp_path / "whole.mkv")
    assert share.is_dir() and not list(share.iterdir()) and not list(tmp_path.glob("*.gansr"))


@pytest.mark.slow
def test_storage_that_a_node_does_not_share_is_refused(
    gansr: Gansr, cluster: str, tmp_path: Path, point_model: Path
) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=30)
    words = ["--model", point_model, *WORDS, "--cluster", cluster, "--workers", "1"]
    done = gansr("upscale", source, tmp_path / "out.mkv", *words, "--cluster-storage", "memory://films")
    assert done.returncode == 1 and "worker 2 on " in done.stderr, done.stderr
    assert "does not see what the driver wrote to memory://films/gansr-" in done.stderr
    assert not (tmp_path / "out.mkv").exists() and not list(tmp_path.glob("*.gansr"))


def await_answer(events: Events, wanted: str) -> dict:
    while True:
        event: Event = events.get(timeout=60)
        assert event.kind != "ended", event.value
        if event.kind == "message" and wanted in event.value:
            return event.value[wanted]


def test_a_worker_that_would_make_another_picture_is_refused_by_name() -> None:
    driver = UpscaleRun(UpscaleJob("in.mkv", "out.mkv"), Progress(quiet=True), RunOptions(workers=2))
    identity = {"engine": "net in int8 on CPU", "--crf": "18"}
    first, second = WorkerState(Named("worker 1"), plans=True), WorkerState(Named("worker 2"))
    driver._welcome(first, {"identity": identity, "frames": 1, "host": "a"})
    with pytest.raises(CommandError, match=r"worker 2 on b .* engine is net in fp32 on CPU, not net in int8 on CPU"):
        driver._welcome(second, {"identity": {**identity, "engine": "net in fp32 on CPU"}, "frames": 1, "host": "b"})


def test_no_cluster_there(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=3)
    done = gansr("upscale", source, tmp_path / "out.mkv", "--model", point_model, "--cluster", "127.0.0.1:1")
    assert done.returncode == 1 and "no Ray cluster answers at 127.0.0.1:1" in done.stderr
    assert not (tmp_path / "out.mkv").exists()
