"""gansr's output on Windows is readable under every code page, and no letter makes gansr fail."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import footage
import pytest
from command_fixtures import SECONDS
from encodes import FAST
from gansr_process import Gansr, command
from pseudo_console import PseudoConsole

NAME = "é 日本 😀.mkv"

# Sets the code page of its console and runs a command whose output is redirected.
INSIDE = """
import ctypes, subprocess, sys
from pathlib import Path
page, result, *words = sys.argv[1:]
assert ctypes.windll.kernel32.SetConsoleOutputCP(int(page))
done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
Path(result).write_bytes(done.stdout)
sys.exit(done.returncode)
"""


def escaped(text: str, encoding: str) -> str:
    return text.encode(encoding, "backslashreplace").decode(encoding)


@pytest.mark.parametrize("page", [437, 1252, 65001])
def test_redirected_in_a_console_of_any_code_page(page: int, tmp_path: Path, point_model: Path, home: Path) -> None:
    source = footage.plain(tmp_path / "in é.mp4", frames=3)
    words = command("upscale", source, tmp_path / NAME, "--model", point_model, *FAST)
    inside = [sys.executable, "-c", textwrap.dedent(INSIDE), str(page), str(tmp_path / "said"), *words]
    with PseudoConsole(inside) as console:
        assert console.wait(SECONDS) == 0, bytes(console.shown)
    assert (tmp_path / NAME).is_file()
    said = (tmp_path / "said").read_bytes().decode(f"cp{page}")
    assert f"{escaped(NAME, f'cp{page}')}: 3 frames" in said


def test_without_a_console_it_is_utf8(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    source = footage.plain(tmp_path / "in é.mp4", frames=3)
    done = gansr("upscale", source, tmp_path / NAME, "--model", point_model, *FAST)
    assert done.returncode == 0, done.stderr
    assert f"{NAME}: 3 frames" in done.stderr


def test_a_narrow_encoding_of_the_users_choice_fails_nothing(
    gansr: Gansr, tmp_path: Path, point_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    source = footage.plain(tmp_path / "in é.mp4", frames=3)
    done = gansr("upscale", source, tmp_path / NAME, "--model", point_model, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert escaped(NAME, "ascii") in done.stdout
    told = gansr("upscale", source, tmp_path / NAME, "--model", point_model, "--progress", "json", *FAST)
    assert json.loads(told.stdout.splitlines()[-1])["output"].endswith(NAME)


def test_a_printed_script_runs_from_whatever_the_shell_made_of_it(
    gansr: Gansr, tmp_path: Path, point_model: Path
) -> None:
    source = footage.plain(tmp_path / f"in {NAME}", frames=3)
    printed = gansr("upscale", source, tmp_path / "out.mkv", "--model", point_model, "--script-only")
    assert printed.returncode == 0 and printed.stdout.isascii(), printed.stderr
    (tmp_path / "script.vpy").write_text(printed.stdout, "ascii")
    done = gansr("upscale", tmp_path / "script.vpy", tmp_path / "out.mkv", "--as-is", *FAST)
    assert done.returncode == 0, done.stderr
    assert footage.facts(tmp_path / "out.mkv").picture["frames"] == 3


def test_a_console_gets_letters_whatever_its_code_page(tmp_path: Path, home: Path) -> None:
    """`gansr` in cmd writes Unicode to the console itself."""
    with PseudoConsole(
        ["cmd", "/c", subprocess.list2cmdline(command("upscale", tmp_path / "é.mkv", "out.mkv"))]
    ) as shell:
        assert shell.wait(SECONDS) == 1
    assert "UnicodeEncodeError" not in shell.shown.decode(errors="replace")
