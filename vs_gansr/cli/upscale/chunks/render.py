"""Owns what is rendered: opens the source, puts the graph on it, says what the encoder must know, sends pictures.

Pictures go out as raw video in NUT, the one container of ffmpeg's that carries any time base. What is worth telling
goes to `tell`, which the process that renders (worker.py) makes JSON lines of.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from ....filter import computed
from ....filter.computed import Computed
from ... import ffmpeg
from ...common import CommandError
from ..ffmpeg import command as ffmpeg_command
from ..ffmpeg import options
from ..ffmpeg.command import Picture
from ..ffmpeg.sizes import refuse_size
from ..job.job import RECORD, UpscaleJob
from ..script import filters, section
from ..script.script_text import is_noise, listen
from ..script.steps import NO_TIME, Graph, build, steady, timed
from ..source import clip as clip_source
from ..source import media, side_data
from ..source.changes import Watch, changed
from ..source.media import Source, Track
from ..source.timecode import later
from .spans import Span, pace, scene_changes, spans

__all__ = ["OpenFilm", "open_film", "picture_of", "send", "tell", "write_covers"]

REPORT_SECONDS = 0.2
# Properties by which BestSource and scripts hand over side data.
BESIDE = {"DolbyVisionRPU": "DOVI_RPU_BUFFER", "HDR10Plus": "DYNAMIC_HDR_PLUS", "ICCProfile": "ICC_PROFILE"}
SCRIPT_STAGE = "reading how long each frame of the script is shown (--fps saves that)"


@dataclass(frozen=True)
class OpenFilm:
    """A job with its source open, its graph built and its container tried.

    `plan` which tracks are carried · `spans` the chunks it is rendered in, or one · `engine` what Upscale's log says
    of model, precision and provider, which grows when a provider fails on the way and another one goes on · `watch`
    notices what frames say of themselves other than the first
    """

    job: UpscaleJob
    tool: ffmpeg.Ffmpeg
    source: Source
    plan: ffmpeg_command.Plan
    graph: Graph
    picture: Picture
    spans: tuple[Span, ...]
    engine: list[str]
    watch: Watch


def tell(**message: Any) -> None:
    """Sends one message to the parent, whole even where several threads do."""
    answers = sys.__stderr__  # sys.stderr may be a script's
    assert answers
    answers.write(f"{RECORD}{json.dumps(message)}\n")
    answers.flush()


def open_film(job: UpscaleJob, trial: bool = True) -> OpenFilm:
    """Everything before the first picture; with `trial` encoder and container are tried, too.

    Raises CommandError, or what VapourSynth does, for what cannot be.
    """
    engine: list[str] = []
    listen(relay)
    computed.listen(partial(note_engine, engine))
    ffmpeg_command.container(job.output, job.encoder)
    tool = ffmpeg.choose(job.encoder, job.ffmpeg)
    tell(stage="reading")
    source = clip_source.open_media(job)
    plan = ffmpeg_command.carry(job, source)
    if trial:
        options.try_encoder(job, tool)
        try_container(job, tool, source, plan)
    tell(stage=SCRIPT_STAGE if clip_source.is_script(job.source) else "indexing")
    graph, harm = whole(job, source, build(job, source))
    source, graph = cut(job, source, graph)
    with graph.clip.get_frame(0) as first:
        props = dict(first.props)
    source = clip_source.shaped(job, source, props)
    picture = picture_of(source, graph, props)
    if trial:
        refuse_size(job, tool, picture.width, picture.height, picture.pixel_format)
    for text in [
        *filters.named(step.function for step in graph.steps),
        *plan.notes,
        *graph.notes,
        *remarks(job, source, graph, props),
        *([harm] if harm else []),
    ]:
        tell(note=text)
    length = round(job.chunk * pace(graph.timestamps, graph.time_base))
    cuts = scene_changes(source, graph.timestamps) if graph.time_base == source.time_base else []
    made = spans(len(graph.timestamps), max(length, 1) if job.chunk else 0, cuts)
    return OpenFilm(job, tool, source, plan, graph, picture, made, engine, Watch(props, clip_source.given_props(job)))


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


def cut(job: UpscaleJob, source: Source, graph: Graph) -> tuple[Source, Graph]:
    """Source and graph with their times as the part asked for and the filters make them."""
    base, (first, last) = graph.time_base, graph.span
    stamps = graph.timestamps
    if source.timecode and source.packets:
        ratio = {"bob": Fraction(2), "ivtc": Fraction(4, 5)}.get(job.field, Fraction(1))
        source = replace(source, timecode=later(source.timecode, first, pace(stamps, base), ratio))
    if section.partial(job):
        begin = stamps[first] * base if first else source.origin
        over = max(source.origin + source.reached, (stamps[-1] + 1) * base)
        after = stamps[last] * base if last < len(stamps) else over
        source = replace(source, origin=begin, section=(begin, after - begin))
    return source, timed(job, graph)


def note_engine(engine: list[str], now: Computed) -> None:
    """Adds what computes the clip from now on, in words; a clip that is made again adds nothing."""
    if now.replaced or str(now) not in engine:
        engine.append(str(now))


def relay(kind: Any, message: str) -> None:
    """VapourSynth's log, sorted: indexing is progress, what concerns the picture is a note."""
    import vapoursynth as vs

    if "index progress" in message:
        tell(indexing=message.rsplit(" ", 1)[1])
    elif message.startswith("Upscale:") or (kind >= vs.MESSAGE_TYPE_WARNING and not is_noise(message)):
        tell(note=message)


def try_container(job: UpscaleJob, tool: ffmpeg.Ffmpeg, source: Source, plan: ffmpeg_command.Plan) -> None:
    """Raises CommandError where the output's container does not take what is to be carried."""
    if not plan.tracks:
        return
    done = subprocess.run(
        ffmpeg_command.trial(job, tool, source, plan),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        reason = ffmpeg.cause(done.stderr.splitlines()) or f"ffmpeg exits with {done.returncode}"
        carried = ", ".join(str(track) for track, _ in culprits(job, tool, source, plan))
        better = "write .mkv" if Path(job.output).suffix.lower() != ".mkv" else "take another container"
        raise CommandError(
            f"{job.output} cannot hold {carried}: {reason}; {better}, leave it out with --drop, "
            "or give it another codec behind --, as in: -- -c:a aac"
        )


def culprits(
    job: UpscaleJob, tool: ffmpeg.Ffmpeg, source: Source, plan: ffmpeg_command.Plan
) -> list[tuple[Track, str]]:
    """The tracks that the container does not even take alone; all of them where it takes each of them."""
    refused = []
    for track in plan.tracks:
        words = ffmpeg_command.trial(job, tool, source, replace(plan, tracks=(track,)))
        if subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True).returncode:
            refused.append(track)
    return refused or list(plan.tracks)


def write_covers(film: OpenFilm) -> None:
    """Writes the pictures that ffmpeg attaches beside the file that it writes; the driver takes them away with it."""
    if film.plan.covers:
        pictures = media.cover_pictures(film.source.path, film.plan.covers)
        for cover in film.plan.covers:
            Path(ffmpeg_command.cover_file(film.job, cover)).write_bytes(pictures[cover.index])


def picture_of(source: Source, graph: Graph, props: dict[str, Any]) -> Picture:
    """What the encoder must know of `graph`'s pictures."""
    clip, stamps, base = graph.clip, graph.timestamps, graph.time_base
    sar, (width, height) = source.sar, graph.source_size
    if source.orientation.is_sideways:
        sar = 1 / sar
    shape = Fraction(width, height) / Fraction(clip.width, clip.height)
    if abs(shape * clip.width - clip.width) >= 2:  # more than rounding to whole pixels: both sides were asked for
        sar = (sar * shape).limit_denominator(1 << 15)
    start, last = (stamps[n] * base - source.origin for n in (0, -1))
    length = source.last * source.time_base
    if graph.end is not None:
        length = graph.end - stamps[-1] * base
    elif not length or source.packets[-1] * source.time_base != stamps[-1] * base:
        length = (stamps[-1] - stamps[-2]) * base if len(stamps) > 1 else Fraction(1, 25)
    fmt = clip.format
    layout = {(1, 1): "420", (1, 0): "422"}.get((fmt.subsampling_w, fmt.subsampling_h), "444")
    pixel_format = f"yuv{layout}p{'10le' if fmt.bits_per_sample == 10 else ''}"
    return Picture(clip.width, clip.height, pixel_format, sar, props, start, last, last + length)


def remarks(job: UpscaleJob, source: Source, graph: Graph, props: Any) -> list[str]:
    """What is done to the picture before the network, and what is not carried of it, in words."""
    said = []
    if source.packets and sorted(graph.decoded_size) != sorted(source.size):
        (w, h), (a, b) = source.size, graph.decoded_size
        said.append(f"VapourSynth holds subsampled video in whole steps only: {w}x{h} is cut to {a}x{b}")
    if any(source.crop):
        (w, h), (a, b) = graph.decoded_size, graph.source_size
        sides = "{} above, {} below, {} left and {} right".format(*source.crop)
        said.append(f"the container crops the picture by {sides}: {w}x{h} becomes {a}x{b}")
    if not source.orientation.is_square:
        right, left = source.orientation.degrees, 360 - source.orientation.degrees
        turn = f"{right} degrees to the right" if right < 180 else f"{left} degrees to the left"
        said.append(f"the source is to be turned by {turn}, which is not done: the picture is as it is coded")
    if len(source.shapes) > 1 and not job.sar:
        (_, first), (time, other) = source.shapes[:2]
        was, now = (f"{shape.numerator}:{shape.denominator}" for shape in (first, other))
        place = f"{float(time * source.time_base - source.origin):.2f} s"
        said.append(changed("sample aspect ratio", was, now, place))
    if "_Alpha" in props or source.tag("alpha_mode") == "1":
        said.append("the source's alpha plane (transparency) is not carried")
    names = {*source.beside, *(name for prop, name in BESIDE.items() if prop in props)}
    if source.tag("alpha_mode") == "1":
        names.discard("matroska_block_additional")
    if source.tag("stereo_mode") and ffmpeg_command.container(job.output, job.encoder) == "matroska":
        names -= {"STEREO3D", "stereo_3d"}
    return said + side_data.notes(names)


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
            for about, text in film.watch.changes(n + (span[0] if span else 0), frame.props).items():
                tell(note=text, about=about)
            packet = av.Packet(b"".join(frame.readchunks()))
            packet.stream = stream
            packet.time_base = base  # the muxer may choose a finer one for the stream
            packet.pts = packet.dts = times[n]
            packet.is_keyframe = True
            nut.mux(packet)
            if report and ((now := time.monotonic()) >= due or n + 1 == len(times)):
                due = now + REPORT_SECONDS
                report(n + 1)
