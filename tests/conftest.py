"""Fixtures shared by all tests: the real core, small networks, and where the material of ../shared lies."""

from __future__ import annotations

import gc
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import fakegpu
import networks
import pytest
import turns
import vapoursynth as vs
from paths import SHARED

from vs_gansr.engine import engines, probe
from vs_gansr.engine.auto import registry
from vs_gansr.engine.base import Provider
from vs_gansr.filter import computed
from vs_gansr.model import library
from vs_gansr.model.spec import Model


@pytest.hookimpl(wrapper=True, tryfirst=True)  # before pytest-timeout, whose clock must not count the wait
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Keeps the workers of pytest-xdist from running anything beside a test marked `alone`."""
    if not hasattr(item.config, "workerinput"):
        return (yield)
    with turns.turn(item.config._tmp_path_factory.getbasetemp().parent, item.get_closest_marker("alone") is not None):
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that run alone come last, so that workers wait for each other only at the end."""
    items.sort(key=lambda item: item.get_closest_marker("alone") is not None)


def pytest_runtest_setup() -> None:
    """vstools gives a main module without a file, such as pytest-xdist's, the name of one that is not there, which
    processes spawned later would run."""
    main = sys.modules["__main__"]
    if not Path(getattr(main, "__file__", None) or __file__).exists():
        del main.__file__


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


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Three convolutions of eight features, random weights, ready to be run."""
    path = networks.compact(tmp_path_factory.mktemp("models") / "small.onnx", features=8, convs=3)
    return probe.describe(library.load(str(path)))


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that stands in for NVIDIA's driver."""
    return fakegpu.build_driver(tmp_path_factory.mktemp("driver"))


@pytest.fixture
def machine(driver: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[fakegpu.StandIn]:
    """A machine with a GPU; whatever is left of it is forgotten afterwards."""
    engines.engines.clear()
    gc.collect()  # what earlier tests left in cycles would free its memory in the middle of one
    made = fakegpu.StandIn(monkeypatch, driver)
    yield made
    made.lose(0)
    made.room(-1)
    made.fault = lambda session: None
    for key in engines.engines:
        engines.engines.forget(key)


@pytest.fixture
def providers() -> Iterator[list[Provider]]:
    """The list of all providers, which a test may change."""
    before = list(registry.PROVIDERS)
    yield registry.PROVIDERS
    registry.PROVIDERS[:] = before


@pytest.fixture
def told() -> list[computed.Computed]:
    """What computes the clips that the test makes, and what takes over."""
    heard: list[computed.Computed] = []
    computed.listen(heard.append)
    return heard


@pytest.fixture
def said(core: vs.Core) -> Iterator[list[str]]:
    """What the plugin has logged."""
    lines: list[str] = []
    handle = core.add_log_handler(lambda kind, message: lines.append(message))
    yield lines
    core.remove_log_handler(handle)
