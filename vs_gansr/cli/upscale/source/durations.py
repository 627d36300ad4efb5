"""Find when the frames of a script are shown, from the durations that its frames carry and the rate of its clip."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import vapoursynth as vs

__all__ = ["FrameTimes", "duration_of", "frame_durations", "frame_times"]

ROUNDING = Fraction(2, 1000)  # seconds; containers that round to milliseconds move a frame by less
FINEST = 1_000_000_000  # parts of a second that a time base may have
SAMPLED = 48  # frames that are looked at where not all are


@dataclass(frozen=True)
class FrameTimes:
    """`timestamps` times `time_base` is when each frame is shown, in seconds from the first; `end` when the last frame
    is over. `constant` is True where the frames follow each other at one rate; `note` is worth telling, or empty."""

    timestamps: tuple[int, ...]
    time_base: Fraction
    end: Fraction
    constant: bool
    note: str = ""


def duration_of(props: Mapping[str, Any]) -> Fraction | None:
    """How long the frame is shown, in seconds; None where its properties do not say."""
    number, parts = int(props.get("_DurationNum", 0)), int(props.get("_DurationDen", 0))
    return Fraction(number, parts) if number > 0 and parts > 0 else None


def frame_durations(clip: vs.VideoNode, whole: bool) -> list[Fraction | None]:
    """The duration of every frame, for which each frame is computed once.

    Without `whole` a sample of the frames is looked at first, and the others only where these vary.
    """
    count = clip.num_frames
    if not whole and count > SAMPLED:
        sample = []
        for place in range(SAMPLED):
            with clip.get_frame(place * (count - 1) // (SAMPLED - 1)) as frame:
                sample.append(duration_of(frame.props))
        if len({duration for duration in sample[:-1] if duration}) <= 1:  # sources do not know the last frame's
            return [sample[0]] * count
    return [duration_of(frame.props) for frame in clip.frames(close=True)]


def frame_times(durations: Sequence[Fraction | None], rate: Fraction) -> FrameTimes | None:
    """When frames of these `durations` are shown in a clip of `rate` frames a second, 0 where that varies.

    Frames that do not say how long they are shown last as long as the one before them. The rate is kept where no frame
    is moved by it noticeably, and where all frames last equally long. None where neither says anything.
    """
    known = next((duration for duration in durations if duration), None)
    usual = known or (1 / rate if rate else None)
    if usual is None:
        return None
    last = 1 / rate if rate and durations[0] is None else usual
    lengths = []
    for duration in durations:
        last = duration or last
        lengths.append(last)
    pace = 1 / rate if rate else usual
    even = FrameTimes(tuple(range(len(lengths))), pace, len(lengths) * pace, constant=True)
    if len(set(lengths)) == 1:
        if lengths[0] != pace:
            told = f"every frame says it lasts {lengths[0]} s, but the clip's rate is {rate}; the rate counts"
            return FrameTimes(even.timestamps, pace, even.end, constant=True, note=told)
        return even
    shown = [Fraction(0)]
    for length in lengths:
        shown.append(shown[-1] + length)
    if rate and all(abs(time - n * pace) < ROUNDING for n, time in enumerate(shown)):
        return even
    parts = min(math.lcm(*(time.denominator for time in shown)), FINEST)
    note = f"frames last from {min(lengths)} to {max(lengths)} s, and each keeps its own time"
    stamps = tuple(round(time * parts) for time in shown[:-1])
    return FrameTimes(stamps, Fraction(1, parts), shown[-1], constant=False, note=note)
