"""Open the film of a plan, and render a chunk of it, or all: frames go as raw video through a pipe to ffmpeg.

The pipe carries NUT, the one container of ffmpeg's that has any time base.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import vapoursynth as vs

from ....filter import computed
from ....filter.computed import Computed
from ...common import CommandError
from ...ffmpeg import Ffmpeg, choose
from ..ffmpeg import command as ffmpeg_command
from ..ffmpeg.process import TryAgain, feed
from ..job import UpscaleJob
from ..script.steps import enlarged_plainly, evaluate, wipe
from ..source import clip as clip_source
from ..source.notes import Watch
from ..source.script_file import is_noise
from .concat import write_covers
from .file import ChunkFacts, examine, keep
from .messages import Encoded, Noted, Placement, Printed, Rendered, Stage, Tell, now_and_then
from .plan import Plan, Span

__all__ = ["OpenFilm", "engine_of", "open_film", "placed", "relay", "render_chunk", "render_whole"]


@dataclass
class OpenFilm:
    """A film that can be rendered.

    `engine` what computes it, which grows when a provider fails on the way and another one goes on · `watch` notices
    what frames say of themselves other than the first
    """

    plan: Plan
    clip: vs.VideoNode
    engine: list[Computed]
    tool: Ffmpeg
    watch: Watch = field(init=False)

    def __post_init__(self) -> None:
        given = [*clip_source.tags(self.plan.job), *(("_SARNum", "_SARDen") if self.plan.job.sar else ())]
        self.watch = Watch(self.plan.picture.props, frozenset(given))


def open_film(plan: Plan, placement: Placement) -> OpenFilm:
    """Evaluates the plan's script. Reads no more of the source than its index and its first frame.

    Raises CommandError where the source gives another clip than when the film was planned, or what VapourSynth does.
    """
    job = placed(plan.job, placement)
    engine = engine_of()
    given = {"device_id": job.device_id, "num_streams": job.num_streams}
    names: dict[str, Any] = {"placement": {name: value for name, value in given.items() if value is not None}}
    clip, plain = evaluate(plan.script, **names, **clip_source.opening(job))
    if job.compare:
        clip = wipe(enlarged_plainly(plain, clip), clip)
    now = (clip.num_frames, clip.width, clip.height)
    planned = (plan.frames, plan.picture.width, plan.picture.height)
    if now != planned:
        before, after = ("{} frames of {}x{}".format(*facts) for facts in (planned, now))
        raise CommandError(
            f"{job.source} gives {after}, but gave {before} when the film was begun; start again with --restart"
        )
    return OpenFilm(plan, clip, engine, choose(job.encoder, job.ffmpeg))


def placed(job: UpscaleJob, placement: Placement) -> UpscaleJob:
    """The job on the GPU of a worker."""
    return job if placement.device_id is None else replace(job, device_id=placement.device_id)


def engine_of() -> list[Computed]:
    """What computes the clips that are made from now on, as it is told; a clip that is made again adds nothing."""
    engine: list[Computed] = []
    computed.listen(lambda now: note_engine(engine, now))
    return engine


def note_engine(engine: list[Computed], now: Computed) -> None:
    """Adds what computes the clip from now on, unless it is known."""
    if now.replaced or now not in engine:
        engine.append(now)


def relay(tell: Tell) -> Callable[[Any, str], None]:
    """A handler of VapourSynth's log: indexing is progress, what concerns the picture is a note."""

    def handle(kind: Any, message: str) -> None:
        if "index progress" in message:
            tell(Stage(f"indexing {message.rsplit(' ', 1)[1]}"))
        elif message.startswith("Upscale:") or (kind >= vs.MESSAGE_TYPE_WARNING and not is_noise(message)):
            tell(Noted(message))

    return handle


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
        encode([film.tool.path, *plan.encoder, f"file:{part}"], film, span, range(frames), 1 / plan.rate, tell)
        if film.engine != engine:
            lasted, then = ("; ".join(map(str, some)) for some in (engine, film.engine[len(engine) :]))
            raise TryAgain(f"{lasted} failed within this chunk ({then}); it is rendered again by one provider alone")
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
    encode(command, film, (0, len(times)), times, plan.time_base, tell)


def encode(command: list[str], film: OpenFilm, span: Span, times: Sequence[int], base: Fraction, tell: Tell) -> None:
    """Runs an ffmpeg on the frames of `span`, as `send` writes them; its size and its errors are told."""
    sent = partial(send, film, span=span, times=times, base=base, tell=tell)
    feed(command, sent, len(times), lambda size: tell(Encoded(size)), lambda text: tell(Printed(text, by_ffmpeg=True)))


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
