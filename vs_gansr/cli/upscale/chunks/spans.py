"""Find where a film is cut into chunks; arithmetic on frame numbers.

A plan depends on the source and on the length asked for alone, never on the machines that work on it, so any number
of workers makes the same chunks. The encoder restarts at every cut: a scene change, where it would start anew
anyway, costs nothing.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise

from ..source.media import Source

__all__ = ["Span", "pace", "scene_changes", "spans"]

SLACK = 0.25  # how far a cut may lie from where it was due, in chunks
SPARE = 1.5  # a rest of up to so many chunks stays whole

type Span = tuple[int, int]
"""First frame, and the one after the last."""


def spans(total: int, length: int, cuts: Iterable[int] = ()) -> tuple[Span, ...]:
    """Frames 0 to `total` in chunks of about `length`, cut at the nearest of `cuts` where one is near enough.

    `length` 0 means one chunk. Each chunk has at least one frame; together they have each frame once, in order.
    """
    if total < 1:
        raise ValueError(f"spans: {total} frames cannot be cut")
    places = sorted(set(cuts))
    made, start = [], 0
    while length and total - start > SPARE * length:
        due = start + length
        low, high = (bisect.bisect_left(places, due + side * SLACK * length) for side in (-1, 1))
        end = min(places[low:high], key=lambda place: abs(place - due), default=due)
        made.append((start, end))
        start = end
    return (*made, (start, total))


def scene_changes(source: Source, timestamps: Sequence[int]) -> list[int]:
    """Frames that the source's encoder took for the first of a scene: key frames that came before they were due.

    Nothing is decoded for it. `timestamps` are those of the frames, in the source's time base.
    """
    place = {time: n for n, time in enumerate(timestamps)}
    keys = [place[time] for time in source.keys if time in place]
    due = max((b - a for a, b in pairwise(keys)), default=0)
    return [b for a, b in pairwise(keys) if b - a < due]


def pace(timestamps: Sequence[int], time_base: Fraction) -> Fraction:
    """Frames per second on average, as a plain number that encoders take; 25 for a single frame."""
    if len(timestamps) < 2:
        return Fraction(25)
    rate = (len(timestamps) - 1) / ((timestamps[-1] - timestamps[0]) * time_base)
    return rate.limit_denominator(1001)
