"""A user's own files are where each operating system expects them."""

from __future__ import annotations

from pathlib import Path

import folders
import platformdirs
import pytest
from platformdirs.api import PlatformDirsABC
from platformdirs.macos import MacOS
from platformdirs.unix import Unix
from platformdirs.windows import Windows

from vs_gansr.model import user_folders


@pytest.mark.parametrize(
    ("system", "variables", "models", "cache"),
    [
        (Unix, {}, "home/.local/share/gansr/models", "home/.cache/gansr"),
        (Unix, {"XDG_DATA_HOME": "data", "XDG_CACHE_HOME": "cache"}, "data/gansr/models", "cache/gansr"),
        (MacOS, {}, "home/Library/Application Support/gansr/models", "home/Library/Caches/gansr"),
        (Windows, {}, "local/gansr/models", "local/gansr/Cache"),
    ],
)
def test_folders(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    system: type[PlatformDirsABC],
    variables: dict[str, str],
    models: str,
    cache: str,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, place in variables.items():
        monkeypatch.setenv(name, str(tmp_path / place))
    monkeypatch.setattr(platformdirs.windows, "get_win_folder", lambda *_: str(tmp_path / "local"))
    now = user_folders.FOLDERS
    monkeypatch.setattr(user_folders, "FOLDERS", system(now.appname, now.appauthor))
    assert user_folders.models_folder() == tmp_path / models
    assert user_folders.cache_folder() == tmp_path / cache


def test_a_relative_xdg_folder_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The XDG Base Directory Specification requires this."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", "somewhere")
    assert user_folders.models_folder() == tmp_path / ".local/share/gansr/models"


def test_own_models_by_name_without_int8_variants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders.redirect(monkeypatch, tmp_path, tmp_path)
    assert user_folders.user_models() == {}
    folder = tmp_path / "gansr" / "models"
    folder.mkdir(parents=True)
    for name in ("b.onnx", "a.v2.onnx", "b.int8.onnx", "notes.txt"):
        (folder / name).touch()
    assert user_folders.user_models() == {"a.v2": folder / "a.v2.onnx", "b": folder / "b.onnx"}
