"""Collect what the packets of a picture say, and find when pictures are shown where they say only when to decode."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from .decoded import CAPTIONED, CAPTIONS, Headers

__all__ = ["Packets", "display_times"]

LARGEST_NVOP = 19  # bytes of an MPEG-4 packet that says "as before", or that its picture was in the packet before


class Packets:
    """What the picture's packets say: `shown` durations by time of presentation, `decoded` times of decoding, `keys`
    times of key frames, `hollow` those of packets that hold no picture of their own, `beside` names of side data."""

    def __init__(self, stream: Any) -> None:
        self.headers = Headers(stream)
        self.shown: dict[int, int] = {}
        self.decoded: list[int] = []
        self.keys: list[int] = []
        self.hollow: list[int] = []
        self.beside: set[str] = set()
        self._without = 0

    def add(self, packet: Any, codec: str) -> None:
        """Takes note of one packet; the empty one at a file's end is none."""
        if not packet.size:
            return
        self.beside.update(data.data_type for data in packet.iter_sidedata())
        if codec in CAPTIONED and ("a53_cc" not in self.beside or packet.is_keyframe):
            content = bytes(packet)
            if any(sign in content for sign in CAPTIONS):
                self.beside.add("a53_cc")
            if packet.is_keyframe:
                self.headers.add(content, packet.pts if packet.dts is None else packet.dts)
        if packet.pts is None:
            self._without += 1
        else:
            self.shown[packet.pts] = packet.duration or 0
            if packet.is_keyframe:
                self.keys.append(packet.pts)
        if packet.dts is not None:
            self.decoded.append(packet.dts)
            if codec == "mpeg4" and packet.size <= LARGEST_NVOP:
                self.hollow.append(packet.dts)

    def has_untimed(self) -> bool:
        """Whether packets say when they are decoded, but not all of them when they are shown."""
        return 0 < self._without <= len(self.decoded)

    def shown_as_decoded(self, first: int | None) -> tuple[int, ...]:
        """When each picture is shown, as it follows from when packets are decoded; the first one with that of the time
        `first`."""
        times = sorted(set(self.decoded))
        return display_times(times, times[0] if first is None else first) if times else ()


def display_times(decoding: Sequence[int], first: int) -> tuple[int, ...]:
    """When each picture is shown, in the order of display.

    Pictures come out of a decoder in the order of display, each when a packet goes in. `decoding` the times at which
    packets are decoded, rising · `first` that of the packet with which the first picture comes out. What is still in
    the decoder at the end follows at the usual pace.
    """
    delay = sum(time < first for time in decoding)
    pace = round(statistics.median(b - a for a, b in pairwise(decoding))) if len(decoding) > 1 else 1
    return (*decoding[delay:], *(decoding[-1] + pace * n for n in range(1, delay + 1)))
