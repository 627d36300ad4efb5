"""Read the values of single options; an argparse.ArgumentTypeError or ValueError says what is wrong."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any

__all__ = ["amount", "moment", "positive", "ratio", "reads", "seconds"]


def reads(function: Callable[[str], Any]) -> Callable[[str], Any]:
    """`function` for argparse, which shows the reason of a ValueError only in this form."""

    def read(text: str) -> Any:
        try:
            return function(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read


def moment(text: str) -> float:
    """Seconds, from `90`, `90.5`, `90s`, `1:30` or `0:01:30.5`."""
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d+)?s?", text):
        raise ValueError(f'"{text}" is not a time; write 90, 1:30 or 0:01:30.5')
    seconds = 0.0
    for part in text.rstrip("s").split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


def ratio(text: str) -> str:
    """`16:11` or `24000/1001` as Fraction takes it."""
    if not re.fullmatch(r"[1-9]\d*([:/][1-9]\d*|\.\d+)?", text):
        raise ValueError(f'"{text}" is not a ratio; write 16:11 or 24000/1001')
    return text.replace(":", "/")


def within(kind: type[int] | type[float], least: float, most: float, what: str) -> Callable[[str], Any]:
    """A reader of numbers from `least` to `most`, which are `what`."""

    def number(text: str) -> int | float:
        if not least <= (found := kind(text)) <= most:
            raise argparse.ArgumentTypeError(f"{text} is not {what}")
        return found

    return number


amount = within(float, 0, 100, "from 0 to 100")
positive = within(int, 1, float("inf"), "above 0")
seconds = within(float, 0, 999_999, "a length in seconds")
