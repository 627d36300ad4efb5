"""Fixtures shared by all tests: the real core, small networks, and where the material of ../shared lies."""

from __future__ import annotations

from pathlib import Path

import networks
import pytest
import vapoursynth as vs
from paths import SHARED


@pytest.fixture(scope="session")
def core() -> vs.Core:
    return vs.core.core


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder beside the checkout that holds training and evaluation material."""
    if not SHARED.is_dir():
        pytest.skip("needs the material of ../shared, which is not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def point_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return networks.point(tmp_path_factory.mktemp("models") / "point.onnx")


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four convolutions of eight features, random weights."""
    return networks.compact(tmp_path_factory.mktemp("models") / "small.onnx", features=8, convs=4)
