"""Run an ffmpeg that reads a pipe: its progress, its errors, its end."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from types import TracebackType
from typing import IO, Any

from ... import ffmpeg
from ...common import CommandError

__all__ = ["FfmpegProcess", "TryAgain", "how"]


WINDOWS = os.name == "nt"
STATUS = 1 << 31  # exit codes from here on are Windows' reasons to end a process
STATUSES = {
    0xC0000005: ", access violation, a crash; `gansr doctor` may know why",
    0xC0000017: ", lack of memory",
    0xC000001D: ", illegal instruction, a crash; `gansr doctor` may know why",
    0xC0000135: ", a library that it needs is missing",
    0xC000013A: ", ended by Ctrl-C or Ctrl-Break",
    0xC0000409: ", a crash; `gansr doctor` may know why",
}


class TryAgain(CommandError):
    """Something failed that may succeed in another try, such as an ffmpeg that was ended by a signal."""


class Pipe(io.RawIOBase):
    """What ffmpeg reads from. When it reads no more the first write fails, and later ones go nowhere."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__()
        self.broken = False
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if not self.broken:
            try:
                self._stream.write(data)
            except OSError:  # a broken pipe, which Windows calls an invalid argument
                self.broken = True
                raise
        return len(data)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.close()
        super().close()


class FfmpegProcess:
    """ffmpeg under way; `pipe` takes what it reads from stdin.

    `report` is told its size so far, in bytes, and `complain` each line of its errors. Leaving the with statement by an
    exception ends it.
    """

    def __init__(
        self,
        command: list[str],
        report: Callable[[int], None] | None = None,
        complain: Callable[[str], None] | None = None,
    ) -> None:
        self.frames = 0
        self.complaints: list[str] = []
        self._report = report
        self._complain = complain
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "SVT_LOG": "1"},
        )
        assert self.process.stdin and self.process.stdout and self.process.stderr
        self.pipe = Pipe(self.process.stdin)
        self._threads = [
            threading.Thread(target=read, args=(stream,), daemon=True)
            for read, stream in ((self._follow, self.process.stdout), (self._hear, self.process.stderr))
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> FfmpegProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is not None:
            self.process.kill()
            self.process.wait()
        self.pipe.close()

    def feed(self, write: Callable[[Any], object], frames: int) -> None:
        """Lets `write` fill the pipe and waits for the end.

        Raises CommandError where ffmpeg fails or writes other than `frames` frames, TryAgain where it is killed.
        """
        try:
            write(self.pipe)
        except Exception:
            if not self.pipe.broken:
                raise  # else its own end says more
        self.pipe.close()
        code = self.process.wait()
        for thread in self._threads:
            thread.join()
        if code:
            reason = ffmpeg.cause(self.complaints)
            # On Windows the code of a process that is ended says nothing: whoever ends it chooses one.
            killed = (code < 0 or WINDOWS) and not reason and code != -getattr(signal, "SIGXFSZ", 0)
            kind = TryAgain if killed else CommandError
            raise kind(f"ffmpeg failed: {reason or f'without a word ({how(code)})'}")
        if self.frames != frames:
            raise CommandError(f"ffmpeg wrote {self.frames} of {frames} frames without saying why; try --verbose")

    def _follow(self, stream: IO[bytes]) -> None:
        for line in stream:
            name, _, value = line.decode("utf-8", "replace").strip().partition("=")
            if name == "frame":
                self.frames = int(value)
            elif name == "total_size" and value.isdecimal() and self._report:
                self._report(int(value))

    def _hear(self, stream: IO[bytes]) -> None:
        for line in stream:
            text = line.decode("utf-8", "replace").rstrip()
            if text:
                self.complaints.append(text)
                if self._complain:
                    self._complain(text)


def how(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}" if code < STATUS else f"{code:#x}{STATUSES.get(code, '')}"
    name = signal.Signals(-code).name
    hints = {"SIGKILL": ", often for lack of memory", "SIGXFSZ": ", the limit on file sizes"}
    return name + hints.get(name, ", a crash; `gansr doctor` may know why")
