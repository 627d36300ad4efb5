"""Locate the user's own folders: models to use by name, and a cache that may be deleted at any time."""

from __future__ import annotations

from pathlib import Path

from platformdirs import PlatformDirs

__all__ = ["cache_folder", "models_folder", "user_models"]

FOLDERS = PlatformDirs("gansr", appauthor=False)  # follows each operating system's conventions


def cache_folder() -> Path:
    """Return the folder for files that can be recreated; it may not exist."""
    return FOLDERS.user_cache_path


def models_folder() -> Path:
    """Return the folder whose .onnx files can be used by name; it may not exist."""
    return FOLDERS.user_data_path / "models"


def user_models() -> dict[str, Path]:
    """Return the user's own models by name, which is the file's name without .onnx; int8 variants are left out."""
    files = sorted(models_folder().glob("*.onnx"))
    return {file.stem: file for file in files if not file.stem.endswith(".int8")}
