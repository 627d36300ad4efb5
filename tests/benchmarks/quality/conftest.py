"""Fixtures for tests of the evaluation: a folder of material, a store, and a case prepared from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rings
from PIL import Image

from benchmarks.quality import media, prepare
from benchmarks.quality.store import Store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Material: one clip whose height is no multiple of 8, and one picture."""
    path = tmp_path_factory.mktemp("material")
    media.encode(rings.moving(), path / "rings.mkv")
    rng = np.random.default_rng(3)
    Image.fromarray(rng.integers(0, 256, (70, 100, 3), np.uint8)).resize((200, 140)).save(path / "still.png")
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def case(store: Store, folder: Path) -> prepare.Case:
    return prepare.prepare(store, [prepare.Footage(folder / "rings.mkv")], prepare.PREPARATIONS["A"], 2)[1]
