"""Files are whole or absent: the old one stays where writing fails, and nothing is left beside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vs_gansr.train.files import write_whole


@pytest.mark.parametrize("content", ["grün\n", b"\x00\xff", memoryview(b"abc")])
def test_content_arrives_and_folders_are_made(tmp_path: Path, content: str | bytes | memoryview) -> None:
    target = tmp_path / "a" / "b.bin"
    for _ in range(2):
        write_whole(target, content)
    assert target.read_bytes() == (content.encode() if isinstance(content, str) else bytes(content))
    assert [path.name for path in target.parent.iterdir()] == ["b.bin"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_refusal_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    target = tmp_path / "b.txt"
    write_whole(target, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync", full) if call == "fsync" else (Path, "replace", full)))
    with pytest.raises(OSError, match="No space left"):
        write_whole(target, "new")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["b.txt"]
