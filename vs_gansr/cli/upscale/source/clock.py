"""Find when the pictures of a file are shown where its container does not say so itself.

AVI says at which tick of the clock each packet is decoded, and nothing else. Decoders and demuxers then invent times of
presentation, each by its own rules, so that two libraries agree on the pictures but not on their times. Here the times
follow from the packets alone: pictures come out of a decoder in the order of display, each when a packet goes in.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from .decoded import decoding_times
from .media import Source

__all__ = ["NO_TIME", "settled"]

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
    for time in decoding_times(source.path, source.video.index):
        if time is None:  # still in the decoder at the end
            time = following.get(times[-1], times[-1] + 1) if times else source.packets[0]
        times.append(time)
    return tuple(times)
