"""Owns what a finding of `gansr doctor` is; knows no examination."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FAULT", "NOTE", "OK", "Finding"]

OK, NOTE, FAULT = "ok", "note", "fault"


@dataclass(frozen=True)
class Finding:
    """One line of the report: what it is about, "ok", "note" or "fault", what was found, what to do."""

    topic: str
    state: str
    text: str
    fix: str = ""
