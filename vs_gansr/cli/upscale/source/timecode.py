"""Count SMPTE time codes on: the first frame's time code of a part of a film, or at another rate."""

from __future__ import annotations

import re
from fractions import Fraction

__all__ = ["later"]

DAY = 24 * 60


def later(code: str, frames: int, rate: Fraction, ratio: Fraction = Fraction(1)) -> str:
    """The time code `frames` frames after `code` (`HH:MM:SS:FF`, with `;` before FF where frame numbers are dropped).

    `rate` frames per second that `code` counts · `ratio` frames of the result for one of the source: at another rate
    the number of the frame within its second is scaled. A code of another form is returned as it is.
    """
    match = re.fullmatch(r"(\d\d):(\d\d):(\d\d)([:;.])(\d\d+)", code)
    if not match:
        return code
    hours, minutes, seconds, frame = (int(match[n]) for n in (1, 2, 3, 5))
    nominal = max(1, round(rate))
    dropped = round(nominal / 15) if match[4] != ":" else 0  # numbers left out at each minute but every tenth
    minutes += 60 * hours
    number = (60 * minutes + seconds) * nominal + frame - dropped * (minutes - minutes // 10) + frames
    minute, tens = 60 * nominal - dropped, 600 * nominal - 9 * dropped
    number %= DAY // 10 * tens
    whole, rest = divmod(number, tens)
    if dropped and rest >= 60 * nominal:  # the first of ten minutes has all its numbers
        number += dropped * (1 + (rest - 60 * nominal) // minute)
    number += 9 * dropped * whole
    seconds, frame = divmod(number, nominal)
    sign = match[4] if ratio == 1 else ":"
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{sign}{int(frame * ratio):02}"
