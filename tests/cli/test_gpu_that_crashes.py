"""`gansr upscale` on a GPU that passes its trial and then ends the process that renders, again and again."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import footage
import pytest
from gansr_process import Gansr
from paths import SUPPORT

PROGRAM = f"""
import sys
sys.path.append({str(SUPPORT)!r})
from faulty_gpu import FaultyGpu
from vs_gansr.engine.auto import registry
registry.PROVIDERS.insert(0, FaultyGpu("crash on the way"))
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_chunk_that_crashes_each_time_is_an_error_with_the_remedy(
    gansr: Gansr, tmp_path: Path, point_model: Path
) -> None:
    """A chunk is tried three times; on the CPU, as the error suggests, the film is made."""
    (tmp_path / "sitecustomize.py").write_text(PROGRAM)
    source = footage.plain(tmp_path / "in.mp4", frames=40)
    words = ["upscale", source, tmp_path / "out.mkv", "--model", point_model, "--chunk", "0.6", "--preset", "ultrafast"]
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = gansr(*words, "--provider", "Faulty", env=os.environ | {"PYTHONPATH": path}, timeout=600)
    assert done.returncode == 1, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert "SIGABRT" in last or sys.platform == "win32", last  # which has no signals
    assert "3 times in a row; Faulty computes this film: " in last, last
    assert last.endswith("on the CPU add --provider CPU --restart"), last
    assert done.stderr.count("another worker continues") == 2
    verdicts = json.loads(next(tmp_path.rglob("gpu_trials.json")).read_text())["gpu_trials"].values()
    assert [verdict["failed"] for verdict in verdicts] == [""]
    assert gansr(*words, "--provider", "CPU", "--restart").returncode == 0
    assert (tmp_path / "out.mkv").is_file() and not list(tmp_path.glob("*.gansr"))
