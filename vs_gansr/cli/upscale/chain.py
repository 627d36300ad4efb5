"""Owns the processes of an encode: renderer and ffmpeg, one process group, watched and ended together.

    gansr ──job──> renderer ──raw video──> ffmpeg ──> temporary file ── renamed ──> output
      ^──JSON lines──┘   ^                   │
      └──progress────────┼───────────────────┘

Signals only leave an event behind; everything is decided in one loop, so no signal can catch the chain half
built. The group is not the terminal's foreground group, so Ctrl-C reaches `gansr` alone, which ends the rest.
pip's `vspipe` is not used: it is a Python wrapper that forgets about the real one when it is signalled.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import threading
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import IO, Any

from .. import ffmpeg
from ..common import CommandError, Interrupted, say
from .job import BROKEN_PIPE, RECORD, Job
from .progress import Progress

__all__ = ["Outcome", "run"]

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
PAUSE = getattr(signal, "SIGTSTP", None)
POSIX = os.name == "posix"

type Event = tuple[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What was written."""

    frames: int
    size: tuple[int, int]


class Signals:
    """While it is entered, signals become events instead of exceptions."""

    def __init__(self, events: queue.SimpleQueue[Event]) -> None:
        self.events = events
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        for signum in [*SIGNALS, *([PAUSE] if PAUSE else [])]:
            self._before[signum] = signal.signal(signum, self._arrived)
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def _arrived(self, signum: int, _: FrameType | None) -> None:
        self.events.put(("pause" if signum == PAUSE else "signal", signum))


class Chain:
    """The two processes. `end` leaves none of them, whatever state they are in."""

    def __init__(self, events: queue.SimpleQueue[Event], verbose: bool) -> None:
        self.events = events
        self.verbose = verbose
        self.renderer: subprocess.Popen[bytes] | None = None
        self.encoder: subprocess.Popen[bytes] | None = None
        self.last_words: deque[str] = deque(maxlen=20)  # of the renderer, outside its protocol
        self.complaints: list[str] = []  # of ffmpeg
        self._pipe: int | None = None

    def start_renderer(self, job: Job) -> None:
        self._pipe, write = os.pipe()
        try:
            self.renderer = subprocess.Popen(
                [sys.executable, "-m", "vs_gansr.cli.upscale.render"],
                stdin=subprocess.PIPE,
                stdout=write,
                stderr=subprocess.PIPE,
                **own_group(0),
            )
        finally:
            os.close(write)
        assert self.renderer.stdin and self.renderer.stderr
        with contextlib.suppress(BrokenPipeError):  # it died at once; its exit says so
            self.renderer.stdin.write(job.to_json().encode() + b"\n")
            self.renderer.stdin.flush()
        self._listen(self.renderer.stderr, "renderer")

    def start_encoder(self, command: list[str]) -> None:
        assert self.renderer and self._pipe is not None
        # The renderer is not waited for before `end`, so its group exists even if it died meanwhile.
        self.encoder = subprocess.Popen(
            command,
            stdin=self._pipe,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "SVT_LOG": "1"},
            **own_group(self.renderer.pid),
        )
        os.close(self._pipe)
        self._pipe = None
        assert self.encoder.stdout and self.encoder.stderr
        self._listen(self.encoder.stdout, "progress")
        self._listen(self.encoder.stderr, "encoder")

    def _listen(self, stream: IO[bytes], name: str) -> None:
        def read() -> None:
            for line in stream:
                self.events.put((name, line.decode("utf-8", "replace").rstrip()))
            self.events.put((f"{name} ended", None))

        threading.Thread(target=read, daemon=True).start()

    def signal(self, name: str) -> None:
        """Sends SIGKILL, SIGSTOP or SIGCONT to both; on Windows, where there is only one end, ends both."""
        for process in (self.encoder, self.renderer):
            if process and process.returncode is None:
                if not POSIX:
                    process.kill()
                elif self.renderer:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(self.renderer.pid, getattr(signal, name))
                    return

    def end(self) -> None:
        """Ends and buries both."""
        self.signal("SIGKILL")
        for process in (self.encoder, self.renderer):
            if process:
                process.wait()
        if self._pipe is not None:
            os.close(self._pipe)


def own_group(leader: int) -> dict[str, Any]:
    """Popen's arguments for a process in the group that `leader` leads; 0 makes it lead its own."""
    if POSIX:
        return {"process_group": leader}
    return {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}


def run(job: Job, progress: Progress, overwrite: bool, verbose: bool = False) -> Outcome:
    """Does the job. Nothing is left under its output's name, and no process, unless it succeeds.

    Raises CommandError with the cause, or Interrupted where a signal ended it.
    """
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    with Signals(events):
        output = Path(job.output)
        temporary = reserve(output)
        chain = Chain(events, verbose)
        try:
            chain.start_renderer(replace(job, temporary=str(temporary)))
            outcome = watch(chain, progress)
            commit(temporary, output, overwrite, events)
            return outcome
        finally:
            progress.clear()
            chain.end()
            for path in (temporary, *temporary.parent.glob(f"{temporary.name}.*")):  # with what was to be attached
                path.unlink(missing_ok=True)


def reserve(output: Path) -> Path:
    """A new, empty file in the output's folder, whose name says what it is."""
    temporary = output.with_name(f".gansr-{secrets.token_hex(4)}{output.suffix}")
    try:
        temporary.open("xb").close()
    except FileNotFoundError as error:
        raise CommandError(f"the folder {output.parent} does not exist; create it first") from error
    except OSError as error:
        raise CommandError(f"nothing can be written into {output.parent}: {error.strerror}") from error
    return temporary


def watch(chain: Chain, progress: Progress) -> Outcome:
    """Follows the chain to its end. Raises CommandError or Interrupted where that is not success."""
    ready: dict[str, Any] = {}
    refused = ""
    encoded = 0
    waiting = {"renderer"}
    while waiting:
        kind, value = next_event(chain.events)
        if kind == "signal":
            raise Interrupted(value)
        if kind == "pause":
            pause(chain)
        elif kind == "renderer" and value.startswith(RECORD):
            message = json.loads(value.removeprefix(RECORD))
            refused = message.get("error", refused)
            if "command" in message:
                ready = message
                progress.total = ready["frames"]
                chain.start_encoder(ready["command"])
                waiting |= {"encoder", "progress"}  # the last count may come after the end of everything else
            follow(progress, message)
        elif kind in ("renderer", "encoder") and value:
            (chain.last_words if kind == "renderer" else chain.complaints).append(value)
            if chain.verbose:
                progress.clear()
                say(value)
        elif kind == "progress" and value.startswith("frame="):
            encoded = int(value.removeprefix("frame="))
        elif kind.endswith(" ended"):
            name = kind.removesuffix(" ended")
            waiting.discard(name)
            if name != "progress":  # that is a pipe of the encoder's, no process of its own
                check(chain, name, refused)
    if encoded != ready["frames"]:
        raise CommandError(f"ffmpeg wrote {encoded} of {ready['frames']} frames without saying why; try --verbose")
    return Outcome(ready["frames"], tuple(ready["size"]))


def follow(progress: Progress, message: dict[str, Any]) -> None:
    """Shows what the renderer says of its progress."""
    if "stage" in message:
        progress.stage(f"{message['stage']} …")
    if "indexing" in message:
        progress.stage(f"indexing {message['indexing']}")
    if "note" in message:
        progress.note(message["note"])
    if "frame" in message:
        progress.frame(message["frame"])


def check(chain: Chain, ended: str, refused: str) -> None:
    """Raises CommandError if the process that ended has failed."""
    process = chain.renderer if ended == "renderer" else chain.encoder
    assert process
    code = process.wait()
    if code == 0:
        return
    if ended == "encoder":
        reason = ffmpeg.cause(chain.complaints) or f"without a word ({how(code)})"
        raise CommandError(f"ffmpeg failed: {reason}")
    if refused:
        raise CommandError(refused)
    if code == BROKEN_PIPE and chain.encoder:
        return  # the encoder's own end says more
    words = f": {chain.last_words[-1]}" if chain.last_words else ""
    raise CommandError(f"the renderer ended early ({how(code)}){words}")


def how(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    hints = {"SIGKILL": ", often for lack of memory", "SIGXFSZ": ", the limit on file sizes"}
    return name + hints.get(name, ", a crash; `gansr doctor` may know why")


def pause(chain: Chain) -> None:
    """Ctrl-Z: the chain stops with us and goes on with us."""
    chain.signal("SIGSTOP")
    os.kill(os.getpid(), signal.SIGSTOP)
    chain.signal("SIGCONT")


def next_event(events: queue.SimpleQueue[Event]) -> Event:
    """Waits for the next event; Python runs signal handlers only between such waits on Windows."""
    while True:
        with contextlib.suppress(queue.Empty):
            return events.get(timeout=None if POSIX else 0.5)


def commit(temporary: Path, output: Path, overwrite: bool, events: queue.SimpleQueue[Event]) -> None:
    """Gives the finished file its name, unless a signal came in time or someone else took the name meanwhile."""
    while not events.empty():
        kind, value = events.get()
        if kind == "signal":
            raise Interrupted(value)
    try:
        if overwrite:
            temporary.replace(output)
        else:
            claim(temporary, output)
    except FileExistsError as error:
        kept = output.with_name(f"{output.stem}.{secrets.token_hex(4)}{output.suffix}")
        temporary.replace(kept)
        raise CommandError(f"{output} appeared in the meantime; the finished file is {kept}") from error
    except OSError as error:
        raise CommandError(f"{output} cannot be given its name: {error.strerror}") from error


def claim(temporary: Path, output: Path) -> None:
    """Renames without overwriting."""
    try:
        os.link(temporary, output)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if output.exists():
            raise FileExistsError(output) from None
        temporary.rename(output)
