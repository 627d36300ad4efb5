"""Find what the chunks of a film are made of and made with: all that must be equal in every chunk, by name."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Sequence
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ....engine.auto.cpu_rules import fast_int8
from ....filter.computed import Computed
from ....model import library
from ... import ffmpeg
from ..job.job import UpscaleJob
from ..script import filters
from ..source.clip import images
from .file import digest
from .plan import Fingerprint, Plan

__all__ = ["of_job", "of_machine"]

# Options that say where the work is done, or follow from everything else.
ELSEWHERE = {"source", "output", "ffmpeg", "device_id", "num_streams", "frame_threads"}
PACKAGES = ("vs-gansr", "vapoursynth", "vapoursynth-bestsource", "onnxruntime", "onnxruntime-gpu", "openvino")


def of_job(job: UpscaleJob) -> Fingerprint:
    """The fingerprint of a film's options and content, whoever renders it. Reads the source whole."""
    options = {field.name: getattr(job, field.name) for field in fields(job) if field.name not in ELSEWHERE}
    found = {option(name): show(value) for name, value in options.items()}
    found["source content"] = source_content(job)
    if job.tracks:
        found["content of --tracks"] = digest(Path(job.tracks))
    return found


def of_machine(plan: Plan, engine: Sequence[Computed], tool: ffmpeg.Ffmpeg) -> Fingerprint:
    """The fingerprint of what renders a film here, by `engine` and `tool`: model, provider, encoder, packages."""
    found = {
        "engine": "; ".join(map(str, engine)) or "none",
        "model content": "unset" if plan.job.as_is else model_content(plan.job),
        "ffmpeg's version": tool.version,
        "encoder's version": ffmpeg.encoder_version(tool, plan.job.encoder),
        "kind of CPU": kind_of_cpu(engine),
    }
    used = [package for space, package in filters.PACKAGES.items() if f"core.{space}." in plan.script]
    for name in (*PACKAGES, *used):
        try:
            found[f"version of {name}"] = version(name)
        except PackageNotFoundError:
            continue
    return found


def option(name: str) -> str:
    """A field of the job as the command line calls it."""
    return "options after --" if name == "extra" else f"--{name.replace('_', '-')}"


def show(value: object) -> str:
    """A value as a message shows it, in the same letters whatever encoding the system has for names."""
    text = " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str("" if value is None else value)
    return os.fsencode(text).decode("utf-8", "backslashreplace") or "unset"


def kind_of_cpu(engine: Sequence[Computed]) -> str:
    """The CPU's architecture and, if it computes with weights of 8 bits, how it sums their products: older processors
    round the sums."""
    int8 = any(computed.precision == "int8" and computed.on_processors for computed in engine)
    sums = f", sums of 8-bit products of {32 if fast_int8() else 16} bits" if int8 else ""
    return f"{platform.machine()}{sums}"


def source_content(job: UpscaleJob) -> str:
    """SHA-256 of the source's file; of numbered images' names and files; of a script alone, not of what it opens."""
    if not job.is_numbered:
        return digest(Path(job.source))
    each = [f"{path.name} {digest(path)}" for path in images(job.source)]
    return hashlib.sha256("\n".join(each).encode()).hexdigest()


def model_content(job: UpscaleJob) -> str:
    """SHA-256 of the model's file, of its int8 variant where there is one, and of what `texture` mixes in."""
    used = [library.find(job.model or library.default_model())]
    if job.texture not in (None, 1):
        used.append(library.faithful(job.model or library.default_model()))
    variants = [file for path in used for file in (path, *sorted(path.parent.glob(f"{path.stem}*int8*.onnx")))]
    return " ".join(dict.fromkeys(digest(file) for file in variants))
