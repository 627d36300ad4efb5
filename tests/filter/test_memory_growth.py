"""Memory stays level over 2,000 frames and over 200 evaluations of a script; see scripts/soak."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import networks
import pytest
from paths import ROOT, SUPPORT
from soak import watch


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return networks.compact(tmp_path_factory.mktemp("soak") / "small.onnx", features=8, convs=4)


# Frames of a size at which the process has its level within the first tenth; smaller ones take some thousand frames.
FRAMES = ["frames", "--frames", "2000", "--settle", "0", "--size", "640", "360"]
EVALUATIONS = ["evaluations", "--evaluations", "200", "--size", "160", "90"]


@pytest.mark.timeout(900)
@pytest.mark.slow
@pytest.mark.parametrize("run", [FRAMES, EVALUATIONS], ids=["frames", "evaluations"])
def test_memory_grows_by_less_than_two_percent(run: list[str], network: Path) -> None:
    command = [sys.executable, "-m", "soak", *run, "--model", str(network)]
    path = os.pathsep.join(map(str, [ROOT / "tests", SUPPORT, ROOT]))  # as scripts/soak gives it
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2,000 in" in done.stdout or "200 in" in done.stdout


def lines(process: subprocess.Popen[bytes]) -> Iterator[None]:
    assert process.stdout is not None
    for _ in process.stdout:
        yield


@pytest.mark.slow
@pytest.mark.parametrize(("leak", "early"), [(0, 0), (40_000, 0), (0, 40_000)])
def test_a_leak_is_seen(leak: int, early: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A test of the test: a process of some 25 MiB that keeps 40 KB a step is caught, one that keeps none is not, nor
    one that keeps them while it settles."""
    step = f"kept.append(bytearray({early} if n < 100 else {leak})); print(n, flush=True); time.sleep(0.004)"
    code = f"import time\nkept = []\nfor n in range(500): {step}\ntime.sleep(1)"  # outlives whoever is reading
    held = watch.run("steps", [sys.executable, "-c", code], lines, watch.Bound(400, settle=100))
    assert held is (leak == 0)
    assert "steps: 400 after 100 to settle in" in capsys.readouterr().out


def test_a_run_that_ends_early_fails(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="3 of 400"):
        watch.run("steps", [sys.executable, "-c", "print(1); print(2); print(3)"], lines, watch.Bound(400))
