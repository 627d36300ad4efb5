"""Strength 0 is the plain resize, 1 the network, and values between are linear."""

from __future__ import annotations

from pathlib import Path

import clips
import numpy as np
import pytest
import vapoursynth as vs

from vs_gansr.engine.engines import engines

CATMULL_ROM = {"filter_param_a": 0, "filter_param_b": 0.5}
FORMATS = [vs.GRAY8, vs.GRAYS, vs.YUV420P8, vs.YUV420P10, vs.YUV422P16, vs.YUV444PS, vs.RGB24, vs.RGBS, vs.RGBH]
ids = {"ids": lambda f: vs.core.get_video_format(f).name}


def source(fmt: int, width: int = 46, height: int = 30) -> vs.VideoNode:
    family = vs.core.get_video_format(fmt).color_family
    props = {"_Matrix": 1, "_Range": 0, "_ChromaLocation": 1} if family == vs.YUV else {"_Range": 1}
    return clips.noise(fmt, width, height, length=2, props=props)


@pytest.mark.parametrize("fmt", FORMATS, **ids)
def test_0_is_the_plain_resize(fmt: int, small_model: Path) -> None:
    clip = source(fmt)
    out = clip.gansr.Upscale(str(small_model), strength=0)
    plain = clip.resize.Bicubic(92, 60, **CATMULL_ROM)
    assert (out.format.id, out.width, out.height) == (fmt, 92, 60)
    for n in range(2):
        assert clips.largest_difference(out, plain, n) == 0
        assert dict(out.get_frame(n).props) == dict(clip.get_frame(n).props)


def test_0_runs_no_network(small_model: Path) -> None:
    for key in engines:
        engines.forget(key)
    source(vs.YUV420P8).gansr.Upscale(str(small_model), strength=0).get_frame(0)
    assert not list(engines)


@pytest.mark.parametrize("fmt", FORMATS, **ids)
def test_1_is_the_network(fmt: int, small_model: Path) -> None:
    clip = source(fmt)
    for n in range(2):
        full = clip.gansr.Upscale(str(small_model))
        assert clips.largest_difference(clip.gansr.Upscale(str(small_model), strength=1.0), full, n) == 0


@pytest.mark.parametrize("fmt", FORMATS, **ids)
@pytest.mark.parametrize("strength", [0.001, 0.25, 0.5, 0.999])
def test_between_is_between(fmt: int, strength: float, point_model: Path) -> None:
    clip = source(fmt)
    ends = [clips.planes(clip.gansr.Upscale(str(point_model), strength=s).get_frame(1)) for s in (0, 1)]
    got = clips.planes(clip.gansr.Upscale(str(point_model), strength=strength).get_frame(1))
    kind = vs.core.get_video_format(fmt)
    tolerance = 1.0 if kind.sample_type == vs.INTEGER else 1e-6 if kind.bits_per_sample == 32 else 1e-3
    for plain, network, value in zip(*ends, got, strict=True):
        assert np.abs(value - ((1 - strength) * plain + strength * network)).max() <= tolerance


def test_a_straight_line_in_float(small_model: Path) -> None:
    clip = source(vs.RGBS)
    plain, quarter, half, full = (
        np.stack(clips.planes(clip.gansr.Upscale(str(small_model), strength=s).get_frame(0))) for s in (0, 0.25, 0.5, 1)
    )
    np.testing.assert_allclose(quarter, plain + (full - plain) / 4, atol=1e-6)
    np.testing.assert_allclose(half, plain + (full - plain) / 2, atol=1e-6)


@pytest.mark.parametrize("strength", [0, 0.5, 1])
def test_other_formats_out(strength: float, small_model: Path) -> None:
    clip = source(vs.YUV420P10)
    for fmt in (vs.YUV444P16, vs.RGB24, vs.YUV420P8):
        out = clip.gansr.Upscale(str(small_model), strength=strength, format=fmt)
        assert out.get_frame(1).format.id == out.format.id == fmt
    flat = vs.core.std.BlankClip(format=vs.YUV420P10, width=32, height=16, length=1, color=[500, 600, 400])
    flat = flat.std.SetFrameProps(_Matrix=1)
    got = flat.gansr.Upscale(str(small_model), strength=0, format=vs.YUV420P8).get_frame(0)
    for plane, value in zip(clips.planes(got), (125, 150, 100), strict=True):
        assert np.abs(plane - value).max() <= 1


@pytest.mark.parametrize("strength", [0, 0.4])
def test_variable_sizes_and_formats(strength: float, core: vs.Core, small_model: Path) -> None:
    parts = [source(vs.YUV420P8), source(vs.RGBS, 20, 14), source(vs.GRAY8, 33, 9)]
    out = core.std.Splice(parts, mismatch=True).gansr.Upscale(str(small_model), strength=strength)
    for i, part in enumerate(parts):
        alone = part.gansr.Upscale(str(small_model), strength=strength)
        assert clips.largest_difference(out[2 * i : 2 * i + 1], alone) == 0


def test_with_tiles(small_model: Path) -> None:
    clip = source(vs.RGBS)
    whole = clip.gansr.Upscale(str(small_model), strength=0.3)
    assert clips.largest_difference(whole, clip.gansr.Upscale(str(small_model), strength=0.3, tilesize=16)) <= 1e-5
