"""Colour in the graph against zimg, over the whole matrix: formats x ranges x matrices x sitings, border included."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import clips
import networks
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import vapoursynth as vs

from vs_gansr.colour import tags
from vs_gansr.colour.conversion import PRIMARIES, Side, downsampler, ends, upsampler
from vs_gansr.engine import graphcolour
from vs_gansr.engine.graphcolour import INPUTS, WATCH, Generator
from vs_gansr.errors import ModelError

TOLERANCE = {vs.INTEGER: 1.0, vs.FLOAT: 2e-6}  # code values; of full scale, half floats one unit in the last place
HALF_TOLERANCE = 2.0**-11

BITS = [(vs.INTEGER, bits) for bits in (8, 9, 10, 12, 14, 16)] + [(vs.FLOAT, 16), (vs.FLOAT, 32)]
SUBSAMPLINGS = list(itertools.product((0, 1, 2), repeat=2))
YUV = [vs.core.query_video_format(vs.YUV, *kind, w, h).id for kind in BITS for w, h in SUBSAMPLINGS]
OTHERS = [vs.core.query_video_format(family, *kind).id for family in (vs.GRAY, vs.RGB) for kind in BITS]
MATRICES = [1, 4, 5, 6, 7, 8, 9, 12]


@pytest.fixture(scope="module")
def point(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    path = networks.point(tmp_path_factory.mktemp("graph") / "point.onnx")
    return Generator(onnx.load(path), scale=2)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    path = networks.compact(tmp_path_factory.mktemp("graph") / "small.onnx", features=8, convs=3)
    return Generator(onnx.load(path), scale=2)


def described(fmt: vs.VideoFormat) -> tags.Format:
    return tags.Format(
        fmt.id, fmt.name, int(fmt.color_family), fmt.sample_type == vs.FLOAT, fmt.bits_per_sample,
        fmt.subsampling_w, fmt.subsampling_h,
    )  # fmt: skip


def sides(clip: vs.VideoNode, target: int | None = None) -> tuple[Side, Side, tags.ColourKey]:
    """What the plugin derives from a clip's format and its first frame's tags."""
    source = described(clip.format)
    to = described(vs.core.get_video_format(target)) if target else source
    with clip.get_frame(0) as frame:
        props = dict(frame.props)
    here, there = ends(source, to, props, clip.width, clip.height)
    return here, there, tags.way_back(source, to, props, clip.width, clip.height)


def run(proto: onnx.ModelProto, *planes: np.ndarray) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {name: plane[None, None] for name, plane in zip(INPUTS, planes, strict=False)})


def stored(frame: vs.VideoFrame) -> list[np.ndarray]:
    return [np.asarray(frame[i]).copy() for i in range(frame.format.num_planes)]


def by_graph(generator: Generator, clip: vs.VideoNode, target: int | None = None) -> list[np.ndarray]:
    source, to, _ = sides(clip, target)
    with clip.get_frame(0) as frame:
        *planes, watch = run(graphcolour.wrap(generator, source, to, clip.width, clip.height), *stored(frame))
    assert watch.shape == (1,) and np.isfinite(watch).all()
    return [plane[0, 0] for plane in planes]


def by_zimg(generator: Generator, clip: vs.VideoNode, target: int | None = None) -> list[np.ndarray]:
    """zimg to RGBS, the bare generator, zimg back."""
    _, _, key = sides(clip, target)
    if clip.format.color_family == vs.GRAY:
        clip = clip.std.RemoveFrameProps("_Matrix")
    rgb = clip.resize.Bicubic(format=vs.RGBS, **tags.CATMULL_ROM)
    with rgb.get_frame(0) as frame:
        picture = np.stack(stored(frame))[None]
        props = dict(frame.props)
    session = ort.InferenceSession(generator.proto.SerializeToString(), providers=["CPUExecutionProvider"])
    [large] = session.run(None, {"input": picture})
    blank = vs.core.std.BlankClip(format=vs.RGBS, width=2 * clip.width, height=2 * clip.height, length=1)

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        for i in range(3):
            np.asarray(out[i])[:] = large[0, i]
        for name, value in props.items():
            out.props[name] = value
        return out

    arguments: dict[str, Any] = {"format": key.format, "range": key.full_range}
    if key.matrix is not None:
        arguments["matrix"] = key.matrix
    if key.chroma_location is not None:
        arguments["chromaloc"] = key.chroma_location
    back = blank.std.ModifyFrame(blank, fill).resize.Bicubic(**arguments, **tags.CATMULL_ROM)
    with back.get_frame(0) as frame:
        return stored(frame)


def check(generator: Generator, clip: vs.VideoNode, target: int | None = None) -> None:
    got, want = by_graph(generator, clip, target), by_zimg(generator, clip, target)
    fmt = vs.core.get_video_format(target) if target else clip.format
    tolerance = (
        HALF_TOLERANCE if (fmt.sample_type, fmt.bits_per_sample) == (vs.FLOAT, 16) else TOLERANCE[fmt.sample_type]
    )
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        largest = np.abs(a.astype(np.float64) - b.astype(np.float64)).max()
        assert largest <= tolerance, f"{fmt.name}: {largest} apart with {sides(clip, target)[:2]}"


@pytest.mark.parametrize("fmt", YUV, ids=lambda f: vs.core.get_video_format(f).name)
def test_yuv_over_matrices_ranges_and_sitings(fmt: int, point: Generator) -> None:
    """Every siting in both ranges, the matrices taken in turn."""
    info = vs.core.get_video_format(fmt)
    subsampled = info.subsampling_w or info.subsampling_h
    ranges = (0,) if info.sample_type == vs.FLOAT else (0, 1)
    for n, (location, full) in enumerate(itertools.product(range(6) if subsampled else range(len(MATRICES)), ranges)):
        matrix = MATRICES[(n + info.subsampling_w + 3 * info.subsampling_h) % len(MATRICES)]
        props = {"_Matrix": matrix, "_Range": full}
        if subsampled:
            props["_ChromaLocation"] = location
        if matrix == 12:
            props["_Primaries"] = 9
        check(point, clips.noise(fmt, 20, 12, length=1, seed=n, props=props))


@pytest.mark.parametrize("fmt", [vs.YUV420P8, vs.YUV422P16, vs.YUV444PS], ids=str)
@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("location", range(6))
def test_every_matrix_with_every_siting(fmt: int, matrix: int, location: int, point: Generator) -> None:
    for full in (0, 1):
        props = {"_Matrix": matrix, "_Range": full, "_ChromaLocation": location, "_Primaries": 1}
        if fmt == vs.YUV444PS:
            del props["_ChromaLocation"]
        check(point, clips.noise(fmt, 16, 12, length=1, props=props))


@pytest.mark.parametrize("primaries", PRIMARIES)
def test_matrix_derived_from_primaries(primaries: int, point: Generator) -> None:
    props = {"_Matrix": 12, "_Primaries": primaries}
    check(point, clips.noise(vs.YUV444P16, 16, 8, length=1, props=props))


@pytest.mark.parametrize("full", [0, 1])
@pytest.mark.parametrize("fmt", OTHERS, ids=lambda f: vs.core.get_video_format(f).name)
def test_gray_and_rgb(fmt: int, full: int, point: Generator) -> None:
    check(point, clips.noise(fmt, 10, 7, length=1, props={"_Range": full}))


@pytest.mark.parametrize("fmt", [vs.YUV420P8, vs.YUV410P8, vs.YUV422P16, vs.YUV440P8, vs.YUV420PS, vs.RGB48], ids=str)
@pytest.mark.parametrize("location", range(6))
def test_with_a_network_that_mixes(fmt: int, location: int, small: Generator) -> None:
    props = {} if fmt == vs.RGB48 else {"_Matrix": 1, "_ChromaLocation": location}
    if fmt != vs.RGB48 or location == 0:
        check(small, clips.noise(fmt, 36, 20, length=1, seed=location, props=props))


@pytest.mark.parametrize("size", [(4, 4), (8, 4), (4, 8), (12, 4), (64, 4)], ids=str)
@pytest.mark.parametrize("location", range(6))
@pytest.mark.parametrize("subsampling", [(1, 1), (2, 2), (2, 0), (0, 1)], ids=str)
def test_frames_smaller_than_the_chroma_filter(
    size: tuple[int, int], location: int, subsampling: tuple[int, int], point: Generator
) -> None:
    fmt = vs.core.query_video_format(vs.YUV, vs.INTEGER, 10, *subsampling).id
    check(point, clips.noise(fmt, *size, length=1, props={"_Matrix": 1, "_ChromaLocation": location}))


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (vs.RGB24, vs.YUV420P16), (vs.RGBS, vs.YUV444PS), (vs.YUV420P8, vs.RGBS), (vs.YUV420P8, vs.RGB24),
        (vs.YUV420P8, vs.YUV422P10), (vs.YUV444P8, vs.YUV420P8), (vs.YUV420P10, vs.GRAY16), (vs.GRAY8, vs.YUV420P10),
        (vs.GRAY8, vs.RGB30), (vs.RGB24, vs.GRAY8), (vs.YUV420P8, vs.YUV420PS),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("full", [0, 1])
def test_another_format_out(source: int, target: int, full: int, point: Generator) -> None:
    props = {"_Range": full}
    if vs.core.get_video_format(source).color_family == vs.YUV:
        props |= {"_Matrix": 5, "_ChromaLocation": 1}
    check(point, clips.noise(source, 20, 12, length=1, props=props), target)


def test_values_beyond_black_and_white_pass_through(point: Generator) -> None:
    """Codes below 16 and above 235, and colours outside RGB, come back as they went in."""
    y = np.tile(np.linspace(0, 255, 16).round().astype(np.uint8), (16, 1))
    u, v = y.T.copy(), 255 - y.T
    side = Side(tags.Family.YUV, False, 8, matrix=1)
    planes = run(graphcolour.wrap(point, side, side, 16, 16), y, u, v)
    for plane, before in zip(planes, (y, u, v), strict=False):
        assert np.abs(plane[0, 0, ::2, ::2].astype(int) - before).max() <= 1


def test_size_rule_and_value_range_of_the_network(point: Generator, tmp_path: Path) -> None:
    """A network for multiples of 8 that counts to 255 gives the same picture, on every side of the border."""
    clip = clips.noise(vs.YUV420P10, 22, 14, length=1, props={"_Matrix": 1})
    for picky in (replace(point, multiple=8, peak=255.0), replace(point, minimum=64), replace(point, minimum=18)):
        for a, b in zip(by_graph(picky, clip), by_graph(point, clip), strict=True):
            assert np.abs(a.astype(int) - b).max() <= 1


def test_half_network_keeps_its_ends_in_float(tmp_path: Path) -> None:
    """12-bit codes survive a float16 network that changes nothing: its ends are not in half precision."""
    from onnx import TensorProto, helper

    x = helper.make_tensor_value_info("input", TensorProto.FLOAT16, [1, 3, "h", "w"])
    y = helper.make_tensor_value_info("output", TensorProto.FLOAT16, [1, 3, "h", "w"])
    graph = helper.make_graph([helper.make_node("Identity", ["input"], ["output"])], "same", [x], [y])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    side = Side(tags.Family.YUV, False, 12, matrix=1, full_range=True)
    wrapped = graphcolour.wrap(Generator(proto, 1, half=True), side, side, 64, 16)
    kinds = {t.name: t.data_type for t in wrapped.graph.initializer}
    assert TensorProto.FLOAT16 not in kinds.values()
    gray = np.arange(1024, dtype=np.uint16).reshape(16, 64) * 4
    middle = np.full_like(gray, 2048)
    got = run(wrapped, gray, middle, middle)
    assert np.abs(got[0][0, 0].astype(int) - gray).max() <= 2  # half a unit in the last place of a half, as a code
    assert np.abs(got[1][0, 0].astype(int) - 2048).max() <= 2


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("plane", range(3))
def test_watch_tells_of_a_number_that_is_none(bad: float, plane: int, point: Generator) -> None:
    side = Side(tags.Family.RGB, True, 32)
    to = Side(tags.Family.YUV, False, 8, 1, 1, matrix=1)
    planes = [np.full((8, 8), 0.5, np.float32) for _ in range(3)]
    proto = graphcolour.wrap(point, side, to, 8, 8)
    assert np.isfinite(run(proto, *planes)[-1]).all()
    planes[plane][3, 5] = bad
    assert not np.isfinite(run(proto, *planes)[-1]).any()


@pytest.mark.parametrize("matrix", [0, 2, 3, 10, 11, 13, 14, 15, None])
def test_matrices_it_cannot_do_are_refused_with_a_reason(matrix: int | None, point: Generator) -> None:
    fine = Side(tags.Family.YUV, False, 8, matrix=1)
    for pair in ((replace(fine, matrix=matrix), fine), (fine, replace(fine, matrix=matrix))):
        assert f"matrix {matrix}" in (graphcolour.obstacle(point, *pair) or "")
        with pytest.raises(ModelError, match="colour cannot go into the graph"):
            graphcolour.wrap(point, *pair, 8, 8)


def test_unknown_primaries_siting_and_old_opsets_are_refused(point: Generator) -> None:
    fine = Side(tags.Family.YUV, False, 8, 1, 1, matrix=1)
    assert graphcolour.obstacle(point, fine, fine) is None
    assert "primaries 2" in (graphcolour.obstacle(point, replace(fine, matrix=12, primaries=2), fine) or "")
    assert "gray" in (graphcolour.obstacle(point, fine, Side(tags.Family.GRAY, False, 8)) or "")
    assert "location 7" in (graphcolour.obstacle(point, replace(fine, chroma_location=7), fine) or "")
    old = onnx.ModelProto()
    old.CopyFrom(point.proto)
    old.opset_import[0].version = 11
    assert "opset 11" in (graphcolour.obstacle(replace(point, proto=old), fine, fine) or "")


def test_graph_is_valid_static_and_leaves_the_generator_alone(small: Generator) -> None:
    before = small.proto.SerializeToString()
    side = Side(tags.Family.YUV, False, 10, 1, 1, matrix=1)
    wrapped = graphcolour.wrap(small, side, side, 32, 16)
    onnx.checker.check_model(wrapped, full_check=True)
    for value, shape in zip([*wrapped.graph.input, *wrapped.graph.output],
                            [(16, 32), (8, 16), (8, 16), (32, 64), (16, 32), (16, 32)], strict=False):  # fmt: skip
        assert tuple(d.dim_value for d in value.type.tensor_type.shape.dim) == (1, 1, *shape)
    assert wrapped.graph.output[-1].name == WATCH
    assert small.proto.SerializeToString() == before


def test_filters_keep_flat_colour_and_cosited_samples() -> None:
    for factor, lead in ((2, 0.0), (2, -0.25), (2, 0.25), (4, 0.0), (4, -0.375), (4, 0.375)):
        up, down = upsampler(factor, lead), downsampler(factor, lead)
        assert up.taps.sum(axis=1) == pytest.approx(np.ones(factor), abs=1e-12)
        assert down.taps.sum() == pytest.approx(1, abs=1e-12)
        assert (up.phases, up.stride, down.phases, down.stride) == (factor, 1, 1, factor)
    left = upsampler(2, -0.25)
    assert left.taps[0, -left.first] == 1 and np.count_nonzero(left.taps[0]) == 1  # on the sample itself
