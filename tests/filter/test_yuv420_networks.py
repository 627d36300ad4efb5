"""Networks of 4:2:0 get all planes where possible, in every format, siting, range and tile."""

from __future__ import annotations

from pathlib import Path

import clips
import fakegpu
import networks
import numpy as np
import pytest
import vapoursynth as vs
from onnx import helper, numpy_helper

pytestmark = pytest.mark.usefixtures("fresh_cache")

core = vs.core
SAID = {"colour": "yuv420", "scale": "2", "multiple": "1", "range": "1", "clamp": "0"}


def repeating(path: Path, blur: bool = False) -> Path:
    """A network that repeats every sample of each plane; with `blur` the mean of 3x3 places instead, per channel."""
    kernel = np.zeros((24, 6, 3, 3), np.float32)
    for row in range(4):
        for column in range(4):
            kernel[4 * row + column, 2 * (row // 2) + column // 2, 1, 1] = 1
    for plane in (0, 1):
        kernel[16 + 4 * plane : 20 + 4 * plane, 4 + plane, 1, 1] = 1
    if blur:
        kernel = np.broadcast_to(kernel[:, :, 1:2, 1:2] / 9, kernel.shape).copy()
    node = helper.make_node("Conv", ["input", "kernel"], ["output"], pads=[1] * 4)
    weights = [numpy_helper.from_array(kernel, "kernel")]
    return networks.save(path, [node], weights, 6, {**SAID, "radius": "1"}, 24)


def planes(clip: vs.VideoNode, n: int = 0) -> list[np.ndarray]:
    with clip.get_frame(n) as frame:
        return [np.asarray(frame[i]).copy() for i in range(frame.format.num_planes)]


def repeated(plane: np.ndarray) -> np.ndarray:
    return plane.repeat(2, 0).repeat(2, 1)


@pytest.mark.parametrize("full", [0, 1])
@pytest.mark.parametrize("fmt", [vs.YUV420P8, vs.YUV420P10, vs.YUV420P16, vs.YUV420PS, vs.YUV420PH], ids=str)
def test_every_sample_goes_through_as_it_is(fmt: int, full: int, tmp_path: Path, engine: str) -> None:
    clip = clips.noise(fmt, 48, 36, length=2, props={"_Matrix": 1, "_Range": full, "_ChromaLocation": 0, "Custom": 5})
    out = clip.gansr.Upscale(str(repeating(tmp_path / "m.onnx")), provider=engine)
    assert (out.width, out.height, out.format.id, out.num_frames) == (96, 72, fmt, 2)
    tolerance = {vs.YUV420PS: 1e-5, vs.YUV420PH: 2e-3}.get(fmt, 0)
    for made, source in zip(planes(out, 1), planes(clip, 1), strict=True):
        assert np.abs(made.astype(np.float64) - repeated(source)).max() <= tolerance
    with out.get_frame(1) as frame, clip.get_frame(1) as before:
        assert dict(frame.props) == dict(before.props)


@pytest.mark.parametrize("location", [1, 2])
def test_other_sitings_keep_the_resizes_chroma(location: int, tmp_path: Path) -> None:
    clip = clips.noise(vs.YUV420P8, 48, 36, props={"_Matrix": 1, "_Range": 0, "_ChromaLocation": location})
    out = clip.gansr.Upscale(str(repeating(tmp_path / "m.onnx")), provider="CPU")
    large = clip.resize.Bicubic(96, 72, filter_param_a=0, filter_param_b=0.5)
    luma, *chroma = planes(out)
    assert np.array_equal(luma, repeated(planes(clip)[0]))
    assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(chroma, planes(large)[1:], strict=True))


@pytest.mark.parametrize(
    "fmt",
    [vs.YUV444P8, vs.YUV422P10, vs.YUV411P8, vs.YUV444PS, vs.GRAY8, vs.GRAY16, vs.GRAYS, vs.RGB24, vs.RGBS],
    ids=str,
)
def test_other_layouts_get_its_luma(fmt: int, tmp_path: Path) -> None:
    """Odd sizes too, where the format has them."""
    odd = fmt not in (vs.YUV422P10, vs.YUV411P8)
    width, height = (45, 35) if odd else (48, 36)
    rgb = core.get_video_format(fmt).color_family == vs.RGB
    props = {} if rgb else {"_Matrix": 1, "_Range": 0}
    clip = clips.noise(fmt, width, height, props=props)
    out = clip.gansr.Upscale(str(repeating(tmp_path / "m.onnx")), provider="CPU")
    assert (out.width, out.height, out.format.id) == (2 * width, 2 * height, fmt)
    if rgb:
        matrix = {"matrix": 6, "range": 0}  # what the size suggests
        clip, out = (each.resize.Bicubic(format=vs.YUV444PS, **matrix) for each in (clip, out))
    is_float = rgb or core.get_video_format(fmt).sample_type == vs.FLOAT
    error = np.abs(planes(out)[0].astype(np.float64) - repeated(planes(clip)[0]))
    assert error.max() <= ((0.02 if fmt == vs.RGB24 else 1e-4) if is_float else 0)


def test_another_format_is_converted_once(tmp_path: Path) -> None:
    clip = clips.noise(vs.YUV420P16, 48, 36, props={"_Matrix": 1, "_Range": 0, "_ChromaLocation": 0})
    out = clip.gansr.Upscale(str(repeating(tmp_path / "m.onnx")), provider="CPU", format=vs.YUV420P8)
    assert out.format.id == vs.YUV420P8
    for made, source in zip(planes(out), planes(clip), strict=True):
        assert np.abs(made - repeated(source) / 256).max() <= 1


@pytest.mark.parametrize("size", [(48, 36), (50, 38)])
def test_tiles_leave_no_trace(size: tuple[int, int], tmp_path: Path, engine: str) -> None:
    """`tilesize` and `overlap` are luma samples."""
    path = str(repeating(tmp_path / "m.onnx", blur=True))
    clip = clips.noise(vs.YUV420P8, *size, props={"_Matrix": 1, "_Range": 0, "_ChromaLocation": 0})
    whole = planes(clip.gansr.Upscale(path, provider=engine))
    tiled = planes(clip.gansr.Upscale(path, provider=engine, tilesize=24))
    assert all(np.array_equal(a, b) for a, b in zip(whole, tiled, strict=True))


def test_strength_mixes_all_planes(tmp_path: Path) -> None:
    path = str(repeating(tmp_path / "m.onnx"))
    clip = clips.noise(vs.YUV420P8, 48, 36, props={"_Matrix": 1, "_Range": 0, "_ChromaLocation": 0})
    half, none, full = (planes(clip.gansr.Upscale(path, provider="CPU", strength=s)) for s in (0.5, 0.0, 1.0))
    for mixed, a, b in zip(half, none, full, strict=True):
        assert np.abs(mixed - (a.astype(float) + b) / 2).max() <= 1


@pytest.mark.parametrize("fmt", [vs.YUV420P8, vs.YUV422P10, vs.YUV444P8, vs.YUV444PS, vs.GRAY8, vs.GRAYS], ids=str)
def test_a_clip_of_varying_size(fmt: int, tmp_path: Path) -> None:
    """Each frame is what a clip of its own gives; the second one is odd where the format allows it."""
    path = str(repeating(tmp_path / "m.onnx"))
    sizes = ((48, 36), (64, 48) if fmt in (vs.YUV420P8, vs.YUV422P10) else (63, 47))
    parts = [clips.noise(fmt, *size, length=1, props={"_Matrix": 1, "_Range": 0}) for size in sizes]
    out = core.std.Splice(parts, mismatch=True).gansr.Upscale(path, provider="CPU")
    for n, part in enumerate(parts):
        alone = part.gansr.Upscale(path, provider="CPU")
        for made, expected in zip(planes(out, n), planes(alone), strict=True):
            assert np.array_equal(made, expected)


def test_a_wrong_number_of_channels_is_named(tmp_path: Path) -> None:
    kernel = numpy_helper.from_array(np.zeros((3, 3, 1, 1), np.float32), "kernel")
    node = helper.make_node("Conv", ["input", "kernel"], ["output"])
    path = networks.save(tmp_path / "m.onnx", [node], [kernel], 3, SAID)
    with pytest.raises(vs.Error, match=r'gansr\.colour "yuv420" .* needs 6 .* but it has 3 input channels; correct'):
        core.std.BlankClip(format=vs.YUV420P8).gansr.Upscale(str(path))


@pytest.mark.parametrize("tier", ["plain", "fast"])
@pytest.mark.parametrize("fmt", [vs.YUV420P8, vs.YUV420P10, vs.YUV420PS], ids=str)
def test_a_gpu_gives_what_the_processors_give(
    fmt: int, tier: str, tmp_path: Path, machine: fakegpu.StandIn, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """CUDA's engines on a stand-in for the GPU, whole pictures and tiles; the frames are checked as on a real one."""
    monkeypatch.setenv("GANSR_GPU", tier)
    path = str(repeating(tmp_path / "m.onnx", blur=True))
    clip = clips.noise(fmt, 48, 36, length=3, props={"_Matrix": 1, "_Range": 0, "_ChromaLocation": 0})
    want = clip.gansr.Upscale(path, provider="CPU", precision="fp32")
    for tiles in ({}, {"tilesize": 24}):
        got = clip.gansr.Upscale(path, provider="CUDA", precision="fp32", **tiles)
        for n in range(3):
            for a, b in zip(planes(got, n), planes(want, n), strict=True):
                assert np.abs(a.astype(np.float64) - b).max() <= (1e-6 if fmt == vs.YUV420PS else 0)
    assert any("user_compute_stream" in options for _, options in machine.made) == (tier == "fast")
    assert not [line for line in said if "fails" in line], said
