"""A plugin for pytest that leaves out the tests that left_out.toml names."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

__all__ = ["ALL", "entries"]

ALL = "WINDOWS_TEST_ALL"  # the environment variable that is set for scripts/test --windows --all


def entries() -> dict[str, str]:
    """Reasons by the beginning of a test's name: a folder, a file, or file::test."""
    lists = tomllib.loads(Path(__file__).with_name("left_out.toml").read_text(encoding="utf-8"))
    found: dict[str, str] = lists["never"] | ({} if ALL in os.environ else lists["only-with-all"])
    return found


def covers(entry: str, name: str) -> bool:
    """Whether `entry` is `name`, or a folder, a file or a test without its parameters that `name` belongs to."""
    return name == entry or name.startswith((f"{entry}/", f"{entry}::", f"{entry}["))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if not collection_path.is_relative_to(config.rootpath):
        return None
    name = collection_path.relative_to(config.rootpath).as_posix()
    return True if any(covers(entry, name) for entry in entries()) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = entries()
    out = [item for item in items if any(covers(entry, item.nodeid) for entry in left_out)]
    config.hook.pytest_deselected(items=out)
    items[:] = [item for item in items if item not in out]
