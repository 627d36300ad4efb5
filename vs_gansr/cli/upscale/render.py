"""Owns the renderer, a process of its own: opens the source, plans the encode, sends the pictures down its stdout.

It is told its job by one line on stdin and ends at once when stdin closes, so it never outlives its parent. On
stderr it answers in JSON lines, each led by a record separator (RFC 7464); what other code prints there comes
through as it is. Pictures go out as raw video in NUT, the one container of ffmpeg's that carries any time base.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from ...errors import GansrError, one_line
from .. import ffmpeg
from ..common import CommandError
from . import encode, encoder_options, media
from .encode import Picture
from .job import BROKEN_PIPE, RECORD, Job
from .media import Source, Track
from .printed import is_noise, listen
from .script import NO_TIME, Graph, build, steady

__all__ = ["main", "picture_of"]

REPORT_SECONDS = 0.2


def main() -> int:
    """Renders the job on stdin; returns the process's exit code."""
    video = os.dup(1)
    os.dup2(2, 1)  # whatever prints must not end up in the picture
    job = Job.from_json(sys.stdin.readline())
    threading.Thread(target=live_with_parent, daemon=True).start()
    try:
        render(job, video)
    except BrokenPipeError:
        return BROKEN_PIPE
    except Exception as error:
        text = one_line(error, 1000)
        tell(error=text if isinstance(error, GansrError) else explain(error, text))
        return 1
    return 0


def live_with_parent() -> None:
    """Ends this process when the parent is gone."""
    while os.read(0, 1):
        pass
    os._exit(1)


def tell(**message: Any) -> None:
    """Sends one message to the parent."""
    sys.stderr.write(f"{RECORD}{json.dumps(message)}\n")
    sys.stderr.flush()


def explain(error: Exception, text: str) -> str:
    """Errors of VapourSynth's are meant for users, others say which they are."""
    import vapoursynth as vs

    return text if isinstance(error, vs.Error) else f"{type(error).__name__}: {text}"


def render(job: Job, video: int) -> None:
    """Everything from the source to the last picture."""
    listen(relay)
    encode.container(job.output, job.encoder)
    tool = ffmpeg.choose(job.encoder, job.ffmpeg)
    encoder_options.try_encoder(job, tool)
    tell(stage="reading")
    source = media.probe(job.source)
    plan = encode.carry(job, source)
    try_container(job, tool, source, plan)
    write_covers(job, source, plan)
    tell(stage="indexing")
    graph, harm = whole(job, source, build(job, source.video.index))
    with graph.clip.get_frame(0) as first:
        props = dict(first.props)
    picture = picture_of(source, graph, props)
    for text in [*plan.notes, *remarks(source, graph, props), *([harm] if harm else [])]:
        tell(note=text)
    tell(
        command=encode.command(job, tool, source, plan, picture),
        frames=len(graph.timestamps),
        size=[picture.width, picture.height],
        ffmpeg=tool.version,
    )
    send(graph, picture, video)


def whole(job: Job, source: Source, graph: Graph) -> tuple[Graph, str | None]:
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


def relay(kind: Any, message: str) -> None:
    """VapourSynth's log, sorted: indexing is progress, what concerns the picture is a note."""
    import vapoursynth as vs

    if "index progress" in message:
        tell(indexing=message.rsplit(" ", 1)[1])
    elif message.startswith("Upscale:") or (kind >= vs.MESSAGE_TYPE_WARNING and not is_noise(message)):
        tell(note=message)


def try_container(job: Job, tool: ffmpeg.Ffmpeg, source: Source, plan: encode.Plan) -> None:
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
        reason = ffmpeg.cause(done.stderr.splitlines()) or f"ffmpeg exits with {done.returncode}"
        carried = ", ".join(str(track) for track, _ in culprits(job, tool, source, plan))
        better = "write .mkv" if Path(job.output).suffix.lower() != ".mkv" else "take another container"
        raise CommandError(f"{job.output} cannot hold {carried}: {reason}; {better}, or leave it out with --drop")


def culprits(job: Job, tool: ffmpeg.Ffmpeg, source: Source, plan: encode.Plan) -> list[tuple[Track, str]]:
    """The tracks that the container does not even take alone; all of them where it takes each of them."""
    refused = []
    for track in plan.tracks:
        words = encode.trial(job, tool, source, replace(plan, tracks=(track,)))
        if subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True).returncode:
            refused.append(track)
    return refused or list(plan.tracks)


def write_covers(job: Job, source: Source, plan: encode.Plan) -> None:
    """Writes the pictures that ffmpeg attaches beside the temporary file; the parent takes them away with it."""
    if plan.covers:
        data = media.cover_pictures(source.path, plan.covers)
        for cover in plan.covers:
            Path(encode.cover_file(job, cover)).write_bytes(data[cover.index])


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
    if "_Alpha" in props:
        said.append("the source's alpha plane (transparency) is not carried")
    for prop, name in (("DolbyVisionRPU", "Dolby Vision"), ("HDR10Plus", "HDR10+")):
        if prop in props:
            said.append(f"the source's {name} metadata, made for its own pictures, is not carried")
    return said


def send(graph: Graph, picture: Picture, video: int) -> None:
    """Writes every frame of the clip, with its time, as NUT to the file descriptor `video`."""
    import av

    base, first = graph.time_base, graph.timestamps[0]
    total, due = len(graph.timestamps), 0.0
    # Buffered: a bare file may write less than it is given, after Ctrl-Z for one, and PyAV does not look.
    with os.fdopen(video, "wb") as pipe, av.open(pipe, "w", format="nut", buffer_size=1 << 20) as nut:
        stream = nut.add_stream("rawvideo", rate=graph.clip.fps or 25)
        stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, picture.pixel_format
        stream.time_base = stream.codec_context.time_base = base
        for n, frame in enumerate(graph.clip.frames(close=True)):
            packet = av.Packet(b"".join(frame.readchunks()))
            packet.stream = stream
            packet.time_base = base  # the muxer may choose a finer one for the stream
            packet.pts = packet.dts = graph.timestamps[n] - first
            packet.is_keyframe = True
            nut.mux(packet)
            if (now := time.monotonic()) >= due or n + 1 == total:
                due = now + REPORT_SECONDS
                tell(frame=n + 1)


if __name__ == "__main__":
    sys.exit(main())
