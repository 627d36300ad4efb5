"""Owns where a user's own files lie: models they add, and what may be deleted at any time; knows no content.

Each system's custom is followed: XDG on Linux and the BSDs, Library on macOS, LOCALAPPDATA on Windows.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["cache_folder", "models_folder", "user_models"]


def data_folder() -> Path:
    """Where a user's own data lie; need not exist."""
    if sys.platform == "win32":
        return _windows()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "gansr"
    return _xdg("XDG_DATA_HOME", ".local/share") / "gansr"


def cache_folder() -> Path:
    """Where what can be made again lies; need not exist."""
    if sys.platform == "win32":
        return _windows() / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "gansr"
    return _xdg("XDG_CACHE_HOME", ".cache") / "gansr"


def models_folder() -> Path:
    """Where a user puts .onnx files to use them by name; need not exist."""
    return data_folder() / "models"


def user_models() -> dict[str, Path]:
    """The user's own models by name (the file's name without .onnx); int8 twins are not listed of their own."""
    files = sorted(models_folder().glob("*.onnx"))
    return {file.stem: file for file in files if not file.stem.endswith(".int8")}


def _windows() -> Path:
    return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "gansr"


def _xdg(variable: str, default: str) -> Path:
    value = os.environ.get(variable, "")
    return Path(value) if Path(value).is_absolute() else Path.home() / default
