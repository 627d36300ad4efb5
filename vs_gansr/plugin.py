"""Connect core.gansr with Python: unpack VapourSynth's maps and turn exceptions into one-line errors.

The shim (native/gansr.c) calls `enter` for every call of a public function. `enter` calls the shim's Answer with the
function that does the work, and VapourSynth converts the arguments to Python objects.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import vapoursynth as vs

from .errors import ArgumentError, GansrError, one_line

__all__ = ["enter", "version_info"]

log = logging.getLogger("vs_gansr")

type Answer = dict[str, Any]


def enter(function: str) -> None:
    """Answer the current call of `core.gansr.<function>` in this thread."""
    vs.core.gansr.Answer(func=partial(answer, function))


def answer(function: str, **arguments: Any) -> Answer:
    """Return the result of `function` as a map, or its error under the key `error`."""
    try:
        return FUNCTIONS[function](**arguments)
    except GansrError as error:
        return {"error": f"{function}: {one_line(error)}"}
    except Exception as error:
        log.exception("%s failed", function)
        return {"error": f"{function}: {type(error).__name__}: {one_line(error)}"}


# The core's threads do not exist in a forked child, so a request for a frame would wait forever there.
PROCESS = os.getpid()


def upscale(
    clip: vs.VideoNode,
    tilesize: int | Sequence[int] | None = None,
    overlap: int | Sequence[int] | None = None,
    **rest: Any,
) -> Answer:
    from .filter.graph import build
    from .filter.settings import Settings

    if os.getpid() != PROCESS:
        raise ArgumentError(
            "this process was forked from one that uses VapourSynth and lacks its threads; "
            'start processes with multiprocessing.get_context("spawn")'
        )
    for name in ("model", "provider", "precision"):
        if isinstance(rest.get(name), bytes):
            raise ArgumentError(f"{name} {rest[name]!r} is not valid UTF-8")
    settings = Settings(tilesize=pair("tilesize", tilesize), overlap=pair("overlap", overlap), **rest)
    return {"clip": build(clip, settings)}


def pair(name: str, value: int | Sequence[int] | None) -> tuple[int, int] | None:
    """Return (w, h) from one number or two. Raises ArgumentError for any other count."""
    if value is None:
        return None
    numbers = [value] if isinstance(value, int) else list(value)
    if len(numbers) not in (1, 2):
        raise ArgumentError(f"{name} {numbers} has {len(numbers)} numbers; give one, or width and height")
    return numbers[0], numbers[-1]


def models() -> Answer:
    from .model import library

    loaded = [library.load(name).spec for name in library.shipped()]
    return {
        "name": [spec.name for spec in loaded],
        "scale": [spec.scale or 0 for spec in loaded],
        "licence": [spec.licence for spec in loaded],
        "summary": [spec.summary for spec in loaded],
    }


def version_info() -> Answer:
    """Return the versions of the plugin, VapourSynth and ONNX Runtime, and the providers that work here."""
    from importlib.metadata import version

    import onnxruntime

    from .engine.auto import registry

    return {
        "gansr": version("vs-gansr"),
        "vapoursynth": f"R{vs.core.core_version.release_major}",
        "onnxruntime": onnxruntime.__version__,
        "providers": [provider.name for provider in registry.usable()],
    }


FUNCTIONS: dict[str, Callable[..., Answer]] = {"Upscale": upscale, "Models": models, "Version": version_info}
