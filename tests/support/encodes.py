"""Run `gansr upscale`, and compare the output with its source."""

from __future__ import annotations

import json
import subprocess
from fractions import Fraction
from pathlib import Path

import footage
from footage import Facts, facts
from gansr_process import Gansr

MILLISECOND = Fraction(1, 1000)


FAST = ["--preset", "ultrafast"]
LOSSLESS = [*FAST, "--params", "lossless=1"]
KEPT = ("matrix", "primaries", "transfer", "range", "siting", "sar", "format", "frames", "interlaced")


def upscale(gansr: Gansr, source: Path, output: Path, model: Path, *words: str) -> Facts:
    """Runs the command and reads its output; the file must be all there is, and readable by others."""
    done = gansr("upscale", source, output, "--model", model, *FAST, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert not list(output.parent.glob(".gansr-*")), "a temporary file is left"
    assert output.stat().st_mode & 0o044, "only the owner could read it"
    return facts(output)


def same_times(before: Facts, after: Facts, place: int, other: int, exact: bool) -> None:
    """Each frame or packet at its time; a whole file may be moved, its tracks not against each other."""
    shift = after.times[0][0] - before.times[0][0]
    assert len(before.times[place]) == len(after.times[other])
    for a, b in zip(before.times[place], after.times[other], strict=True):
        assert abs(b - shift - a) <= (0 if exact else 2 * MILLISECOND)


def frame_hashes(path: Path) -> list[str]:
    """MD5 of every decoded frame's samples."""
    words = [footage.FFMPEG, "-v", "error", "-i", str(path), "-map", "0:v:0", "-fps_mode", "passthrough"]
    listing = subprocess.run([*words, "-f", "framemd5", "-"], capture_output=True, text=True, check=True).stdout
    return [line.split(",")[-1].strip() for line in listing.splitlines() if not line.startswith("#")]


def in_chunks(gansr: Gansr, source: Path, output: Path, model: Path, *words: str) -> Facts:
    """Runs the command in chunks of less than a second; nothing but the output is left."""
    done = gansr("upscale", source, output, "--model", model, "--chunk", "0.6", *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert not list(output.parent.glob("*.gansr")) and not list(output.parent.glob(".gansr-*"))
    return facts(output)


def chunks_of(folder: Path) -> int:
    """How many chunks the ledger counts."""
    ledger = folder / "out.mkv.gansr" / "ledger.json"
    return len(json.loads(ledger.read_text())["chunks"]) if ledger.exists() else 0
