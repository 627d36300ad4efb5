"""Run the `gansr` command as a process and find what it leaves behind."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

LOOK = 0.2 if sys.platform == "win32" else 0.02  # seconds between looks at all processes, which take milliseconds each

type Gansr = Callable[..., subprocess.CompletedProcess[str]]


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "vs_gansr", *map(str, words)]


OF_WINE = "Failed to create DXGI factory."  # which ONNX Runtime says where there is no screen


def one_line(text: str) -> str:
    """The only line of `text`."""
    lines = [line for line in text.strip().splitlines() if line != OF_WINE]
    assert len(lines) == 1, text
    return lines[0]


def named(folder: Path) -> list[psutil.Process]:
    """Processes that have a path below `folder` on their command line, or that render for such a one."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and str(folder) in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Running:
    """The running command: its output so far, its children, its end. `terminal` gives it one for stderr."""

    def __init__(self, folder: Path, *words: str | Path, terminal: bool = False, prefix: Sequence[str] = ()) -> None:
        self.folder = folder
        self._said = bytearray()
        reader, writer = os.openpty() if terminal else os.pipe()
        self.process = subprocess.Popen(
            [*prefix, *command(*words)], stdin=subprocess.DEVNULL, stdout=writer, stderr=writer
        )
        os.close(writer)
        self._listener = threading.Thread(target=self._listen, args=(reader,), daemon=True)
        self._listener.start()
        self.handle = psutil.Process(self.process.pid)
        self.seen: dict[int, psutil.Process] = {}

    def _listen(self, reader: int) -> None:
        with contextlib.suppress(OSError), os.fdopen(reader, "rb", buffering=0) as stream:  # a closed terminal: EIO
            while data := stream.read(4096):
                self._said += data

    def children(self) -> list[psutil.Process]:
        """The processes it has started; remembered, so that none is missed at the end."""
        try:
            here = self.handle.children(recursive=True)
        except psutil.NoSuchProcess:
            here = []
        self.seen |= {child.pid: child for child in here}
        return here

    def until(self, moment: Callable[[Running], bool], seconds: float = 200) -> None:
        """Waits for a moment, which must come before the command ends."""
        deadline = time.monotonic() + seconds
        while not moment(self):
            assert self.process.poll() is None, f"ended with {self.process.returncode} before that: {self.said()}"
            assert time.monotonic() < deadline, f"never came: {self.said()}"
            self.children()
            time.sleep(LOOK)
        self.children()

    def said(self) -> str:
        """Everything on stdout and stderr so far."""
        return self._said.decode(errors="replace")

    def gone(self) -> None:
        """Waits for its end and for that of its processes, which notice that it was killed; on a busy machine late."""
        self.process.wait()
        while named(self.folder) or any(lives(process) for process in self.seen.values()):
            time.sleep(0.02)

    def end(self, seconds: float = 100) -> int:
        """Waits for its end, which must leave no process; returns the exit code."""
        code = self.process.wait(seconds)
        self._listener.join(5)
        deadline = time.monotonic() + 1  # killed ones are gone in the next moment, not in this one
        while alive := [process for process in self.seen.values() if lives(process)]:
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        assert not alive, f"left behind: {alive}"
        assert not named(self.folder), "left behind"
        return code


def nothing_left(folder: Path, output: str = "out.mkv") -> None:
    """No result, no half result, no process."""
    assert not (folder / output).exists()
    assert not list(folder.rglob(".gansr-*"))
    assert not named(folder)
