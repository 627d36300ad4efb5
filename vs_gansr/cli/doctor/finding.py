"""A finding of `gansr doctor`."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FAULT", "NOTE", "OK", "Finding"]

OK, NOTE, FAULT = "ok", "note", "fault"


@dataclass(frozen=True)
class Finding:
    """One line of the report: its topic, its state ("ok", "note" or "fault"), its text, and the remedy if there is
    one.
    """

    topic: str
    state: str
    text: str
    fix: str = ""
