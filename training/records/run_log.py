"""Write a run's log, log.jsonl, which is only appended to, and its TensorBoard curves."""

from __future__ import annotations

import json
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

LOG = "log.jsonl"
"""Its name in the run's folder."""
Row = dict[str, float]
"""Numbers of one step by name; `step` and `elapsed` (seconds of training) are always among them."""


class RunLog:
    """Adds to the log of a run; a context manager.

    A run that goes on from an earlier step says so in a line of its own (`resumed`): `read` then leaves out what was
    logged after the checkpoint that it goes on from, since those steps are done again.
    """

    def __init__(self, folder: Path, step: int) -> None:
        """Open the log in `folder` for a run that is about to do `step`."""
        path = folder / LOG
        torn = path.is_file() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
        again = path.is_file()
        self._file = path.open("a", encoding="utf-8")
        if again:
            self._file.write(("\n" if torn else "") + json.dumps({"resumed": step}) + "\n")
        self._curves = SummaryWriter(str(folder / "tensorboard"), purge_step=step)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._curves.close()

    def add(self, step: int, elapsed: float, numbers: Row) -> None:
        """Add the numbers of `step`, `elapsed` seconds of training into the run."""
        self._file.write(json.dumps({"step": step, "elapsed": round(elapsed, 2), **numbers}) + "\n")
        self._file.flush()
        for key, value in numbers.items():
            self._curves.add_scalar(key.replace("_", "/", 1), value, step)


def read(path: Path) -> list[Row]:
    """Rows of a run's log, each step once; a line cut short by a kill is left out.

    Raises:
        OSError: there is no such file.
    """
    rows: list[Row] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if "resumed" in row:
            rows = [each for each in rows if each["step"] < row["resumed"] + _measured(each)]
        else:
            rows.append(row)
    return rows


def _measured(row: Row) -> bool:
    """Whether the row is a measurement, which is made before its step is trained, and before the checkpoint."""
    return any(key.startswith("held_") for key in row)


def progress_line(row: Row, done: float, step: int, left: float) -> str:
    """One line for the terminal: a bar for `done` (0 to 1), `step`, `left` seconds to go and the telling numbers."""
    seconds = max(0, round(left))
    bar = ("#" * round(20 * done)).ljust(20, ".")
    telling = " ".join(
        f"{key.removeprefix('loss_')} {row[key]:.4f}"
        for key in ("loss_pixel", "loss_adversarial", "discriminator", "accuracy")
        if key in row
    )
    pace = 1000 * row.get("seconds_per_step", 0)
    return f"[{bar}] {done:4.0%} step {step} {seconds // 60}:{seconds % 60:02d} left, {pace:.0f} ms, {telling}"
