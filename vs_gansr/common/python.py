"""Find the Python interpreter that runs this program's modules in a process of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["environment", "interpreter"]


def interpreter() -> str | None:
    """The interpreter's file; None if it is not found, as in a host that has Python built in."""
    places = (Path(sys.prefix), Path(sys.base_prefix))
    names = ("python.exe",) if sys.platform == "win32" else ("bin/python3", "bin/python")
    candidates = [Path(sys.executable or "")] if "python" in Path(sys.executable or "").name.lower() else []
    candidates += [place / name for place in places for name in names]
    return next((str(file) for file in candidates if file.is_file()), None)


def environment() -> dict[str, str]:
    """The environment in which the interpreter finds the same modules as this process."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}
