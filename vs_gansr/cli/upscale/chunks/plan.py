"""The plan of a film: all that is found out once, and that whoever renders or joins it reads from `plan.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from ....common import files
from ....filter.computed import Computed
from ...common import CommandError
from ..ffmpeg.command import Film
from ..job.job import UpscaleJob
from ..job.plain_data import restored, to_json
from ..source.names import has_times
from .spans import Span

__all__ = ["NAME", "VERSION", "Fingerprint", "Plan", "changes", "read_json"]

NAME = "plan.json"
VERSION = 3  # of the files in a job's folder

type Fingerprint = dict[str, str]
"""What must not change between two runs: names that a user knows, and values or digests."""


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
        try:
            files.write(path, to_json(self))
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}") from error

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Raises CommandError where there is none, or one that is not understood."""
        plan = read_json(cls, path)
        if plan is None:
            raise CommandError(f"{path} is not there; begin anew with --restart")
        return plan

    def of(self, job: UpscaleJob) -> Plan:
        """The plan for a job that differs only in what the fingerprint does not hold: where its files are."""
        path = job.source if has_times(job.source) else self.source.path
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
        raise CommandError(f"{path} cannot be read ({error}); begin anew with --restart") from error
    if not isinstance(found, dict) or found.get("version") != VERSION:
        raise CommandError(f"{path} is of another version of gansr; begin anew with --restart")
    try:
        result: T = restored(kind, {**found, **more})
    except (KeyError, TypeError, ValueError) as error:
        raise CommandError(f"{path} is damaged ({error!r}); begin anew with --restart") from error
    return result


def changes(before: Fingerprint, now: Fingerprint) -> str:
    """What differs between two fingerprints, in words; empty where nothing does."""
    names = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
    return "; ".join(f"{name} was {before.get(name, 'unset')}, is {now.get(name, 'unset')}" for name in names)
