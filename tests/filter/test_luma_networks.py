"""Luma networks get the first plane as it is stored; zimg enlarges the colour."""

from __future__ import annotations

from pathlib import Path

import clips
import numpy as np
import pytest
import vapoursynth as vs
from foreign import luma_net

pytestmark = pytest.mark.usefixtures("fresh_cache")


CATMULL_ROM = {"filter_param_a": 0, "filter_param_b": 0.5}


def luma_reference(clip: vs.VideoNode, target: int | None = None) -> vs.VideoNode:
    """The luma network's answer by zimg and std filters alone: its own luma inverted, chroma resized as a whole."""
    core = vs.core.core
    fmt = core.get_video_format(target or clip.format.id)
    gray = core.query_video_format(vs.GRAY, fmt.sample_type, fmt.bits_per_sample).id
    luma = clip.std.ShufflePlanes(0, vs.GRAY).resize.Bicubic(format=vs.GRAYS)
    luma = luma.resize.Point(2 * clip.width, 2 * clip.height).std.Expr("1 x -").resize.Bicubic(format=gray)
    large = clip.resize.Bicubic(2 * clip.width, 2 * clip.height, format=fmt.id, **CATMULL_ROM)
    return core.std.ShufflePlanes([luma, large], [0, 1, 2], vs.YUV)


@pytest.mark.parametrize("location", [None, 0, 1, 2, 3])
@pytest.mark.parametrize(
    "fmt", [vs.YUV420P8, vs.YUV420P10, vs.YUV422P8, vs.YUV411P8, vs.YUV444P16, vs.YUV444PS], ids=str
)
def test_luma_network_on_yuv(fmt: int, location: int | None, tmp_path: Path, engine: str) -> None:
    """Luma through the network, chroma by zimg at its siting, one code value at most from zimg's own way."""
    path = luma_net(tmp_path / "m.onnx")
    props = {"_Matrix": 9, "_Range": 0, "Custom": 5} | ({} if location is None else {"_ChromaLocation": location})
    clip = clips.noise(fmt, 48, 36, length=2, props=props)
    out = clip.gansr.Upscale(str(path), provider=engine)
    assert (out.width, out.height, out.format.id) == (96, 72, fmt)
    tolerance = 1 if clip.format.sample_type == vs.INTEGER else 1e-5
    for n in range(2):
        assert clips.largest_difference(out, luma_reference(clip), n) <= tolerance
        assert dict(out.get_frame(n).props) == dict(clip.get_frame(n).props)


def test_luma_network_on_gray_rgb_and_other_formats(core: vs.Core, tmp_path: Path, engine: str) -> None:
    path = str(luma_net(tmp_path / "m.onnx"))
    gray = core.std.BlankClip(format=vs.GRAY8, width=8, height=8, color=[99], length=1).std.SetFrameProps(_Range=1)
    assert gray.gansr.Upscale(path, provider=engine).get_frame(0)[0][15, 15] == 156
    yuv = clips.noise(vs.YUV420P8, 48, 36, length=1, props={"_Matrix": 1})
    assert (
        clips.largest_difference(
            yuv.gansr.Upscale(path, provider=engine, format=vs.YUV420P10), luma_reference(yuv, vs.YUV420P10)
        )
        <= 1
    )
    got = yuv.gansr.Upscale(path, provider=engine, format=vs.GRAY8)
    assert clips.largest_difference(got, luma_reference(yuv).std.ShufflePlanes(0, vs.GRAY)) <= 1

    rgb = clips.noise(vs.RGB24, 48, 36, length=1)
    parts = rgb.resize.Bicubic(format=vs.YUV444PS, matrix=6)  # what a result in YUV would have at this size
    for source, target in ((rgb, None), (rgb, vs.YUV444P8), (yuv, vs.RGB24)):
        whole = parts if source is rgb else yuv.resize.Bicubic(format=vs.YUV444PS, **CATMULL_ROM)
        matrix = {"matrix": 6} if target == vs.YUV444P8 else {}
        want = luma_reference(whole).resize.Bicubic(format=target or vs.RGB24, **matrix, **CATMULL_ROM)
        got = (
            source.gansr.Upscale(path, provider=engine, format=target)
            if target
            else source.gansr.Upscale(path, provider=engine)
        )
        # What leaves the range of RGB is cut off alike, but for the order of sums.
        assert clips.largest_difference(got, want) <= 1


def test_luma_network_on_a_clip_of_varying_size_and_in_part(core: vs.Core, tmp_path: Path) -> None:
    path = str(luma_net(tmp_path / "m.onnx"))
    parts = [clips.noise(vs.YUV420P8, w, h, 1, seed=w, props={"_Matrix": 1}) for w, h in ((48, 36), (20, 10))]
    out = core.std.Splice(parts, mismatch=True).gansr.Upscale(path)
    for n, part in enumerate(parts):
        with out.get_frame(n) as got, luma_reference(part).get_frame(0) as want:
            assert all(abs(a - b).max() <= 1 for a, b in zip(clips.planes(got), clips.planes(want), strict=True))
    half = parts[0].gansr.Upscale(path, strength=0.5).get_frame(0)
    plain, full = parts[0].gansr.Upscale(path, strength=0).get_frame(0), out.get_frame(0)
    for i, (a, b, c) in enumerate(zip(*map(clips.planes, (half, plain, full)), strict=True)):
        assert abs(a - (b + c) / 2).max() <= 1, i


def test_luma_network_on_a_clip_of_varying_format(core: vs.Core, tmp_path: Path, engine: str) -> None:
    """Every frame is what it is in a clip of its own format, in any order."""
    path = str(luma_net(tmp_path / "m.onnx"))
    kinds = (vs.YUV420P8, vs.RGB24, vs.GRAY16, vs.YUV444PH, vs.YUV420P8)
    parts = [
        clips.noise(f, 16 + 4 * n, 16, 1, seed=n, props={} if f == vs.RGB24 else {"_Matrix": 1})
        for n, f in enumerate(kinds)
    ]
    for arguments in ({}, {"format": vs.YUV444P10}, {"strength": 0.5}):
        out = core.std.Splice(parts, mismatch=True).gansr.Upscale(path, provider=engine, **arguments)
        for n in (3, 0, 4, 2, 1):
            with (
                out.get_frame(n) as got,
                parts[n].gansr.Upscale(path, provider=engine, **arguments).get_frame(0) as want,
            ):
                assert (got.format.id, got.width) == (want.format.id, want.width)
                assert got.props.get("_Matrix") == want.props.get("_Matrix")
                assert all(np.array_equal(a, b) for a, b in zip(clips.planes(got), clips.planes(want), strict=True)), n


@pytest.mark.parametrize("fmt", [vs.YUV420P8, vs.YUV422P10, vs.YUV444P16, vs.GRAY8, vs.GRAY16, vs.GRAYH, vs.YUV444PS])
@pytest.mark.parametrize("full", [0, 1])
def test_stored_samples_are_those_of_the_float_way(fmt: int, full: int, tmp_path: Path, engine: str) -> None:
    """Luma as the frame stores it, scaled inside the graph, against zimg's conversions around the network."""
    path = str(luma_net(tmp_path / "m.onnx"))
    clip = clips.noise(fmt, 40, 24, 1, props={"_Matrix": 1, "_Range": full})
    luma = clip.std.ShufflePlanes(0, vs.GRAY).std.RemoveFrameProps("_Matrix")
    floats = luma.resize.Bicubic(format=vs.GRAYS).gansr.Upscale(path, provider=engine)
    want = floats.resize.Bicubic(format=luma.format.id, range=full)
    got = clip.gansr.Upscale(path, provider=engine).std.ShufflePlanes(0, vs.GRAY)
    assert clips.largest_difference(got, want) <= (1 if clip.format.sample_type == vs.INTEGER else 2e-3)
    tiled = clip.gansr.Upscale(path, provider=engine, tilesize=[20, 13]).std.ShufflePlanes(0, vs.GRAY)
    assert clips.largest_difference(got, tiled) == 0
    fading = clip.gansr.Upscale(path, provider=engine, tilesize=[20, 13], overlap=0, memory=200).std.ShufflePlanes(
        0, vs.GRAY
    )
    assert clips.largest_difference(got, fading) <= (1 if clip.format.sample_type == vs.INTEGER else 2e-3)
