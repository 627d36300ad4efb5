"""Texture: 1 is the model as shipped, 0 its faithful model, exactly; values between mix the results of both."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import clips
import fakegpu
import networks
import numpy as np
import pairs
import pytest
import vapoursynth as vs

from vs_gansr.filter import computed

KINDS = [("luma", "luma"), ("4:2:0", "4:2:0"), ("luma", "4:2:0"), ("RGB", "RGB")]
NAMES = [" beside ".join(kinds) for kinds in KINDS]
PRECISIONS = ["fp32", "fp16", "int8"]
FORMATS = [vs.YUV420P8, vs.YUV420P16, vs.YUV420PS, vs.YUV444P8, vs.GRAY8, vs.RGB24, vs.RGBS]

type Pair = Callable[[tuple[str, str]], Path]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A model of each pair of kinds, with faithful model and int8 variants."""
    made: dict[tuple[str, str], Path] = {}

    def make(kinds: tuple[str, str]) -> Path:
        if kinds not in made:
            made[kinds] = pairs.pair(tmp_path_factory.mktemp("pair"), *kinds, int8=True)
        return made[kinds]

    return make


def source(fmt: int, width: int = 46, height: int = 30) -> vs.VideoNode:
    """Noise between a quarter and three quarters of white, so that no result is clipped."""
    video = vs.core.get_video_format(fmt)
    yuv = video.color_family == vs.YUV
    props = {"_Matrix": 1, "_Range": 0, "_ChromaLocation": 0} if yuv else {}
    clip = clips.noise(fmt, width, height, length=1, props=props)
    is_float = video.sample_type == vs.FLOAT
    quarter = 0.25 if is_float else 1 << (video.bits_per_sample - 2)
    return clip.std.Expr([f"x 2 / {quarter} +", *(["x 2 /" if is_float else ""] if yuv else [])])


def results(path: Path, clip: vs.VideoNode, *textures: float, **settings: object) -> list[list[np.ndarray]]:
    """The planes of the first frame at each texture."""
    return [clips.planes(clip.gansr.Upscale(str(path), texture=t, **settings).get_frame(0)) for t in textures]


@pytest.mark.parametrize("precision", ["auto", "fp32", "int8"])
def test_ends_are_the_two_models(precision: str) -> None:
    clip = source(vs.YUV420P8)
    for texture, same in ((1.0, "general-2x"), (0.0, "general-2x-psnr")):
        got = clip.gansr.Upscale("general-2x", provider="CPU", precision=precision, texture=texture)
        assert clips.largest_difference(got, clip.gansr.Upscale(same, provider="CPU", precision=precision)) == 0


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kinds", KINDS, ids=NAMES)
def test_between_is_between(kinds: tuple[str, str], precision: str, pair: Pair, engine: str) -> None:
    """In floats, on every engine; where only the model as shipped has chroma, that is unmixed."""
    clip = source(vs.RGBS if kinds[0] == "RGB" else vs.YUV420PS)
    textures = (0, 1, 0.1, 0.75)
    faithful, shipped, *made = results(pair(kinds), clip, *textures, provider=engine, precision=precision)
    for texture, planes in zip(textures[2:], made, strict=True):
        for i, (a, b, value) in enumerate(zip(faithful, shipped, planes, strict=True)):
            if "luma" not in kinds or not i:
                assert np.abs(a - b).max() > 0.02
            share = 1 if kinds == ("luma", "4:2:0") and i else texture
            assert np.abs(value - ((1 - share) * a + share * b)).max() < (3e-3 if precision == "fp16" else 1e-5)


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("kinds", KINDS, ids=NAMES)
def test_formats_and_tiles(kinds: tuple[str, str], fmt: int, pair: Pair) -> None:
    """Within a code value of the two pictures' mixture; tiles leave no trace."""
    clip = source(fmt)
    faithful, shipped, got, tiled = (
        *results(pair(kinds), clip, 0, 1, 0.5, provider="CPU", precision="fp32"),
        *results(pair(kinds), clip, 0.5, provider="CPU", precision="fp32", tilesize=24),
    )
    video = clip.format
    step = 1e-4 if video.sample_type == vs.FLOAT else 1
    mixed = len(got) if "luma" not in kinds or video.color_family == vs.RGB else 1
    for a, b, value, part in zip(faithful[:mixed], shipped, got, tiled, strict=False):
        assert np.abs(value - (a + b) / 2).max() <= step
        assert np.abs(value - part).max() <= step / 10
    for b, value in zip(shipped[mixed:], got[mixed:], strict=True):
        assert np.array_equal(value, b)


def test_int8_is_named(pair: Pair, told: list[computed.Computed]) -> None:
    for provider in ("CPU", "OpenVINO"):
        settings = {"provider": provider, "texture": 0.5, "precision": "int8"}
        source(vs.YUV420P8).gansr.Upscale(str(pair(("luma", "luma"))), **settings)
    assert list(map(str, told)) == [f"one at texture 0.5 in int8 on {provider}" for provider in ("CPU", "OpenVINO")]


def test_the_shipped_model_between(told: list[computed.Computed]) -> None:
    """`auto` takes the same precision and provider as without texture."""
    clip = source(vs.YUV420P8)
    ends = [clip.gansr.Upscale("general-2x", texture=end) for end in (0, 1)]
    half = clip.gansr.Upscale("general-2x", texture=0.5)
    a, b, value = (clips.planes(each.get_frame(0))[0] for each in (*ends, half))
    assert np.abs(a - b).max() > 1 and np.abs(value - (a + b) / 2).max() <= 1
    assert str(told[2]) == str(told[1]).replace("general-2x", "general-2x at texture 0.5")


@pytest.mark.parametrize("tier", ["plain", "fast"])
def test_a_gpu_gives_what_the_processors_give(
    tier: str, pair: Pair, machine: fakegpu.StandIn, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """CUDA's engines on a stand-in for the GPU, which the trial and the checks of frames test on the mixture."""
    monkeypatch.setenv("GANSR_GPU", tier)
    for kinds in KINDS[1:3]:
        settings = {"texture": 0.5, "precision": "fp32"}
        got, want = (
            source(vs.YUV420P8).gansr.Upscale(str(pair(kinds)), provider=p, **settings) for p in ("CUDA", "CPU")
        )
        assert clips.largest_difference(got, want) <= 1
    assert not [line for line in said if "fails" in line], said


@pytest.mark.parametrize("texture", [0.0, 0.5])
def test_no_faithful_model(texture: float, small_model: Path) -> None:
    with pytest.raises(vs.Error, match=r"has no softer model beside it \(small-psnr\.onnx\), .*use texture=1"):
        source(vs.RGBS).gansr.Upscale(str(small_model), texture=texture)


def test_int8_needs_both_variants(tmp_path: Path, told: list[computed.Computed]) -> None:
    """`auto` then computes in float32."""
    path = pairs.pair(tmp_path, "luma", "luma", int8=True)
    (tmp_path / "one-psnr.int8.onnx").unlink()
    with pytest.raises(vs.Error, match=r'one-psnr\.onnx" has no int8 variant \(one-psnr\.int8\.onnx\); use precision'):
        source(vs.YUV420P8).gansr.Upscale(str(path), texture=0.5, precision="int8")
    source(vs.YUV420P8).gansr.Upscale(str(path), texture=0.5)
    assert list(map(str, told)) == ["one at texture 0.5 in fp32 on CPU"]


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        (("luma", "RGB"), 'one" is 2x RGB, its softer model "one-psnr" 2x luma; texture cannot mix'),
        (("RGB", "4:2:0"), 'model "one" is 2x 4:2:0, its softer model "one-psnr" 2x RGB;'),
        (("4:2:0", "luma"), 'model "one" is 2x luma, its softer model "one-psnr" 2x 4:2:0;'),
    ],
    ids=str,
)  # fmt: skip
def test_other_kinds_are_refused(kinds: tuple[str, str], words: str, tmp_path: Path) -> None:
    path = pairs.pair(tmp_path, *kinds)
    with pytest.raises(vs.Error, match=words):
        source(vs.YUV420P8).gansr.Upscale(str(path), texture=0.5)
    for end in (0, 1):
        source(vs.YUV420P8).gansr.Upscale(str(path), texture=end, provider="CPU").get_frame(0)


def test_other_scales_are_refused(tmp_path: Path) -> None:
    """Networks without a word about themselves, too."""
    networks.point(tmp_path / "a-psnr.onnx", 4)
    path = networks.point(tmp_path / "a.onnx", 2)
    with pytest.raises(
        vs.Error, match=r'"a" is 2x RGB, its softer model "a-psnr" 4x RGB; texture cannot mix their results'
    ):
        source(vs.RGBS).gansr.Upscale(str(path), texture=0.5)
    shutil.copy(path, tmp_path / "a-psnr.onnx")
    same = source(vs.RGBS).gansr.Upscale(str(path), texture=0.5, provider="CPU")
    assert clips.largest_difference(same, source(vs.RGBS).gansr.Upscale(str(path), provider="CPU")) == 0
