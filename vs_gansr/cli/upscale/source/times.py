"""Find when pictures are shown where the container does not say so itself, and count SMPTE time codes on.

AVI says at which tick of the clock each packet is decoded, and nothing else. Decoders and demuxers then invent times of
presentation, each by its own rules; here they follow from the packets alone (`display_times`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

import vapoursynth as vs

from .media import Source
from .notes import fraction_of
from .stream import decoded

__all__ = ["NO_TIME", "FrameTimes", "frame_durations", "frame_times", "later", "settled"]

NO_TIME = -(1 << 63)  # BestSource's sign for a frame without a timestamp


def settled(source: Source, timestamps: Sequence[int]) -> tuple[int, ...]:
    """The times of the decoded frames, by the same clock as those of the packets.

    `timestamps` are BestSource's, NO_TIME where it knows none. They stay as they are where the container says itself
    when its pictures are shown and each frame has a time. Else the packets say it: each has a frame where there are as
    many of both; where there are fewer frames the file is decoded once to see which packets give one.
    """
    stamps = tuple(timestamps)
    if not source.packets or (NO_TIME not in stamps and not source.inferred):
        return stamps
    if len(stamps) == len(source.packets):
        return source.packets
    times = decoded_times(source) if source.inferred else ()
    return times if len(times) == len(stamps) else stamps


def decoded_times(source: Source) -> tuple[int, ...]:
    """When the pictures that can be decoded are shown, by the packets with which the decoder gives them."""
    following = dict(pairwise(source.packets))
    times: list[int] = []
    for frame in decoded(source.path, source.video.index):
        time = frame.dts
        if time is None:  # still in the decoder at the end
            time = following.get(times[-1], times[-1] + 1) if times else source.packets[0]
        times.append(time)
    return tuple(times)


ROUNDING = Fraction(2, 1000)  # seconds; containers that round to milliseconds move a frame by less
FINEST = 1_000_000_000  # parts of a second that a time base may have
SAMPLED = 48  # frames that are looked at where not all are


@dataclass(frozen=True)
class FrameTimes:
    """When frames are shown: `timestamps` times `time_base` seconds.

    `end` when the last frame is over, in seconds, None where the file says it · `constant` whether the times follow
    from a rate · `note` is worth telling, or empty.
    """

    timestamps: tuple[int, ...]
    time_base: Fraction
    end: Fraction | None = None
    constant: bool = True
    note: str = ""


def frame_durations(clip: vs.VideoNode, whole: bool) -> list[Fraction | None]:
    """The duration of every frame, for which each frame is computed once.

    Without `whole` a sample of the frames is looked at first, and the others only where these vary.
    """
    count = clip.num_frames
    if not whole and count > SAMPLED:
        sample = []
        for place in range(SAMPLED):
            with clip.get_frame(place * (count - 1) // (SAMPLED - 1)) as frame:
                sample.append(fraction_of(frame.props, "_Duration"))
        if len({duration for duration in sample[:-1] if duration}) <= 1:  # sources do not know the last frame's
            return [sample[0]] * count
    return [fraction_of(frame.props, "_Duration") for frame in clip.frames(close=True)]


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
    even = FrameTimes(tuple(range(len(lengths))), pace, len(lengths) * pace)
    if len(set(lengths)) == 1:
        if lengths[0] != pace:
            told = f"_Duration of every frame is {lengths[0]} s, but the clip's rate is {rate}; the rate counts"
            return replace(even, note=told)
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
