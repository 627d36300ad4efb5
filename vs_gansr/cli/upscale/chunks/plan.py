"""The plan of a film: all that is found out once, and where the film is cut into chunks.

Cuts depend on the source and on the length asked for alone, so any number of workers makes the same chunks. The encoder
restarts at every cut: a scene change, where it would start anew anyway, costs nothing.
"""

from __future__ import annotations

import bisect
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from ....common import files
from ....filter.computed import Computed
from ...common import CommandError
from ..ffmpeg.command import Film
from ..job import UpscaleJob
from ..job.plain_data import restored, to_json
from ..source.media import Source

__all__ = [
    "NAME", "VERSION", "Fingerprint", "Plan", "Span", "changes", "pace", "read_json", "scene_changes", "spans",
    "write_json",
]  # fmt: skip

NAME = "plan.json"
VERSION = 4  # of the files in a job's folder
SLACK = 0.25  # how far a cut may lie from where it was due, in chunks
SPARE = 1.5  # a rest of up to so many chunks stays whole

type Fingerprint = dict[str, str]
"""What must not change between two runs: names that a user knows, and values or digests."""

type Span = tuple[int, int]
"""First frame, and the one after the last."""


@dataclass(frozen=True)
class Plan(Film):
    """How one film is rendered.

    `source` without its packets · `script` the calls that make the clip, for script.steps.evaluate ·
    `timestamps` of the result's frames in units of `time_base` seconds · `rate` at which chunks are encoded ·
    `spans` the chunks · `encoder` ffmpeg's options for a chunk · `engine` what computes the clip on the machine that
    planned · `fingerprint` of job and source, empty for a film of one chunk
    """

    script: str
    timestamps: tuple[int, ...]
    time_base: Fraction
    rate: Fraction
    spans: tuple[Span, ...]
    encoder: tuple[str, ...]
    engine: tuple[Computed, ...]
    ffmpeg: str
    fingerprint: Fingerprint
    version: int = VERSION

    @property
    def frames(self) -> int:
        """How many there are of the result."""
        return len(self.timestamps)

    @property
    def seconds(self) -> float:
        """How long the result lasts."""
        return float(self.picture.end - self.picture.start)

    def save(self, path: Path) -> None:
        """Raises CommandError where the disk does not take it."""
        write_json(path, self)

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Raises CommandError where there is none, or one that is not understood."""
        plan = read_json(cls, path)
        if plan is None:
            raise CommandError(f"{path} is not there; start again with --restart")
        return plan

    def of(self, job: UpscaleJob) -> Plan:
        """The plan for a job that differs only in what the fingerprint does not hold: where its files are."""
        path = job.source if job.has_times else self.source.path
        job = replace(job, frame_threads=self.job.frame_threads)
        return replace(self, job=job, source=replace(self.source, path=path))


def read_json[T](kind: type[T], path: Path, **more: object) -> T | None:
    """An object of type `kind` from a file in a job's folder, with the fields `more`; None where there is no file.

    Raises CommandError for a file of another version, and for one that is not understood.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} cannot be read ({error}); start again with --restart") from error
    if not isinstance(found, dict) or found.get("version") != VERSION:
        raise CommandError(f"{path} is of another version of gansr; start again with --restart")
    try:
        result: T = restored(kind, {**found, **more})
    except (KeyError, TypeError, ValueError) as error:
        raise CommandError(f"{path} is damaged ({error!r}); start again with --restart") from error
    return result


def write_json(path: Path, value: object) -> None:
    """Writes a file in a job's folder, whole or not at all. Raises CommandError where the disk does not take it."""
    try:
        files.write(path, to_json(value))
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from error


def changes(before: Fingerprint, now: Fingerprint) -> str:
    """What differs between two fingerprints, in words; empty where nothing does."""
    names = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
    return "; ".join(f"{name} was {before.get(name, 'unset')}, is {now.get(name, 'unset')}" for name in names)


def spans(total: int, length: int, cuts: Iterable[int] = ()) -> tuple[Span, ...]:
    """Frames 0 to `total` in chunks of about `length`, cut at the nearest of `cuts` where one is near enough.

    `length` 0 means one chunk. Each chunk has at least one frame; together they have each frame once, in order.
    """
    if total < 1:
        raise ValueError(f"spans: {total} frames cannot be cut")
    places = sorted(set(cuts))
    made, start = [], 0
    while length and total - start > SPARE * length:
        due = start + length
        low, high = (bisect.bisect_left(places, due + side * SLACK * length) for side in (-1, 1))
        end = min(places[low:high], key=lambda place: abs(place - due), default=due)
        made.append((start, end))
        start = end
    return (*made, (start, total))


def scene_changes(source: Source, timestamps: Sequence[int]) -> list[int]:
    """Frames that the source's encoder took for the first of a scene: key frames that came before they were due.

    Nothing is decoded for it. `timestamps` are those of the frames, in the source's time base.
    """
    place = {time: n for n, time in enumerate(timestamps)}
    keys = [place[time] for time in source.keys if time in place]
    due = max((b - a for a, b in pairwise(keys)), default=0)
    return [b for a, b in pairwise(keys) if b - a < due]


def pace(timestamps: Sequence[int], time_base: Fraction) -> Fraction:
    """Frames per second on average, as a plain number that encoders take; 25 for a single frame."""
    if len(timestamps) < 2:
        return Fraction(25)
    rate = (len(timestamps) - 1) / ((timestamps[-1] - timestamps[0]) * time_base)
    return rate.limit_denominator(1001)
