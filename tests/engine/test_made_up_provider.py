"""A provider that only this file knows: one class and one entry of the registry, and the whole plugin runs on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import clips
import folders
import pytest
import vapoursynth as vs

from benchmarks.speed import bench
from vs_gansr.engine import engines
from vs_gansr.engine.auto import registry
from vs_gansr.engine.base import Engine, EngineKey, Provider
from vs_gansr.engine.onnxruntime.provider import CPU
from vs_gansr.errors import RenderError
from vs_gansr.filter import computed
from vs_gansr.model.spec import Model


class Abacus(Provider):
    """A device that ONNX Runtime's CPU provider computes for; it is proven in a process of its own like any GPU."""

    name = "Abacus"
    automatic = True
    broken = False

    def installed(self) -> bool:
        return True

    def devices(self) -> list[str]:
        return ["an abacus"]

    def trouble(self, device_id: int) -> str | None:
        return None if device_id == 0 else f"device_id {device_id} does not exist"

    def precisions(self, device_id: int) -> tuple[str, ...]:
        return ("fp32",)

    def identity(self, device_id: int) -> str:
        return "abacus of 1642"

    def make(self, model: Model, key: EngineKey) -> Engine:
        return AbacusEngine(model, key)


class AbacusEngine:
    """An Engine, as the protocol asks for it."""

    def __init__(self, model: Model, key: EngineKey) -> None:
        self.key = key
        self._engine = CPU.make(model, replace(key, provider=CPU))
        self.close, self.size = self._engine.close, self._engine.size

    def run(self, *arguments: object) -> None:
        if isinstance(self.key.provider, Abacus) and self.key.provider.broken:
            raise RenderError("a bead is stuck")
        self._engine.run(*arguments)


@pytest.fixture
def abacus(tmp_path: Path, providers: list[Provider], monkeypatch: pytest.MonkeyPatch) -> Abacus:
    folders.redirect(monkeypatch, tmp_path / "cache")
    monkeypatch.delenv("GANSR_GPU", raising=False)
    for key in engines.engines:
        engines.engines.forget(key)
    providers.append(made := Abacus())
    return made


def test_it_is_listed_and_found(abacus: Abacus) -> None:
    assert "Abacus" in vs.core.gansr.Version()["providers"]
    assert registry.find("abacus") is abacus and not registry.on_processors("Abacus")
    assert ("Abacus", "fp32") in bench.engines("fast-2x")
    clip = clips.noise(vs.YUV420P8, 32, 24, props={"_Matrix": 1})
    with pytest.raises(vs.Error, match='provider "Abacus" cannot run: device_id 1 does not exist'):
        clip.gansr.Upscale("fast-2x", provider="Abacus", device_id=1)
    with pytest.raises(vs.Error, match=r'int8 does not run on provider "Abacus", which computes in fp32'):
        clip.gansr.Upscale("fast-2x", provider="Abacus", precision="int8")


@pytest.mark.timeout(180)
def test_it_proves_itself_computes_frames_and_fails_by_its_name(
    abacus: Abacus, small: Model, told: list[computed.Computed]
) -> None:
    clip = clips.noise(vs.YUV420P8, 64, 48, length=4, props={"_Matrix": 1})
    want = clip.gansr.Upscale(str(small.path), provider="CPU", precision="fp32", reuse=0)
    named = clip.gansr.Upscale(str(small.path), provider="Abacus", reuse=0)
    assert (told[-1].provider, told[-1].precision, told[-1].tier) == ("Abacus", "fp32", "plain")
    for n in range(2):
        assert clips.largest_difference(named, want, n) == 0
    abacus.broken = True
    with pytest.raises(vs.Error, match="a bead is stuck"):
        named.get_frame(2)
