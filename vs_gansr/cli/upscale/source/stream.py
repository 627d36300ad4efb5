"""Look at a file's picture: what its packets and headers say, which packets give a frame, what lies beside frames."""

from __future__ import annotations

import contextlib
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

__all__ = [
    "CAPTIONED", "UPRIGHT", "Look", "Orientation", "Packets", "decoded", "display_times", "look_at", "of_matrix",
    "ratio",
]  # fmt: skip

MOST_HEADERS = 64  # of a stream, that are decoded
PLACES = (0.0, 0.5, 0.9)  # of a file, where a frame is decoded
# How ATSC A/53 and DVDs begin captions inside a picture's packets.
CAPTIONED = ("h264", "hevc", "av1", "mpeg1video", "mpeg2video")
CAPTIONS = (b"\xb5\x00\x31GA94\x03", b"\x00\x00\x01\xb2GA94\x03", b"\x00\x00\x01\xb2CC\x01\xf8")

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
    def calls(self) -> tuple[str, ...]:
        """The functions of core.std that do it, one after the other; none for a turn that is not by quarters."""
        return CALLS.get((self.flipped, self.degrees), ())


UPRIGHT = Orientation()


def of_matrix(data: bytes) -> Orientation:
    """The orientation that FFmpeg's display matrix asks for: 9 integers of 32 bits in the machine's byte order;
    UPRIGHT where there is none."""
    if len(data) < 36:
        return UPRIGHT
    a, b, _, c, d = memoryview(data).cast("i")[:5]
    flipped = a * d - b * c < 0
    if flipped:
        b, d = -b, -d
    if not (a or c) or not (b or d):
        return UPRIGHT  # a matrix that flattens the picture
    turned = math.degrees(math.atan2(b / math.hypot(b, d), a / math.hypot(a, c)))  # counterclockwise is negative
    return Orientation(flipped, round(-turned if flipped else turned) % 360)


@dataclass(frozen=True)
class Look:
    """What decoded frames carry: the names of their side data, how the first one is turned upright, and the time at
    which the packet is decoded with which it comes, in the track's time base; None for no frame, or no time."""

    names: frozenset[str] = frozenset()
    orientation: Orientation = UPRIGHT
    first: int | None = None


def decoded(path: str, track: int, start: float = 0.0) -> Iterator[Any]:
    """The track's frames that can be decoded, from the key frame at or before `start` seconds; the `dts` of each is the
    time of the packet with which it comes out, None at the file's end."""
    import av

    with av.open(path) as container:
        stream = container.streams[track]
        stream.thread_count = 1  # several would have more packets under way
        if start:
            container.seek(round(start / Fraction(stream.time_base)), stream=stream)
        for packet in container.demux(stream):
            with contextlib.suppress(av.error.FFmpegError):  # damage, which is counted
                yield from packet.decode()


def beside(frame: Any) -> dict[str, bytes]:
    """The frame's side data by FFmpeg's names."""
    return {kind.name: bytes(frame.side_data[kind]) for kind in frame.side_data}


def look_at(path: str, track: int, length: float) -> Look:
    """Decodes a frame at the beginning, in the middle and near the end of a file of `length` seconds."""
    import av

    first: Any = next(decoded(path, track), None)
    if first is None:
        return Look()
    names = set(beside(first))
    for place in PLACES[1:]:
        with contextlib.suppress(av.error.FFmpegError, OSError):  # a file that cannot be sought in
            later = next(decoded(path, track, place * length), None)
            names |= set(beside(later)) if later is not None else set()
    return Look(frozenset(names), of_matrix(beside(first).get("DISPLAYMATRIX", b"")), first.dts)


class Headers:
    """The shapes of pixels that the headers within a stream say, as they come: `shapes` times and ratios, each other
    than the one before. Codecs whose headers stand at the file's beginning alone have none."""

    def __init__(self, stream: Any) -> None:
        import av.bitstream

        self.shapes: list[tuple[int | None, Fraction]] = []
        self._known: dict[bytes, Fraction | None] = {}
        self._codec: str = stream.codec_context.name
        boxed = (stream.codec_context.extradata or b"")[:1] == b"\x01"  # in MP4 and Matroska lengths part its units
        chain = f"{self._codec}_mp4toannexb,extract_extradata" if boxed else "extract_extradata"
        self._filter: Any = None
        with contextlib.suppress(av.error.FFmpegError):  # another codec
            self._filter = av.bitstream.BitStreamFilterContext(chain, stream)

    def add(self, data: bytes, time: int | None) -> None:
        """Reads a key frame's packet, shown at `time`, None where the file does not say."""
        import av

        if self._filter is None:
            return
        with contextlib.suppress(av.error.FFmpegError):  # damage, which is counted
            for packet in self._filter.filter(av.Packet(data)):
                for header in packet.iter_sidedata():
                    if header.data_type == "new_extradata":
                        self._note(bytes(header), bytes(packet), time)

    def _note(self, header: bytes, data: bytes, time: int | None) -> None:
        if header not in self._known:
            self._known[header] = shape_of(self._codec, data) if len(self._known) < MOST_HEADERS else None
        shape = self._known[header]
        if shape and (not self.shapes or self.shapes[-1][1] != shape):
            self.shapes.append((time, shape))


def shape_of(codec: str, data: bytes) -> Fraction | None:
    """The shape of pixels that a key frame's packet says; None where it says none or cannot be decoded."""
    import av

    decoder = av.CodecContext.create(codec, "r")
    if not isinstance(decoder, av.VideoCodecContext):
        return None
    with contextlib.suppress(av.error.FFmpegError):
        decoder.decode(av.Packet(data))
        decoder.decode(None)
    return ratio(decoder.sample_aspect_ratio) or None


def ratio(value: Any) -> Fraction:
    """A Fraction of whatever type of ratio this PyAV uses; 0 for none."""
    return Fraction(value.numerator, value.denominator) if value and value.denominator else Fraction(0)


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
    """When each picture is shown, in the order of display, in which a decoder gives one for each packet that goes in.

    `decoding` the times at which packets are decoded, rising · `first` that of the packet with which the first picture
    comes out. What is still in the decoder at the end follows at the usual pace.
    """
    delay = sum(time < first for time in decoding)
    pace = round(statistics.median(b - a for a, b in pairwise(decoding))) if len(decoding) > 1 else 1
    return (*decoding[delay:], *(decoding[-1] + pace * n for n in range(1, delay + 1)))
