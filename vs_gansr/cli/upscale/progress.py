"""Show a running encode: a screen or bar on a terminal, plain lines elsewhere, JSON for programs.

Knows no processes: the scheduler hands it a State now and then.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any, TextIO

from ..common import say

__all__ = ["JsonProgress", "Progress", "State", "WorkerProgress", "clock"]

LINE_SECONDS = 30.0
WINDOW = 30.0  # seconds that the speed is averaged over
BAR = 24
TELLING = 2.0  # percent after which the size so far tells that of all
LEAST = 50_000  # bytes worth telling; less are the container's own, while the encoder still looks ahead


def clock(seconds: float) -> str:
    """`3:07` or `1:02:07`."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


@dataclass(frozen=True)
class WorkerProgress:
    """A worker: its name, its chunk (None while it opens the film or waits), and how far it is there."""

    name: str
    chunk: int | None
    frame: int
    frames: int


@dataclass(frozen=True)
class State:
    """How far a film is: `frames` rendered, `chunks` finished of `all_chunks`, `bytes` encoded so far."""

    frames: int
    chunks: int = 0
    all_chunks: int = 1
    bytes: int = 0
    workers: tuple[WorkerProgress, ...] = ()


class Speed:
    """Frames per second over the last while."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, frame: int) -> None:
        """`frame` is reached now; less than before begins anew."""
        now = time.monotonic()
        if self._seen and frame < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((now, frame))
        while now - self._seen[0][0] > WINDOW:
            self._seen.popleft()

    def fps(self) -> float:
        """0 where nothing is known yet."""
        if not self._seen:
            return 0.0
        (then, before), (now, done) = self._seen[0], self._seen[-1]
        return (done - before) / (now - then) if now > then and done > before else 0.0


class Progress:
    """Shows how far an encode is, on stderr. `total` is set once it is known."""

    def __init__(self, quiet: bool = False) -> None:
        self.total = 0
        self.quiet = quiet
        self.terminal = sys.stderr.isatty()
        self.speed = Speed()
        self._drawn = 0
        self._next_line = 0.0
        self._said: set[str] = set()
        self._last = -1
        self._workers: dict[str, Speed] = {}

    def stage(self, text: str) -> None:
        """What goes on before the first frame, and after the last."""
        if self.terminal and not self.quiet:
            self._draw([text])

    def show(self, state: State) -> None:
        """How far the film is now."""
        now = time.monotonic()
        if self._last < 0:
            self._next_line = now + LINE_SECONDS
        self.speed.add(state.frames)
        for worker in state.workers:
            self._workers.setdefault(worker.name, Speed()).add(worker.frame)
        if self.quiet:
            return
        if self.terminal:
            filled = BAR * state.frames // max(self.total, 1)
            rows = [self._row(worker) for worker in state.workers] if len(state.workers) > 1 else []
            self._draw([f"[{'#' * filled}{'.' * (BAR - filled)}] {self.describe(state)}", *rows])
        elif now >= self._next_line or (state.frames == self.total != self._last):
            self._next_line = now + LINE_SECONDS
            say(self.describe(state))
        self._last = state.frames

    def describe(self, state: State) -> str:
        """Frames, percent, speed, time left, chunks and size, in words."""
        share = 100 * state.frames / max(self.total, 1)
        text = f"{state.frames}/{self.total} frames, {share:.1f} %"
        if fps := self.speed.fps():
            text += f", {fps:.2f} fps, {clock((self.total - state.frames) / fps)} left"
        if state.all_chunks > 1:
            text += f", {state.chunks} of {state.all_chunks} chunks"
        if state.bytes >= LEAST:
            text += f", {state.bytes / 1e6:.1f} MB"
        if state.bytes >= LEAST and TELLING <= share < 100:
            text += f" of about {100 * state.bytes / share / 1e6:.0f} MB"
        return text

    def _row(self, worker: WorkerProgress) -> str:
        if worker.chunk is None:
            return f"  {worker.name}: opening"
        fps = self._workers[worker.name].fps()
        return f"  {worker.name}: chunk {worker.chunk}, {worker.frame}/{worker.frames} frames, {fps:.2f} fps"

    def done(self, **facts: Any) -> None:
        """The film is finished."""

    def note(self, text: str, about: str | None = None) -> None:
        """One line that stays, above the bar; once, however many workers say it, or say something `about` the same."""
        if (about or text) not in self._said:
            self._said.add(about or text)
            self._note(text)

    def _note(self, text: str) -> None:
        self.printed(f"note: {text}")

    def printed(self, text: str) -> None:
        """A line that the source, a script, prints."""
        if not self.quiet:
            self.clear()
            say(text)

    def clear(self) -> None:
        """Takes the screen away."""
        if self._drawn:
            write(sys.stderr, "\r\x1b[K" + "\x1b[1A\r\x1b[K" * (self._drawn - 1))
            self._drawn = 0

    def _draw(self, lines: list[str]) -> None:
        width = shutil.get_terminal_size().columns
        up = f"\x1b[{self._drawn - 1}A" if self._drawn > 1 else ""
        below = "\x1b[J" if self._drawn > len(lines) else ""
        write(sys.stderr, f"{up}{below}" + "\n".join(f"\r\x1b[K{line[: width - 1]}" for line in lines))
        self._drawn = len(lines)


class JsonProgress(Progress):
    """JSON lines on stdout, each with an `event`: stage, note, progress, done."""

    def __init__(self) -> None:
        super().__init__(quiet=True)

    def stage(self, text: str) -> None:
        self._tell("stage", text=text)

    def _note(self, text: str) -> None:
        self._tell("note", text=text)

    def printed(self, text: str) -> None:
        say(text)

    def show(self, state: State) -> None:
        super().show(state)
        fps = self.speed.fps()
        left = (self.total - state.frames) / fps if fps else None
        self._tell("progress", all_frames=self.total, fps=round(fps, 3), seconds_left=left, **asdict(state))

    def done(self, **facts: Any) -> None:
        self._tell("done", **facts)

    def _tell(self, event: str, **facts: Any) -> None:
        write(sys.stdout, json.dumps({"event": event, **facts}) + "\n")


def write(stream: TextIO, text: str) -> None:
    """Shows `text`, unless nobody reads any more."""
    with contextlib.suppress(OSError, ValueError):
        stream.write(text)
        stream.flush()
