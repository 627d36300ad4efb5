"""Files with side data, written by ffmpeg and by hand."""

from __future__ import annotations

import struct
from pathlib import Path

import footage
from footage import H264, ffmpeg

__all__ = ["captioned", "cropped", "exif", "pictured", "spherical"]

SAMPLE_ENTRY = [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"]


def pictured(path: Path, *options: str | Path, frames: int = 10, size: str = "96x64") -> Path:
    """A moving picture without sound."""
    ffmpeg(*footage.picture(size, frames=frames), "-pix_fmt", "yuv420p", *(options or H264), path)
    return path


def box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def spherical(path: Path) -> Path:
    """A 360-degree video, equirectangular: an sv3d box in the sample entry (Spherical Video V2)."""
    plain = pictured(path.with_name("plain.mp4"))
    head = box(b"svhd", bytes(4), b"by hand\0")
    whole = box(b"proj", box(b"prhd", bytes(16)), box(b"equi", bytes(20)))
    path.write_bytes(footage.with_box(plain.read_bytes(), SAMPLE_ENTRY, box(b"sv3d", head, whole)))
    return path


def captioned(path: Path, first: int = 0) -> Path:
    """H.264 with closed captions (ATSC A/53 in an SEI of user data) in every picture from number `first` on."""
    bare = pictured(path.with_name("bare.264"), "-c:v", "libx264", "-preset", "ultrafast", "-x264-params", "aud=1")
    captions = b"\xb5\x00\x31GA94\x03" + bytes([0x40 | 1, 0xFF, 0xFC, 0x94, 0x20, 0xFF])
    message = b"\x00\x00\x00\x01\x06\x04" + bytes([len(captions)]) + captions + b"\x80"
    head, *pictures = bare.read_bytes().split(b"\x00\x00\x00\x01\x09")
    told = path.with_name("told.264")
    units = [b"\x00\x00\x00\x01\x09" + data[:1] + (message if n >= first else b"") + data[1:]
             for n, data in enumerate(pictures)]  # fmt: skip
    told.write_bytes(head + b"".join(units))
    ffmpeg("-framerate", "25", "-i", told, "-c", "copy", path)
    return path


def cropped(path: Path, top: int = 8, bottom: int = 16) -> Path:
    """Matroska that hides rows above and below: PixelCrop in the place of what says the range and the field order."""
    plain = pictured(path.with_name("plain.mkv"), *H264, "-write_crc32", "0")
    data = plain.read_bytes()
    place = data.index(b"\x9a\x81\x02\x55\xb0\x84\x55\xb9\x81")
    rows = b"\x54\xbb\x81" + bytes([top]) + b"\x54\xaa\x81" + bytes([bottom]) + b"\xec\x80"
    path.write_bytes(data[:place] + rows + data[place + len(rows) :])
    return path


def exif(path: Path, orientation: int) -> None:
    """Gives a JPEG file an EXIF orientation."""
    data = path.read_bytes()
    tiff = b"II*\0" + struct.pack("<IHHHIII", 8, 1, 0x112, 3, 1, orientation, 0)
    content = b"Exif\0\0" + tiff
    path.write_bytes(data[:2] + struct.pack(">HH", 0xFFE1, 2 + len(content)) + content + data[2:])
