"""Read what a media file holds: its tracks, their times, and whether it is whole; without VapourSynth.

PyAV reads every packet once, decoding nothing, so that what a decoder silently leaves out is noticed before an
encode of hours rather than after it.
"""

from __future__ import annotations

import bisect
import statistics
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from ...common import CommandError
from .stream import UPRIGHT, Orientation, Packets, look_at, of_matrix, ratio

__all__ = ["Source", "Track", "cover_pictures", "damage", "probe"]

MICRO = 1_000_000  # FFmpeg's unit for whole files
UNTIMED = {"avi"}  # containers that number packets as they are decoded, and say no time of presentation
CUT_SHORT = ("File ended prematurely", "partial file")  # what FFmpeg's demuxers say of a file that is not all there
HEADED = ("matroska", "mov", "flv", "mxf")  # formats whose header states the duration rather than having it estimated
ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")  # the object that states it in ASF
ASF_HEADER = 1 << 16  # bytes in which it is looked for


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

    @property
    def is_encrypted(self) -> bool:
        """Whether Matroska says so; other containers do at each packet."""
        return any(name.lower() == "enc_key_id" for name, _ in self.tags)

    @property
    def is_timecode(self) -> bool:
        """Whether it is a track of QuickTime's that holds the time code, which goes along as a tag."""
        return self.kind == "data" and any(name.lower() == "timecode" for name, _ in self.tags)

    def __str__(self) -> str:
        return f"{self.kind} track {self.index} ({', '.join(filter(None, (self.codec or 'unknown codec', self.name)))})"


NO_PICTURE = Track(-1, "video", "", "", False, (), ())


@dataclass(frozen=True)
class Source:
    """A file with one picture track, `video`, and the `others`; without `path` there is none.

    `size` of the coded picture · `sar` sample aspect ratio, 1 where unknown · `origin` the file's first moment in
    seconds · `packets` sorted times of the picture's packets and `last` the duration of the last one, both in
    `time_base` · `reached` where sound and picture end, `over` where the last of all tracks does and `promised` where
    that should be by the file's header, in seconds from `origin` · `keys` sorted times of the picture's key frames ·
    `section` where the part begins that is carried, in the file's own seconds, and its length; None for all of it ·
    `ahead` seconds by which the file's clock is ahead of the picture's, where that is not its own ·
    `metadata` the names of the file's own tags, in small letters · `inferred` the container does not say when pictures
    are shown: `packets` follow from when they are decoded · `cut_short` the file ends within something · `hollow` times
    of packets that repeat the picture before · `beside` names of notes.py that the picture carries · `orientation`
    how it is turned upright, which BestSource does where the file says it (`turned_by_file`) · `crop` rows and columns
    that the container leaves out: top, bottom, left, right · `timecode` of the first frame, or empty ·
    `shapes` of pixels, with their times, that headers within the stream say, each other than the one before ·
    `bare` whether it is a stream without a container, whose times FFmpeg makes of a rate · `rate_unknown` whether that
    rate is FFmpeg's own guess.
    """

    path: str = ""
    video: Track = NO_PICTURE
    others: tuple[Track, ...] = ()
    size: tuple[int, int] = (0, 0)
    sar: Fraction = Fraction(1)
    origin: Fraction = Fraction(0)
    time_base: Fraction = Fraction(1, 1000)
    packets: tuple[int, ...] = ()
    last: int = 0
    reached: Fraction = Fraction(0)
    promised: Fraction | None = None
    over: Fraction = Fraction(0)
    cut_short: bool = False
    keys: tuple[int, ...] = ()
    section: tuple[Fraction, Fraction] | None = None
    ahead: Fraction = Fraction(0)
    metadata: tuple[str, ...] = ()
    inferred: bool = False
    hollow: frozenset[int] = frozenset()
    beside: frozenset[str] = frozenset()
    orientation: Orientation = UPRIGHT
    turned_by_file: bool = False
    crop: tuple[int, int, int, int] = (0, 0, 0, 0)
    timecode: str = ""
    shapes: tuple[tuple[int | None, Fraction], ...] = ()
    bare: bool = False
    rate_unknown: bool = False

    def tag(self, name: str) -> str:
        """A tag of the picture's track, whatever its capitals; empty where there is none."""
        return next((value for known, value in self.video.tags if known.lower() == name), "")


def probe(path: str, picture: bool = True) -> Source:
    """Reads the whole file. Raises CommandError where it is no media file, or has no picture and is to have one."""
    try:
        import av
    except ImportError as error:
        raise CommandError('PyAV is not installed; run: pip install "vs-gansr[cli]"') from error

    try:
        with complaints() as said, av.open(path) as container:
            return replace(
                _read(container, path, picture), cut_short=any(sign in text for text in said() for sign in CUT_SHORT)
            )
    except (av.error.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CommandError(f"{path} cannot be read as video ({reason}); is it complete and a media file?") from error


@contextmanager
def complaints() -> Iterator[Callable[[], list[str]]]:
    """A function that gives the errors that FFmpeg has logged on this thread since the block was entered."""
    import av.logging

    before = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as logs:
            yield lambda: [text for _, _, text in logs]
    finally:
        av.logging.set_level(before)


def _read(container: Any, path: str, picture_needed: bool) -> Source:
    tracks = [_track(stream) for stream in container.streams]
    stream = container.streams.best("video")
    if tracks and not picture_needed and (stream is None or tracks[stream.index].cover or not stream.codec_context):
        return _without_picture(container, path, tracks)
    _refuse_unplayable(stream, path, tracks)
    stored = {name: bytes(data) for name, data in stream.codec_context.coded_side_data.items()}
    refuse_dolby(stored.get("dovi_conf", b""), path)
    bases = [ratio(s.time_base) for s in container.streams]
    picture = Packets(stream)
    reached = over = Fraction(0)
    origin = Fraction(container.start_time or 0, MICRO)
    for packet in container.demux():
        if packet.is_discard:
            continue
        track = tracks[packet.stream_index]
        if packet.has_sidedata("encryption_info") or track.is_encrypted:
            raise CommandError(f"{path}: {track} is encrypted (DRM), so it cannot be read; use another source")
        if packet.stream_index == stream.index:
            picture.add(packet, track.codec)
        if packet.pts is not None and not track.cover:
            end = (packet.pts + (packet.duration or 0)) * bases[packet.stream_index] - origin
            over = max(over, end)
            reached = max(reached, end) if track.kind in ("video", "audio") else reached
    inferred = container.format.name in UNTIMED or picture.has_untimed()
    seen = look_at(path, stream.index, float(reached))
    times = picture.shown_as_decoded(seen.first) if inferred else tuple(sorted(picture.shown))
    by_file = of_matrix(stored["display_matrix"]) if "display_matrix" in stored else None
    bare = _is_bare(container.format)
    return Source(
        path=path,
        video=tracks[stream.index],
        others=tuple(track for track in tracks if track.index != stream.index),
        size=(stream.codec_context.width, stream.codec_context.height),
        sar=ratio(stream.sample_aspect_ratio) or Fraction(1),
        origin=origin,
        time_base=bases[stream.index],
        packets=times,
        last=picture.shown.get(times[-1], 0) if times else 0,
        reached=reached,
        over=over,
        promised=promise(container, stream, path),
        keys=tuple(sorted(picture.keys)),
        metadata=tuple(name.lower() for name in container.metadata),
        inferred=inferred,
        hollow=frozenset(picture.hollow),
        beside=frozenset({*seen.names, *stored, *picture.beside}),
        shapes=tuple(picture.headers.shapes),
        orientation=seen.orientation if by_file is None else by_file,
        turned_by_file=by_file is not None,
        crop=struct.unpack_from("<4I", stored.get("frame_cropping", bytes(16))),
        timecode=first_timecode(stream.metadata, container.metadata),
        bare=bare,
        rate_unknown=bare and not stream.codec_context.framerate,
    )


def _refuse_unplayable(stream: Any, path: str, tracks: list[Track]) -> None:
    """Raises CommandError unless `stream` is moving pictures that a decoder is installed for."""
    if stream is None or tracks[stream.index].cover:
        raise CommandError(f"{path} has no video track: {', '.join(map(str, tracks)) or 'it is empty'}")
    if stream.codec_context is None:
        raise CommandError(
            f"{path}: no decoder is installed for {tracks[stream.index]}; if the file is encrypted (DRM) take "
            "one that is not, else convert it by a program that reads it, to FFV1 in .mkv for example"
        )


def _is_bare(form: Any) -> bool:
    """Whether a file of this container format is a stream without a container: it has no times, or holds images."""
    from av.format import Flags

    return bool(form.flags & Flags.no_timestamps.value) or form.name.endswith("_pipe")


def _without_picture(container: Any, path: str, tracks: list[Track]) -> Source:
    """A file of sound, subtitles or covers alone. Where its clock begins anywhere, as in broadcasts, it begins with the
    file's first moment, else at 0. Raises CommandError for a file without any of these."""
    reached = Fraction(0)
    begin = Fraction(container.start_time or 0, MICRO) if container.format.name in ("mpegts", "mpeg") else Fraction(0)
    for packet in container.demux():
        if packet.pts is not None and not tracks[packet.stream_index].cover:
            reached = max(reached, (packet.pts + (packet.duration or 0)) * ratio(packet.time_base) - begin)
    others = tuple(track for track in tracks if track.kind != "video" or track.cover)
    if not others:
        raise CommandError(f"{path} holds nothing to carry: {', '.join(map(str, tracks))}; omit --tracks")
    metadata = tuple(name.lower() for name in container.metadata)
    return Source(path, others=others, origin=begin, reached=reached, metadata=metadata)


def first_timecode(*tags: Mapping[str, str]) -> str:
    """The time code of the first frame as tags say it, `HH:MM:SS:FF`; empty where none does."""
    found = (value for metadata in tags for name, value in metadata.items() if name.lower() == "timecode")
    return next(found, "")


def asf_duration(path: str) -> Fraction | None:
    """The duration in seconds that the header of an ASF or WMV file states; None where it states none.

    FFmpeg does not give it where the file is shorter than its header says.
    """
    with Path(path).open("rb") as file:
        header = file.read(ASF_HEADER)
    place = header.find(ASF_PROPERTIES)
    if place < 0 or len(header) < place + 92:
        return None
    duration, _, preroll, flags = struct.unpack_from("<QQQI", header, place + 64)
    return None if flags & 1 else Fraction(duration, 10_000_000) - Fraction(preroll, 1000)


def promise(container: Any, stream: Any, path: str) -> Fraction | None:
    """How long the file is by its header, all tracks counted, in seconds; None where no header says it."""
    name = container.format.name.split(",")[0]
    if name in HEADED and container.duration:
        return Fraction(container.duration, MICRO)
    if name == "asf":
        return asf_duration(path)
    if name in UNTIMED and stream.frames:  # ticks of the picture's clock
        return Fraction(stream.frames * ratio(stream.time_base))
    return None


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


def refuse_dolby(record: bytes, path: str) -> None:
    """Raises CommandError for Dolby Vision without a base layer that others understand (compatibility id 0).

    `record` is FFmpeg's AVDOVIDecoderConfigurationRecord, empty for other files.
    """
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
        if end - timestamps[place - 1] > 1.5 * pace and time not in source.hollow:
            lost.append(time)
    if lost:
        second = float(lost[0] * source.time_base - source.origin)
        return f"{len(lost)} of {len(source.packets)} frames cannot be decoded, the first at {second:.2f} s"
    # Subtitles may outlast picture and sound, or end long after their last packet.
    whole = source.reached if source.cut_short else source.over
    # Some writers of Matroska count the duration from 0, not from the file's first moment.
    late = Fraction(0) if source.cut_short else max(source.origin, Fraction(0))
    if source.promised is not None and source.promised - late - whole > max(Fraction(1, 2), source.promised / 50):
        return f"it ends after {float(whole):.1f} s, its header promises {float(source.promised):.1f} s"
    return None
