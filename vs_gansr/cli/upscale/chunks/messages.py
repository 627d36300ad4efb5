"""The messages between the scheduler and its workers, and the lines of JSON that they travel as."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from ..job import UpscaleJob
from ..job.plain_data import restored, to_json
from .file import ChunkFacts
from .plan import Fingerprint, Span

__all__ = [
    "RECORD", "Answer", "CheckPlan", "Command", "Concatenate", "Done", "Encoded", "Failed", "Leave", "MakePlan",
    "Noted", "OpenPlan", "Opened", "Placement", "Printed", "RenderChunk", "RenderWhole", "Rendered", "Stage", "Tell",
    "now_and_then", "read", "write",
]  # fmt: skip

RECORD = "\x1e"  # leads each answer on a worker's stderr (RFC 7464)
REPORT_SECONDS = 0.2


@dataclass(frozen=True)
class Placement:
    """Where a worker computes: the CPU cores that are its own, if not all, and its GPU, if it is not the job's."""

    cores: tuple[int, ...] = ()
    device_id: int | None = None


@dataclass(frozen=True)
class MakePlan:
    """Write the plan of `job` to `path`; ffmpeg's trials may overwrite `scratch`."""

    job: UpscaleJob
    path: str
    scratch: str


@dataclass(frozen=True)
class CheckPlan:
    """Find the fingerprint of `job` as it is now, and of its source's content."""

    job: UpscaleJob


@dataclass(frozen=True)
class OpenPlan:
    """Open the film of the plan at `path`."""

    path: str


@dataclass(frozen=True)
class RenderWhole:
    """Render the film of the plan that is open, with what comes from the source, into `path`."""

    path: str


@dataclass(frozen=True)
class RenderChunk:
    """Render the frames of `span` of the film of `plan`, a path, into `path`."""

    plan: str
    span: Span
    path: str


@dataclass(frozen=True)
class Concatenate:
    """Join the finished chunks in `folder` into `path`."""

    folder: str
    path: str


@dataclass(frozen=True)
class Leave:
    """End by yourself: what a script has registered for the end runs."""


type Command = MakePlan | CheckPlan | OpenPlan | RenderWhole | RenderChunk | Concatenate | Leave


@dataclass(frozen=True)
class Stage:
    """What is done now, before the first frame or after the last."""

    text: str


@dataclass(frozen=True)
class Noted:
    """One line for the user; of several `about` the same only the first is shown."""

    text: str
    about: str = ""


@dataclass(frozen=True)
class Printed:
    """A line that a worker's process prints, as a script does, or, if it is `by_ffmpeg`, ffmpeg as an error."""

    text: str
    by_ffmpeg: bool = False


@dataclass(frozen=True)
class Opened:
    """The film is open, on `host`; `fingerprint` of what would render it there."""

    fingerprint: Fingerprint
    host: str


@dataclass(frozen=True)
class Rendered:
    """So many frames of the chunk are sent to the encoder, or so many of the film are joined."""

    frames: int


@dataclass(frozen=True)
class Encoded:
    """The size of what is encoded of the chunk."""

    bytes: int


@dataclass(frozen=True)
class Done:
    """The command is done; `facts` and `seconds` of a chunk, `fingerprint` that CheckPlan asks for."""

    facts: ChunkFacts | None = None
    seconds: float = 0.0
    fingerprint: Fingerprint | None = None


@dataclass(frozen=True)
class Failed:
    """The command failed, on `host`, and the worker ends; `retry` whether another worker may succeed."""

    error: str
    retry: bool
    host: str


type Answer = Stage | Noted | Printed | Opened | Rendered | Encoded | Done | Failed
type Tell = Callable[[Answer], None]

KINDS = {kind.__name__: kind for union in (Command, Answer) for kind in get_args(union.__value__)}


def now_and_then(tell: Tell) -> Tell:
    """`tell` for answers that say how far a worker is: what follows within REPORT_SECONDS is not told."""
    due = 0.0

    def report(answer: Answer) -> None:
        nonlocal due
        if (now := time.monotonic()) >= due:
            due = now + REPORT_SECONDS
            tell(answer)

    return report


def write(message: Command | Answer) -> str:
    """One line of JSON: the name of the message's class, and its fields."""
    return to_json([type(message).__name__, message])


def read(line: str) -> Any:
    """The message that `write` wrote."""
    name, fields = json.loads(line)
    return restored(KINDS[name], fields)
