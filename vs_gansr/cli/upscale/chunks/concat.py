"""Owns the way from finished chunks to one film: packets in order, each at its frame's own time.

    chunk 0, chunk 1, ... ──packets──> fragmented MP4 ──pipe──> ffmpeg ──> film
                                              source (sound, subtitles, chapters, ...) ──^

What times the chunks' files carry does not matter: a packet's place in display order, counted over the whole film,
is its frame's number, and the source says when that frame is shown. Decoding times follow from the same list. One
pass; one chunk is open at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ...common import CommandError
from ..ffmpeg import command as ffmpeg_command
from ..ffmpeg.process import EncoderProcess
from . import file as chunk_file
from .file import header_of
from .render import OpenFilm, tell

__all__ = ["Part", "join", "packet_times"]


@dataclass(frozen=True)
class Part:
    """A finished chunk: its file, frames, SHA-256 of its codec header, and its packets' largest delay in places."""

    path: str
    frames: int
    header: str
    delay: int


def packet_times(stamps: Sequence[int], place: int, frame: int, delay: int) -> tuple[int, int, int]:
    """Display time, decoding time and duration of the packet that is number `place` in decoding order.

    `stamps` when each frame is shown, rising, and the unit of the result · `frame` the packet's frame · `delay` by
    how many places packets stand later in decoding order than in display order, at most. Decoding times rise with
    `place`, and none is after its display time.
    """
    step = stamps[1] - stamps[0] if len(stamps) > 1 else 1
    decoded = stamps[place - delay] if place >= delay else stamps[0] - (delay - place) * step
    following = stamps[frame + 1] if frame + 1 < len(stamps) else stamps[frame] + step
    return stamps[frame], decoded, following - stamps[frame]


def join(film: OpenFilm, parts: Sequence[Part]) -> None:
    """Writes `film.job.temporary`.

    Raises CommandError where the parts are not the whole film, in order and of one header, or the result is not.
    """
    total = len(film.graph.timestamps)
    if sum(part.frames for part in parts) != total:
        raise CommandError(f"{sum(part.frames for part in parts)} of {total} frames are there to be joined")
    headers = {part.header for part in parts}
    if len(headers) > 1:
        raise CommandError(f"the chunks have {len(headers)} different codec headers, so they cannot be one stream")
    stamps = [time - film.graph.timestamps[0] for time in film.graph.timestamps]
    delay = max(part.delay for part in parts)
    late = -packet_times(stamps, 0, 0, delay)[1] * film.graph.time_base
    command = ffmpeg_command.join_command(film.job, film.tool, film.source, film.plan, film.picture, late)
    with EncoderProcess(command) as encoder:
        encoder.feed(lambda pipe: write(pipe, film, parts, stamps, delay), total)
    check(film)


def write(pipe: Any, film: OpenFilm, parts: Sequence[Part], stamps: Sequence[int], delay: int) -> None:
    """All packets as fragmented MP4, whose decoding times begin at 0."""
    import av

    base = film.graph.time_base
    options = {
        "movflags": "frag_keyframe+empty_moov+default_base_moof",
        "video_track_timescale": str(base.denominator),
        "use_editlist": "0",
    }
    late = -packet_times(stamps, 0, 0, delay)[1]
    place = 0
    stream: Any = None
    with pipe, av.open(pipe, "w", format="mp4", options=options) as film_file:
        for part in parts:
            with av.open(part.path) as source:
                template = source.streams.video[0]
                if header_of(template) != part.header:
                    raise CommandError(f"{part.path} is not the chunk that was recorded")
                if stream is None:
                    stream = film_file.add_stream_from_template(template, opaque=True)
                    stream.time_base = Fraction(1, base.denominator)
                found: list[Any] = list(chunk_file.packets(source))
                if len(found) != part.frames:
                    raise CommandError(f"{part.path} holds {len(found)} of {part.frames} frames")
                first = place
                for packet, shown in zip(found, chunk_file.display_order([p.pts for p in found]), strict=True):
                    times = packet_times(stamps, place, first + shown, delay)
                    packet.stream, packet.time_base = stream, stream.time_base
                    packet.pts, packet.dts = ((time + late) * base.numerator for time in times[:2])
                    packet.duration = times[2] * base.numerator
                    film_file.mux(packet)
                    place += 1
            tell(joined=place)


def check(film: OpenFilm) -> None:
    """Reads the result's picture back. Raises CommandError where a frame is missing or not at its time."""
    import av

    stamps, base = film.graph.timestamps, film.graph.time_base
    with av.open(film.job.temporary) as result:
        unit = Fraction(result.streams.video[0].time_base)
        found = sorted(packet.pts * unit for packet in chunk_file.packets(result))
    if len(found) != len(stamps):
        raise CommandError(f"{len(found)} of {len(stamps)} frames reached the joined file; the chunks are kept")
    for n, (time, stamp) in enumerate(zip(found, stamps, strict=True)):
        off = (time - found[0]) - (stamp - stamps[0]) * base
        if abs(off) > max(unit, Fraction(1, 1000)):
            raise CommandError(f"frame {n} is {float(off):+.4f} s off its time in the joined file; the chunks are kept")
