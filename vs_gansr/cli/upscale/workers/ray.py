"""Workers on a Ray cluster: an actor on some node obeys the commands that a local worker obeys, by the same function,
and streams the bytes of its chunks to the scheduler.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import secrets
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from ....errors import one_line
from ...common import CommandError
from ..chunks.file import digest, keep
from ..chunks.messages import Answer, Command, Done, Failed, OpenPlan, Placement, Printed, RenderChunk
from ..chunks.plan import NAME
from ..source.script_file import printer
from .process import Ended, Events, Told
from .worker import Renderer

__all__ = ["RayWorker", "connect", "resources"]

PIECE = 8 << 20  # bytes of a chunk that travel at a time
PATIENCE = 10.0  # seconds that an actor gets to end by itself


class Node:
    """In the actor. `plan` is the plan's text."""

    def __init__(self, plan: str) -> None:
        self.own = Path(tempfile.mkdtemp(prefix="gansr-"))
        self.plan = self.own / NAME
        self.plan.write_text(plan, "utf-8")
        self.answers: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        self.renderer = Renderer(Placement(), lambda answer: self.answers.put(answer), self._output)

    def obey(self, command: Command) -> Iterator[Answer | bytes]:
        """Yields the answers to a command; before the last one of a chunk the bytes of its file."""
        chunk = self.own / "chunk.mp4"
        if isinstance(command, RenderChunk):
            command = replace(command, plan=str(self.plan), path=str(chunk))
        elif isinstance(command, OpenPlan):
            command = OpenPlan(str(self.plan))

        # Of its own: the generator of the command before may not have ended yet.
        answers: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        self.answers = answers

        def work() -> None:
            self.renderer.obey(command)
            answers.put(None)

        threading.Thread(target=work, daemon=True).start()
        while (answer := answers.get()) is not None:
            if isinstance(answer, Done):
                with chunk.open("rb") as stream:
                    while data := stream.read(PIECE):
                        yield data
                chunk.unlink()
            yield answer

    def _output(self) -> TextIO:
        """Where a script prints."""
        return printer(lambda line: self.answers.put(Printed(line)))

    def close(self) -> None:
        """Leaves nothing on the node."""
        shutil.rmtree(self.own, ignore_errors=True)


class RayWorker:
    """The scheduler's end of a Node; see Worker in process.py. `share` are the resources that it asks Ray for."""

    elsewhere = True

    def __init__(self, name: str, events: Events, plan: Path, share: dict[str, float]) -> None:
        import ray

        self.name = name
        self.events = events
        self._ended = False
        self._folder = plan.parent
        remote = ray.remote(Node).options(**share, max_concurrency=2, max_restarts=0, max_task_retries=0)
        self.actor = remote.remote(plan.read_text("utf-8"))
        self._follower: threading.Thread | None = None

    def order(self, command: Command) -> None:
        self._follower = threading.Thread(target=self._follow, args=(command,), daemon=True)
        self._follower.start()

    def signal(self, name: str) -> None:
        """Ctrl-Z stops the scheduler alone: what the nodes have begun they finish."""

    def end(self) -> None:
        import ray

        if not self._ended:
            self._ended = True
            with contextlib.suppress(Exception):  # whatever state Ray is in
                ray.get(self.actor.close.remote(), timeout=PATIENCE)
            with contextlib.suppress(Exception):
                ray.kill(self.actor)
            if self._follower:
                self._follower.join(PATIENCE)  # what asks Ray after it was left would start it again

    def _follow(self, command: Command) -> None:
        """Turns the answers to a command into events of the scheduler's."""
        import ray

        part = self._folder / f"chunk-{secrets.token_hex(8)}.part"
        try:
            for reference in self.actor.obey.options(num_returns="streaming").remote(command):
                answer = ray.get(reference)
                if isinstance(answer, bytes):
                    with part.open("ab") as file:
                        file.write(answer)
                    continue
                if isinstance(answer, Done) and isinstance(command, RenderChunk):
                    arrive(part, Path(command.path), answer)
                self.events.put(Told(self, answer))
                if isinstance(answer, Failed):
                    self.events.put(Ended(self, "its command failed"))
        except Exception as error:  # of Ray's, of the disk's, and where a chunk arrived changed
            if not self._ended:
                self.events.put(Ended(self, one_line(error)))
        finally:
            part.unlink(missing_ok=True)


def arrive(part: Path, target: Path, done: Done) -> None:
    """Gives a chunk that was streamed here its name. Raises CommandError where it is not what was sent."""
    facts = done.facts
    if facts and (part.stat().st_size != facts.size or digest(part) != facts.sha256):
        raise CommandError(f"{target.name} was corrupted in transfer")
    keep(part, target)


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


def resources(workers: int, provider: str | None) -> tuple[int, dict[str, float]]:
    """How many workers there are to be, and what each asks Ray for.

    `workers` 0 means one for each GPU, or for each node where there are none. With GPUs each asks for one, without
    for its part of the processors.
    """
    import ray

    from ....engine.auto import registry  # with it comes ONNX Runtime

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = 0 if registry.on_processors(provider) else int(sum(node.get("GPU", 0) for node in nodes))
    cpus = [int(node.get("CPU", 0)) for node in nodes if node.get("CPU", 0) >= 1] or [1]
    count = workers or gpus or len(cpus)
    if gpus:
        return count, {"num_gpus": min(1.0, gpus / count), "num_cpus": 1}
    return count, {"num_cpus": max(1, min(min(cpus), sum(cpus) // count)), "num_gpus": 0}
