"""Owns what a film in chunks is made of and made with: all that must be equal in every chunk, by name."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ...model import library
from ..common import CommandError
from .chunk import digest
from .ledger import Identity
from .render import OpenFilm

__all__ = ["CONTENT", "of", "of_place"]

# Where the work is done, and what follows from everything else.
ELSEWHERE = {"source", "output", "temporary", "ffmpeg", "device_id", "num_streams"}
PACKAGES = ("vs-gansr", "vapoursynth", "vapoursynth-bestsource", "onnxruntime", "onnxruntime-gpu", "openvino")
CONTENT = "source content"
PLACE = ("engine", "kind of CPU", "version of onnxruntime", "version of onnxruntime-gpu", "version of openvino")


def of(film: OpenFilm, content: bool) -> Identity:
    """The film's identity. With `content` the source is read whole; its packets' sizes and times always are."""
    found = {option(name): show(value) for name, value in asdict(film.job).items() if name not in ELSEWHERE}
    found["source packets"] = film.source.layout
    if content and Path(film.job.source).is_file():
        found[CONTENT] = digest(Path(film.job.source))
    found["plan"] = hashlib.sha256(json.dumps(film.spans).encode()).hexdigest()
    if not film.engine:
        raise CommandError("Upscale's log does not say what it computes with, so chunks could differ; use --chunk 0")
    found["engine"] = "; ".join(film.engine)
    found["model content"] = model_content(film)
    found["ffmpeg's version"] = film.tool.version
    found["kind of CPU"] = platform.machine()
    for name in PACKAGES:
        try:
            found[f"version of {name}"] = version(name)
        except PackageNotFoundError:
            continue
    return found


def of_place(name: str) -> bool:
    """Whether an entry speaks of the machine that renders, and may differ on one that only joins."""
    return name in PLACE


def option(name: str) -> str:
    """A field of the job as the command line calls it."""
    return "options after --" if name == "extra" else f"--{name.replace('_', '-')}"


def show(value: object) -> str:
    """A value as a message shows it."""
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value)) or "unset"
    return "unset" if value in (None, "") else str(value)


def model_content(film: OpenFilm) -> str:
    """SHA-256 of the model's file, of its int8 twin where there is one, and of what `texture` mixes in."""
    name = film.job.model or library.default_model()
    used = [library.find(name)]
    if film.job.texture not in (None, 1):
        used.append(library.faithful(name))
    twins = [file for path in used for file in (path, *sorted(path.parent.glob(f"{path.stem}*int8*.onnx")))]
    return " ".join(dict.fromkeys(digest(twin) for twin in twins))
