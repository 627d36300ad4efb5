"""The exceptions of this package.

GansrError
├── ArgumentError   an argument or clip that cannot be used
├── ModelError      a model that is unknown, damaged or does not fit the clip
├── ProviderError   an execution provider or device that cannot run
└── RenderError     a frame that could not be computed
    ├── ShortageError    there was not enough memory
    ├── NotFiniteError   the network returned NaN or infinity
    └── DeviceLostError  the device stopped working in this process

plugin.py turns them into VapourSynth errors, `Upscale: <message>`. Each message is one line and names the values that
are wrong and the remedy.
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
    """Base class of the exceptions of this package. The message is one line."""


class ArgumentError(GansrError):
    """An argument or clip that cannot be used."""


class ModelError(GansrError):
    """A model that is unknown, damaged or does not fit the clip."""


class ProviderError(GansrError):
    """An execution provider or device that cannot run here."""


class RenderError(GansrError):
    """A frame that could not be computed."""


class ShortageError(RenderError):
    """Not enough memory; smaller tiles may fit."""


class NotFiniteError(RenderError):
    """The network returned NaN or infinity; float32 may avoid it."""


class DeviceLostError(RenderError):
    """A device that stopped working in this process."""


def one_line(error: BaseException, limit: int = 400) -> str:
    """Return the error's message in one line without control characters, cut to `limit` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
