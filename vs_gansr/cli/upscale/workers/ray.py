"""Owns workers on a Ray cluster: an actor on some node that keeps an ordinary worker process, relayed to the driver.

The actor's process holds no VapourSynth: it starts the same worker that runs locally, so a crash of a driver or of
the worker takes nothing of Ray's with it. Ray decides where an actor runs by the resources it asks for. A finished
chunk is written straight into the job's folder where the node sees it, else streamed to the driver; or it goes
through storage that both see (storage.py), where the user names one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import queue
import shutil
import socket
import tempfile
import threading
from pathlib import Path
from typing import Any

from ....errors import one_line
from ...common import CommandError
from ..chunks import storage
from ..chunks.file import digest, keep
from ..job.job import UpscaleJob
from .process import Event, Events, LocalWorker

__all__ = ["RayWorker", "connect", "resources"]

PIECE = 8 << 20  # bytes of a chunk that travel at a time
PATIENCE = 10.0  # seconds that an actor gets to end by itself


class Relay:
    """In the actor: one worker process of that node. Ray calls the methods from the driver, several at a time."""

    def __init__(self, name: str, job: str, seat: dict[str, Any]) -> None:
        self.own = Path(tempfile.mkdtemp(prefix="gansr-"))
        self.place: str | None = seat.get("storage")
        self.shared = not self.place and Path(seat["token"]).exists()
        self.chunk = ""  # name of the one that is being made
        self.events: Events = queue.SimpleQueue()
        self.worker = LocalWorker(name, self.events, UpscaleJob.from_json(job), seat)

    def order(self, what: dict[str, Any]) -> None:
        """Passes an order on; a chunk goes into a folder of this node's own where the job's is not to be seen."""
        if not self.shared:
            self.chunk = Path(what["path"]).name
            what = {**what, "path": str(self.own / self.chunk)}
        self.worker.order(**what)

    def listen(self, seconds: float) -> list[tuple[str, Any]]:
        """What has happened since the last time, after `seconds` at most."""
        found = []
        with contextlib.suppress(queue.Empty):
            event = self.events.get(timeout=seconds)
            while True:
                if self.place and event.kind == "message" and "done" in event.value:
                    found += self._upload(self.place, event.value)
                else:
                    found.append((event.kind, event.value))
                event = self.events.get_nowait()
        return found

    def is_shared(self) -> bool:
        """Whether this node sees the job's folder."""
        return self.shared

    def check_storage(self) -> tuple[str, str]:
        """This node's name, and why it cannot use the storage, or nothing."""
        try:
            if self.place:
                storage.sees(self.place)
        except CommandError as error:
            return platform.node(), str(error)
        return platform.node(), ""

    def _upload(self, place: str, answer: dict[str, Any]) -> list[tuple[str, Any]]:
        """Puts a finished chunk into the storage; the answer with its name there, or the worker's last words."""
        path = self.own / self.chunk
        try:
            return [("message", {**answer, "stored": storage.put(place, path)})]
        except CommandError as error:
            told = {"error": str(error), "retry": True, "host": platform.node()}
            return [("message", told), ("ended", "its chunk was lost")]
        finally:
            path.unlink(missing_ok=True)

    def read(self, name: str, offset: int) -> bytes:
        """A piece of a finished chunk; empty at its end."""
        with (self.own / name).open("rb") as file:
            file.seek(offset)
            return file.read(PIECE)

    def drop(self, name: str) -> None:
        """Deletes a chunk that has been read."""
        (self.own / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Ends the worker process and leaves nothing on the node."""
        self.worker.end()
        shutil.rmtree(self.own, ignore_errors=True)


class RayWorker:
    """The driver's end of a Relay; see Worker in chain.py. `share` are the resources that the actor asks Ray for."""

    def __init__(
        self, name: str, events: Events, job: UpscaleJob, seat: dict[str, Any], share: dict[str, float]
    ) -> None:
        import ray

        self.name = name
        self.events = events
        self._target = Path()
        self._place: str | None = seat.get("storage")
        self._ended = False
        remote = ray.remote(Relay).options(**share, max_concurrency=4, max_restarts=0, max_task_retries=0)
        self.actor = remote.remote(name, job.to_json(), {**seat, "cores": []})
        self._follower = threading.Thread(target=self._follow, daemon=True)
        self._follower.start()

    def order(self, **what: Any) -> None:
        """Tells the actor what to do."""
        self._target = Path(what["path"])
        self.actor.order.remote(what)

    def signal(self, name: str) -> None:
        """Ctrl-Z stops the driver alone: what the nodes have begun they finish."""

    def end(self) -> None:
        """Ends the actor and its process."""
        import ray

        if not self._ended:
            self._ended = True
            with contextlib.suppress(Exception):  # whatever state Ray is in
                ray.get(self.actor.close.remote(), timeout=PATIENCE)
            with contextlib.suppress(Exception):
                ray.kill(self.actor)
            self._follower.join(PATIENCE)  # what asks Ray after it was left would start it again

    def _follow(self) -> None:
        """Turns what the actor tells into events of the driver's."""
        import ray

        try:
            host, unfit = ray.get(self.actor.check_storage.remote())
            if unfit:
                self.events.put(Event("message", {"error": unfit, "retry": False, "host": host}, self))
                return
            shared = ray.get(self.actor.is_shared.remote())
            while not self._ended:
                for kind, value in ray.get(self.actor.listen.remote(0.5)):
                    if kind == "message" and "done" in value and not shared:
                        self._fetch(value["done"]["facts"], value.get("stored"))
                    self.events.put(Event(kind, value, self))
                    if kind == "ended":
                        return
        except CommandError as error:
            told = {"error": str(error), "retry": True, "host": platform.node()}
            self.events.put(Event("message", told, self))
            self.events.put(Event("ended", "its chunk was lost", self))
        except Exception as error:  # of Ray's, and of the disk's
            if not self._ended:
                self.events.put(Event("ended", one_line(error), self))

    def _fetch(self, facts: dict[str, Any], stored: str | None) -> None:
        """Brings a finished chunk here, from the storage or the node. Raises CommandError where it arrives changed."""
        part = self._target.with_name(f"{self._target.name}.{os.getpid()}-{self.name.replace(' ', '')}.part")
        try:
            if self._place and stored:
                storage.get(self._place, stored, part)
            else:
                self._stream(part)
            if part.stat().st_size != facts["size"] or digest(part) != facts["sha256"]:
                raise CommandError(f"{self._target.name} arrived other than it was sent")
            keep(part, self._target)
        finally:
            part.unlink(missing_ok=True)
        if self._place and stored:
            storage.drop(self._place, stored)
        else:
            self.actor.drop.remote(self._target.name)

    def _stream(self, part: Path) -> None:
        """Writes the node's chunk into a file here, piece by piece."""
        import ray

        offset = 0
        with part.open("wb") as file:
            while data := ray.get(self.actor.read.remote(self._target.name, offset)):
                file.write(data)
                offset += len(data)


def connect(address: str) -> None:
    """Joins the cluster at `address`, the one that runs here ("auto"), or starts one here ("local").

    Raises CommandError where Ray is not installed or no cluster answers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    try:
        import ray
    except ImportError as error:
        raise CommandError('Ray is not installed; run: pip install "vs-gansr[cli,cluster]"') from error
    if ray.is_initialized():  # for the film before this one
        return
    try:
        if ":" in address:  # Ray itself waits for minutes
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        failed = "Ray does not start here" if address == "local" else f"no Ray cluster answers at {address}"
        raise CommandError(f"{failed}: {one_line(error)}; see: ray status") from error


def disconnect() -> None:
    """Leaves the cluster: its loss, which ends a process that is connected, no longer matters."""
    import ray

    with contextlib.suppress(Exception):  # whatever state Ray is in
        ray.shutdown()


def resources(workers: int, provider: str | None) -> tuple[int, dict[str, float]]:
    """How many workers there are to be, and what each asks Ray for.

    `workers` 0 means one for each GPU, or for each node where there are none. With GPUs each asks for one, without
    for its part of the processors.
    """
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = 0 if provider == "CPU" else int(sum(node.get("GPU", 0) for node in nodes))
    cpus = [int(node.get("CPU", 0)) for node in nodes if node.get("CPU", 0) >= 1] or [1]
    count = workers or gpus or len(cpus)
    if gpus:
        return count, {"num_gpus": min(1.0, gpus / count), "num_cpus": 1}
    return count, {"num_cpus": max(1, min(min(cpus), sum(cpus) // count)), "num_gpus": 0}
