"""The shipped networks give the same bits on Windows as on Linux."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from windows import bits


@pytest.fixture(scope="module")
def linux() -> dict[str, str]:
    """What scripts/test --windows has found on Linux before: checksums by case."""
    path = os.environ.get("WINDOWS_TEST_BITS")
    assert path, "scripts/test --windows makes them"
    found: dict[str, str] = json.loads(Path(path).read_text())
    return found


@pytest.mark.parametrize("case", bits.CASES, ids=str)
def test_same_as_on_linux(case: bits.Case, linux: dict[str, str]) -> None:
    assert case.checksum() == linux[str(case)]
