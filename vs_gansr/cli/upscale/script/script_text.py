"""Print the script (`--script-only`), and pass on what VapourSynth logs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import vapoursynth as vs

from ....errors import one_line
from ...common import CommandError, note
from ..job.job import UpscaleJob
from ..source import clip as clip_source
from . import steps

__all__ = ["is_noise", "listen", "note_log", "printed"]


def printed(job: UpscaleJob) -> str:
    """The job as a .vpy. Raises CommandError for whatever its source, plugins or arguments are refused for."""
    if job.is_script:
        raise CommandError(
            f"--script-only needs a video file or images; {job.source} is already a script: add "
            "clip = core.gansr.Upscale(clip) to it"
        )
    if job.compare:
        raise CommandError("--compare cannot be written as a script; omit --script-only")
    listen(note_log)
    try:
        return steps.text(steps.build(job, clip_source.open_media(job)).steps)
    except (vs.Error, AttributeError) as error:
        raise CommandError(one_line(error, 1000)) from error


def listen(handler: Callable[[Any, str], None]) -> None:
    """Has `handler` told of VapourSynth's log, which otherwise goes to stderr by Python's logging."""
    logger = logging.getLogger("vapoursynth")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    vs.core.core.add_log_handler(handler)


def is_noise(message: str) -> bool:
    """The core's remark on BestSource returning timestamps that its signature does not declare."""
    return "no return value" in message


def note_log(kind: Any, message: str) -> None:
    """Shows VapourSynth's warnings as notes."""
    if kind >= vs.MESSAGE_TYPE_WARNING and not is_noise(message):
        note(message)
