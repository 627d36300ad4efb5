"""Fixtures of the engines' tests: a small network, and a machine with a GPU that computes on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fakegpu
import networks
import pytest
import vapoursynth as vs

from vs_gansr.engine import engines, probe
from vs_gansr.model import library
from vs_gansr.model.spec import Model


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = networks.compact(tmp_path_factory.mktemp("m") / "small.onnx", features=8, convs=3)
    return probe.describe(library.load(str(path)))


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that stands in for NVIDIA's driver."""
    return fakegpu.build_driver(tmp_path_factory.mktemp("driver"))


@pytest.fixture
def machine(driver: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[fakegpu.StandIn]:
    """A machine with a GPU; whatever is left of it is forgotten afterwards."""
    engines.engines.clear()
    made = fakegpu.StandIn(monkeypatch, driver)
    yield made
    made.lose(0)
    made.room(-1)
    made.fault = lambda session: None
    for key in engines.engines:
        engines.engines.forget(key)


@pytest.fixture
def said(core: vs.Core) -> Iterator[list[str]]:
    """What the plugin has logged."""
    lines: list[str] = []
    handle = core.add_log_handler(lambda kind, message: lines.append(message))
    yield lines
    core.remove_log_handler(handle)
