"""What unfinished films and indexes leave behind has a limit, and a command that deletes it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from vs_gansr.cli import main
from vs_gansr.cli.upscale.chunks.ledger import Ledger, locked
from vs_gansr.cli.upscale.source.index import index_folder, limit


def left_behind(folder: Path, days: float) -> Path:
    """A job folder with 1000 bytes of chunks, in which nothing was written for so many days."""
    folder.mkdir(parents=True)
    Ledger(folder).save()
    (folder / "chunk-00000.mp4").write_bytes(bytes(1000))
    then = time.time() - 86400 * days
    for path in folder.iterdir():
        os.utime(path, (then, then))
    return folder


def test_old_chunks_are_deleted_and_others_are_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = left_behind(tmp_path / "a.mkv.gansr", 31), left_behind(tmp_path / "b.mkv.gansr", 29)
    busy, foreign = left_behind(tmp_path / "c.mkv.gansr", 99), tmp_path / "d.mkv.gansr"
    foreign.mkdir()
    (foreign / "mine.txt").touch()
    with locked(busy):
        assert main(["status", str(tmp_path), "--clear-chunks"]) == 0
    assert [path.exists() for path in (old, new, busy, foreign / "mine.txt")] == [False, True, True, True]
    assert f"{old}: 0.0 MB deleted" in capsys.readouterr().out
    assert main(["status", str(tmp_path), "--clear-chunks", "10"]) == 0
    assert not new.exists()
    assert main(["status", str(tmp_path / "x.mkv"), "--clear-chunks"]) == 1


def test_indexes_have_a_limit_and_are_deleted(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = []
    for n in range(4):
        source = tmp_path / f"{n}.mkv"
        source.write_bytes(bytes([n]) * 100)
        folders.append(index_folder(str(source)))
        folders[n].mkdir(parents=True)
        (folders[n] / "index").write_bytes(bytes(1000))
        os.utime(folders[n], (n + 1, n + 1))
    place = folders[0].parent.parent
    limit(place, folders[0], 2500)
    assert [folder.exists() for folder in folders] == [True, False, True, True], "the one in use stays"
    index_folder(str(tmp_path / "2.mkv"))  # and is the newest now
    limit(place, folders[2], 1000)
    assert [folder.exists() for folder in folders] == [False, False, True, False]
    assert main(["status", "--clear-index"]) == 0
    assert not folders[2].exists() and "indexes: 0.0 MB deleted" in capsys.readouterr().out
