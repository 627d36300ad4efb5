"""Films with closed captions inside the picture's stream, as discs, broadcasts and streams have them."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

import footage
from footage import ffmpeg

__all__ = ["CAPTIONED"]

PAIR = b"\x94\x20"  # "resume caption loading" of CEA-608
ATSC = b"GA94\x03" + bytes([0x41, 0xFF, 0xFC, *PAIR, 0xFF])
REGISTERED = b"\xb5\x00\x31" + ATSC  # ITU-T T.35: United States, ATSC
USER_DATA = b"\0\0\1\xb2"
DISC = USER_DATA + b"CC\x01\xf8" + bytes([0x80 | 5 << 1]) + 5 * (b"\xff" + PAIR + b"\xfe" + PAIR)
IVF_HEADER = 32
FIRST_LATE = 13  # the picture from which on late captions are there

type Draw = Callable[[Path], None]


def encoded(path: Path, *options: str) -> bytes:
    """A bare stream of 20 pictures, none of which is shown in another order than they are coded."""
    ffmpeg(*footage.picture(), "-pix_fmt", "yuv420p", *options, path)
    return path.read_bytes()


def wrapped(path: Path, stream: bytes, suffix: str) -> None:
    """Puts a bare stream of 25 pictures a second into the container that `path` names."""
    bare = path.with_name(f"told.{suffix}")
    bare.write_bytes(stream)
    ffmpeg("-framerate", "25", "-i", bare, "-c", "copy", "-bsf:v", "setts=pts=N/25/TB:dts=N/25/TB", path)


def mpeg2(user_data: bytes, before: bytes, first: int = 0) -> Draw:
    """MPEG-2 with `user_data` before each start code `before`, from the place of that number on."""

    def draw(path: Path) -> None:
        stream = encoded(path.with_name("plain.m2v"), "-c:v", "mpeg2video", "-g", "10", "-bf", "0")
        head, *parts = re.split(b"(?=" + re.escape(before) + b")", stream)
        told = [(user_data if n >= first else b"") + part for n, part in enumerate(parts)]
        wrapped(path, head + b"".join(told), "m2v")

    return draw


def disc(path: Path) -> None:
    """A DVD's captions: in the user data of each group of pictures."""
    stream = encoded(path.with_name("plain.m2v"), "-c:v", "mpeg2video", "-g", "10", "-bf", "0")
    wrapped(path, re.sub(rb"(\x00\x00\x01\xb8.{4})", lambda found: found[1] + DISC, stream, flags=re.DOTALL), "m2v")


def hevc(path: Path) -> None:
    """HEVC with an SEI message of user data before each picture."""
    quiet = ["-x265-params", "log-level=none:aud=1:bframes=0:keyint=10", "-preset", "ultrafast"]
    stream = encoded(path.with_name("plain.hevc"), "-c:v", "libx265", *quiet)
    message = b"\0\0\0\1\x4e\x01\x04" + bytes([len(REGISTERED)]) + REGISTERED + b"\x80"
    told = re.sub(rb"\x00\x00\x00\x01\x46\x01.", lambda found: found[0] + message, stream, flags=re.DOTALL)
    wrapped(path, told, "hevc")


def av1(path: Path) -> None:
    """AV1 with a metadata unit of ITU-T T.35 behind the temporal delimiter of one late picture."""
    encode = ["-c:v", "libsvtav1", "-preset", "11", "-svtav1-params", "pred-struct=1", "-g", "30"]
    stream = encoded(path.with_name("plain.ivf"), *encode)
    content = b"\x04" + REGISTERED + b"\x80"
    unit = bytes([5 << 3 | 2, len(content)]) + content
    told, place, number = stream[:IVF_HEADER], IVF_HEADER, 0
    while place < len(stream):
        size, time = struct.unpack_from("<IQ", stream, place)
        data = stream[place + 12 : place + 12 + size]
        place, number = place + 12 + size, number + 1
        if number == FIRST_LATE:
            assert data[:2] == b"\x12\x00", "no temporal delimiter"
            data = data[:2] + unit + data[2:]
        told += struct.pack("<IQ", len(data), time) + data
    changed = path.with_name("told.ivf")
    changed.write_bytes(told)
    ffmpeg("-i", changed, "-c", "copy", path)


SLICES = b"\0\0\1\x01"  # the first slice of a picture
CAPTIONED: dict[str, Draw] = {
    "disc.vob": disc,
    "disc.mkv": disc,
    "atsc.ts": mpeg2(USER_DATA + ATSC, SLICES),
    "late.mkv": mpeg2(USER_DATA + ATSC, SLICES, FIRST_LATE),
    "scte20.vob": mpeg2(USER_DATA + bytes([0x03, 0x81, 0x0A, 0x41, 0x88, 0x88, 0x88]), SLICES),
    "hevc.mkv": hevc,
    "hevc.mp4": hevc,
    "hevc.ts": hevc,
    "av1.mkv": av1,
}
