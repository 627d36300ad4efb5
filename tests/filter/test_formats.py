"""The colour contract: a generator that only repeats pixels returns what zimg alone returns."""

from __future__ import annotations

import itertools
from pathlib import Path

import clips
import pytest
import vapoursynth as vs
from shipped import SHIPPED

CATMULL_ROM = {"filter_param_a": 0, "filter_param_b": 0.5}
TOLERANCE = {vs.INTEGER: 1.0, vs.FLOAT: 1e-3}

BITS = [(vs.INTEGER, bits) for bits in (8, 9, 10, 12, 14, 16)] + [(vs.FLOAT, 16), (vs.FLOAT, 32)]
SUBSAMPLINGS = list(itertools.product((0, 1, 2), repeat=2))
YUV = [vs.core.query_video_format(vs.YUV, *kind, w, h).id for kind in BITS for w, h in SUBSAMPLINGS]
GRAY = [vs.core.query_video_format(vs.GRAY, *kind).id for kind in BITS]
RGB = [vs.core.query_video_format(vs.RGB, *kind).id for kind in BITS]
FEW = [vs.GRAY8, vs.YUV420P8, vs.YUV420P10, vs.YUV422P16, vs.YUV444P8, vs.YUV444PS, vs.RGB24, vs.RGB48, vs.RGBS]


def reference(clip: vs.VideoNode, matrix: int, full: int, location: int | None = None) -> vs.VideoNode:
    """zimg to RGBS, Point to twice the size, zimg back."""
    family = clip.format.color_family
    if family == vs.GRAY:
        clip = clip.std.RemoveFrameProps("_Matrix")
    there = {"format": vs.RGBS} | CATMULL_ROM
    if family == vs.YUV:
        there |= {"matrix_in": matrix}
    back = {"format": clip.format.id, "range": full} | CATMULL_ROM
    if family != vs.RGB:
        back |= {"matrix": matrix}
    if location is not None:
        back |= {"chromaloc": location}
    large = clip.resize.Bicubic(**there).resize.Point(2 * clip.width, 2 * clip.height)
    return large.resize.Bicubic(**back)


def check(
    clip: vs.VideoNode, model: Path, engine: str, matrix: int = 1, full: int = 0, location: int | None = None
) -> vs.VideoNode:
    out = clip.gansr.Upscale(str(model), provider=engine)
    assert (out.width, out.height, out.num_frames) == (2 * clip.width, 2 * clip.height, clip.num_frames)
    assert (out.format.id, out.fps) == (clip.format.id, clip.fps)
    difference = clips.largest_difference(out, reference(clip, matrix, full, location), clip.num_frames - 1)
    assert difference <= TOLERANCE[clip.format.sample_type]
    return out


@pytest.mark.parametrize("fmt", YUV + GRAY + RGB, ids=lambda f: vs.core.get_video_format(f).name)
def test_every_format(fmt: int, point_model: Path, engine: str) -> None:
    full = int(vs.core.get_video_format(fmt).color_family == vs.RGB)
    check(clips.noise(fmt, 48, 32, props={"_Matrix": 0 if full else 1}), point_model, engine, full=full)


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 3), (7, 5), (33, 17), (255, 3), (5, 129)], ids=str)
@pytest.mark.parametrize("fmt", [vs.GRAY8, vs.YUV444P8, vs.YUV444PS, vs.RGB24], ids=str)
def test_odd_and_tiny_sizes(size: tuple[int, int], fmt: int, point_model: Path, engine: str) -> None:
    full = int(fmt == vs.RGB24)
    check(clips.noise(fmt, *size, props={"_Matrix": 0 if full else 6}), point_model, engine, 6, full)


@pytest.mark.parametrize("size", [(2, 2), (6, 2), (2, 10), (34, 18), (126, 66)], ids=str)
def test_odd_chroma_sizes(size: tuple[int, int], point_model: Path, engine: str) -> None:
    check(clips.noise(vs.YUV420P8, *size, props={"_Matrix": 1}), point_model, engine)


@pytest.mark.parametrize("fmt", [vs.YUV420P8, vs.YUV422P10, vs.YUV444P16, vs.YUV420PS], ids=str)
def test_matrices_ranges_and_sitings(fmt: int, core: vs.Core, point_model: Path, engine: str) -> None:
    """One clip whose frames carry every combination of tags, against clips that carry one each."""
    subsampled = core.get_video_format(fmt).subsampling_w > 0
    sitings = range(6) if subsampled else [None]
    tags = list(itertools.product((1, 4, 5, 6, 7, 8, 9), (0, 1), sitings))
    parts = []
    for seed, (matrix, full, siting) in enumerate(tags):
        props = {"_Matrix": matrix, "_Range": full} | ({} if siting is None else {"_ChromaLocation": siting})
        parts.append(clips.noise(fmt, 32, 16, length=1, seed=seed, props=props))
    out = core.std.Splice(parts).gansr.Upscale(str(point_model), provider=engine)
    for n, (part, combination) in enumerate(zip(parts, tags, strict=True)):
        wanted = reference(part, *combination)
        assert clips.largest_difference(out[n], wanted) <= TOLERANCE[part.format.sample_type], combination
        assert dict(out.get_frame(n).props) == dict(part.get_frame(0).props)


def test_constant_luminance_and_ictcp(point_model: Path, engine: str) -> None:
    for matrix, transfer in ((10, 14), (14, 16)):
        props = {"_Matrix": matrix, "_Transfer": transfer, "_Primaries": 9}
        clip = clips.noise(vs.YUV444P16, 16, 16, length=1, props=props)
        check(clip, point_model, engine, matrix)


def test_gray_taken_out_of_rgb_keeps_its_tag(point_model: Path) -> None:
    clip = clips.noise(vs.GRAY8, 16, 16, props={"_Matrix": 0, "_Range": 1})
    out = clip.gansr.Upscale(str(point_model))
    expected = clip.resize.Point(32, 32)
    assert clips.largest_difference(out, expected) <= 1
    assert out.get_frame(0).props["_Matrix"] == 0


def test_limited_range_rgb(point_model: Path) -> None:
    clip = clips.noise(vs.RGB24, 16, 16, props={"_Matrix": 0, "_Range": 0})
    assert clips.largest_difference(clip.gansr.Upscale(str(point_model)), clip.resize.Point(32, 32)) <= 1


def test_deprecated_range_tag_is_honoured(point_model: Path) -> None:
    clip = clips.noise(vs.YUV444P8, 16, 16, props={"_Matrix": 1, "_ColorRange": 0})
    out = clip.gansr.Upscale(str(point_model))
    assert clips.largest_difference(out, clip.resize.Point(32, 32)) <= 1
    assert dict(out.get_frame(0).props) == dict(clip.get_frame(0).props)


@pytest.mark.parametrize("fmt", FEW, ids=str)
@pytest.mark.parametrize("shade", [0.1, 0.5, 0.8])
def test_flat_colour_keeps_colour_and_tags_exactly(
    fmt: int, shade: float, core: vs.Core, point_model: Path, engine: str
) -> None:
    info = core.get_video_format(fmt)
    top = 1.0 if info.sample_type == vs.FLOAT else (1 << info.bits_per_sample) - 1
    middle = 0.0 if info.sample_type == vs.FLOAT else (top + 1) / 2
    value = [shade * top] + [middle + 0.03 * top, middle - 0.05 * top] * (info.num_planes == 3)
    if info.sample_type == vs.INTEGER:
        value = [round(v) for v in value]
    props = {
        "_Transfer": 16, "_Primaries": 9, "_FieldBased": 0, "_SARNum": 4, "_SARDen": 3, "_DurationNum": 1001,
        "_DurationDen": 24000, "_PictType": "I", "Custom": [1, 2, 3], "_Range": int(info.color_family == vs.RGB),
        "_AbsoluteTime": 1.25, "_Matrix": 0 if info.color_family == vs.RGB else 9,
    }  # fmt: skip
    clip = core.std.BlankClip(format=fmt, width=32, height=16, length=2, color=value).std.SetFrameProps(**props)
    before, after = clip.get_frame(1), clip.gansr.Upscale(str(point_model), provider=engine).get_frame(1)
    assert dict(after.props) == dict(before.props)
    for a, b in zip(clips.planes(before), clips.planes(after), strict=True):
        if info.sample_type == vs.INTEGER:
            assert b.min() == b.max() == a[0, 0]
        else:
            assert abs(b - a[0, 0]).max() < 1e-6


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_shipped_models_keep_flat_colours(name: str, precision: str, core: vs.Core, engine: str) -> None:
    """To half an 8-bit code; at the picture's edge, beyond which a network sees nothing, to 6.5 for pure colours."""
    shades = [(0, 0, 0), (1, 1, 1), (0.5, 0.5, 0.5), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0.2, 0.7, 0.4), (0.1, 0.1, 0)]
    flat = core.std.Splice([core.std.BlankClip(None, 96, 80, vs.RGBS, 1, color=list(shade)) for shade in shades])
    large = flat.gansr.Upscale(name, provider=engine, precision=precision)
    for shade, frame in zip(shades, large.frames(), strict=True):
        scale = frame.width // flat.width
        for value, plane in zip(shade, clips.planes(frame), strict=True):
            error = 255 * abs(plane - value)
            edge = 20 * scale
            assert error[edge:-edge, edge:-edge].max() <= 0.5, shade
            assert error.max() <= (6.5 if len(set(shade)) > 1 and set(shade) <= {0, 1} else 2), shade


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_shipped_models_change_luma_alone(name: str, precision: str, core: vs.Core, engine: str) -> None:
    """Colour differences are those of a Catmull-Rom resize, away from the edge, which each continues its own way."""
    clip = clips.noise(vs.RGBS, 48, 40, length=1)
    large = clip.gansr.Upscale(name, provider=engine, precision=precision)
    resized = clip.resize.Bicubic(large.width, large.height, **CATMULL_ROM)
    inside = (slice(12, -12),) * 2
    with large.get_frame(0) as a, resized.get_frame(0) as b:
        made, plain = (clips.planes(frame) for frame in (a, b))
        assert abs(made[1] - plain[1])[inside].max() > 0.05
        for plane in (0, 2):
            error = (made[plane] - made[1]) - (plain[plane] - plain[1])
            assert abs(error[inside]).max() < 1e-4


def test_variable_size_clip(core: vs.Core, point_model: Path) -> None:
    parts = [
        clips.noise(vs.YUV420P8, w, h, length=1, seed=w, props={"_Matrix": 1}) for w, h in ((32, 16), (18, 30), (8, 8))
    ]
    clip = core.std.Splice(parts, mismatch=True)
    out = clip.gansr.Upscale(str(point_model))
    assert (out.width, out.height, out.format.id, out.num_frames) == (0, 0, vs.YUV420P8, 3)
    for n, part in enumerate(parts):
        with out.get_frame(n) as got, reference(part, 1, 0).get_frame(0) as want:
            assert (got.width, got.height) == (want.width, want.height)
            for a, b in zip(clips.planes(got), clips.planes(want), strict=True):
                assert abs(a - b).max() <= 1


def test_variable_format_clip(core: vs.Core, point_model: Path) -> None:
    parts = [
        clips.noise(vs.YUV420P8, 32, 16, 1, props={"_Matrix": 1}),
        clips.noise(vs.RGB48, 20, 10, 1, props={"_Matrix": 0}),
        clips.noise(vs.GRAY16, 9, 7, 1, props={"_Matrix": 0}),
        clips.noise(vs.YUV444PS, 32, 16, 1),
    ]
    out = core.std.Splice(parts, mismatch=True).gansr.Upscale(str(point_model))
    assert out.format is None or out.format.id == 0
    for n, (part, matrix, full) in enumerate(zip(parts, (1, 0, 1, 6), (0, 1, 0, 0), strict=True)):
        with out.get_frame(n) as got, reference(part, matrix, full).get_frame(0) as want:
            assert (got.width, got.height, got.format.id) == (want.width, want.height, want.format.id)
            tolerance = TOLERANCE[want.format.sample_type]
            for a, b in zip(clips.planes(got), clips.planes(want), strict=True):
                assert abs(a - b).max() <= tolerance


def test_matrix_changing_from_frame_to_frame(core: vs.Core, point_model: Path) -> None:
    parts = [clips.noise(vs.YUV420P8, 32, 16, 1, seed=m, props={"_Matrix": m}) for m in (1, 6, 9, 1)]
    out = core.std.Splice(parts).gansr.Upscale(str(point_model))
    for n, m in enumerate((1, 6, 9, 1)):
        with out.get_frame(n) as got, reference(parts[n], m, 0).get_frame(0) as want:
            assert got.props["_Matrix"] == m
            assert all(abs(a - b).max() <= 1 for a, b in zip(clips.planes(got), clips.planes(want), strict=True))


@pytest.mark.parametrize(("height", "guess"), [(480, 6), (576, 5), (720, 1), (1080, 1)])
@pytest.mark.parametrize("unset", [{}, {"_Matrix": 2}], ids=["missing", "unspecified"])
def test_unset_matrix_is_guessed_by_size_and_written(
    height: int, guess: int, unset: dict, core: vs.Core, point_model: Path
) -> None:
    clip = core.std.BlankClip(format=vs.YUV420P8, width=16, height=height, length=3).std.SetFrameProps(Any=1, **unset)
    said: list[str] = []
    handle = core.add_log_handler(lambda kind, message: said.append(message))
    try:
        out = clip.gansr.Upscale(str(point_model))
        for n in range(3):
            assert out.get_frame(n).props["_Matrix"] == guess
    finally:
        core.remove_log_handler(handle)
    assert len([message for message in said if "matrix" in message]) == 1


@pytest.mark.parametrize(("primaries", "matrix"), [(1, 1), (5, 5), (6, 6), (9, 9), (2, 6), (12, 6)])
def test_unset_matrix_goes_with_the_primaries(primaries: int, matrix: int, core: vs.Core, point_model: Path) -> None:
    clip = core.std.BlankClip(format=vs.YUV420P8, width=16, height=480, length=1).std.SetFrameProps(
        _Primaries=primaries
    )
    with clip.gansr.Upscale(str(point_model)).get_frame(0) as frame:
        assert frame.props["_Matrix"] == matrix


def test_interlaced_clip_is_refused_by_frame_0(core: vs.Core, point_model: Path) -> None:
    for field_based in (1, 2):
        clip = clips.noise(vs.YUV420P8, 32, 32, props={"_Matrix": 1, "_FieldBased": field_based})
        with pytest.raises(vs.Error, match=rf"^Upscale: .*interlaced.*_FieldBased is {field_based}.*deinterlace"):
            clip.gansr.Upscale(str(point_model))


def test_later_interlaced_frame_passes_and_is_logged_once(core: vs.Core, point_model: Path) -> None:
    clip = clips.noise(vs.YUV420P8, 32, 32, length=6, props={"_Matrix": 1})
    flagged = core.std.Splice([clip[:2], clip[2:].std.SetFieldBased(2)])
    said: list[str] = []
    handle = core.add_log_handler(lambda kind, message: said.append(message))
    try:
        out = flagged.gansr.Upscale(str(point_model))
        plain = clip.gansr.Upscale(str(point_model))
        for n in range(6):
            assert clips.largest_difference(out, plain, n) == 0  # no field-based scaling
        assert out.get_frame(4).props["_FieldBased"] == 2
    finally:
        core.remove_log_handler(handle)
    assert len([message for message in said if "interlaced" in message]) == 1


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (vs.YUV420P8, vs.YUV420P10), (vs.YUV420P10, vs.YUV420P8), (vs.YUV444P16, vs.YUV420P8), (vs.YUV420P8, vs.RGB24),
        (vs.RGB24, vs.YUV420P8), (vs.GRAY8, vs.YUV420P8), (vs.YUV420P8, vs.GRAY16), (vs.YUV420P8, vs.YUV444PS),
        (vs.YUV420P8, vs.RGBS), (vs.GRAY8, vs.RGB24), (vs.RGB24, vs.GRAY8),
    ],
    ids=str,
)  # fmt: skip
def test_other_output_format(source: int, target: int, core: vs.Core, point_model: Path, engine: str) -> None:
    """The shades survive the change of family and depth, and the tags say what the frame now is."""
    props = {"_Range": 0, "_Matrix": 9} if core.get_video_format(source).color_family != vs.RGB else {"_Matrix": 0}
    info = core.get_video_format(source)
    shades = {vs.RGB: [0, 0, 0], vs.YUV: [16, 128, 128], vs.GRAY: [16]}[info.color_family]
    color = [shade << (info.bits_per_sample - 8) for shade in shades]
    clip = core.std.BlankClip(format=source, width=32, height=32, length=1, color=color)
    clip = clip.std.SetFrameProps(**props, Custom=7)
    out = clip.gansr.Upscale(str(point_model), format=target, provider=engine).get_frame(0)
    assert out.format.id == target
    assert out.props["Custom"] == 7
    family = out.format.color_family
    black = {vs.RGB: 0, vs.YUV: 16, vs.GRAY: 16}[family]
    scale = 1 << (out.format.bits_per_sample - 8)
    if out.format.sample_type == vs.FLOAT:
        assert abs(clips.planes(out)[0]).max() < 1e-6
    else:
        assert abs(clips.planes(out)[0] - black * scale).max() <= 1
    if family == vs.RGB:
        assert (out.props["_Matrix"], out.props["_Range"]) == (0, 1)
    if family == vs.YUV:
        assert out.props["_Matrix"] == {vs.YUV: 9, vs.RGB: 6, vs.GRAY: 6}[clip.format.color_family]


def test_reduced_depth_is_dithered_and_equal_depth_is_not(core: vs.Core, point_model: Path) -> None:
    clip = core.std.BlankClip(format=vs.GRAY16, width=64, height=64, length=1, color=[30000 + 77])
    reduced = clips.planes(clip.gansr.Upscale(str(point_model), format=vs.GRAY8).get_frame(0))[0]
    assert set(reduced.ravel()) == {117.0, 118.0}
    assert abs(reduced.mean() - 30077 / 256) < 0.02
    assert set(clips.planes(clip.gansr.Upscale(str(point_model)).get_frame(0))[0].ravel()) == {30077.0}


def test_formats_zimg_cannot_take_are_refused_by_name(core: vs.Core, point_model: Path) -> None:
    for kind, name in (((vs.INTEGER, 8, 3, 0), "YUV.*8.*subsampled by 8"), ((vs.INTEGER, 32, 0, 0), "32 bit")):
        fmt = core.query_video_format(vs.YUV, *kind)
        clip = core.std.BlankClip(format=fmt.id, width=64, height=64, length=1)
        with pytest.raises(vs.Error, match=rf"^Upscale: format .*{name}"):
            clip.gansr.Upscale(str(point_model))


def test_colours_nobody_can_convert_are_refused_at_evaluation(point_model: Path) -> None:
    for matrix in (0, 3, 11):
        clip = clips.noise(vs.YUV420P8, 16, 16, props={"_Matrix": matrix})
        with pytest.raises(vs.Error, match=r"^Upscale: .*cannot be converted.*SetFrameProps"):
            clip.gansr.Upscale(str(point_model))


def test_frame_durations_and_length(core: vs.Core, point_model: Path) -> None:
    clip = core.std.BlankClip(format=vs.YUV420P8, width=16, height=16, length=5, fpsnum=30000, fpsden=1001)
    clip = core.std.Splice([clip[:2], clip[2:].std.SetFrameProps(_DurationNum=2002)])
    out = clip.gansr.Upscale(str(point_model))
    assert [out.get_frame(n).props["_DurationNum"] for n in range(5)] == [1001, 1001, 2002, 2002, 2002]
    one = clip[3].gansr.Upscale(str(point_model))
    assert one.num_frames == 1
    assert one.get_frame(0).props["_DurationNum"] == 2002


def test_hours_long_clip_costs_nothing_to_open(core: vs.Core, point_model: Path) -> None:
    clip = core.std.BlankClip(format=vs.YUV420P8, width=16, height=16, length=24 * 3600 * 60, keep=True)
    out = clip.gansr.Upscale(str(point_model))
    assert out.num_frames == clip.num_frames
    out.get_frame(out.num_frames - 1)
