"""Owns what a media file holds: its tracks, their times, and whether it is whole; knows no VapourSynth, no encoder.

PyAV reads every packet once, decoding nothing, so that what a decoder silently leaves out is noticed before an
encode of hours rather than after it.
"""

from __future__ import annotations

import bisect
import hashlib
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

from ..common import CommandError

__all__ = ["Source", "Track", "cover_pictures", "damage", "probe"]

MICRO = 1_000_000  # FFmpeg's unit for whole files
HEADED = ("matroska", "mov")  # formats whose header states the duration rather than having it estimated


@dataclass(frozen=True)
class Track:
    """One stream: its number in the file, "video", "audio", "subtitle", "attachment" or "data", codec and marks.

    `cover` is a still picture attached to the file · `tags` its metadata, names and values.
    """

    index: int
    kind: str
    codec: str
    name: str
    cover: bool
    disposition: tuple[str, ...]
    tags: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"{self.kind} track {self.index} ({', '.join(filter(None, (self.codec, self.name)))})"


@dataclass(frozen=True)
class Source:
    """A file with one picture track, `video`, and the `others`.

    `size` of the coded picture · `sar` sample aspect ratio, 1 where unknown · `origin` the file's first moment in
    seconds · `packets` sorted times of the picture's packets and `last` the duration of the last one, both in
    `time_base` · `reached` and `promised` where sound and picture end and should end, in seconds from `origin` ·
    `keys` sorted times of the picture's key frames · `layout` SHA-256 of every packet's track, time and size ·
    `section` where the part begins that is carried, in the file's own seconds, and its length; None for all of it ·
    `ahead` seconds by which the file's clock is ahead of the picture's, where that is not its own ·
    `metadata` the names of the file's own tags, in small letters.
    """

    path: str
    video: Track
    others: tuple[Track, ...]
    size: tuple[int, int]
    sar: Fraction
    origin: Fraction
    time_base: Fraction
    packets: tuple[int, ...]
    last: int
    reached: Fraction
    promised: Fraction | None
    keys: tuple[int, ...] = ()
    layout: str = ""
    section: tuple[Fraction, Fraction] | None = None
    ahead: Fraction = Fraction(0)
    metadata: tuple[str, ...] = ()


def probe(path: str) -> Source:
    """Reads the whole file. Raises CommandError where it is no media file or has no picture."""
    try:
        import av
    except ImportError as error:
        raise CommandError('PyAV is not installed; run: pip install "vs-gansr[cli]"') from error

    try:
        with av.open(path) as container:
            return _read(container, path)
    except (av.error.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CommandError(f"{path} cannot be read as video ({reason}); is it complete and a media file?") from error


def _read(container: Any, path: str) -> Source:
    tracks = [_track(stream) for stream in container.streams]
    stream = container.streams.best("video")
    if stream is None or tracks[stream.index].cover:
        raise CommandError(f"{path} has no video track: {', '.join(map(str, tracks)) or 'it is empty'}")
    refuse_dolby(stream, path)
    bases = [_ratio(s.time_base) for s in container.streams]
    shown: dict[int, int] = {}
    keys: list[int] = []
    layout = hashlib.sha256()
    reached = Fraction(0)
    origin = Fraction(container.start_time or 0, MICRO)
    for packet in container.demux():
        layout.update(b"%d %d %d\n" % (packet.stream_index, packet.pts or 0, packet.size))
        if packet.pts is None or packet.is_discard:
            continue
        duration = packet.duration or 0
        if packet.stream_index == stream.index:
            shown[packet.pts] = duration
            if packet.is_keyframe:
                keys.append(packet.pts)
        if tracks[packet.stream_index].kind in ("video", "audio") and not tracks[packet.stream_index].cover:
            reached = max(reached, (packet.pts + duration) * bases[packet.stream_index] - origin)
    times = sorted(shown)
    headed = container.format.name.split(",")[0] in HEADED
    return Source(
        path=path,
        video=tracks[stream.index],
        others=tuple(track for track in tracks if track.index != stream.index),
        size=(stream.codec_context.width, stream.codec_context.height),
        sar=_ratio(stream.sample_aspect_ratio) or Fraction(1),
        origin=origin,
        time_base=bases[stream.index],
        packets=tuple(times),
        last=shown[times[-1]] if times else 0,
        reached=reached,
        promised=Fraction(container.duration, MICRO) if headed and container.duration else None,
        keys=tuple(sorted(keys)),
        layout=layout.hexdigest(),
        metadata=tuple(name.lower() for name in container.metadata),
    )


def cover_pictures(path: str, covers: Sequence[Track]) -> dict[int, bytes]:
    """The files of attached pictures, by the number of their track. Raises CommandError where one cannot be read."""
    import av

    with av.open(path) as container:
        streams = [container.streams[cover.index] for cover in covers]
        found: dict[int, bytes] = {}
        for packet in container.demux(streams):
            if packet.size and packet.stream_index not in found:
                found[packet.stream_index] = bytes(packet)
            if len(found) == len(covers):
                return found
    missing = ", ".join(str(cover) for cover in covers if cover.index not in found)
    raise CommandError(f"{path}: {missing} cannot be read; leave it out with --drop cover")


def _ratio(value: Any) -> Fraction:
    """A Fraction of whatever type of ratio this PyAV uses; 0 for none."""
    return Fraction(value.numerator, value.denominator) if value and value.denominator else Fraction(0)


def refuse_dolby(stream: Any, path: str) -> None:
    """Raises CommandError for Dolby Vision without a base layer that others understand (compatibility id 0).

    The bytes are FFmpeg's AVDOVIDecoderConfigurationRecord.
    """
    record = getattr(stream.codec_context, "coded_side_data", {}).get("dovi_conf", b"")
    if len(record) > 7 and record[7] == 0:
        raise CommandError(
            f"{path} is Dolby Vision of profile {record[2]}, whose colours mean nothing without Dolby's own "
            "processing; convert it to HDR10 first, or take another source"
        )


def _track(stream: Any) -> Track:
    marks = tuple(mark.name for mark in stream.disposition)
    codec = stream.codec_context.codec.canonical_name if stream.codec_context else ""
    tags = dict(stream.metadata)
    name = tags.get("title") or tags.get("filename") or tags.get("language") or ""
    return Track(stream.index, stream.type, codec, name, "attached_pic" in marks, marks, tuple(tags.items()))


def damage(source: Source, timestamps: Sequence[int]) -> str | None:
    """What is missing of the picture, given the times of the frames that could be decoded; None if nothing is.

    A packet is lost where it lies in a gap between frames: a packet without a frame of its own (fields, hidden
    frames, leading frames before the first key frame) leaves none.
    """
    if not timestamps:
        return None if not source.packets else "no frame can be decoded"
    paces = [b - a for a, b in pairwise(timestamps)]
    pace = statistics.median(paces) if paces else max(source.last, 1)
    have = set(timestamps)
    lost = []
    for time in source.packets:
        place = bisect.bisect(timestamps, time)
        if time in have or place == 0:
            continue
        end = timestamps[place] if place < len(timestamps) else time + pace
        if end - timestamps[place - 1] > 1.5 * pace:
            lost.append(time)
    if lost:
        second = float(lost[0] * source.time_base - source.origin)
        return f"{len(lost)} of {len(source.packets)} frames cannot be decoded, the first at {second:.2f} s"
    if source.promised is not None and source.promised - source.reached > max(Fraction(1, 2), source.promised / 50):
        return f"it ends after {float(source.reached):.1f} s, its header promises {float(source.promised):.1f} s"
    return None
