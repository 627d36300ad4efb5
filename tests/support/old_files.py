"""Files whose containers do not state when pictures are shown, made by ffmpeg and by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import footage
from footage import ffmpeg

__all__ = ["DRAWN", "hurt", "shown_by_ffmpeg"]

DROPPED = ["-vf", "select='not(between(n,10,17))'", "-fps_mode", "vfr"]
VFW_TICKS = 25


def encoded(path: Path, *options: str, frames: int = 40) -> Path:
    """A moving picture of 25 frames a second, encoded with `options`."""
    ffmpeg(*footage.picture(frames=frames), *footage.tone(frames / 25), "-pix_fmt", "yuv420p", *options, path)
    return path


def h264(*options: str) -> list[str]:
    return ["-c:v", "libx264", "-preset", "ultrafast", *options, "-c:a", "mp3"]


def nothing(tick: int) -> bytes:
    """An MPEG-4 picture that says that nothing is coded for it: P, the marker bits, its time within the second."""
    return b"\0\0\1\xb6" + int("01" + "0" + "1" + f"{tick % VFW_TICKS:05b}" + "1" + "0" + "01111", 2).to_bytes(2, "big")


def rewritten(path: Path, pictures: Sequence[bytes], like: Path) -> None:
    """An AVI with these `pictures`, one a tick, of the kind of `like`'s."""
    with av.open(str(like)) as source, av.open(str(path), "w") as film:
        old = source.streams.video[0]
        stream = film.add_stream_from_template(old)
        for tick, data in enumerate(pictures):
            packet = av.Packet(data)
            packet.stream, packet.time_base = stream, old.time_base
            packet.pts = packet.dts = tick
            packet.is_keyframe = tick == 0
            film.mux(packet)


def mpeg4(path: Path, frames: int) -> tuple[Path, list[bytes]]:
    """MPEG-4 with as many B-frames as said between two others, and its packets."""
    source = path.with_name("whole.avi")
    encode = ["-c:v", "mpeg4", "-bf", str(frames), "-b_strategy", "0", "-g", "300", "-sc_threshold", "1000000000"]
    encoded(source, *encode, "-an")
    with av.open(str(source)) as film:
        return source, [bytes(packet) for packet in film.demux(video=0) if packet.size]


def packed(path: Path) -> None:
    """DivX's packed bitstream: a B-frame lies in the packet of the P-frame before it, then comes an empty one."""
    source, pictures = mpeg4(path, 1)
    head, sign, first = pictures[0].partition(b"\0\0\1\xb3")
    head = head.split(b"\0\0\1\xb2")[0] + b"\0\0\1\xb2DivX503b1393p"
    pairs = range(1, len(pictures) - 1, 2)
    follow = [data for n in pairs for data in (pictures[n] + pictures[n + 1], nothing(n))]
    rewritten(path, [head + sign + first, *follow, *pictures[1 + 2 * len(pairs) :]], source)


def repeated(path: Path) -> None:
    """Six pictures that repeat the one before them."""
    source, pictures = mpeg4(path, 0)
    rewritten(path, [nothing(n) if 10 <= n < 16 else data for n, data in enumerate(pictures)], source)


def soft_telecine(path: Path) -> None:
    """A film DVD of 30 frames a second: MPEG-2 pictures that are shown for two or three fields in turn."""
    bare, told = path.with_name("film.m2v"), path.with_name("told.m2v")
    encode = ["-pix_fmt", "yuv420p", "-c:v", "mpeg2video", "-bf", "2", "-g", "12", "-an"]
    ffmpeg(*footage.picture("96x64", "24000/1001", 40), *encode, bare)
    data, place, group, pictures = bytearray(bare.read_bytes()), 0, 0, 0
    number = 0
    while (place := data.find(b"\0\0\1", place)) >= 0:
        code, extension = data[place + 3], data[place + 4] >> 4
        if code == 0xB3:
            data[place + 7] = data[place + 7] & 0xF0 | 4  # 30000/1001 frames a second
        elif code == 0xB8:
            group = pictures
        elif code == 0:
            number = group + (data[place + 4] << 2 | data[place + 5] >> 6)  # in order of display
            pictures += 1
        elif code == 0xB5 and extension == 1:
            data[place + 5] &= ~0x08  # not a progressive sequence
        elif code == 0xB5 and extension == 8:
            top, repeat = ((1, 1), (0, 0), (0, 1), (1, 0))[number % 4]
            data[place + 7] = data[place + 7] & ~0x82 | top << 7 | repeat << 1
            data[place + 8] |= 0x80  # a progressive picture
        place += 3
    told.write_bytes(data)
    ffmpeg("-fflags", "+genpts", "-i", told, *footage.tone(1.5), "-c:v", "copy", "-c:a", "mp2", path)


def dull(path: Path) -> None:
    """H.264 in a program stream, so small that many pictures share a packet and its time."""
    grey = ["-f", "lavfi", "-i", "color=gray:size=96x64:rate=25:duration=4"]
    ffmpeg(*grey, *footage.tone(4), "-c:v", "libx264", "-b:v", "20k", "-bf", "2", "-c:a", "mp2", "-f", "vob", path)


DRAWN = {
    "H.264 without B-frames": ("in.avi", lambda path: encoded(path, *h264("-bf", "0"))),
    "H.264 with B-frames": ("in.avi", lambda path: encoded(path, *h264("-bf", "2"))),
    "H.264 with frames dropped": ("in.avi", lambda path: encoded(path, *DROPPED, *h264("-bf", "0"))),
    "H.264 with B-frames, frames dropped": ("in.avi", lambda path: encoded(path, *DROPPED, *h264("-bf", "2"))),
    "MPEG-2 without B-frames": ("in.avi", lambda path: encoded(path, "-c:v", "mpeg2video", "-bf", "0", "-c:a", "mp3")),
    "MPEG-2 with B-frames": ("in.avi", lambda path: encoded(path, "-c:v", "mpeg2video", "-bf", "2", "-c:a", "mp3")),
    "MPEG-4 with frames dropped": (
        "in.avi", lambda path: encoded(path, *DROPPED, "-c:v", "mpeg4", "-bf", "2", "-c:a", "mp3")
    ),
    "MJPEG": ("in.avi", lambda path: encoded(path, "-c:v", "mjpeg", "-q:v", "3", "-c:a", "pcm_s16le")),
    "packed DivX": ("in.avi", packed),
    "MPEG-4 with pictures repeated": ("in.avi", repeated),
    "MPEG-2 in a program stream": (
        "in.vob", lambda path: encoded(path, "-c:v", "mpeg2video", "-bf", "2", "-c:a", "mp2")
    ),
    "soft telecine in a program stream": ("in.vob", soft_telecine),
    "soft telecine in a transport stream": ("in.ts", soft_telecine),
    "small H.264 in a program stream": ("in.vob", dull),
    "FLV": ("in.flv", lambda path: encoded(path, "-c:v", "flv1", "-ar", "44100", "-c:a", "mp3")),
    "H.264 in FLV": ("in.flv", lambda path: encoded(path, *h264("-bf", "2"), "-ar", "44100")),
    "bare MPEG-2": ("in.m2v", lambda path: encoded(path, "-c:v", "mpeg2video", "-bf", "2", "-an")),
    "ASF": ("in.wmv", lambda path: encoded(path, "-c:v", "wmv2", "-c:a", "wmav2")),
    "Ogg": ("in.ogv", lambda path: encoded(path, "-c:v", "libtheora", "-c:a", "libvorbis")),
}  # fmt: skip


def shown_by_ffmpeg(path: Path) -> list[float]:
    """When ffmpeg shows each picture of a file, in seconds from the file's first moment."""
    whole = path.with_suffix(".shown.mkv")
    both = ["-map", "0:v:0", "-map", "0:a?", "-c:a", "copy"]  # the file's first moment is that of what is read
    ffmpeg("-i", path, *both, "-fps_mode", "passthrough", "-enc_time_base", "1:1000", "-c:v", "ffv1", whole)
    with av.open(str(whole)) as film:
        unit = film.streams.video[0].time_base
        return sorted(float(packet.pts * unit) for packet in film.demux(video=0) if packet.size)


def hurt(path: Path, source: Path, first: int, last: int) -> Path:
    """`source` with the picture's packets from number `first` to the one before `last` overwritten by zeros."""
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as film:
        places = [(packet.pos + 8, packet.size) for packet in film.demux(video=0) if packet.size]
    for place, size in places[first:last]:
        data[place : place + size] = bytes(size)
    path.write_bytes(data)
    return path
