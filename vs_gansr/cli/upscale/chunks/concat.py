"""Join finished chunks to one film: their packets go as fragmented MP4 to ffmpeg, which adds the source's other tracks.

What times the chunks' files carry does not matter: a packet's place in display order, counted over the whole film,
is its frame's number, and the source says when that frame is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from ... import ffmpeg
from ...common import CommandError
from ..ffmpeg.command import cover_file, join_command
from ..ffmpeg.process import feed
from ..source import media
from .file import ChunkFacts, display_order, packets
from .messages import Printed, Rendered, Stage, Tell, now_and_then
from .plan import Plan

__all__ = ["Part", "concatenate", "packet_times", "write_covers"]


type Part = tuple[Path, ChunkFacts]
"""A finished chunk: its file, and what is recorded of it."""


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


def concatenate(plan: Plan, parts: Sequence[Part], path: str, tell: Tell) -> None:
    """Writes the film of `plan` to `path`. Its `parts`, in order, are sound and of one header, as the ledger says.

    Raises CommandError where a frame is missing in the result, or not at its time.
    """
    write_covers(plan, path)
    stamps = [time - plan.timestamps[0] for time in plan.timestamps]
    delay = max(facts.delay for _, facts in parts)
    late = -packet_times(stamps, 0, 0, delay)[1] * plan.time_base
    tool = ffmpeg.choose(plan.job.encoder, plan.job.ffmpeg)
    command = join_command(plan, tool, late, path)
    packed = partial(write, base=plan.time_base, parts=parts, stamps=stamps, delay=delay, tell=tell)
    feed(command, packed, plan.frames, complain=lambda text: tell(Printed(text, by_ffmpeg=True)))
    check(plan, path, tell)


def write_covers(plan: Plan, path: str) -> None:
    """Writes the pictures that ffmpeg attaches beside the file `path`; whoever deletes that deletes them, too."""
    if plan.carried.covers:
        pictures = media.cover_pictures(plan.source.path, plan.carried.covers)
        for cover in plan.carried.covers:
            Path(cover_file(path, cover)).write_bytes(pictures[cover.index])


def write(pipe: Any, base: Fraction, parts: Sequence[Part], stamps: Sequence[int], delay: int, tell: Tell) -> None:
    """All packets as fragmented MP4, whose decoding times begin at 0."""
    import av

    options = {
        "movflags": "frag_keyframe+empty_moov+default_base_moof",
        "video_track_timescale": str(base.denominator),
        "use_editlist": "0",
    }
    late = -packet_times(stamps, 0, 0, delay)[1]
    place, report = 0, now_and_then(tell)
    stream: Any = None
    with pipe, av.open(pipe, "w", format="mp4", options=options) as film_file:
        for path, _ in parts:
            with av.open(str(path)) as source:
                if stream is None:
                    stream = film_file.add_stream_from_template(source.streams.video[0], opaque=True)
                    stream.time_base = Fraction(1, base.denominator)
                found: list[Any] = list(packets(source))
                first = place
                for packet, shown in zip(found, display_order([p.pts for p in found]), strict=True):
                    times = packet_times(stamps, place, first + shown, delay)
                    packet.stream, packet.time_base = stream, stream.time_base
                    packet.pts, packet.dts = ((time + late) * base.numerator for time in times[:2])
                    packet.duration = times[2] * base.numerator
                    film_file.mux(packet)
                    place += 1
                    report(Rendered(place))
    tell(Rendered(place))


def check(plan: Plan, path: str, tell: Tell) -> None:
    """Reads the result's picture back. Raises CommandError where a frame is missing or not at its time."""
    import av

    stamps, base, report = plan.timestamps, plan.time_base, now_and_then(tell)
    found = []
    with av.open(path) as result:
        unit = Fraction(result.streams.video[0].time_base)
        for packet in packets(result):
            found.append(packet.pts * unit)
            report(Stage(f"reading the film back, {100 * len(found) // len(stamps)} %"))
    found.sort()
    if len(found) != len(stamps):
        raise CommandError(f"{len(found)} of {len(stamps)} frames reached the joined file; the chunks are kept")
    for n, (time, stamp) in enumerate(zip(found, stamps, strict=True)):
        off = (time - found[0]) - (stamp - stamps[0]) * base
        if abs(off) > max(unit, Fraction(1, 1000)):
            raise CommandError(f"frame {n} is {float(off):+.4f} s off its time in the joined file; the chunks are kept")
