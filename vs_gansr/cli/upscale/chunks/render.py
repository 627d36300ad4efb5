"""Render a chunk, or a whole film, of a plan: frames go as raw video through a pipe to ffmpeg.

The pipe carries NUT, the one container of ffmpeg's that has any time base.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..ffmpeg import command as ffmpeg_command
from ..ffmpeg.process import FfmpegProcess, TryAgain
from .concat import write_covers
from .file import ChunkFacts, examine, keep
from .messages import Complained, Encoded, Noted, Rendered, Tell, now_and_then
from .open_film import OpenFilm
from .spans import Span

__all__ = ["render_chunk", "render_whole"]


def render_chunk(film: OpenFilm, span: Span, path: Path, tell: Tell) -> ChunkFacts:
    """Renders the frames of `span` into `path`, which is whole where it exists.

    Raises CommandError, TryAgain also where a provider failed and another one went on: the chunk would differ from the
    others then.
    """
    plan, engine = film.plan, list(film.engine)
    # Under a name of its own: an ffmpeg whose worker was killed may write its last moments later than we begin.
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    frames = span[1] - span[0]
    try:
        with encoding([film.tool.path, *plan.encoder, f"file:{part}"], tell) as encoder:
            encoder.feed(lambda pipe: send(film, pipe, span, range(frames), 1 / plan.rate, tell), frames)
        if film.engine != engine:
            lasted, then = ("; ".join(map(str, some)) for some in (engine, film.engine[len(engine) :]))
            raise TryAgain(f"{lasted} did not last: {then}")
        facts = examine(part, frames)
        keep(part, path)
    finally:
        part.unlink(missing_ok=True)
    return facts


def render_whole(film: OpenFilm, path: str, tell: Tell) -> None:
    """Renders all frames, each at its own time, into `path`, with all that comes from the source."""
    plan = film.plan
    write_covers(plan, path)
    alone = replace(plan, job=replace(plan.job, frame_threads=0))
    command = ffmpeg_command.command(alone, film.tool, path)
    times = [time - plan.timestamps[0] for time in plan.timestamps]
    span = (0, len(times))
    with encoding(command, tell) as encoder:
        encoder.feed(lambda pipe: send(film, pipe, span, times, plan.time_base, tell), len(times))


def encoding(command: list[str], tell: Tell) -> FfmpegProcess:
    """ffmpeg under way, whose size and errors are told."""
    return FfmpegProcess(command, lambda size: tell(Encoded(size)), lambda text: tell(Complained(text)))


def send(film: OpenFilm, pipe: Any, span: Span, times: Sequence[int], base: Fraction, tell: Tell) -> None:
    """Writes the frames of `span` as NUT to `pipe`, frame n of them at `times[n]` in units of `base` seconds.

    They are asked of the whole clip, so what looks at neighbours sees the real ones.
    """
    import av

    picture, rate = film.plan.picture, film.plan.rate
    report = now_and_then(tell)
    with pipe, av.open(pipe, "w", format="nut", buffer_size=1 << 20) as nut:
        stream = nut.add_stream("rawvideo", rate=rate)
        stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, picture.pixel_format
        stream.time_base = stream.codec_context.time_base = base
        for n, frame in enumerate(film.clip[span[0] : span[1]].frames(close=True)):
            for about, text in film.watch.changes(n + span[0], frame.props).items():
                tell(Noted(text, about))
            packet = av.Packet(b"".join(frame.readchunks()))
            packet.stream = stream
            packet.time_base = base  # the muxer may choose a finer one for the stream
            packet.pts = packet.dts = times[n]
            packet.is_keyframe = True
            nut.mux(packet)
            report(Rendered(n + 1))
    tell(Rendered(len(times)))
