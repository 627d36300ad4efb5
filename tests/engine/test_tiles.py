"""Tiles: geometry that covers, joins that do not show, size rules met by reflecting and cropping."""

from __future__ import annotations

import itertools
from pathlib import Path

import clips
import known_graphs
import networks
import numpy as np
import onnxruntime as ort
import pytest
import vapoursynth as vs
from graphs import Graph

from vs_gansr.engine import probe
from vs_gansr.engine.tiled import tiles
from vs_gansr.model import library
from vs_gansr.model.spec import round_up

TOLERANCE = {vs.RGBS: 1e-5, vs.YUV420P8: 1, vs.RGB48: 1, vs.YUV444P16: 1}
SIZES = [(61, 47), (97, 41)]


# ---- Geometry


@pytest.mark.parametrize("multiple", [1, 2, 4, 5])
def test_spans_cover_with_their_overlap(multiple: int) -> None:
    rng = np.random.default_rng(multiple)
    for _ in range(300):
        overlap = int(rng.integers(0, 12))
        size = round_up(2 * overlap + int(rng.integers(multiple, 40)), multiple)
        length = size + multiple * int(rng.integers(0, 40))
        row = tiles.spans(length, size, overlap, multiple)
        assert row[0].keep == 0 and row[-1].keep_end == length
        for before, after in itertools.pairwise(row):
            assert before.keep_end == after.keep
            assert before.start + before.size - before.keep_end >= overlap
            assert after.keep - after.start >= overlap
        for span in row:
            assert span.size == size and 0 <= span.start <= length - size and span.start % multiple == 0
            assert span.keep < span.keep_end


@pytest.mark.parametrize(
    ("length", "size", "overlap", "multiple"), [(10, 12, 0, 1), (20, 8, 4, 1), (20, 10, 4, 4), (21, 10, 1, 2)]
)
def test_spans_that_cannot_cover(length: int, size: int, overlap: int, multiple: int) -> None:
    with pytest.raises(ValueError, match=f"spans of {size} with overlap {overlap}"):
        tiles.spans(length, size, overlap, multiple)


def test_ramps_add_up_to_one() -> None:
    for length, size, overlap in ((100, 40, 8), (100, 40, 19), (64, 64, 16), (50, 20, 0), (41, 40, 10)):
        for scale in (1, 2, 3):
            row = tiles.spans(length, size, overlap)
            total = np.zeros(length * scale)
            for span, weight in zip(row, tiles.ramps(row, scale), strict=True):
                assert weight.min() >= 0
                total[span.start * scale : (span.start + size) * scale] += weight
            assert np.allclose(total, 1 if overlap or len(row) == 1 else total, atol=1e-6)


def test_ramps_rise_without_a_step() -> None:
    row = tiles.spans(200, 80, 16)
    for weight in tiles.ramps(row, 2):
        assert np.abs(np.diff(weight)).max() < np.pi / 2 / (2 * 2 * 16) * 1.1


def test_fit_takes_the_cheapest_that_fits() -> None:
    for width, height, pixels in ((3840, 2160, 1_000_000), (300, 2000, 20_000), (64, 64, 64 * 64), (101, 77, 900)):
        found = tiles.fit(width, height, (8, 8), 1, 1, lambda w, h, most=pixels: w * h <= most)
        assert found is not None and found[0] * found[1] <= pixels
        computed = len(tiles.plan(width, height, found, (8, 8))) * found[0] * found[1]
        for side in (40, 99, 333, 900):
            other = min(side, width), min(pixels // min(side, width), height)
            if min(other) > 16 and other[0] * other[1] <= pixels:
                assert computed <= len(tiles.plan(width, height, other, (8, 8))) * other[0] * other[1] * 1.05
    assert tiles.fit(100, 100, (18, 18), 1, 1, lambda w, h: w * h < 1000) is None
    assert tiles.fit(100, 100, (18, 18), 1, 50, lambda w, h: w * h < 2400) is None


# ---- Joins


def compare(
    path: str, fmt: int, size: tuple[int, int], tile: tuple[int, int], precision: str = "fp32", **arguments: object
) -> float:
    props = {"_Matrix": 1} if vs.core.get_video_format(fmt).color_family == vs.YUV else None
    clip = clips.noise(fmt, *(s - s % 2 if fmt == vs.YUV420P8 else s for s in size), length=1, props=props)
    whole = clip.gansr.Upscale(path, provider="CPU", precision=precision)
    return clips.largest_difference(
        whole, clip.gansr.Upscale(path, provider="CPU", precision=precision, tilesize=tile, **arguments)
    )


def five_tiles(radius: int, step: int = 0) -> list[tuple[int, int]]:
    """Tile sizes from hardly more than the overlap, and `step`, to most of the picture."""
    least = 2 * radius + 1 + step
    return [
        (least, least + 3),
        (least + 8, least),
        (least + 3, least + 26),
        (2 * least, least + 5),
        (least + 1, 2 * least),
    ]


@pytest.mark.parametrize(
    "name",
    [name if name == "fast-2x" else pytest.param(name, marks=pytest.mark.slow) for name in library.shipped()],
)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize(
    "fmt", [vs.YUV420P8, *(pytest.param(fmt, marks=pytest.mark.slow) for fmt in (vs.RGBS, vs.RGB48))], ids=str
)
def test_shipped_models_join_without_a_seam(name: str, precision: str, fmt: int) -> None:
    if precision == "int8" and not library.has_int8(name):
        precision = "fp32"
    spec = library.load(name).spec
    assert spec.radius is not None
    sizes = [(width * spec.grid, height * spec.grid) for width, height in SIZES]
    step = 8 * (spec.grid - 1)  # a tile hardly more than its overlap would take hundreds of them there
    for size, tile in itertools.product(sizes, five_tiles(spec.radius * spec.grid, step)):
        assert compare(name, fmt, size, tile, precision) <= TOLERANCE[fmt], (size, tile)


@pytest.mark.slow
@pytest.mark.parametrize("fmt", [vs.RGBS, vs.YUV420P8], ids=str)
def test_the_64x16_anchor_joins_without_a_seam(fmt: int, shared: Path) -> None:
    path = str(shared / "anchors" / "realesr-animevideov3-x4.onnx")
    for size, tile in zip(SIZES * 3, five_tiles(18), strict=False):
        assert compare(path, fmt, size, tile) <= TOLERANCE[fmt], (size, tile)


@pytest.mark.parametrize("fmt", list(TOLERANCE), ids=str)
def test_a_plain_network_joins_without_a_seam(fmt: int, small_model: Path) -> None:
    for size, tile in itertools.product(SIZES, five_tiles(4)):
        assert compare(str(small_model), fmt, size, tile) <= TOLERANCE[fmt], (size, tile)


def test_less_overlap_than_the_radius_shows(small_model: Path) -> None:
    """A test of the tests above: one pixel less, and the tiles differ."""
    assert compare(str(small_model), vs.RGBS, (61, 47), (20, 20), overlap=3) > 1e-5
    assert compare(str(small_model), vs.RGBS, (61, 47), (20, 20), overlap=4) <= 1e-5


OTHERS = ("lopsided", "unpadded", "cubic")
STEPPED = [case for case in known_graphs.CASES if case[2] > 1 or case[0].__name__ in OTHERS]


@pytest.mark.parametrize(("make", "radius", "multiple"), STEPPED, ids=lambda v: getattr(v, "__name__", ""))
def test_networks_with_steps_join_without_a_seam(make, radius: int, multiple: int, tmp_path: Path) -> None:
    """Pooling, shuffles and strides work on a grid, which tiles must keep to."""
    g = Graph()
    path = str(g.save(tmp_path / "m.onnx", make(g)))
    for size, tile in itertools.product(SIZES, five_tiles(radius)):
        assert compare(path, vs.RGBS, size, tile) <= 1e-5, (size, tile)


# ---- Networks whose context is not known


@pytest.fixture(scope="module")
def seam_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Adds to each pixel a fifth of the mean of the whole tile: tiles come out brighter or darker."""
    g = Graph()
    mean = g.op("Mul", g.op("GlobalAveragePool", "input"), g.const(0.2, np.float32))
    return g.save(tmp_path_factory.mktemp("seam") / "seam.onnx", g.op("Add", "input", mean))


def test_global_networks_fade_over(seam_model: Path, core: vs.Core) -> None:
    ramp = core.std.BlankClip(format=vs.RGBS, width=200, height=40, length=1)

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        for i in range(3):
            np.asarray(out[i])[:] = np.linspace(0, 1, 200) ** 2
        return out

    clip = ramp.std.ModifyFrame(ramp, fill)
    source = clips.planes(clip.get_frame(0))[0][20]

    def steepest(**arguments: object) -> float:
        row = clips.planes(clip.gansr.Upscale(str(seam_model), tilesize=[60, 40], **arguments).get_frame(0))[0][20]
        return float(np.abs(np.diff(row - source)).max())

    assert steepest(overlap=0) > 0.02  # a hard cut shows
    assert steepest(overlap=[16, 0]) < 0.005
    assert steepest() < 0.005


def test_the_anchor_with_global_pooling(shared: Path) -> None:
    path = str(shared / "anchors" / "realcugan-se-2x-conservative.onnx")
    assert compare(path, vs.RGBS, (96, 64), (64, 64)) < 0.2
    assert compare(path, vs.YUV420P8, (101, 35), (64, 64)) < 40


# ---- Size rules


def run(path: Path, picture: np.ndarray) -> np.ndarray:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"input": picture})[0])


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (7, 9), (31, 33), (50, 19)], ids=str)
@pytest.mark.parametrize("make", [known_graphs.unet, known_graphs.unpadded, known_graphs.shuffled])
def test_size_rules_are_met_by_reflecting_and_cropping(make, size: tuple[int, int], tmp_path: Path) -> None:
    g = Graph()
    path = g.save(tmp_path / "m.onnx", make(g))
    rule = probe.describe(library.load(str(path))).spec.size_rule
    clip = clips.noise(vs.RGBS, *size, length=1)
    frame = clip.gansr.Upscale(str(path)).get_frame(0)
    picture = np.stack(clips.planes(clip.get_frame(0))).astype(np.float32)
    least = [rule.side(s) - s for s in reversed(size)]
    padded = np.pad(picture, ((0, 0), *((0, n) for n in least)), mode="reflect")
    want = run(path, padded[None])[0]
    scale = frame.width // size[0]
    for i, plane in enumerate(clips.planes(frame)):
        np.testing.assert_allclose(plane, want[i, : size[1] * scale, : size[0] * scale], atol=1e-5)


def test_the_anchor_takes_odd_and_tiny_sizes(shared: Path) -> None:
    path = str(shared / "anchors" / "realcugan-se-2x-conservative.onnx")
    for size in ((1, 1), (3, 5), (19, 40), (33, 21)):
        out = clips.noise(vs.RGBS, *size, length=1).gansr.Upscale(path)
        assert (out.width, out.height) == (2 * size[0], 2 * size[1])
        assert np.isfinite(clips.planes(out.get_frame(0))[0]).all()


def test_a_size_rule_that_no_graph_tells_is_found_by_trying(tmp_path: Path) -> None:
    """Einsum has no rule here, so the graph is unknown; the pooling in it needs multiples of 4."""
    g = Graph()
    same = g.op("Einsum", g.conv("input", 4), equation="nchw->nchw")
    low = g.op("MaxPool", same, kernel_shape=[4, 4], strides=[4, 4])
    back = g.resize(low, 4, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    path = g.save(tmp_path / "m.onnx", g.conv(g.op("Add", same, back), 3))
    assert library.load(str(path)).spec.multiple is None
    for size in ((64, 64), (71, 66), (5, 130)):
        frame = clips.noise(vs.RGBS, *size, length=1).gansr.Upscale(str(path)).get_frame(0)
        assert (frame.width, frame.height) == size


def test_networks_of_a_fixed_size(tmp_path: Path) -> None:
    """A large picture is tiled, a small one reflected; with the radius known nothing shows."""
    fixed, free = Graph(size=(32, 40)), Graph()
    a = fixed.save(tmp_path / "a.onnx", fixed.conv(fixed.conv("input"), 3))
    b = free.save(tmp_path / "b.onnx", free.conv(free.conv("input"), 3))
    clip = clips.noise(vs.RGBS, 101, 77, length=1)
    assert clips.largest_difference(clip.gansr.Upscale(str(a)), clip.gansr.Upscale(str(b))) <= 1e-5
    tiny = clips.noise(vs.RGBS, 9, 7, length=1)
    assert tiny.gansr.Upscale(str(a)).get_frame(0).width == 9
    whole = clips.planes(tiny.get_frame(0))
    want = run(b, np.pad(np.stack(whole), ((0, 0), (0, 25), (0, 31)), mode="reflect").astype(np.float32)[None])
    np.testing.assert_allclose(clips.planes(tiny.gansr.Upscale(str(a)).get_frame(0))[1], want[0, 1, :7, :9], atol=1e-5)


def test_tiles_that_cannot_hold_the_radius_are_refused(small_model: Path) -> None:
    clip = clips.noise(vs.RGBS, 64, 64, length=1)
    with pytest.raises(vs.Error, match=r"^Upscale: tilesize \[8, 8\] is too small: .* overlap \[4, 4\] plus 1, in p"):
        clip.gansr.Upscale(str(small_model), tilesize=8)
    assert clip.gansr.Upscale(str(small_model), tilesize=9).get_frame(0).width == 128


def test_variable_sizes_are_tiled_each_by_itself(core: vs.Core, small_model: Path) -> None:
    parts = [clips.noise(vs.RGBS, 20 + 13 * i, 40 - 5 * i, length=1, seed=i) for i in range(4)]
    whole = core.std.Splice(parts, mismatch=True).gansr.Upscale(str(small_model))
    tiled = core.std.Splice(parts, mismatch=True).gansr.Upscale(str(small_model), tilesize=[24, 16])
    for n in range(4):
        assert clips.largest_difference(whole, tiled, n) <= 1e-5


def test_compact_networks_in_eighths(tmp_path: Path) -> None:
    path = str(networks.compact(tmp_path / "m.onnx", 8, 3))
    for seed in range(8):
        rng = np.random.default_rng(seed)
        size = tuple(int(v) for v in rng.integers(7, 90, 2))
        tile = tuple(int(v) for v in rng.integers(7, 90, 2))
        assert compare(path, vs.RGBS, size, tile) <= 1e-5, (size, tile)
