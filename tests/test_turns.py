"""The turns of pytest's workers: shared ones run together, exclusive ones alone, and none is overtaken."""

from __future__ import annotations

import threading
from pathlib import Path

import turns

PATIENCE = 0.2  # seconds in which something that may happen would have


class Worker(threading.Thread):
    """Takes a turn and keeps it until it is told to go."""

    def __init__(self, folder: Path, alone: bool) -> None:
        super().__init__(daemon=True)
        self.folder, self.alone = folder, alone
        self.inside, self.leave = threading.Event(), threading.Event()
        self.start()

    def run(self) -> None:
        with turns.turn(self.folder, self.alone):
            self.inside.set()
            self.leave.wait(30)


def test_those_that_share_run_together_and_one_alone_waits_its_turn(tmp_path: Path) -> None:
    first, second = Worker(tmp_path, alone=False), Worker(tmp_path, alone=False)
    assert first.inside.wait(30)
    assert second.inside.wait(30)

    alone = Worker(tmp_path, alone=True)
    first.leave.set()
    assert not alone.inside.wait(PATIENCE), "beside another"
    late = Worker(tmp_path, alone=False)
    assert not late.inside.wait(PATIENCE), "it overtook"
    second.leave.set()
    assert alone.inside.wait(30)
    assert not late.inside.wait(PATIENCE), "beside one that is alone"

    alone.leave.set()
    assert late.inside.wait(30)
    late.leave.set()
