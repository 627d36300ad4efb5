"""Run the tests on Windows' Python under Wine: scripts/test --windows [--all] [pytest's arguments]."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .environment import HOME, ROOT, TESTED, digest, environment, tested_with, why_not, windows_path
from .left_out import ALL

SECONDS = 900  # for the fast ones; two quiet cores need less than half of it


def main(words: list[str]) -> int:
    """Returns pytest's exit code; 0 where Wine is missing, which is said."""
    if reason := why_not():
        print(f"The tests on Windows are skipped: {reason}.", file=sys.stderr)
        return 0
    which = ["-m", "not slow"]
    if words[:1] == ["--all"]:
        words, which = words[1:], []
    whole = not words
    if not any(word.startswith("tests") for word in words):
        words = [*words, "tests"]
    words = [windows_path(ROOT / word) if word.startswith("tests") else word for word in words]
    with environment() as wine:
        folder = HOME / "work"  # not the checkout, whose package would be imported instead of the installed one
        folder.mkdir(exist_ok=True)
        wine.variables["WINDOWS_TEST_BITS"] = windows_path(bits_of_linux(folder / "bits.json"))
        command = ["-m", "pytest", "-c", windows_path(ROOT / "pyproject.toml"), "-o", "pythonpath=tests tests/support"]
        command += ["-p", "no:cacheprovider", "-p", "windows.left_out", "--basetemp", windows_path(folder / "tmp")]
        if not which:
            wine.variables[ALL] = "1"
        command += ["-n", "2", *which, *words]
        done = wine.run(wine.python, *command, seconds=SECONDS if which else 10 * SECONDS, cwd=folder, show=True)
        if whole and not done.returncode:
            summary = next(line for line in reversed(done.stdout.splitlines()) if " passed" in line)
            TESTED.write_text("\n".join([digest(next((HOME / "wheel").iterdir())), summary, *tested_with(), ""]))
        return done.returncode


def bits_of_linux(path: Path) -> Path:
    """Writes the checksums of frames that the shipped networks make on this system."""
    subprocess.run([sys.executable, "-m", "windows.bits", str(path)], check=True, timeout=300)
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
