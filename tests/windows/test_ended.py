"""An encode that ends in any way on Windows leaves no process behind, and the same command resumes it."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import footage
import psutil
import pytest
from command_fixtures import SECONDS
from encodes import chunks_of, frame_hashes
from gansr_process import Gansr, Running, command, named, one_line
from pseudo_console import PseudoConsole

from windows import film

type Start = Callable[..., Running]


def gone(folder: Path, seconds: float = 10) -> bool:
    """Waits up to `seconds` for the processes that name `folder` to end; True if none is left."""
    deadline = time.monotonic() + seconds
    while named(folder):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments(start: Start, gansr: Gansr, tmp_path: Path, point_model: Path, kills: int) -> None:
    """The driver is ended by TerminateProcess, which no program can catch."""
    source, output = film.source(tmp_path), tmp_path / "out.mkv"
    words = film.words(source, output, point_model)
    begun = time.monotonic()
    assert gansr(*film.words(source, tmp_path / "whole.mkv", point_model)).returncode == 0
    takes = time.monotonic() - begun
    chance = random.Random(kills)
    for _ in range(kills):
        running = start(*words, "-y", "-q")
        time.sleep(chance.uniform(0.05, 1) * takes)
        running.process.kill()
        running.process.wait(30)
        assert gone(tmp_path), named(tmp_path)
    done = gansr(*words, "-y")
    assert done.returncode == 0, done.stderr
    for left in tmp_path.glob(".gansr-*"):  # docs/cli.md: the temporary file of a driver that was killed stays
        left.unlink()
    assert film.is_whole(output)
    assert frame_hashes(output) == frame_hashes(tmp_path / "whole.mkv")


@pytest.mark.parametrize("victim", ["driver", "worker"])
def test_children_end_with_their_parent(start: Start, tmp_path: Path, small_model: Path, victim: str) -> None:
    """A child ends even if it cannot notice that its parent has ended: the worker and its ffmpeg are suspended."""
    running = start(*film.slow_words(tmp_path, small_model))

    def suspended(now: Running) -> bool:
        for child in now.children():
            if any("chunk-" in word for word in lines(child)):
                with contextlib.suppress(psutil.Error):  # it has ended meanwhile
                    child.suspend()
                    return True
        return False

    running.until(suspended, SECONDS)
    worker = next(child for child in running.seen.values() if "vs_gansr.cli.upscale.workers.worker" in lines(child))
    if victim == "driver":
        worker.suspend()
        running.process.kill()
        assert gone(tmp_path), named(tmp_path)
    else:
        worker.kill()
        assert running.end(SECONDS) == 0, running.said()
        assert "another worker continues" in running.said()
        assert footage.facts(tmp_path / "out.mkv").picture["frames"] == film.SLOW_FRAMES


def lines(process: psutil.Process) -> list[str]:
    """The command line of a process; nothing where it has ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


# Starts a program and sends Ctrl-C to all processes of the console, as the console does when the key is pressed, but
# ignores it itself.
SHELL = """
import ctypes, os, subprocess, sys, time
with open(sys.argv[1], "wb") as said:
    program = subprocess.Popen(sys.argv[3:], stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    ctypes.windll.kernel32.SetConsoleCtrlHandler(None, True)
    while program.poll() is None and not os.path.exists(sys.argv[2]):
        time.sleep(0.1)
    assert ctypes.windll.kernel32.GenerateConsoleCtrlEvent(0, 0)
    sys.exit(program.wait())
"""


def test_ctrl_c_in_a_console(tmp_path: Path, small_model: Path, home: Path) -> None:
    """gansr alone gets the key: it ends its children and prints what is kept, and the same command resumes."""
    words = command(*film.slow_words(tmp_path, small_model))
    said = tmp_path / "said.txt"
    key = tmp_path / "key"
    with PseudoConsole([sys.executable, "-c", SHELL, str(said), str(key), *words]) as console:
        deadline = time.monotonic() + SECONDS
        while chunks_of(tmp_path) < 1:
            assert time.monotonic() < deadline, bytes(console.shown)
            time.sleep(0.1)
        key.touch()
        assert console.wait(SECONDS) == 128 + 2
    assert "gansr: interrupted by SIGINT; " in said.read_text() and "chunks are kept" in said.read_text()
    assert gone(tmp_path), named(tmp_path)
    done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    assert footage.facts(tmp_path / "out.mkv").picture["frames"] == film.SLOW_FRAMES


BREAK = """
import signal, sys, threading, time
from pathlib import Path
from vs_gansr.cli import main

def press():
    ledger = Path(sys.argv[2] + ".gansr") / "ledger.json"
    while not ledger.exists():
        time.sleep(0.1)
    signal.raise_signal(signal.SIGBREAK)

threading.Thread(target=press, daemon=True).start()
sys.exit(main(["upscale", *sys.argv[1:]]))
"""


def test_ctrl_break_is_a_signal_like_ctrl_c(tmp_path: Path, point_model: Path, home: Path) -> None:
    """The process raises the signal itself, as Windows' handler does, because Wine does not send the key."""
    words = film.words(film.source(tmp_path), tmp_path / "out.mkv", point_model)[1:]
    done = subprocess.run([sys.executable, "-c", BREAK, *words, "-q"], capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 128 + 21
    assert one_line(done.stderr).startswith("gansr: interrupted by SIGBREAK; ")
    assert gone(tmp_path), named(tmp_path)
