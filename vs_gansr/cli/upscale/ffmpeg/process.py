"""Run an ffmpeg that reads a pipe: its progress, its errors, its end."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from subprocess import PIPE
from typing import IO, Any

from ... import ffmpeg
from ...common import CommandError

__all__ = ["TryAgain", "feed", "how"]

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


def feed(
    command: list[str],
    write: Callable[[Any], object],
    frames: int,
    report: Callable[[int], None] = lambda _: None,
    complain: Callable[[str], None] = lambda _: None,
) -> None:
    """Runs ffmpeg, lets `write` fill the pipe that it reads, and waits for its end.

    `report` is told its size so far, in bytes, and `complain` each line of its errors. Where `write` fails ffmpeg is
    ended. Raises CommandError where ffmpeg fails or writes other than `frames` frames, TryAgain where it is killed.
    """
    written = 0
    complaints: list[str] = []
    environment = {**os.environ, "SVT_LOG": "1"}
    process = subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment)
    assert process.stdin and process.stdout and process.stderr
    pipe = Pipe(process.stdin)

    def follow(stream: IO[bytes]) -> None:
        nonlocal written
        for line in stream:
            name, _, value = line.decode("utf-8", "replace").strip().partition("=")
            if name == "frame":
                written = int(value)
            elif name == "total_size" and value.isdecimal():
                report(int(value))

    def hear(stream: IO[bytes]) -> None:
        for line in stream:
            if text := line.decode("utf-8", "replace").rstrip():
                complaints.append(text)
                complain(text)

    threads = [
        threading.Thread(target=read, args=(stream,), daemon=True)
        for read, stream in ((follow, process.stdout), (hear, process.stderr))
    ]
    for thread in threads:
        thread.start()
    try:
        write(pipe)
    except BaseException as error:
        if not pipe.broken or not isinstance(error, Exception):  # else its own end says more
            process.kill()
            process.wait()
            raise
    finally:
        pipe.close()
    code = process.wait()
    for thread in threads:
        thread.join()
    if code:
        reason = ffmpeg.cause(complaints)
        # On Windows the code of a process that is ended says nothing: whoever ends it chooses one.
        killed = (code < 0 or WINDOWS) and not reason and code != -getattr(signal, "SIGXFSZ", 0)
        kind = TryAgain if killed else CommandError
        raise kind(f"ffmpeg failed: {reason or f'without an error message ({how(code)})'}")
    if written != frames:
        raise CommandError(f"ffmpeg wrote {written} of {frames} frames without saying why; try --verbose")


def how(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}" if code < STATUS else f"{code:#x}{STATUSES.get(code, '')}"
    name = signal.Signals(-code).name
    hints = {"SIGKILL": ", often for lack of memory", "SIGXFSZ": ", the limit on file sizes"}
    return name + hints.get(name, ", a crash; `gansr doctor` may know why")
