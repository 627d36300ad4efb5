"""Open the film of a plan: the clip that its script makes, and what computes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import vapoursynth as vs

from ....filter import computed
from ....filter.computed import Computed
from ...common import CommandError
from ...ffmpeg import Ffmpeg, choose
from ..job.job import UpscaleJob
from ..script import section
from ..script.script_text import is_noise
from ..script.steps import enlarged_plainly, evaluate
from ..source import clip as clip_source
from ..source.changes import Watch
from .messages import Indexing, Noted, Placement, Tell
from .plan import Plan

__all__ = ["OpenFilm", "engine_of", "open_film", "placed", "relay"]


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
        self.watch = Watch(self.plan.picture.props, clip_source.given_props(self.plan.job))


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
        clip = section.wipe(enlarged_plainly(plain, clip), clip)
    now = (clip.num_frames, clip.width, clip.height)
    planned = (plan.frames, plan.picture.width, plan.picture.height)
    if now != planned:
        before, after = ("{} frames of {}x{}".format(*facts) for facts in (planned, now))
        raise CommandError(
            f"{job.source} gives {after}, but gave {before} when the film was begun; begin anew with --restart"
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
            tell(Indexing(message.rsplit(" ", 1)[1]))
        elif message.startswith("Upscale:") or (kind >= vs.MESSAGE_TYPE_WARNING and not is_noise(message)):
            tell(Noted(message))

    return handle
