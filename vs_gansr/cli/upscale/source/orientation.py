"""Read how a picture has to be turned to be upright, from a display matrix, and name VapourSynth's calls for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["UPRIGHT", "Orientation", "of_frame", "of_matrix"]

CALLS: dict[tuple[bool, int], tuple[str, ...]] = {
    (False, 0): (),
    (False, 90): ("Turn90",),
    (False, 180): ("Turn180",),
    (False, 270): ("Turn270",),
    (True, 0): ("FlipVertical",),
    (True, 90): ("Transpose",),
    (True, 180): ("FlipHorizontal",),
    (True, 270): ("FlipVertical", "Turn270"),
}


@dataclass(frozen=True)
class Orientation:
    """What makes a picture upright: `flipped` upside down first, then turned clockwise by `degrees`, 0 to 359."""

    flipped: bool = False
    degrees: int = 0

    @property
    def is_square(self) -> bool:
        """Whether the turn is by quarters, so that pixels stay pixels."""
        return self.degrees % 90 == 0

    @property
    def is_sideways(self) -> bool:
        """Whether width and height change places."""
        return self.degrees in (90, 270)

    @property
    def calls(self) -> tuple[str, ...]:
        """The functions of core.std that do it, one after the other; none for a turn that is not by quarters."""
        return CALLS.get((self.flipped, self.degrees), ())


UPRIGHT = Orientation()


def of_matrix(data: bytes) -> Orientation:
    """The orientation that FFmpeg's display matrix asks for: 9 integers of 32 bits in the machine's byte order."""
    a, b, _, c, d = memoryview(data).cast("i")[:5]
    flipped = a * d - b * c < 0
    if flipped:
        b, d = -b, -d
    if not (a or c) or not (b or d):
        return UPRIGHT  # a matrix that flattens the picture
    turned = math.degrees(math.atan2(b / math.hypot(b, d), a / math.hypot(a, c)))  # counterclockwise is negative
    return Orientation(flipped, round(-turned if flipped else turned) % 360)


def of_frame(side_data: Mapping[str, bytes]) -> Orientation:
    """The orientation that a decoded frame carries, from what is beside it by FFmpeg's names."""
    matrix = side_data.get("DISPLAYMATRIX", b"")
    return of_matrix(matrix) if len(matrix) >= 36 else UPRIGHT
