"""OpenVINO computes in the precision asked for, or says what it does instead."""

from __future__ import annotations

import clips
import pytest
import vapoursynth as vs

from vs_gansr.engine import probe
from vs_gansr.engine.auto import fidelity, registry
from vs_gansr.engine.auto.registry import OPENVINO
from vs_gansr.engine.base import EngineKey
from vs_gansr.engine.openvino import (
    engine as openvino_engine,
)
from vs_gansr.engine.openvino import (
    library as openvino_library,
)
from vs_gansr.engine.openvino import (
    provider as openvino_provider,
)
from vs_gansr.engine.openvino.library import OpenVinoError
from vs_gansr.errors import ProviderError
from vs_gansr.filter import choose
from vs_gansr.filter.settings import Settings
from vs_gansr.model import library

pytestmark = pytest.mark.skipif(not openvino_library.installed(), reason="openvino has no wheel for this machine")


def key_in(precision: str) -> EngineKey:
    return EngineKey("", OPENVINO, 0, precision, 8, 8, 1, 1)


def test_shipped_int8_is_close_to_float32() -> None:
    for name in library.shipped():
        if library.has_int8(name):
            plain = probe.describe(library.load(name))
            variant = probe.describe(library.load(name, "int8"))
            assert fidelity.decibels(variant, OPENVINO, "int8", plain) > 48
            assert fidelity.decibels(plain, OPENVINO, "fp32", plain) > 100


def test_fp32_is_float32_and_bf16_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = probe.describe(library.load("fast-2x"))
    if openvino_provider.has("CPU", "BF16"):
        assert 50 < fidelity.decibels(plain, OPENVINO, "bf16", plain) < 80
    clip = clips.noise(vs.RGBS, 64, 48)
    with pytest.raises(
        vs.Error, match='fast-2x in bf16 does not run on provider "CPU", which computes in fp32, fp16, int8'
    ):
        clip.gansr.Upscale("fast-2x", provider="CPU", precision="bf16")
    monkeypatch.setattr(openvino_provider, "has", lambda name, capability: capability == "FP32")
    with pytest.raises(ProviderError, match='bf16 does not run on provider "OpenVINO", which computes in fp32, fp16'):
        choose.choice_on(OPENVINO, 0, Settings(model="fast-2x", precision="bf16"))


@pytest.mark.parametrize("provider", ["CPU", "OpenVINO"])
def test_half_precision_on_processors_says_what_it_is(provider: str) -> None:
    """Weights in half precision, arithmetic in float32: near float32, and the log does not claim more."""
    there = registry.find(provider)
    # Where half precision's arithmetic is real there is nothing to admit; most x86-64 processors have none.
    if not there.widens_half(0):
        pytest.skip("this processor computes in half precision")
    chosen = choose.choose(Settings(model="fast-2x", provider=provider, precision="fp16"))
    assert (
        chosen.summary
        == f"fast-2x in fp16 on {provider} (fp16 halves only the weights: this device computes in float32)"
    )
    assert "half floats" not in choose.choose(Settings(model="fast-2x", provider=provider, precision="fp32")).summary
    plain = probe.describe(library.load("fast-2x"))
    assert 70 < fidelity.decibels(plain, there, "fp16", plain) < 90
    if provider == "OpenVINO":
        assert openvino_engine.properties("CPU", key_in("fp16"))["INFERENCE_PRECISION_HINT"] == "f32"


def test_what_other_devices_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As OpenVINO's plugins describe them: a GPU has all but bfloat16, an NPU half precision and integers."""
    have = {"GPU": {"FP32", "FP16", "INT8"}, "NPU": {"FP16", "INT8"}}
    monkeypatch.setattr(openvino_provider, "has", lambda name, capability: capability in have[name])
    hints = {"fp32": "f32", "fp16": "f16", "int8": "f32"}
    for precision, hint in hints.items():
        assert openvino_engine.properties("GPU", key_in(precision)) == {
            "INFERENCE_PRECISION_HINT": hint,
            "NUM_STREAMS": "1",
        }
    for precision in ("fp16", "int8"):
        assert openvino_engine.properties("NPU", key_in(precision)) == {}
    monkeypatch.setattr(openvino_provider, "device", lambda device_id: ("CPU", "GPU", "NPU")[device_id])
    monkeypatch.setattr(openvino_provider, "devices", lambda: ("CPU", "GPU", "NPU"))
    for device_id, precision in ((1, "fp32"), (2, "fp16")):
        choice = choose.choice_on(OPENVINO, device_id, Settings(model="fast-2x"))
        assert choice.key.precision == precision
    with pytest.raises(ProviderError, match='fp32 does not run on provider "OpenVINO", which computes in fp16, int8'):
        choose.choice_on(OPENVINO, 2, Settings(model="fast-2x", precision="fp32"))


def test_an_npu_is_what_it_is_taken_for() -> None:
    """The NPU plugin in OpenVINO's wheel lists its precisions without the hardware."""
    try:
        found = openvino_provider.capabilities("NPU")
    except OpenVinoError as error:  # wheels differ in the plugins that they bring
        pytest.skip(f"this wheel has no NPU: {error}")
    assert {"FP16", "INT8"} <= found
    assert "FP32" not in found
