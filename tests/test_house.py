"""The map in the package's docstring is true, functions are short, and names are unique."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from pathlib import Path

from paths import ROOT

import vs_gansr
from vs_gansr.cli import COMMANDS

PACKAGE = Path(vs_gansr.__file__).parent
ENTRY = re.compile(r"(?:^|(?<= {2}))([a-z][a-z0-9_]+(?:, [a-z][a-z0-9_]+)*) {2,}(?=\S)")


def rooms() -> dict[str, set[str]]:
    """What the map names at its top level, each with what it names within."""
    found: dict[str, set[str]] = {}
    room = ""
    for line in (vs_gansr.__doc__ or "").splitlines():
        names = {name for entry in ENTRY.findall(line) for name in entry.split(", ")}
        if re.match(r" {4}\S", line):
            (room,) = names
            found[room] = set()
        elif re.match(r" {8}\S", line):
            found[room] |= names
    return found


def within(folder: Path) -> set[str]:
    """Names of the modules and packages in a package."""
    entries = (entry for entry in folder.iterdir() if not entry.name.startswith(("_", ".")))
    return {entry.stem for entry in entries if entry.suffix == ".py" or (entry / "__init__.py").is_file()}


def test_every_room_is_on_the_map_and_nothing_else() -> None:
    assert set(rooms()) == within(PACKAGE)


def test_what_the_map_names_within_a_room_is_there() -> None:
    named = rooms()
    assert sum(map(len, named.values())) > 30
    assert {room: sorted(names - within(PACKAGE / room)) for room, names in named.items() if names} == {
        room: [] for room, names in named.items() if names
    }


def test_the_map_names_the_commands_in_their_order() -> None:
    assert f"the command `gansr`: {', '.join(COMMANDS)}" in (vs_gansr.__doc__ or "")


def test_no_more_rooms_than_one_can_see() -> None:
    entries = [entry for entry in PACKAGE.iterdir() if entry.name != "__pycache__"]
    assert len(entries) <= 14, sorted(entry.name for entry in entries)


def test_tests_have_names_of_their_own() -> None:
    """Without packages pytest takes two files of one name for the same module and runs neither."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


FOLDERS = ("vs_gansr", "training", "benchmarks", "scripts", "tests")
SOURCES = [path for room in FOLDERS for path in sorted((ROOT / room).rglob("*.py"))]
LONGEST = 60  # lines of a function


def test_functions_are_short() -> None:
    long: dict[str, int] = {}
    for path in SOURCES:
        name = str(path.relative_to(ROOT))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                long |= {f"{name}: {node.name}": length} if length > LONGEST else {}
    assert long == {}


def test_each_class_has_a_name_of_its_own() -> None:
    files = [path for path in SOURCES if path.is_relative_to(PACKAGE)]
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in files]
    names = Counter(node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    assert [name for name, times in names.items() if times > 1] == []


def test_what_is_left_out_on_windows_is_there() -> None:
    lists = tomllib.loads((ROOT / "tests" / "windows" / "left_out.toml").read_text(encoding="utf-8"))
    for name, reason in {**lists["never"], **lists["only-with-all"]}.items():
        file, _, function = name.partition("[")[0].partition("::")
        assert reason and (ROOT / file).exists(), name
        assert f"def {function}(" in (ROOT / file).read_text(encoding="utf-8") if function else True, name
