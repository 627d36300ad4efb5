"""Owns the error tree; knows nothing of what raises.

GansrError
├── ArgumentError   an argument or clip that cannot be used
├── ModelError      a model that is unknown, damaged or does not fit
├── ProviderError   an execution provider or device that cannot run
└── RenderError     a frame that could not be computed
    ├── ShortageError    for want of memory
    ├── NotFiniteError   the network gave NaN or infinity
    └── DeviceLostError  its device is gone for this process

plugin.py translates the tree once, at VapourSynth's border, into `Upscale: <message>`. Messages carry the
offending values and the remedy in one line.
"""

from __future__ import annotations

__all__ = [
    "ArgumentError",
    "DeviceLostError",
    "GansrError",
    "ModelError",
    "NotFiniteError",
    "ProviderError",
    "RenderError",
    "ShortageError",
    "one_line",
]


class GansrError(Exception):
    """Anything this package refuses, with a one-line message."""


class ArgumentError(GansrError):
    """An argument or clip that cannot be used."""


class ModelError(GansrError):
    """A model that is unknown, damaged or does not fit the clip."""


class ProviderError(GansrError):
    """An execution provider or device that cannot run here."""


class RenderError(GansrError):
    """A frame that could not be computed."""


class ShortageError(RenderError):
    """Not enough memory; with smaller tiles there may be."""


class NotFiniteError(RenderError):
    """The network gave numbers that are not finite; in float32 it may give others."""


class DeviceLostError(RenderError):
    """A device that computes nothing more in this process."""


def one_line(error: BaseException, limit: int = 400) -> str:
    """The error's message without line breaks or other control characters, at most `limit` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
