"""Test whether vspipe, and so every other script host, starts a script of one frame."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path

from ...errors import one_line

__all__ = ["find", "trouble"]

SCRIPT = "import vapoursynth as vs\nvs.core.std.BlankClip(length=1).set_output()\n"
SECONDS = 60.0


def find() -> Path | None:
    """Return the vspipe that a shell starts, else the one among this Python's programs; None if there is none."""
    found = shutil.which("vspipe") or shutil.which("vspipe", path=sysconfig.get_path("scripts"))
    return Path(found) if found else None


def trouble(program: Path) -> str:
    """Return why `program` does not run a script; "" if it does."""
    with tempfile.TemporaryDirectory(prefix="gansr-") as folder:
        script = Path(folder) / "one_frame.vpy"
        script.write_text(SCRIPT, encoding="utf-8")
        try:
            done = subprocess.run(
                [program, script, "."],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return one_line(error)
    if done.returncode == 0:
        return ""
    return one_line(RuntimeError(done.stderr)) if done.stderr.strip() else f"exit code {done.returncode}"
