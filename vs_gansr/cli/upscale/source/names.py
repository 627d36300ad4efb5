"""Read the names that the command line has for colours (by ITU-T H.273's numbers) and for kinds of sources."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

__all__ = ["MATRICES", "NUMBERED", "PRIMARIES", "RANGES", "TRANSFERS", "has_times", "is_script", "named", "numbered"]

NUMBERED = re.compile(r"%0?\d*d")  # the place of the number in the names of images

MATRICES = {"rgb": 0, "709": 1, "fcc": 4, "470bg": 5, "170m": 6, "601": 6, "240m": 7, "ycgco": 8, "2020ncl": 9,
            "2020nc": 9, "2020cl": 10, "ictcp": 14}  # fmt: skip
PRIMARIES = {"709": 1, "470m": 4, "470bg": 5, "170m": 6, "240m": 7, "film": 8, "2020": 9, "st428": 10, "st431-2": 11,
             "st432-1": 12, "ebu3213-e": 22}  # fmt: skip
TRANSFERS = {"709": 1, "470m": 4, "470bg": 5, "601": 6, "170m": 6, "240m": 7, "linear": 8, "log100": 9,
             "log316": 10, "xvycc": 11, "srgb": 13, "2020_10": 14, "2020_12": 15, "st2084": 16, "pq": 16, "st428": 17,
             "std-b67": 18, "hlg": 18}  # fmt: skip
RANGES = {"limited": 0, "tv": 0, "full": 1, "pc": 1}


def named(numbers: dict[str, int]) -> Callable[[str], int]:
    """A reader of the names in `numbers` (H.273's numbers), with or without "bt" or "smpte" in front."""

    def number(text: str) -> int:
        if text.isdecimal() and int(text) in numbers.values() and text not in numbers:
            return int(text)
        name = re.sub(r"^(bt|smpte)", "", text.lower())
        if name not in numbers:
            raise ValueError(f'"{text}" is unknown; use one of: {", ".join(numbers)}')
        return numbers[name]

    return number


def is_script(path: str) -> bool:
    """Whether `path` names a VapourSynth script."""
    return path.lower().endswith((".vpy", ".py"))


def numbered(path: str) -> bool:
    """Whether `path` is a pattern of numbered images, as in frames/%05d.png, and no file of that very name."""
    return bool(NUMBERED.search(Path(path).name)) and not Path(path).is_file()


def has_times(path: str) -> bool:
    """Whether the source says itself when each frame is shown."""
    return not is_script(path) and not numbered(path)
