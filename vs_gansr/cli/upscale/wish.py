"""Owns what a run is told besides its job, which changes nothing in the film, and what it tells when it is finished."""

from __future__ import annotations

from dataclasses import dataclass

from .ledger import Ledger

__all__ = ["Outcome", "Wish"]


@dataclass(frozen=True)
class Wish:
    """How a job is to be run, which changes nothing in its result.

    `workers` processes at a time, 0 for one or what the cluster has · `cluster` address of a Ray cluster, or None ·
    `storage` URL that its chunks go through, or None · `overwrite` the output · `resume` only what is begun, `restart`
    from nothing · `verbose` shows what the workers print
    """

    workers: int = 0
    cluster: str | None = None
    storage: str | None = None
    overwrite: bool = False
    resume: bool = False
    restart: bool = False
    verbose: bool = False


@dataclass(frozen=True)
class Outcome:
    """What was written.

    `frames` of `size` pixels that last `seconds` · `origin` the source's moment, in seconds of its own clock, that the
    output's clock begins at · `chunks` it was rendered in, of which `found` were finished before
    · `engine` model, precision and provider, `ffmpeg` its version · `ledger` what is known of the chunks, if any
    """

    frames: int
    size: tuple[int, int]
    seconds: float
    engine: tuple[str, ...]
    ffmpeg: str
    origin: float = 0.0
    chunks: int = 1
    found: int = 0
    ledger: Ledger | None = None
