"""Chunks arrive through storage unchanged, or are reported as lost and rendered again."""

from __future__ import annotations

import hashlib
import queue
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import known_implementations

from vs_gansr.cli import main
from vs_gansr.cli.common import CommandError
from vs_gansr.cli.upscale.chunks import storage
from vs_gansr.cli.upscale.chunks.file import ChunkFacts
from vs_gansr.cli.upscale.chunks.ledger import Ledger
from vs_gansr.cli.upscale.job.job import UpscaleJob
from vs_gansr.cli.upscale.job.run_options import RunOptions
from vs_gansr.cli.upscale.progress import Progress
from vs_gansr.cli.upscale.workers import ray as ray_workers
from vs_gansr.cli.upscale.workers.pool import WorkerState
from vs_gansr.cli.upscale.workers.process import Event, Events
from vs_gansr.cli.upscale.workers.scheduler import UpscaleRun

URL = "faulty://films"
DATA = bytes(range(256)) * 40


class Faulty(MemoryFileSystem):
    """A file system in memory that harms what is written, once, where `harm` says how."""

    protocol = "faulty"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    harm: ClassVar[str] = ""

    def put_file(self, lpath: str, rpath: str, **_: Any) -> None:
        data, harm = Path(lpath).read_bytes(), type(self).harm
        type(self).harm = ""
        if harm == "refused":
            raise PermissionError("no quota")
        self.pipe_file(rpath, {"truncated": data[:-1], "changed": data[:-1] + b"!"}.get(harm, data))
        if harm == "missing after":
            type(self).harm = "missing"

    def get_file(self, rpath: str, lpath: str, **_: Any) -> None:
        harm = type(self).harm
        type(self).harm = ""
        if harm == "missing":
            self.rm_file(rpath)
        Path(lpath).write_bytes(self.cat_file(rpath))

    def rm(self, path: Any, *words: Any, **more: Any) -> None:
        if type(self).harm == "kept":
            raise PermissionError("nothing is deleted here")
        super().rm(path, *words, **more)


@pytest.fixture(autouse=True)
def faulty() -> Iterator[type[Faulty]]:
    fsspec.register_implementation("faulty", Faulty, clobber=True)
    Faulty.store.clear()
    Faulty.harm = ""
    yield Faulty


@pytest.fixture
def chunk(tmp_path: Path) -> Path:
    path = tmp_path / "chunk-00003.mp4"
    path.write_bytes(DATA)
    return path


def stored(place: str) -> list[str]:
    """The names of what lies there besides the driver's token."""
    files, path = storage.opened(place)
    return sorted(Path(name).name for name in files.find(path) if not name.endswith("/token"))


@pytest.mark.parametrize("kind", ["faulty", "file"])
def test_a_chunk_goes_there_and_comes_back(tmp_path: Path, chunk: Path, kind: str) -> None:
    url = URL if kind == "faulty" else f"file://{tmp_path}/a share/films/"
    place = storage.begin(tmp_path, url)
    storage.sees(place)
    assert storage.renames(storage.opened(url)[0]) is (kind == "file")
    first, second = storage.put(place, chunk), storage.put(place, chunk)
    assert stored(place) == sorted([first, second]) and first != second, "a late one replaces none"
    storage.get(place, first, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == DATA
    storage.drop(place, first)
    assert stored(place) == [second]
    storage.clear(tmp_path)
    files, path = storage.opened(place)
    assert not files.exists(path) and not list(tmp_path.glob("storage-*"))


def test_a_place_that_is_left_is_deleted_by_the_next_run(tmp_path: Path, chunk: Path) -> None:
    left, other = storage.begin(tmp_path, URL), f"{URL}/gansr-of-others"
    storage.put(left, chunk)
    storage.put(other, chunk)
    place = storage.begin(tmp_path, "faulty://elsewhere")
    assert not stored(left) and stored(other), "only its own"
    storage.put(place, chunk)
    storage.put(left, chunk)  # by a node that had not heard of its driver's end
    Ledger(tmp_path, {}, (), 0).remove()  # as where the film is finished, or --restart
    assert not stored(left) and not stored(place) and stored(other) and not tmp_path.exists()


def test_what_cannot_be_deleted_is_said_and_tried_again(
    tmp_path: Path, chunk: Path, faulty: type[Faulty], capsys: pytest.CaptureFixture[str]
) -> None:
    place = storage.begin(tmp_path, URL)
    storage.put(place, chunk)
    faulty.harm = "kept"
    storage.clear(tmp_path, place)
    assert f"{place} could not be deleted: PermissionError: nothing is deleted here" in capsys.readouterr().err
    faulty.harm = ""
    storage.clear(tmp_path)
    assert not stored(place) and not list(tmp_path.glob("storage-*"))


def test_storage_that_does_not_answer_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "PATIENCE", 0.05)
    assert storage.in_time(lambda: queue.SimpleQueue().get()) == "no answer within 0.05 s"


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("truncated", rf"chunk-00003.mp4 got to {URL}/\S+ with {len(DATA) - 1} of {len(DATA)} bytes"),
        ("refused", rf"chunk-00003.mp4 did not get to {URL}/\S+: PermissionError: no quota"),
    ],
)
def test_what_does_not_arrive_is_no_success(
    tmp_path: Path, chunk: Path, faulty: type[Faulty], harm: str, words: str
) -> None:
    place = storage.begin(tmp_path, URL)
    faulty.harm = harm
    with pytest.raises(CommandError, match=words):
        storage.put(place, chunk)


def test_no_bucket_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(Faulty, "makedirs", lambda _, path, exist_ok=False: made.append(path))
    storage.begin(tmp_path, "faulty://misspelt/films")
    assert not made


def test_another_storage_under_the_same_name_is_noticed(tmp_path: Path) -> None:
    place = storage.begin(tmp_path, URL)
    Faulty.store.clear()  # as another node's memory, or an unmounted share
    with pytest.raises(CommandError, match=f"does not see what the driver wrote to {place}"):
        storage.sees(place)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("/mnt/share", "give one URL as fsspec has them"),
        ("simplecache::s3://b", "give one URL as fsspec has them"),
        ("sftp://me:secret@host/films", "takes no password"),
        ("nosuch://films", "Protocol not known: nosuch"),
    ],
)
def test_urls_that_are_none(url: str, words: str) -> None:
    with pytest.raises(CommandError, match=words) as caught:
        storage.check(url)
    assert "secret" not in str(caught.value)


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(known_implementations, "needy", {"class": "none.such.FS", "err": "Install needy"})
    with pytest.raises(CommandError, match=r"Install needy .*every node"):
        storage.check("needy://films")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(CommandError, match=r'pip install "vs-gansr\[cli,cluster\]"'):
        storage.check(URL)


def test_it_is_for_a_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["upscale", "in.mkv", str(tmp_path / "out.mkv"), "--cluster-storage", URL]) == 1
    assert "--cluster-storage is what the chunks of a cluster go through" in capsys.readouterr().err


class Encoding:
    """A node's worker process, which finishes a chunk of DATA at once."""

    def __init__(self, name: str, events: Events, job: UpscaleJob, seat: dict[str, Any]) -> None:
        self.events = events

    def order(self, **what: Any) -> None:
        Path(what["path"]).write_bytes(DATA)
        facts = {"frames": 5, "size": len(DATA), "sha256": hashlib.sha256(DATA).hexdigest(), "header": "h", "delay": 0}
        self.events.put(Event("message", {"done": {"facts": facts, "seconds": 1.0}}))

    def end(self) -> None: ...


@pytest.fixture
def worker_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., ray_workers.RayWorker]]:
    """Both ends of a worker on a cluster, in this process: Ray's calls are plain calls."""
    ray = pytest.importorskip("ray", reason="the extra [cluster] is not installed")
    relays: list[ray_workers.Relay] = []

    class Remote:
        def __init__(self, made: type) -> None:
            self.made = made

        def options(self, **_: Any) -> Remote:
            return self

        def remote(self, *words: Any) -> Any:
            relay = self.made(*words)
            relays.append(relay)
            names = [name for name in dir(relay) if not name.startswith("_")]
            return SimpleNamespace(**{n: SimpleNamespace(remote=getattr(relay, n)) for n in names})

    monkeypatch.setattr(ray, "remote", Remote)
    monkeypatch.setattr(ray, "get", lambda value, timeout=None: value)
    monkeypatch.setattr(ray, "kill", lambda actor: None)
    monkeypatch.setattr(ray_workers, "LocalWorker", Encoding)

    def make(events: Events, place: str) -> ray_workers.RayWorker:
        seat = {"storage": place, "token": str(tmp_path)}  # it sees the folder, too
        return ray_workers.RayWorker("worker 2", events, UpscaleJob("in.mkv", str(tmp_path / "out.mkv")), seat, {})

    yield make
    for relay in relays:
        assert not list(relay.own.glob("*")), "nothing is left on the node"
        relay.close()


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("", ""),
        ("truncated", "got to"),
        ("refused", "did not get to"),
        ("changed", "chunk-00000.mp4 arrived other than it was sent"),
        ("missing after", "cannot be read from"),
    ],
)
def test_a_chunk_that_is_lost_on_the_way_is_made_again(
    tmp_path: Path, faulty: type[Faulty], worker_at: Callable[..., ray_workers.RayWorker], harm: str, words: str
) -> None:
    folder = tmp_path / "out.mkv.gansr"
    folder.mkdir()
    place = storage.begin(folder, URL)
    driver = UpscaleRun(
        UpscaleJob("in.mkv", str(tmp_path / "out.mkv")), Progress(quiet=True), RunOptions(1, "local", URL)
    )
    driver.ledger = Ledger(folder, {}, ((0, 5),), 1)
    faulty.harm = harm
    for tries in range(2 if harm else 1):
        hand = WorkerState(worker_at(driver.events, place), ready=True)
        driver.crew.hands.append(hand)
        driver._deal(driver.ledger, hand, 0)
        driver._until_from(hand, lambda _: bool(driver.ledger.chunks))
        assert hand.chunk is None or words in hand.error
        assert bool(driver.ledger.chunks) == (tries == 1 or not harm)
        driver.crew.end()
    assert driver.ledger.retries.get(0, 0) == bool(harm)
    assert driver.ledger.path(0).read_bytes() == DATA and isinstance(driver.ledger.chunks[0], ChunkFacts)
    assert not list(folder.glob("*.part"))
    driver.ledger.remove()
    assert not stored(place)


def test_a_node_without_the_storage_is_refused_by_name(
    tmp_path: Path, worker_at: Callable[..., ray_workers.RayWorker]
) -> None:
    place = storage.begin(tmp_path, URL)
    Faulty.store.clear()
    driver = UpscaleRun(
        UpscaleJob("in.mkv", str(tmp_path / "out.mkv")), Progress(quiet=True), RunOptions(1, "local", URL)
    )
    driver.crew.hands.append(WorkerState(worker_at(driver.events, place)))
    with pytest.raises(CommandError, match=r"worker 2 on \S+: does not see what the driver wrote to faulty://"):
        driver._step()
    driver.crew.end()
