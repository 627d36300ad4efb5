"""Owns what every command shares: its error, its exit codes and how it speaks; knows no command.

Everything is said on stderr, so that stdout stays free for what a command is asked to print.
"""

from __future__ import annotations

import sys

from ..errors import GansrError

__all__ = ["FAILED", "CommandError", "Interrupted", "note", "say"]

FAILED = 1  # argparse exits with 2 for a wrong command line, a signal s with 128 + s


class CommandError(GansrError):
    """What a command cannot do, why and what to do about it, in one line."""


class Interrupted(Exception):
    """The command was ended by a signal. `kept` says what is left of its work."""

    def __init__(self, signum: int, kept: str = "nothing was written") -> None:
        super().__init__(signum)
        self.signum = signum
        self.kept = kept


def say(text: str) -> None:
    """One line on stderr; silent where nobody listens any more."""
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass


def note(text: str) -> None:
    """Something worth knowing that stops nothing."""
    say(f"note: {text}")
