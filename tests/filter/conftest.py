"""Fixtures of the filter's tests."""

from __future__ import annotations

from pathlib import Path

import folders
import pytest

from vs_gansr.engine import probe
from vs_gansr.engine.openvino import library as openvino_library


@pytest.fixture(params=["CPU", "OpenVINO"])
def engine(request: pytest.FixtureRequest) -> str:
    """A provider that keeps the contract of the conversions; WebGPU keeps it in tests/engine/test_webgpu.py."""
    # A dependency where pyproject.toml says so; without it there is nothing that could keep the contract.
    if request.param == "OpenVINO" and not openvino_library.installed():
        pytest.skip("openvino has no wheel for this machine")
    return str(request.param)


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are unknown, and the user has no models."""
    folders.redirect(monkeypatch, tmp_path / "cache", tmp_path / "data")
    probe.cache.clear()
