"""What a finished run tells about its film."""

from __future__ import annotations

from dataclasses import dataclass

from .ledger import Ledger

__all__ = ["Outcome"]


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
    engine: str
    ffmpeg: str
    origin: float = 0.0
    chunks: int = 1
    found: int = 0
    ledger: Ledger | None = None
