"""Write to the core's log, and turn the errors of frames into one line."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import vapoursynth as vs

from ..errors import GansrError, one_line

__all__ = ["FrameFunction", "guarded", "say_once", "warn"]

log = logging.getLogger("vs_gansr")

type Frames = vs.VideoFrame | Sequence[vs.VideoFrame]
type FrameFunction = Callable[[int, Any], Any]


def guarded(function: FrameFunction) -> FrameFunction:
    """`function`, whose exceptions become one line of text; the frame filter makes it the frame's error."""

    def call(n: int, f: Frames) -> Any:
        try:
            return function(n, f)
        except GansrError as error:
            return f"Upscale: frame {n}: {one_line(error)}"
        except Exception as error:
            log.exception("frame %d", n)
            return f"Upscale: frame {n}: {type(error).__name__}: {one_line(error)}"

    return call


_said: set[str] = set()


def say_once(core: vs.Core, kind: vs.MessageType, message: str) -> None:
    """Logs a message once in a process: previews evaluate the same script again and again."""
    if message not in _said:
        _said.add(message)
        core.log_message(kind, message)


def warn(core: vs.Core, message: str) -> None:
    """Warns through the core's log."""
    core.log_message(vs.MESSAGE_TYPE_WARNING, f"Upscale: {message}")
