"""Write checkpoint files whole or not at all, and read them with a check."""

from __future__ import annotations

import io
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from vs_gansr.common import files

_PACKAGES = (
    "torch",
    "numpy",
    "av",
    "pillow",
    "vapoursynth",
    "vapoursynth-vszip",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "msgspec",
)


class CheckpointError(RuntimeError):
    """A checkpoint could not be written or read; the message names the file and the cause."""


def versions() -> dict[str, str]:
    """Versions of everything that can change a run's numbers; packages that are not installed are left out."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, strings, lists, dicts) so that `path` is at any moment the old or the new one.

    Raises:
        CheckpointError: the disk refused; the old file is untouched.
    """
    memory = io.BytesIO()
    torch.save(state, memory)
    try:
        files.write(path, memory.getvalue())
    except OSError as error:
        raise CheckpointError(f"checkpoint.save: {path}: {error}; free the disk and resume") from error


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read what `save` wrote at `path`, tensors onto `device`; no code in the file is run.

    Raises:
        CheckpointError: the file is missing or is not a checkpoint.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises a different type for every way a file can be wrong
        raise CheckpointError(f"checkpoint.load: {path}: {error}") from error
    if not isinstance(state, dict) or "step" not in state:
        raise CheckpointError(f"checkpoint.load: {path} is not a checkpoint of this trainer")
    return state
