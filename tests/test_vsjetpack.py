"""The scaler for vsjetpack works with the real package: base classes, users of scalers, registry."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import clips
import pytest
import vapoursynth as vs

vsscale = pytest.importorskip("vsscale", reason="needs vsjetpack (extra [peers])")

from vskernels import BicubicAuto, Bilinear, Catrom, Scaler  # noqa: E402

from vs_gansr.vsjetpack import Gansr  # noqa: E402


@pytest.fixture(scope="module")
def clip() -> vs.VideoNode:
    return clips.noise(vs.YUV420P8, 48, 32, length=2, props={"_Matrix": 1, "_ChromaLocation": 0})


def test_is_a_scaler_as_vsjetpack_understands_it() -> None:
    assert issubclass(Gansr, vsscale.BaseGenericScaler) and not Gansr.is_abstract
    assert isinstance(Scaler.ensure_obj(Gansr), Gansr)
    assert Scaler.from_param("Gansr") is Gansr
    assert Gansr("a") == Gansr("a") != Gansr("b")
    assert "Gansr" in str(Gansr())


@pytest.mark.parametrize("size", [(96, 64), (None, None), (72, 48), (160, 100)], ids=str)
def test_scales_to_any_size(size: tuple, clip: vs.VideoNode, small_model: Path) -> None:
    """The network enlarges by its own factor, then the scaler resizes; no resize where the size is right already."""
    out = Gansr(str(small_model), scaler=Bilinear).scale(clip, *size)
    width, height = size[0] or clip.width, size[1] or clip.height
    assert (out.width, out.height, out.format.id) == (width, height, vs.YUV420P8)
    large = clip.gansr.Upscale(str(small_model))
    want = large if (width, height) == (96, 64) else Bilinear().scale(large, width, height)
    assert clips.largest_difference(out, want, 1) == 0


def test_supersample_and_shift_are_those_of_the_package(clip: vs.VideoNode, small_model: Path) -> None:
    scaler = Gansr(str(small_model), kernel=BicubicAuto(b=0))
    generic = vsscale.GenericScaler(lambda c, w, h, *_: c.gansr.Upscale(str(small_model)), kernel=BicubicAuto(b=0))
    for arguments in ({}, {"rfactor": 1.5}, {"shift": (0.25, -0.5)}):
        got, want = (s.supersample(clip, **arguments) for s in (scaler, generic))
        assert (got.width, got.height) == (want.width, want.height)
        assert clips.largest_difference(got, want) == 0


@pytest.mark.parametrize("fmt", [vs.GRAY8, vs.GRAYS, vs.YUV444P16, vs.YUV444PS, vs.RGB24, vs.RGBS], ids=str)
def test_formats(fmt: int, small_model: Path) -> None:
    matrix = 0 if vs.core.get_video_format(fmt).color_family == vs.RGB else 1
    source = clips.noise(fmt, 32, 24, length=1, props={"_Matrix": matrix})
    out = Gansr(str(small_model)).supersample(source, 2)
    assert clips.largest_difference(out, source.gansr.Upscale(str(small_model))) == 0


def test_arguments_reach_the_plugin(clip: vs.VideoNode, small_model: Path) -> None:
    out = Gansr(str(small_model), provider="CPU", tilesize=[32, 32], overlap=4, strength=0.5, reuse=False).scale(clip)
    with_all = {"provider": "CPU", "tilesize": [32, 32], "overlap": 4, "strength": 0.5, "reuse": False}
    assert clips.largest_difference(out, Catrom().scale(clip.gansr.Upscale(str(small_model), **with_all), 48, 32)) == 0
    with pytest.raises(vs.Error, match=r'^Upscale: unknown model "nonsense"'):
        Gansr("nonsense").scale(clip)
    with pytest.raises(TypeError):
        Gansr(str(small_model), tile=32)


def test_radius_is_the_network_s(small_model: Path, tmp_path: Path) -> None:
    assert Gansr(str(small_model)).kernel_radius == 4


def test_serves_where_the_package_takes_scalers(small_model: Path) -> None:
    """vsjetpack's clamping scaler and its rescaling accept Gansr, and their results come from Gansr's output."""
    gray = clips.noise(vs.GRAYS, 64, 48, length=1)
    scaler = Gansr(str(small_model))
    clamped = vsscale.ClampScaler(scaler, reference=Catrom, masked=False).supersample(gray, 2)
    assert (clamped.width, clamped.height) == (128, 96)
    clamped.get_frame(0).close()
    with clamped.get_frame(0) as f:
        assert f.width == 128
    rescaled = vsscale.Rescale(gray, 24, Bilinear, upscaler=scaler)
    assert clips.largest_difference(rescaled.doubled, scaler.supersample(rescaled.descale, 2)) == 0
    assert (rescaled.upscale.width, rescaled.upscale.height) == (64, 48)


def test_import_is_light_and_the_runtime_never_imports_it(small_model: Path) -> None:
    code = (
        "import sys, vapoursynth as vs\n"
        "c = vs.core.std.BlankClip(format=vs.GRAY8, width=8, height=8, length=1)\n"
        "c.gansr.Upscale(sys.argv[1]).get_frame(0)\n"
        "print([m for m in ('vsscale', 'vskernels', 'vs_gansr.vsjetpack') if m in sys.modules])\n"
        "import vs_gansr.vsjetpack\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(small_model)], capture_output=True, text=True, timeout=120)
    assert done.stdout == "[]\nFalse\n", done.stderr
