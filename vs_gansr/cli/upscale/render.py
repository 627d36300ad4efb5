"""Owns what is rendered: opens the source, puts the graph on it, says what the encoder must know, sends pictures.

Pictures go out as raw video in NUT, the one container of ffmpeg's that carries any time base. What is worth telling
goes to `tell`, which the process that renders (worker.py) makes JSON lines of.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from .. import ffmpeg
from ..common import CommandError
from . import encode, media
from .encode import Picture
from .job import RECORD, UpscaleJob
from .media import Source
from .plan import Span, pace, scene_changes, spans
from .script import NO_TIME, Graph, build, steady

__all__ = ["OpenFilm", "open_film", "picture_of", "send", "tell"]

REPORT_SECONDS = 0.2


@dataclass(frozen=True)
class OpenFilm:
    """A job with its source open, its graph built and its container tried.

    `plan` which tracks are carried · `spans` the chunks it is rendered in, or one · `engine` what Upscale's log says
    of model, precision and provider
    """

    job: UpscaleJob
    tool: ffmpeg.Ffmpeg
    source: Source
    plan: encode.Plan
    graph: Graph
    picture: Picture
    spans: tuple[Span, ...]
    engine: tuple[str, ...]


def tell(**message: Any) -> None:
    """Sends one message to the parent, whole even where several threads do."""
    sys.stderr.write(f"{RECORD}{json.dumps(message)}\n")
    sys.stderr.flush()


def open_film(job: UpscaleJob, trial: bool = True) -> OpenFilm:
    """Everything before the first picture; with `trial` the output's container is tried, too.

    Raises CommandError, or what VapourSynth does, for what cannot be.
    """
    import vapoursynth as vs

    engine: list[str] = []
    vs.core.core.add_log_handler(lambda kind, message: relay(kind, message, engine))
    encode.container(job.output, job.encoder)
    tool = ffmpeg.choose(job.encoder, job.ffmpeg)
    tell(stage="reading")
    source = media.probe(job.source)
    plan = encode.carry(job, source)
    if trial:
        try_container(job, tool, source, plan)
    tell(stage="indexing")
    graph, harm = whole(job, source, build(job, source.video.index))
    with graph.clip.get_frame(0) as first:
        props = dict(first.props)
    picture = picture_of(source, graph, props)
    for text in [*plan.notes, *remarks(source, graph, props), *([harm] if harm else [])]:
        tell(note=text)
    length = round(job.chunk * pace(graph.timestamps, graph.time_base))
    cuts = scene_changes(source, graph.timestamps)
    made = spans(len(graph.timestamps), max(length, 1) if job.chunk else 0, cuts)
    return OpenFilm(job, tool, source, plan, graph, picture, made, tuple(engine))


def whole(job: UpscaleJob, source: Source, graph: Graph) -> tuple[Graph, str | None]:
    """The graph with a time for every frame, and what damage was accepted.

    Raises CommandError for damage that is not, and for times that run wild: frames out of order may be either.
    """
    wild = None
    try:
        graph = replace(graph, timestamps=steady(graph.timestamps, job.source))
        times = list(graph.timestamps)
    except CommandError as error:
        wild = error
        times = sorted(time for time in graph.timestamps if time != NO_TIME)
    harm = media.damage(source, times)
    if harm and not job.accept_damage:
        raise CommandError(f"{job.source} is damaged: {harm}; repair it, or go on with --accept-damage")
    if wild:
        raise wild
    return graph, harm


def relay(kind: Any, message: str, engine: list[str]) -> None:
    """VapourSynth's log, sorted: indexing is progress, what concerns the picture is a note; `engine` collects which
    model, precision and provider were picked.

    Left out is the core's remark on BestSource returning timestamps that its signature does not declare.
    """
    import vapoursynth as vs

    picked = re.match(r"Upscale: (.+ in \S+ on [^\s:;,]+)", message)
    if picked:
        engine.append(picked[1])
    if "index progress" in message:
        tell(indexing=message.rsplit(" ", 1)[1])
    elif message.startswith("Upscale:") or (kind >= vs.MESSAGE_TYPE_WARNING and "no return value" not in message):
        tell(note=message)


def try_container(job: UpscaleJob, tool: ffmpeg.Ffmpeg, source: Source, plan: encode.Plan) -> None:
    """Raises CommandError where the output's container does not take what is to be carried."""
    if not plan.tracks:
        return
    done = subprocess.run(
        encode.trial(job, tool, source, plan),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        carried = ", ".join(str(track) for track, _ in plan.tracks)
        reason = ffmpeg.cause(done.stderr.splitlines()) or f"ffmpeg exits with {done.returncode}"
        raise CommandError(
            f"{job.output} cannot hold all of {carried}: {reason}; write .mkv, or leave tracks out with --drop"
        )


def picture_of(source: Source, graph: Graph, props: dict[str, Any]) -> Picture:
    """What the encoder must know of `graph`'s pictures."""
    clip, stamps, base = graph.clip, graph.timestamps, graph.time_base
    sar, (width, height) = source.sar, graph.source_size
    if (width - height) * (source.size[0] - source.size[1]) < 0:
        sar = 1 / sar  # BestSource has turned the picture upright
    shape = Fraction(width, height) / Fraction(clip.width, clip.height)
    if abs(shape * clip.width - clip.width) >= 2:  # more than rounding to whole pixels: both sides were asked for
        sar = (sar * shape).limit_denominator(1 << 15)
    start, last = (stamps[n] * base - source.origin for n in (0, -1))
    length = source.last * source.time_base
    if not length or source.packets[-1] * source.time_base != stamps[-1] * base:
        length = (stamps[-1] - stamps[-2]) * base if len(stamps) > 1 else Fraction(1, 25)
    fmt = clip.format
    layout = {(1, 1): "420", (1, 0): "422"}.get((fmt.subsampling_w, fmt.subsampling_h), "444")
    pixel_format = f"yuv{layout}p{'10le' if fmt.bits_per_sample == 10 else ''}"
    return Picture(clip.width, clip.height, pixel_format, sar, props, start, last, last + length)


def remarks(source: Source, graph: Graph, props: Any) -> list[str]:
    """What is not carried of this picture, in words."""
    said = []
    if sorted(graph.source_size) != sorted(source.size):
        (w, h), (a, b) = source.size, graph.source_size
        said.append(f"VapourSynth holds subsampled video in whole steps only: {w}x{h} is cut to {a}x{b}")
    for prop, name in (("DolbyVisionRPU", "Dolby Vision"), ("HDR10Plus", "HDR10+")):
        if prop in props:
            said.append(f"the source's {name} metadata, made for its own pictures, is not carried")
    return said


def send(film: OpenFilm, pipe: Any, span: Span | None = None, report: Callable[[int], None] | None = None) -> None:
    """Writes pictures as NUT to `pipe`: all, each with its own time, or those of `span` at a constant rate.

    Frames of a span are asked of the whole clip, so what looks at neighbours sees the real ones. `report` is told
    how many are sent, now and then.
    """
    import av

    graph, picture = film.graph, film.picture
    stamps, base, rate = graph.timestamps, graph.time_base, graph.clip.fps or 25
    clip, times = graph.clip, [time - stamps[0] for time in stamps]
    if span:
        rate = graph.clip.fps or pace(stamps, base)
        clip, times, base = clip[span[0] : span[1]], list(range(span[1] - span[0])), 1 / Fraction(rate)
    due = 0.0
    with pipe, av.open(pipe, "w", format="nut", buffer_size=1 << 20) as nut:
        stream = nut.add_stream("rawvideo", rate=rate)
        stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, picture.pixel_format
        stream.time_base = stream.codec_context.time_base = base
        for n, frame in enumerate(clip.frames(close=True)):
            packet = av.Packet(b"".join(frame.readchunks()))
            packet.stream = stream
            packet.time_base = base  # the muxer may choose a finer one for the stream
            packet.pts = packet.dts = times[n]
            packet.is_keyframe = True
            nut.mux(packet)
            if report and ((now := time.monotonic()) >= due or n + 1 == len(times)):
                due = now + REPORT_SECONDS
                report(n + 1)
