"""What all commands share: the base exception, exit codes and messages.

All messages go to stderr, so that stdout holds only what a command is asked to print.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator

from ..errors import GansrError

__all__ = ["FAILED", "CommandError", "Interrupted", "note", "say", "silenced"]

FAILED = 1  # argparse exits with 2 for a wrong command line, a signal s with 128 + s


class CommandError(GansrError):
    """A command cannot do something. The message says why and names the remedy, in one line."""


class Interrupted(Exception):
    """A signal ended the command. `kept` says what is left of its work."""

    def __init__(self, signum: int, kept: str = "nothing was written") -> None:
        super().__init__(signum)
        self.signum = signum
        self.kept = kept


def say(text: str) -> None:
    """Write one line to stderr; do nothing if stderr is closed."""
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass


def note(text: str) -> None:
    """Write a note: information that stops nothing."""
    say(f"note: {text}")


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Discard everything written to stdout and stderr, by native code too, all warnings and all logging."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for target, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, target)
            os.close(copy)
        os.close(nowhere)
        logging.disable(level)
