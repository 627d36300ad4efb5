"""Owns what a film in chunks is made of and made with: all that must be equal in every chunk, by name."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ....engine.auto.cpu_rules import fast_int8
from ....model import library
from ...common import CommandError
from ...ffmpeg import encoder_version
from ..script import filters
from ..source import clip as clip_source
from .file import digest
from .ledger import Identity
from .render import OpenFilm

__all__ = ["CONTENT", "of", "of_place"]

# Where the work is done, and what follows from everything else.
ELSEWHERE = {"source", "output", "temporary", "ffmpeg", "device_id", "num_streams"}
ENGINES = ("onnxruntime", "onnxruntime-gpu", "openvino")
PACKAGES = ("vs-gansr", "vapoursynth", "vapoursynth-bestsource", *ENGINES)
CONTENT = "source content"
PLACE = ("engine", "kind of CPU", *(f"version of {name}" for name in ENGINES))


def of(film: OpenFilm, content: bool) -> Identity:
    """The film's identity. With `content` the source is read whole; its packets' sizes and times always are."""
    found = {option(name): show(value) for name, value in asdict(film.job).items() if name not in ELSEWHERE}
    found["source packets"] = film.source.layout
    if content:
        found[CONTENT] = source_content(film.job.source)
    found["plan"] = hashlib.sha256(json.dumps(film.spans).encode()).hexdigest()
    if not film.engine and not film.job.as_is:
        raise CommandError("Upscale's log does not say what it computes with, so chunks could differ; use --chunk 0")
    found["engine"] = "; ".join(film.engine) or "none"
    found["model content"] = "unset" if film.job.as_is else model_content(film)
    found["ffmpeg's version"] = film.tool.version
    found["encoder's version"] = encoder_version(film.tool, film.job.encoder)
    found["kind of CPU"] = kind_of_cpu(found["engine"])
    used = {step.function.split(".")[0] for step in film.graph.steps}
    for name in (*PACKAGES, *(package for space, package in filters.PACKAGES.items() if space in used)):
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


def kind_of_cpu(engine: str) -> str:
    """Its architecture and, with weights of 8 bits, how it sums their products, which older processors round."""
    sums = f", sums of 8-bit products of {32 if fast_int8() else 16} bits" if " in int8 on CPU" in engine else ""
    return f"{platform.machine()}{sums}"


def source_content(source: str) -> str:
    """SHA-256 of the source's file; of numbered images' names and files; of a script alone, not of what it opens."""
    if not clip_source.numbered(source):
        return digest(Path(source))
    each = [f"{path.name} {digest(path)}" for path in clip_source.images(source)]
    return hashlib.sha256("\n".join(each).encode()).hexdigest()


def model_content(film: OpenFilm) -> str:
    """SHA-256 of the model's file, of its int8 twin where there is one, and of what `texture` mixes in."""
    name = film.job.model or library.default_model()
    used = [library.find(name)]
    if film.job.texture not in (None, 1):
        used.append(library.faithful(name))
    twins = [file for path in used for file in (path, *sorted(path.parent.glob(f"{path.stem}*int8*.onnx")))]
    return " ".join(dict.fromkeys(digest(twin) for twin in twins))
