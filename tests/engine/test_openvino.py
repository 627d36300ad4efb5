"""OpenVINO as an engine: the contract that ONNX Runtime fulfils, its devices, what it keeps on disk, how it fails."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import clips
import folders
import networks
import numpy as np
import onnx
import pytest
import vapoursynth as vs

from vs_gansr.engine import disk, engines, probe
from vs_gansr.engine.auto import cpu_rules as rules
from vs_gansr.engine.auto import fidelity
from vs_gansr.engine.auto.registry import CPU, OPENVINO
from vs_gansr.engine.base import Engine, EngineKey, Provider
from vs_gansr.engine.onnxruntime.sessions import Prepared
from vs_gansr.engine.openvino import (
    engine as openvino_engine,
)
from vs_gansr.engine.openvino import (
    library as openvino_library,
)
from vs_gansr.engine.openvino import (
    provider as openvino_provider,
)
from vs_gansr.engine.openvino.library import OpenVinoError, Request
from vs_gansr.engine.openvino.provider import OpenVino
from vs_gansr.errors import ModelError, NotFiniteError, ProviderError, RenderError, ShortageError
from vs_gansr.filter import choose, log
from vs_gansr.filter.settings import Settings
from vs_gansr.model import library, user_folders
from vs_gansr.model.spec import Model

FORMATS = [vs.GRAY8, vs.YUV420P8, vs.YUV420P10, vs.YUV422P16, vs.YUV444P8, vs.YUV444PS, vs.RGB24, vs.RGB48, vs.RGBS]
HERE = OPENVINO.trouble(0) is None

pytestmark = pytest.mark.skipif(not openvino_library.installed(), reason="openvino has no wheel for this machine")


def engine(path: Path, provider: Provider = OPENVINO, width: int = 64, height: int = 48, **changes: object) -> Engine:
    model = probe.describe(library.load(str(path)))
    values = {"device_id": 0, "precision": "fp32", "streams": 1, "threads": 1} | changes
    return engines.make(model, EngineKey(model.spec.digest, provider, width=width, height=height, **values))


def test_it_is_here() -> None:
    assert HERE
    assert openvino_provider.devices()[0] == "CPU"


@pytest.mark.parametrize("provider", [CPU, OPENVINO], ids=lambda provider: provider.name)
def test_planes_in_planes_out(provider: Provider, small_model: Path, tmp_path: Path) -> None:
    """Whole, in part, alone or not, one plane or three, rows apart or not: the same numbers."""
    rng = np.random.default_rng(1)
    gray = networks.point(tmp_path / "gray.onnx", channels=1)
    for path, channels, width in ((small_model, 3, 64), (gray, 1, 64), (library.find("fast-2x"), 1, 61)):
        made = engine(path, provider, width, streams=2, alone=2)
        want = engine(path, CPU, width)
        x = rng.random((channels, 48, width), np.float32)
        expected = np.empty((channels, 96, 2 * width), np.float32)
        want.run(list(x), list(expected))
        for wide in (width, 80):
            apart = np.zeros((channels, 48, wide), np.float32)[:, :, :width]
            apart[:] = x
            got = np.empty((channels, 96, 2 * wide), np.float32)[:, :, : 2 * width]
            made.run(list(apart), list(got))
            np.testing.assert_allclose(got, expected, atol=1e-5)
            part = np.empty((channels, 20, 30), np.float32)
            made.run(list(apart), list(part), offset=(7, 5))
            np.testing.assert_array_equal(part, got[:, 10:30, 14:44])
        x[0, 3, 4] = np.nan
        if provider == CPU or channels == 1:  # OpenVINO's ReLU gives 0 for NaN, and frames hold none
            with pytest.raises(NotFiniteError):
                made.run(list(x), list(expected))
        assert made.size() > 0
        made.close()


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("luma", [False, True])
def test_formats_within_one_code(fmt: int, luma: bool, small_model: Path) -> None:
    clip = clips.noise(fmt, 64, 48, length=1, props={"_Matrix": 1} if fmt not in (vs.RGB24, vs.RGB48, vs.RGBS) else {})
    model = "fast-2x" if luma else str(small_model)
    pair = [clip.gansr.Upscale(model, provider=p, precision="fp32") for p in ("OpenVINO", "CPU")]
    assert clips.largest_difference(*pair) <= (1 if clip.format.sample_type == vs.INTEGER else 1e-4)


def test_tiles_equal_the_whole(small_model: Path) -> None:
    clip = clips.noise(vs.RGBS, 96, 80)
    whole, tiled = (
        clip.gansr.Upscale(str(small_model), provider="OpenVINO", precision="fp32", **tile)
        for tile in ({}, {"tilesize": [48, 40]})
    )
    assert clips.largest_difference(whole, tiled) < 1e-5


def test_devices_are_counted() -> None:
    count = len(openvino_provider.devices())
    clip = clips.noise(vs.RGBS, 64, 48)
    with pytest.raises(vs.Error, match=rf'provider "OpenVINO" cannot run: device_id {count} does not exist; .*0 CPU'):
        clip.gansr.Upscale("fast-2x", provider="openvino", device_id=count)


# ---- on disk --------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folders.redirect(monkeypatch, tmp_path)
    return user_folders.cache_folder() / "compiled" / "openvino"


KEPT = """
import sys
from pathlib import Path

import numpy as np

from vs_gansr.engine import engines, probe
from vs_gansr.engine.auto.registry import OPENVINO
from vs_gansr.engine.base import EngineKey
from vs_gansr.model import library, user_folders

model = probe.describe(library.load(sys.argv[1]))
cache = user_folders.cache_folder() / "compiled" / "openvino"
x = np.random.default_rng(1).random((3, 48, 64), np.float32)
results = []
for state in ("new", "kept", "cut", "changed", "kept"):
    for file in cache.glob("*"):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= state == "changed"
        file.write_bytes(data[: len(data) // 2] if state == "cut" else data)
    before = [file.stat().st_ino for file in cache.glob("*")]
    made = engines.make(model, EngineKey(model.spec.digest, OPENVINO, 0, "fp32", 64, 48, 1, 1))
    results.append(np.empty((3, 96, 128), np.float32))
    made.run(list(x), list(results[-1]))
    after = [file.stat().st_ino for file in cache.glob("*")]  # a new file takes the place of one made again
    assert len(after) == 1 and (after == before) == (state == "kept"), state
    assert np.array_equal(results[-1], results[0])
"""


def test_compiled_networks_are_kept_and_damaged_ones_made_again(tmp_path: Path, small_model: Path) -> None:
    """Without VapourSynth: beside another plugin's build of OpenVINO, which has no reader for them, none is read."""
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "WIN_PD_OVERRIDE_LOCAL_APPDATA": str(tmp_path)}
    words = [sys.executable, "-c", KEPT, str(small_model)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert not done.returncode, done.stderr


def test_the_folder_does_not_grow_and_need_not_be_writable(
    cache: Path, small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "MOST", 2)
    for width in (32, 40, 48):
        engine(small_model, width=width)
    assert len(list(cache.iterdir())) == 2
    (cache / "file").write_bytes(b"")
    folders.redirect(monkeypatch, cache / "file" / "folder")
    engine(small_model)


def test_no_telemetry(tmp_path: Path, small_model: Path) -> None:
    """Nothing is written but what ONNX Runtime and the cache write, and the module that reports is not imported."""
    program = f"""
import sys, vapoursynth as vs
clip = vs.core.std.BlankClip(format=vs.RGBS, width=64, height=48)
clip.gansr.Upscale({str(small_model)!r}, provider="OpenVINO").get_frame(0).close()
print([name for name in sys.modules if name == "openvino" or "telemetry" in name])
"""
    environment = os.environ | {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["[]"], done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"cache"}
    assert "openvino" in {path.name for path in (tmp_path / "cache").rglob("*")}


# ---- failures -------------------------------------------------------------------------------------


def failing(monkeypatch: pytest.MonkeyPatch, fails: Callable[[int], str | None]) -> None:
    """Makes infer raise what `fails` says for the n-th call."""
    real, count = Request.infer, iter(range(1 << 30))

    def infer(self: Request) -> None:
        if message := fails(next(count)):
            raise OpenVinoError(message)
        real(self)

    monkeypatch.setattr(Request, "infer", infer)


def test_failures_mean_what_the_contract_says(small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine(small_model)
    x = np.zeros((3, 48, 64), np.float32)
    for message, kind in (("std::bad_alloc", ShortageError), ("the bus fell off", RenderError)):
        failing(monkeypatch, lambda n, message=message: message)
        with pytest.raises(kind, match="OpenVINO failed: "):
            made.run(list(x), list(np.empty((3, 96, 128), np.float32)))
        monkeypatch.undo()


def test_buffers_that_cannot_be_put_back_are_an_error_of_the_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the picture is tried again with another request."""
    made = engine(networks.point(tmp_path / "gray.onnx", channels=1))
    bound = iter(range(9))
    bind = Request.bind

    def binds_the_frame_only(request: Request, side: str, tensor: object, index: int = 0) -> None:
        if next(bound) >= 1:
            raise OpenVinoError("not now")
        bind(request, side, tensor, index)

    monkeypatch.setattr(Request, "bind", binds_the_frame_only)
    with pytest.raises(RenderError, match="OpenVINO failed: not now"):
        made.run([np.zeros((48, 64), np.float32)], [np.zeros((96, 128), np.float32)])


def test_a_shortage_while_requests_are_made_is_one(small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(compiled: openvino_library.Compiled) -> Request:
        raise OpenVinoError("bad allocation")

    monkeypatch.setattr(openvino_library.Compiled, "request", fails)
    with pytest.raises(ShortageError, match="too little system memory to load the network: bad allocation"):
        engine(small_model)


@pytest.mark.parametrize("message", ["the bus fell off", "std::bad_alloc"])
def test_frames_arrive_though_runs_fail(message: str, small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = clips.noise(vs.RGBS, 96, 80, length=6)
    want = clip.gansr.Upscale(str(small_model), provider="CPU", precision="fp32")
    failing(monkeypatch, lambda n: message if n % 4 == 1 else None)
    got = clip.gansr.Upscale(str(small_model), provider="OpenVINO", precision="fp32")
    for n in range(6):
        assert clips.largest_difference(got, want, n) < 1e-5


def test_a_network_it_refuses(monkeypatch: pytest.MonkeyPatch, core: vs.Core) -> None:
    """By name an error; under `auto` ONNX Runtime goes on, with one line."""

    def refuse(*arguments: object) -> None:
        raise OpenVinoError("no such operator")

    clip = clips.noise(vs.RGBS, 56, 48, length=2)
    engines.engines.clear()
    monkeypatch.setattr(openvino_provider, "compile_model", refuse)
    with pytest.raises(vs.Error, match="OpenVINO refuses the network: no such operator"):
        clip.gansr.Upscale("fast-2x", provider="OpenVINO")
    monkeypatch.setattr(rules, "features", lambda: frozenset({"avx512_vnni"}))
    monkeypatch.setattr(fidelity, "decibels", lambda *arguments: 60.0)
    log._said.clear()
    said: list[str] = []
    handle = core.add_log_handler(lambda kind, text: said.append(text))
    try:
        got = clip.gansr.Upscale("fast-2x")
        want = clip.gansr.Upscale("fast-2x", provider="CPU", precision="int8")
        assert clips.largest_difference(got, want, 1) == 0
    finally:
        core.remove_log_handler(handle)
    assert sum("OpenVINO fails" in line and "continuing with CPU" in line for line in said) == 1


# ---- what `auto` chooses --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("features", "decibels", "precision", "found"),
    [
        ({"avx512_vnni"}, 60.0, "auto", (OPENVINO, "int8")),
        ({"avx512_vnni", "amx_int8"}, 60.0, "auto", (OPENVINO, "int8")),
        ({"avx_vnni"}, 60.0, "auto", (CPU, "int8")),
        ({"asimddp"}, 60.0, "auto", (CPU, "int8")),
        ({"avx512_vnni"}, 49.0, "auto", (CPU, "fp32")),
        (set(), 60.0, "auto", (CPU, "fp32")),
        ({"avx512_vnni"}, 60.0, "fp32", (CPU, "fp32")),
        ({"avx512_vnni"}, 10.0, "int8", (OPENVINO, "int8")),
        ({"avx512_bf16"}, 10.0, "bf16", (OPENVINO, "bf16")),
        ({"avx512_vnni"}, 60.0, "fp16", (CPU, "fp16")),
    ],
)
def test_rules(
    features: set[str],
    decibels: float,
    precision: str,
    found: tuple[Provider, str],
    providers: list[Provider],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rules, "features", lambda: frozenset(features))
    monkeypatch.setattr(fidelity, "decibels", lambda *arguments: decibels)
    providers[:] = [CPU, OPENVINO]
    chosen = choose.choose(Settings(model="fast-2x", precision=precision))
    assert (chosen.choice.key.provider, chosen.choice.key.precision) == found
    if found[0] == OPENVINO:
        assert "OpenVINO (" in chosen.summary
        assert (not chosen.fallbacks) == (precision == "bf16")


def test_auto_does_without_openvino(providers: list[Provider], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "features", lambda: frozenset({"avx512_vnni"}))
    monkeypatch.setattr(fidelity, "decibels", lambda *arguments: 60.0)
    monkeypatch.setattr(OPENVINO, "trouble", lambda device_id: "gone")
    providers[:] = [CPU, OPENVINO]
    chosen = choose.choose(Settings(model="fast-2x"))
    assert (chosen.choice.key.provider, chosen.choice.key.precision) == (CPU, "int8")
    assert "OpenVINO: gone" in chosen.summary
    with pytest.raises(ProviderError, match="bf16"):
        choose.choose(Settings(model="fast-2x", precision="bf16"))


class Counted(OpenVino):
    """OpenVINO, with the number of engines made."""

    made = 0

    def make(self, model: Model, key: EngineKey) -> Engine:
        self.made += 1
        return super().make(model, key)


def test_the_distance_is_found_once(tmp_path: Path, small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders.redirect(monkeypatch, tmp_path)
    model, provider = probe.describe(library.load(str(small_model))), Counted()
    fidelity._known.clear()
    first = fidelity.decibels(model, provider, "fp32", model)
    assert first > 100
    fidelity._known.clear()  # as another process
    assert fidelity.decibels(model, provider, "fp32", model) == first and provider.made == 1
    fidelity.remembered.path().write_text("damaged")
    fidelity._known.clear()
    assert fidelity.decibels(model, provider, "fp32", model) == first and provider.made == 2


def test_a_model_that_is_none_of_openvinos(tmp_path: Path) -> None:
    """What no engine can read is an error of one line, not the end of the process."""
    with pytest.raises(OpenVinoError):
        openvino_provider.compile_model(b"\x08\x00no model", "CPU", {})
    with pytest.raises(ModelError, match="OpenVINO refuses the network"):
        nothing = Prepared(onnx.ModelProto(), np.dtype(np.float32), np.dtype(np.float32))
        openvino_engine.compile_for(b"", nothing, None, EngineKey("", OPENVINO, 0, "fp32", 8, 8, 1, 1))  # type: ignore[arg-type]
