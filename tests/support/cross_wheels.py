"""Run pip, and build the checkout's wheel for another system with a cross compiler."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from paths import ROOT

__all__ = ["build_wheel", "pip"]


def pip(*words: str, **variables: str) -> None:
    """Runs the pip of the Python that runs this; raises SystemExit with pip's messages where it fails."""
    command = [sys.executable, "-m", "pip", *words, "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise SystemExit(f"pip {' '.join(words)} fails:\n{done.stdout}{done.stderr}")


def build_wheel(folder: Path, platform: str) -> Path:
    """Builds the wheel for `platform`, a name in scripts/cross, into `folder`; the same sources give the same file."""
    pattern = f"vs_gansr-*-py3-none-{platform}.whl"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(pattern):
        old.unlink()
    cross = ROOT / "scripts" / "cross" / f"{platform}.ini"
    pip("wheel", "--no-deps", str(ROOT), "-w", str(folder), GANSR_CROSS_FILE=str(cross))
    return next(folder.glob(pattern))
