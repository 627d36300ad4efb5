"""Owns the arguments of Upscale besides the clip, and which values of them mean anything."""

from __future__ import annotations

from dataclasses import dataclass

from ..engine.base import PRECISIONS
from ..errors import ArgumentError

__all__ = ["Settings", "check"]

MOST_STREAMS = 64


@dataclass(frozen=True)
class Settings:
    """The arguments of Upscale besides the clip, as the user gave them; see the README's table."""

    model: str | None = None
    """The name of a model, or a path to an .onnx file; None: the default."""
    provider: str = "auto"
    """`auto`, or an execution provider's name; a named one never falls back."""
    device_id: int = 0
    """Which of the provider's devices."""
    precision: str = "auto"
    """`auto`, `fp32`, `fp16` or `int8`."""
    num_streams: int | None = None
    """Pictures computed at once; None: as suits the provider."""
    tilesize: tuple[int, int] | None = None
    """(width, height) of a tile in input pixels, overlap included; None: the whole picture if it fits."""
    overlap: tuple[int, int] | None = None
    """(width, height) of a tile's margin on each side; None: the network's reach."""
    memory: int | None = None
    """MiB the network may take; None: half of what is free."""
    strength: float = 1.0
    """0 (a plain resize) to 1 (the network)."""
    reuse: int = 1
    """1: a frame equal to its neighbour is not computed again."""
    format: int | None = None
    """The output's format as one of VapourSynth's presets; None: the clip's."""


def check(settings: Settings) -> None:
    """Raises ArgumentError for what no clip and no model can make right."""
    if settings.precision not in PRECISIONS:
        raise ArgumentError(f'precision "{settings.precision}" is unknown; use one of: {", ".join(PRECISIONS)}')
    check_tiles(settings)
    if settings.num_streams is not None and not 1 <= settings.num_streams <= MOST_STREAMS:
        raise ArgumentError(f"num_streams {settings.num_streams} must be at least 1 and at most {MOST_STREAMS}")
    if settings.memory is not None and settings.memory < 1:
        raise ArgumentError(f"memory {settings.memory} must be at least 1 (MiB)")
    if not 0 <= settings.strength <= 1:
        raise ArgumentError(f"strength {settings.strength} must be from 0 (plain resize) to 1 (the network)")
    if settings.reuse not in (0, 1):
        raise ArgumentError(f"reuse {settings.reuse} must be 0 or 1")


def check_tiles(settings: Settings) -> None:
    """The same for what concerns tiles."""
    for label, pair in (("tilesize", settings.tilesize), ("overlap", settings.overlap)):
        if pair is not None and min(pair) < (1 if label == "tilesize" else 0):
            raise ArgumentError(f"{label} {list(pair)} must not be negative{' or 0' * (label == 'tilesize')}")
    if settings.tilesize and settings.overlap:
        for side, margin in zip(settings.tilesize, settings.overlap, strict=True):
            if side <= 2 * margin:
                raise ArgumentError(
                    f"tilesize {list(settings.tilesize)} must exceed twice the overlap {list(settings.overlap)}"
                )
