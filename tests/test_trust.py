"""Nothing phones home, nothing is written where nobody looks, and a fork is refused instead of hanging."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import footage
import pytest

TRACED = "trace=connect,sendto,sendmsg,sendmmsg,open,openat,creat,mkdir,mkdirat"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A home of its own, in which nobody has said anything about telemetry."""
    for name in ("home", "temporary"):
        (tmp_path / name).mkdir()
    own = {name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "XDG_"))}
    return own | {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "temporary")}


def files(folder: Path) -> set[str]:
    """All files below, by their path in it."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_an_encode_writes_and_asks_for_nothing_else(
    environment: dict[str, str], tmp_path: Path, point_model: Path
) -> None:
    source, output = footage.plain(tmp_path / "in.mp4", frames=3), tmp_path / "results" / "out.mkv"
    output.parent.mkdir()
    log = tmp_path / "strace.log"
    traced = [shutil.which("strace"), "-f", "--seccomp-bpf", "-qq", "-e", TRACED, "-o", str(log)]
    gansr = [sys.executable, "-m", "vs_gansr", "upscale", str(source), str(output), "--model", str(point_model)]
    words = [*(traced if traced[0] else []), *gansr, "--preset", "ultrafast"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    left = files(tmp_path / "home")
    assert not [path for path in left if "telemetry" in path.lower() or "Microsoft" in path or ".onnxruntime" in path]
    assert all(path.startswith(".cache/") for path in left), left
    assert files(output.parent) == {"out.mkv"}
    if not traced[0]:
        pytest.skip("strace is not installed; files were looked at, network calls were not")
    calls = log.read_text(errors="replace")
    assert "openat(" in calls
    assert not re.findall(r".*\b(?:AF_INET6?|sin_port).*", calls)
    allowed = tuple(map(str, (tmp_path / "home" / ".cache", output.parent, tmp_path / "temporary", "/dev", "/proc")))
    written = re.findall(r'open(?:at)?\((?:AT_FDCWD, )?"([^"]+)", O_(?:WRONLY|RDWR)\S* ?[^=]*= \d', calls)
    made = re.findall(r'mkdir(?:at)?\((?:AT_FDCWD, )?"([^"]+)", \d+\) = 0', calls)
    strange = [path for path in [*written, *made] if not path.startswith(allowed) and "__pycache__" not in path]
    assert not strange


def test_telemetry_is_the_user_s_to_turn_on(environment: dict[str, str]) -> None:
    words = [sys.executable, "-c", "import os, vs_gansr; print(os.environ['ORT_DISABLE_TELEMETRY'])"]
    for given, kept in ({}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0"):
        assert subprocess.run(words, env=environment | given, capture_output=True, text=True).stdout.strip() == kept


FORK = """
import os, sys, vapoursynth as vs
clip = vs.core.std.BlankClip(format=vs.GRAYS, width=16, height=16, length=1)
clip.gansr.Upscale(sys.argv[1]).get_frame(0)
child = os.fork()
if child == 0:
    try:
        clip.gansr.Upscale(sys.argv[1])
    except vs.Error as error:
        os.write(1, str(error).encode())
    os._exit(0)
os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
def test_a_forked_process_is_refused(point_model: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FORK, point_model], capture_output=True, text=True, timeout=30)
    assert done.stdout.startswith("Upscale: this process was forked") and "spawn" in done.stdout, done.stderr
