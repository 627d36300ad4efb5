"""scripts/env: which Python it uses and when it installs; the Pythons here only record their arguments."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
READ = ("pyproject.toml", "hatch_build.py", "meson.build", "vs_gansr/native/gansr.c", "scripts/env")
TOOLS = ("bash", "cat", "cksum", "cp", "dirname", "mkdir", "tr")

OLD = "#!/usr/bin/env bash\nexit 1\n"
FIT = """#!/usr/bin/env bash
echo "$(basename "$0") $*" >> "$LOG"
if [ "$1 $2" = "-m venv" ]; then
    mkdir -p "$3/bin"
    cp "$0" "$3/bin/python"
    cp "$0" "$3/bin/pip"
fi
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what scripts/env reads, beside a folder `bin` that is the whole path."""
    for name in READ:
        (tmp_path / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / "clone" / name)
    (tmp_path / "bin").mkdir()
    for tool in (*TOOLS, "basename"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or pytest.fail(f"no {tool}"))
    return tmp_path


def python(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def source(checkout: Path, *extras: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Sources scripts/env; stdout is the Python it chose."""
    environment = {"PATH": str(checkout / "bin"), "HOME": str(checkout), "LOG": str(checkout / "log"), **more}
    command = [str(checkout / "bin/bash"), "-c", f'set -euo pipefail\n. scripts/env {" ".join(extras)}\necho "$PY"']
    return subprocess.run(command, cwd=checkout / "clone", env=environment, capture_output=True, text=True)


def log(checkout: Path) -> list[str]:
    path = checkout / "log"
    lines = path.read_text().splitlines() if path.exists() else []
    path.write_text("")
    return [line for line in lines if " -c " not in line]


@pytest.mark.parametrize(
    "where", ["bin/python3.12", "bin/python3.13", "bin/python3.14", ".pyenv/versions/3.13.0/bin/python3"]
)
def test_a_python_that_is_new_enough_is_found_behind_an_old_one(checkout: Path, where: str) -> None:
    python(checkout / "bin/python3", OLD)
    python(checkout / "bin/python", OLD)
    python(checkout / where, FIT)
    done = source(checkout, "demo")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(checkout / "clone/.venv/bin/python")
    assert log(checkout)[0] == f"{Path(where).name} -m venv .venv"


def test_none_is_an_error_that_says_what_to_do(checkout: Path) -> None:
    python(checkout / "bin/python3", OLD)
    done = source(checkout, "demo")
    assert done.returncode == 1
    assert "No Python >= 3.12" in done.stderr
    assert not (checkout / "clone/.venv").exists()


def test_installs_once_and_again_when_the_build_changes(checkout: Path) -> None:
    python(checkout / "bin/python3", FIT)
    assert source(checkout, "test", "train").returncode == 0
    assert any("pip install" in line and line.endswith("-e .[test,train]") for line in log(checkout))
    assert source(checkout, "train").returncode == 0
    assert log(checkout) == []  # there already
    assert source(checkout, "demo").returncode == 0
    assert any(line.endswith("-e .[demo]") for line in log(checkout))
    shim = checkout / "clone/vs_gansr/native/gansr.c"
    shim.write_text(shim.read_text() + "\n")
    assert source(checkout, "train").returncode == 0
    assert any(line.endswith("-e .[train]") for line in log(checkout))


def test_an_environment_cut_short_is_made_again(checkout: Path) -> None:
    python(checkout / "bin/python3", FIT)
    python(checkout / "clone/.venv/bin/python", OLD)
    assert source(checkout, "demo").returncode == 0
    assert log(checkout)[0] == "python3 -m venv .venv"


def test_a_named_interpreter_is_taken_as_it_is(checkout: Path) -> None:
    done = source(checkout, "demo", GANSR_PYTHON="/somewhere/bin/python")
    assert (done.stdout, done.returncode) == ("/somewhere/bin/python\n", 0)
    assert log(checkout) == []
    assert not (checkout / "clone/.venv").exists()


@pytest.mark.parametrize("script", ["demo", "test", "check", "soak", "train", "export", "evaluate", "bench"])
def test_scripts_are_sound_shell(script: str) -> None:
    path = ROOT / "scripts" / script
    assert os.access(path, os.X_OK)
    assert subprocess.run(["bash", "-n", str(path)]).returncode == 0
    text = path.read_text()
    assert text.startswith("#!/usr/bin/env bash\n") and "set -euo pipefail" in text


def test_the_fast_tests_and_all(tmp_path: Path) -> None:
    told = tmp_path / "python"
    told.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    told.chmod(0o755)

    def words(*arguments: str) -> tuple[list[str], str]:
        command = [str(ROOT / "scripts" / "test"), *arguments]
        environment = os.environ | {"GANSR_PYTHON": str(told)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.split("|")[:-1], done.stderr

    start = [
        "-m",
        "pytest",
        "-n",
        str(os.sysconf("SC_NPROCESSORS_ONLN") + 1),
        "--maxprocesses",
        "4",
        "--dist",
        "worksteal",
    ]
    asked, said = words("-k", "gray 16")
    left = [word.removeprefix("--ignore=") for word in asked if word.startswith("--ignore=")]
    assert asked == [*start, "-m", "not slow", *(f"--ignore={path}" for path in left), "-k", "gray 16"]
    assert {"tests/training", "tests/benchmarks", "tests/cli/test_converter.py"} <= set(left)
    assert all((ROOT / path).exists() for path in left)
    assert said == f"Left out: tests marked slow, {' '.join(left)}; scripts/test --all runs them.\n"
    assert words("--all", "tests/cli") == ([*start, "tests/cli"], "")
    assert words("--all") == ([*start, "-m", "windows", "--short"], "")  # at the same time, shown in this order
    assert words("--windows", "--all") == (["-m", "windows", "--all"], "")
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("scripts/check\nscripts/test --all")
