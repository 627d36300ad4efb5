"""Texture: 1 is the model as shipped, 0 its faithful model, exactly; values between blend the weights of both."""

from __future__ import annotations

import shutil
from pathlib import Path

import clips
import networks
import numpy as np
import pytest
import vapoursynth as vs

from vs_gansr.model import library


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of one convolution, whose output is linear in its weights, with a faithful model."""
    folder = tmp_path_factory.mktemp("pair")
    networks.compact(folder / "one-psnr.onnx", convs=1, seed=1)
    return networks.compact(folder / "one.onnx", convs=1, seed=2)


def source(fmt: int = vs.RGBS) -> vs.VideoNode:
    props = {"_Matrix": 1, "_Range": 0} if fmt == vs.YUV420P8 else {"_Range": 1}
    return clips.noise(fmt, 46, 30, length=1, props=props)


@pytest.mark.parametrize("precision", ["auto", "fp32", "int8"])
def test_ends_are_the_two_models(precision: str) -> None:
    clip = source(vs.YUV420P8)
    for texture, same in ((1.0, "general-2x"), (0.0, "general-2x-psnr")):
        got = clip.gansr.Upscale("general-2x", provider="CPU", precision=precision, texture=texture)
        assert clips.largest_difference(got, clip.gansr.Upscale(same, provider="CPU", precision=precision)) == 0


@pytest.mark.parametrize("texture", [0.1, 0.5, 0.75])
def test_between_is_between(texture: float, pair: Path, said: list[str]) -> None:
    clip = source()
    ends = [clips.planes(clip.gansr.Upscale(str(pair), texture=end).get_frame(0)) for end in (0, 1)]
    got = clips.planes(clip.gansr.Upscale(str(pair), texture=texture).get_frame(0))
    for faithful, shipped, value in zip(*ends, got, strict=True):
        assert np.abs(faithful - shipped).max() > 0.1
        assert np.abs(value - ((1 - texture) * faithful + texture * shipped)).max() < 1e-4
    assert any(f"Upscale: one at texture {texture:g} in fp32" in line for line in said)


def test_shipped_between_is_neither_end_and_never_int8(said: list[str]) -> None:
    clip = source(vs.YUV420P8)
    half = clip.gansr.Upscale("general-2x", provider="CPU", texture=0.5)
    for end in (0, 1):
        other = clip.gansr.Upscale("general-2x", provider="CPU", precision="fp32", texture=end)
        assert clips.largest_difference(half, other) > 0
    assert any("general-2x at texture 0.5 in fp32 on CPU" in line for line in said)


def test_each_texture_has_a_session_of_its_own(pair: Path) -> None:
    assert len({library.load(str(pair), texture=texture).spec.digest for texture in (0, 0.3, 0.31, 1)}) == 4
    again = [library.load(str(pair), texture=0.3).data for _ in range(2)]
    assert again[0] == again[1]


@pytest.mark.parametrize("texture", [0.0, 0.5])
def test_no_faithful_model(texture: float, small_model: Path) -> None:
    with pytest.raises(vs.Error, match=r"has no faithful model \(small-psnr\.onnx\); use texture=1"):
        source().gansr.Upscale(str(small_model), texture=texture)


def test_int8_has_nothing_between() -> None:
    with pytest.raises(vs.Error, match=r'texture 0.5 does not work with precision "int8".*use texture 0 or 1, or'):
        source(vs.YUV420P8).gansr.Upscale("general-2x", precision="int8", texture=0.5)


def test_faithful_models_of_another_shape(pair: Path, tmp_path: Path) -> None:
    shutil.copy(pair, tmp_path / "one.onnx")
    networks.compact(tmp_path / "one-psnr.onnx", convs=2)
    with pytest.raises(vs.Error, match=r"differ in their layers; use texture=1"):
        source().gansr.Upscale(str(tmp_path / "one.onnx"), texture=0.5)
    networks.compact(tmp_path / "two.onnx", features=8, convs=2)
    networks.compact(tmp_path / "two-psnr.onnx", features=16, convs=2)
    with pytest.raises(vs.Error, match=r'differ in the weight "w0"; use texture=1'):
        source().gansr.Upscale(str(tmp_path / "two.onnx"), texture=0.5)
