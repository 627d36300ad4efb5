"""Owns what is seen of a running encode: a bar on a terminal, plain lines elsewhere; knows no processes."""

from __future__ import annotations

import shutil
import sys
import time
from collections import deque

from ..common import say

__all__ = ["Progress", "clock"]

LINE_SECONDS = 30.0
WINDOW = 30.0  # seconds that the speed is averaged over
BAR = 24


def clock(seconds: float) -> str:
    """`3:07` or `1:02:07`."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


class Progress:
    """Shows how far an encode is, on stderr. `total` is set once it is known."""

    def __init__(self, quiet: bool = False) -> None:
        self.total = 0
        self.quiet = quiet
        self.terminal = sys.stderr.isatty()
        self._seen: deque[tuple[float, int]] = deque()
        self._drawn = False
        self._next_line = 0.0

    def stage(self, text: str) -> None:
        """What goes on before the first frame."""
        if self.quiet or not self.terminal:
            return
        self._draw(text)

    def frame(self, done: int) -> None:
        """`done` frames of the total are rendered."""
        if self.quiet:
            return
        now = time.monotonic()
        if not self._seen:
            self._next_line = now + LINE_SECONDS
        self._seen.append((now, done))
        while now - self._seen[0][0] > WINDOW:
            self._seen.popleft()
        if self.terminal:
            filled = BAR * done // max(self.total, 1)
            self._draw(f"[{'#' * filled}{'.' * (BAR - filled)}] {self.describe()}")
        elif now >= self._next_line or done == self.total:
            self._next_line = now + LINE_SECONDS
            say(self.describe())

    def describe(self) -> str:
        """Frames, percent, speed and time left, in words."""
        (then, before), (now, done) = self._seen[0], self._seen[-1]
        share = 100 * done / max(self.total, 1)
        text = f"{done}/{self.total} frames, {share:.1f} %"
        if now > then and done > before:
            fps = (done - before) / (now - then)
            text += f", {fps:.2f} fps, {clock((self.total - done) / fps)} left"
        return text

    def note(self, text: str) -> None:
        """One line that stays, above the bar."""
        if not self.quiet:
            self.clear()
            say(f"note: {text}")

    def clear(self) -> None:
        """Takes the bar away."""
        if self._drawn:
            self._write("\r\x1b[K")
            self._drawn = False

    def _draw(self, text: str) -> None:
        width = shutil.get_terminal_size().columns
        self._write(f"\r\x1b[K{text[: width - 1]}")
        self._drawn = True

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError):
            pass
