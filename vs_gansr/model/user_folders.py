"""Owns where a user's own files lie: models they add, and what may be deleted at any time; knows no content."""

from __future__ import annotations

from pathlib import Path

from platformdirs import PlatformDirs

__all__ = ["cache_folder", "models_folder", "user_models"]

FOLDERS = PlatformDirs("gansr", appauthor=False)  # where each system's custom wants them


def cache_folder() -> Path:
    """Where what can be made again lies; need not exist."""
    return FOLDERS.user_cache_path


def models_folder() -> Path:
    """Where a user puts .onnx files to use them by name; need not exist."""
    return FOLDERS.user_data_path / "models"


def user_models() -> dict[str, Path]:
    """The user's own models by name (the file's name without .onnx); int8 twins are not listed of their own."""
    files = sorted(models_folder().glob("*.onnx"))
    return {file.stem: file for file in files if not file.stem.endswith(".int8")}
