"""Run the tests with Windows' Python under Wine: scripts/test --windows [--all | --short] [pytest's arguments]."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from paths import ROOT

from . import bits
from .environment import HOME, TESTED, digest, environment, tested_with, why_not, windows_path
from .left_out import ALL, covers

TIMED_OUT = 124  # the exit code of `timeout`, which Wine.run uses
SECONDS = 900  # for one test
WORKERS = str(min((os.cpu_count() or 1) + 1, 4))  # one more than processors: many tests wait for others
SHORT_WORKERS = "2"  # beside those of Linux
ALL_SECONDS = {"": 5400, "--short": 2400, "--all": 14400}  # two quiet cores need a tenth of it
BITS = "tests/windows/test_bits.py::test_same_as_on_linux"
# What scripts/test --all runs here: what is different on Windows, and a network on each engine.
SHORT = (
    *(f"{BITS}[fast-2x-{engine}-YUV420P8]" for engine in ("CPU-fp32", "CPU-int8", "OpenVINO-fp32", "OpenVINO-int8")),
    "tests/windows/test_ended.py",
    "tests/windows/test_held.py",
    "tests/windows/test_paths.py",
    "tests/windows/test_programs.py",
    "tests/windows/test_text.py",
    "tests/common/test_files.py",
)


def main(words: list[str]) -> int:
    """Runs the tests that `words` choose and returns pytest's exit code; 0 where Wine is missing, which is said."""
    if reason := why_not():
        print(f"The tests on Windows are skipped: {reason}.", file=sys.stderr)
        return 0
    choice, words = (words[0], words[1:]) if words[:1] in (["--all"], ["--short"]) else ("", words)
    whole = not words and choice != "--short"
    tests = [word.rstrip("/") for word in words if word.startswith("tests")]
    words = [word for word in words if not word.startswith("tests")]
    if not tests:
        tests = list(SHORT) if choice == "--short" else ["tests"]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # Wine's programs are ended first
    begun = time.monotonic()
    with environment() as wine:
        made = time.monotonic() - begun
        begun = time.monotonic()
        folder = HOME / "work"  # not the checkout, whose package would be imported instead of the installed one
        folder.mkdir(exist_ok=True)
        wine.variables["WINDOWS_TEST_BITS"] = windows_path(bits_of_linux(folder / "bits.json", tests))
        command = ["-m", "pytest", "-c", windows_path(ROOT / "pyproject.toml"), "-o", "pythonpath=tests tests/support"]
        command += ["-p", "no:cacheprovider", "-p", "windows.left_out", "--basetemp", windows_path(folder / "tmp")]
        command += ["-o", f"timeout={SECONDS}"]
        command += ["-n", SHORT_WORKERS if choice == "--short" else WORKERS]
        command += [*([] if choice == "--all" else ["-m", "not slow"]), *words]
        if choice == "--all":
            wine.variables[ALL] = "1"
        command += [windows_path(ROOT / test) for test in tests]
        done = wine.run(wine.python, *command, seconds=(seconds := ALL_SECONDS[choice]), cwd=folder, show=True)
        if whole and not done.returncode:
            summary = next(line for line in reversed(done.stdout.splitlines()) if " passed" in line)
            TESTED.write_text("\n".join([digest(next((HOME / "wheel").iterdir())), summary, *tested_with(), ""]))
        took = time.monotonic() - begun
        late = f"; ended after {seconds} s, before they had finished" if done.returncode == TIMED_OUT else ""
        print(f"Windows: {made:.0f} s for the environment, {took:.0f} s for the tests{late}.", file=sys.stderr)
        return done.returncode


def bits_of_linux(path: Path, tests: list[str]) -> Path:
    """Writes the checksums that the frames of test_bits.py have on this system, of the cases that `tests` hold."""
    cases = [str(case) for case in bits.CASES if any(covers(test, f"{BITS}[{case}]") for test in tests)]
    subprocess.run([sys.executable, "-m", "windows.bits", str(path), *cases], check=True, timeout=SECONDS)
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
