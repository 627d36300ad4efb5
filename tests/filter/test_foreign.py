"""Networks as other people left them: any names, sizes, ranges, channels and precision, and what is found of them."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import clips
import networks
import numpy as np
import onnx
import pytest
import vapoursynth as vs
from onnx import TensorProto, helper, numpy_helper

from vs_gansr.engine import probe
from vs_gansr.errors import ModelError
from vs_gansr.model import library, user_folders
from vs_gansr.model.spec import ModelFile, ModelSpec

CATMULL_ROM = {"filter_param_a": 0, "filter_param_b": 0.5}


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test finds its networks unknown, and its user has no models."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    probe.cache.clear()


def build(
    path: Path,
    nodes: list[onnx.NodeProto],
    weights: dict[str, np.ndarray],
    shape: list,
    kind: int = TensorProto.FLOAT,
    names: tuple[str, str] = ("x", "y"),
) -> Path:
    """A file as exporters leave it: input and output of any name and shape, no metadata."""
    entry = helper.make_tensor_value_info(names[0], kind, shape)
    leaving = helper.make_tensor_value_info(names[1], kind, None)
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "g", [entry], [leaving], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def enlarge(source: str, target: str, scale: int, kind: type = np.float32) -> tuple[onnx.NodeProto, np.ndarray]:
    node = helper.make_node(
        "Resize", [source, "", "sizes"], [target], mode="nearest", coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )  # fmt: skip
    return node, np.array([1, 1, scale, scale], np.float32)


def repeat(path: Path, shape: list, scale: int = 2, kind: int = TensorProto.FLOAT, names: tuple = ("x", "y")) -> Path:
    """A network that repeats pixels."""
    node, sizes = enlarge(*names, scale)
    return build(path, [node], {"sizes": sizes}, shape, kind, names)


def luma_net(path: Path, scale: int = 2) -> Path:
    """A luma network with a known answer: every pixel four times, inverted."""
    node, sizes = enlarge("x", "large", scale)
    nodes = [node, helper.make_node("Sub", ["one", "large"], ["y"])]
    return build(path, nodes, {"sizes": sizes, "one": np.float32(1)}, ["n", 1, "h", "w"])


def mixing_net(path: Path, weights: tuple[float, ...], scale: int = 1) -> Path:
    """A network of several frames with a known answer: their weighted sum, repeated."""
    kernel = np.zeros((3, 3 * len(weights), 1, 1), np.float32)
    for frame, weight in enumerate(weights):
        for channel in range(3):
            kernel[channel, 3 * frame + channel] = weight
    node, sizes = enlarge("sum", "y", scale)
    nodes = [helper.make_node("Conv", ["x", "kernel"], ["sum"]), node]
    return build(path, nodes, {"kernel": kernel, "sizes": sizes}, [1, 3 * len(weights), "h", "w"])


def spec_of(path: Path) -> ModelSpec:
    return probe.describe(library.load(str(path))).spec


# ---- Shapes, names, precision -------------------------------------------------------------------


@pytest.mark.parametrize("scale", range(1, 9))
def test_scales(scale: int, tmp_path: Path) -> None:
    path = repeat(tmp_path / "m.onnx", [1, 3, "h", "w"], scale)
    clip = clips.noise(vs.RGB24, 21, 13, length=1)
    out = clip.gansr.Upscale(str(path), provider="CPU")
    assert (out.width, out.height) == (21 * scale, 13 * scale)
    assert clips.largest_difference(out, clip.resize.Point(21 * scale, 13 * scale)) == 0


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16], ids=["float32", "float16"])
@pytest.mark.parametrize(
    "shape", [["batch", 3, "h", "w"], [None, 3, None, None], [-1, 3, -1, -1], [0, 3, 0, 0], [1, 3, 24, 32]], ids=str
)
def test_shapes_and_precision_of_the_input(shape: list, kind: int, tmp_path: Path) -> None:
    path = repeat(tmp_path / "m.onnx", shape, kind=kind, names=("image:0", "12"))
    clip = clips.noise(vs.YUV420P8, 50, 38, length=1, props={"_Matrix": 1})
    rgb = clip.resize.Bicubic(format=vs.RGBS, **CATMULL_ROM).resize.Point(100, 76)
    want = rgb.resize.Bicubic(format=vs.YUV420P8, matrix=1, **CATMULL_ROM)
    for precision in ("fp32", "fp16"):
        assert clips.largest_difference(clip.gansr.Upscale(str(path), overlap=0, precision=precision), want) <= 1
    assert spec_of(path).size_rule.fixed == ((32, 24) if shape[2] == 24 else None)


def test_free_channels_are_those_of_the_first_convolution(tmp_path: Path) -> None:
    kernel = np.eye(3, dtype=np.float32)[:, :, None, None]
    path = build(
        tmp_path / "m.onnx", [helper.make_node("Conv", ["x", "k"], ["y"])], {"k": kernel}, ["n", "c", "h", "w"]
    )
    clip = clips.noise(vs.RGB24, 20, 20, length=1)
    assert clips.largest_difference(clip.gansr.Upscale(str(path)), clip) == 0


@pytest.mark.parametrize("rule", [1, 2, 3, 4, 6, 8, 32])
def test_size_rule_is_found_by_trying(rule: int, tmp_path: Path) -> None:
    """The graph divides the sides by the rule and multiplies them again, and what is then too short is refused."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Div", ["shape", "rules"], ["cells"]),
        helper.make_node("Mul", ["cells", "rules"], ["whole"]),
        helper.make_node("Reshape", ["x", "whole"], ["y"]),
    ]
    rules = np.array([1, 1, rule, rule], np.int64)
    path = build(tmp_path / "m.onnx", nodes, {"rules": rules}, [1, 3, "h", "w"])
    found = probe.find(library.load(str(path)))
    assert (found.scale, found.multiple) == (1, rule)
    assert found.minimum <= max(12, rule)
    clip = clips.noise(vs.RGB24, 37, 19, length=1)
    assert clips.largest_difference(clip.gansr.Upscale(str(path)), clip) == 0


def test_shortest_side_is_found_by_trying(tmp_path: Path) -> None:
    """Reflecting 18 pixels at each side needs more than 18 of them."""
    pads = np.array([0, 0, 18, 18, 0, 0, 18, 18], np.int64)
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Reshape", ["x", "shape"], ["same"]),  # no reader of graphs need see through this
        helper.make_node("Pad", ["same", "pads"], ["p"], mode="reflect"),
        helper.make_node("Slice", ["p", "from", "to", "axes"], ["y"]),
    ]
    weights = {"pads": pads, "from": np.array([18, 18]), "to": np.array([-18, -18]), "axes": np.array([2, 3])}
    path = build(tmp_path / "m.onnx", nodes, weights, [1, 3, "h", "w"])
    assert 18 < spec_of(path).size_rule.least <= 24
    clip = clips.noise(vs.RGB24, 7, 5, length=1)
    assert clips.largest_difference(clip.gansr.Upscale(str(path)), clip) == 0


# ---- Range --------------------------------------------------------------------------------------


def ranged_net(path: Path, peak: float, gain: float = 1.0, metadata: bool = False) -> Path:
    """Repeats pixels for values up to `peak`; others it answers with a constant, as trained networks do."""
    node, sizes = enlarge("z", "y", 2)
    dark, light = np.float32(0.02 * peak), np.float32(gain)
    nodes = [
        helper.make_node("Sub", ["x", "dark"], ["a"]),
        helper.make_node("Mul", ["a", "light"], ["b"]),
        helper.make_node("Clip", ["b", "zero", "peak"], ["c"]),
        helper.make_node("Add", ["c", "dark"], ["z"]),
        node,
    ]
    weights = {"dark": dark, "light": light, "zero": np.float32(0), "peak": np.float32(peak), "sizes": sizes}
    build(path, nodes, weights, [1, 3, "h", "w"])
    if metadata:
        proto = onnx.load(str(path))
        proto.metadata_props.add(key="gansr.range", value=f"{peak:g}")
        onnx.save(proto, str(path))
    return path


@pytest.mark.parametrize("metadata", [False, True], ids=["probed", "said"])
@pytest.mark.parametrize("peak", [1.0, 255.0])
def test_range(peak: float, metadata: bool, tmp_path: Path) -> None:
    path = ranged_net(tmp_path / "m.onnx", peak, metadata=metadata)
    assert spec_of(path).peak == peak
    clip = clips.noise(vs.RGB24, 40, 30, length=1)
    low = clip.std.Expr("x 6 max")  # what lies below the net's own black
    assert clips.largest_difference(low.gansr.Upscale(str(path)), low.resize.Point(80, 60)) <= 1


def test_range_of_a_network_that_shows_nothing_like_its_input_is_one(tmp_path: Path) -> None:
    assert spec_of(networks.compact(tmp_path / "m.onnx", 8, 3)).peak == 1.0


# ---- Luma ---------------------------------------------------------------------------------------


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
def test_luma_network_on_yuv(fmt: int, location: int | None, tmp_path: Path) -> None:
    """Luma through the network, chroma by zimg at its siting, one code value at most from zimg's own way."""
    path = luma_net(tmp_path / "m.onnx")
    props = {"_Matrix": 9, "_Range": 0, "Custom": 5} | ({} if location is None else {"_ChromaLocation": location})
    clip = clips.noise(fmt, 48, 36, length=2, props=props)
    out = clip.gansr.Upscale(str(path))
    assert (out.width, out.height, out.format.id) == (96, 72, fmt)
    tolerance = 1 if clip.format.sample_type == vs.INTEGER else 1e-5
    for n in range(2):
        assert clips.largest_difference(out, luma_reference(clip), n) <= tolerance
        assert dict(out.get_frame(n).props) == dict(clip.get_frame(n).props)


def test_luma_network_on_gray_rgb_and_other_formats(core: vs.Core, tmp_path: Path) -> None:
    path = str(luma_net(tmp_path / "m.onnx"))
    gray = core.std.BlankClip(format=vs.GRAY8, width=8, height=8, color=[99], length=1).std.SetFrameProps(_Range=1)
    assert gray.gansr.Upscale(path).get_frame(0)[0][15, 15] == 156
    yuv = clips.noise(vs.YUV420P8, 48, 36, length=1, props={"_Matrix": 1})
    assert (
        clips.largest_difference(yuv.gansr.Upscale(path, format=vs.YUV420P10), luma_reference(yuv, vs.YUV420P10)) <= 1
    )
    got = yuv.gansr.Upscale(path, format=vs.GRAY8)
    assert clips.largest_difference(got, luma_reference(yuv).std.ShufflePlanes(0, vs.GRAY)) <= 1

    rgb = clips.noise(vs.RGB24, 48, 36, length=1)
    parts = rgb.resize.Bicubic(format=vs.YUV444PS, matrix=6)  # what a result in YUV would have at this size
    for source, target in ((rgb, None), (rgb, vs.YUV444P8), (yuv, vs.RGB24)):
        whole = parts if source is rgb else yuv.resize.Bicubic(format=vs.YUV444PS, **CATMULL_ROM)
        matrix = {"matrix": 6} if target == vs.YUV444P8 else {}
        want = luma_reference(whole).resize.Bicubic(format=target or vs.RGB24, **matrix, **CATMULL_ROM)
        got = source.gansr.Upscale(path, format=target) if target else source.gansr.Upscale(path)
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


def test_luma_network_on_a_clip_of_varying_format(core: vs.Core, tmp_path: Path) -> None:
    """Every frame is what it is in a clip of its own format, in any order."""
    path = str(luma_net(tmp_path / "m.onnx"))
    kinds = (vs.YUV420P8, vs.RGB24, vs.GRAY16, vs.YUV444PH, vs.YUV420P8)
    parts = [
        clips.noise(f, 16 + 4 * n, 16, 1, seed=n, props={} if f == vs.RGB24 else {"_Matrix": 1})
        for n, f in enumerate(kinds)
    ]
    for arguments in ({}, {"format": vs.YUV444P10}, {"strength": 0.5}):
        out = core.std.Splice(parts, mismatch=True).gansr.Upscale(path, **arguments)
        for n in (3, 0, 4, 2, 1):
            with out.get_frame(n) as got, parts[n].gansr.Upscale(path, **arguments).get_frame(0) as want:
                assert (got.format.id, got.width) == (want.format.id, want.width)
                assert got.props.get("_Matrix") == want.props.get("_Matrix")
                assert all(np.array_equal(a, b) for a, b in zip(clips.planes(got), clips.planes(want), strict=True)), n


@pytest.mark.parametrize("fmt", [vs.YUV420P8, vs.YUV422P10, vs.YUV444P16, vs.GRAY8, vs.GRAY16, vs.GRAYH, vs.YUV444PS])
@pytest.mark.parametrize("full", [0, 1])
def test_stored_samples_are_those_of_the_float_way(fmt: int, full: int, tmp_path: Path) -> None:
    """Luma as the frame stores it, scaled inside the graph, against zimg's conversions around the network."""
    path = str(luma_net(tmp_path / "m.onnx"))
    clip = clips.noise(fmt, 40, 24, 1, props={"_Matrix": 1, "_Range": full})
    luma = clip.std.ShufflePlanes(0, vs.GRAY).std.RemoveFrameProps("_Matrix")
    floats = luma.resize.Bicubic(format=vs.GRAYS).gansr.Upscale(path)
    want = floats.resize.Bicubic(format=luma.format.id, range=full)
    got = clip.gansr.Upscale(path).std.ShufflePlanes(0, vs.GRAY)
    assert clips.largest_difference(got, want) <= (1 if clip.format.sample_type == vs.INTEGER else 2e-3)
    tiled = clip.gansr.Upscale(path, tilesize=[20, 13]).std.ShufflePlanes(0, vs.GRAY)
    assert clips.largest_difference(got, tiled) == 0
    fading = clip.gansr.Upscale(path, tilesize=[20, 13], overlap=0, memory=200).std.ShufflePlanes(0, vs.GRAY)
    assert clips.largest_difference(got, fading) <= (1 if clip.format.sample_type == vs.INTEGER else 2e-3)


# ---- Several frames -----------------------------------------------------------------------------


def moving(length: int, cuts: dict[int, dict[str, int]] | None = None) -> vs.VideoNode:
    """Frames of a ramp that moves by one pixel each, frame n also of brightness n / 64."""
    core = vs.core.core
    blank = core.std.BlankClip(format=vs.RGBS, width=24, height=16, length=length, keep=True)

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        for i in range(3):
            np.asarray(out[i])[:] = picture(n)[i]
        for name, value in (cuts or {}).get(n, {}).items():
            out.props[name] = value
        return out

    return blank.std.ModifyFrame(blank, fill)


def picture(n: int) -> np.ndarray:
    ramp = (np.arange(24)[None, :] + n) % 24 / 64
    return np.stack([np.broadcast_to(ramp + n / 64 + i / 100, (16, 24)) for i in range(3)]).astype(np.float32)


def check_mix(out: vs.VideoNode, weights: tuple[float, ...], seen: dict[int, tuple[int, ...]], scale: int = 1) -> None:
    """Frame n of `out` is the weighted sum of the frames seen[n]."""
    order = [*reversed(seen), *seen]  # any order of requests
    for n in order:
        want = sum(weight * picture(m) for weight, m in zip(weights, seen[n], strict=True))
        got = np.stack(clips.planes(out.get_frame(n)))
        np.testing.assert_allclose(got, want.repeat(scale, 1).repeat(scale, 2), atol=1e-5, err_msg=f"frame {n}")


def test_three_frames_at_the_ends_and_between(tmp_path: Path) -> None:
    weights = (0.5, 1.0, -0.25)
    out = moving(5).gansr.Upscale(str(mixing_net(tmp_path / "m.onnx", weights, 2)))
    check_mix(out, weights, {0: (0, 0, 1), 1: (0, 1, 2), 2: (1, 2, 3), 3: (2, 3, 4), 4: (3, 4, 4)}, 2)
    alone = moving(1).gansr.Upscale(str(mixing_net(tmp_path / "n.onnx", weights)))
    check_mix(alone, weights, {0: (0, 0, 0)})


@pytest.mark.parametrize(
    "cuts",
    [
        {3: {"_SceneChangePrev": 1}},
        {2: {"_SceneChangeNext": 1}},
        {2: {"_SceneChangeNext": 1}, 3: {"_SceneChangePrev": 1}},
    ],
    ids=["previous", "next", "both"],
)
def test_three_frames_across_a_change_of_scene(cuts: dict, tmp_path: Path) -> None:
    weights = (0.5, 1.0, -0.25)
    out = moving(6, cuts).gansr.Upscale(str(mixing_net(tmp_path / "m.onnx", weights)))
    check_mix(out, weights, {0: (0, 0, 1), 1: (0, 1, 2), 2: (1, 2, 2), 3: (3, 3, 4), 4: (3, 4, 5), 5: (4, 5, 5)})


def test_five_frames(tmp_path: Path) -> None:
    """Beyond a change the last frame before it is repeated."""
    weights = (1.0, 2.0, 4.0, 8.0, 16.0)
    out = moving(8, {4: {"_SceneChangePrev": 1}}).gansr.Upscale(str(mixing_net(tmp_path / "m.onnx", weights)))
    check_mix(
        out,
        weights,
        {
            0: (0, 0, 0, 1, 2),
            1: (0, 0, 1, 2, 3),
            2: (0, 1, 2, 3, 3),
            3: (1, 2, 3, 3, 3),
            4: (4, 4, 4, 5, 6),
            7: (5, 6, 7, 7, 7),
        },
    )


def test_three_frames_on_yuv_in_tiles_and_in_part(tmp_path: Path) -> None:
    """Colour, tiles, strength and repeated frames go with several frames as with one."""
    weights = (0.25, 0.5, 0.25)
    path = str(mixing_net(tmp_path / "m.onnx", weights))
    clip = clips.noise(vs.YUV420P8, 48, 32, length=4, props={"_Matrix": 1})
    rgb = clip.resize.Bicubic(format=vs.RGBS, **CATMULL_ROM)
    mixed = vs.core.std.Expr([rgb[:1] + rgb[:-1], rgb, rgb[1:] + rgb[-1:]], "x 0.25 * y 0.5 * + z 0.25 * +")
    want = mixed.resize.Bicubic(format=vs.YUV420P8, matrix=1, **CATMULL_ROM)
    half = clip.std.Merge(want, weight=0.5)  # at this size the plain resize is the clip
    for n in range(4):
        assert clips.largest_difference(clip.gansr.Upscale(path), want, n) <= 1
        assert clips.largest_difference(clip.gansr.Upscale(path, tilesize=24, overlap=0), want, n) <= 1
        assert clips.largest_difference(clip.gansr.Upscale(path, strength=0.5), half, n) <= 1
    held = clip[0] + clip[0] + clip[1]  # frame 1 repeats frame 0, yet what follows it differs
    again = held.gansr.Upscale(path)
    assert clips.largest_difference(again, again[1:], 0) > 1


def test_three_frames_of_varying_size(core: vs.Core, tmp_path: Path) -> None:
    """Where the size changes, there is no neighbour on that side."""
    weights = (0.0, 0.0, 1.0)
    parts = [clips.noise(vs.RGBS, w, 16, 1, seed=s) for s, w in enumerate((24, 24, 32, 32))]
    out = core.std.Splice(parts, mismatch=True).gansr.Upscale(str(mixing_net(tmp_path / "m.onnx", weights)))
    for n, m in enumerate((1, 1, 3, 3)):
        with out.get_frame(n) as got, parts[m].get_frame(0) as want:
            assert all(abs(a - b).max() < 1e-6 for a, b in zip(clips.planes(got), clips.planes(want), strict=True))


# ---- The cache and the model folder -------------------------------------------------------------


def test_networks_are_probed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = repeat(tmp_path / "m.onnx", [1, 3, "h", "w"], 3)
    first = spec_of(path)
    probe.cache.clear()  # as another process
    monkeypatch.setattr(probe, "run", lambda *_: pytest.fail("it was run again"))
    (tmp_path / "renamed.onnx").write_bytes(path.read_bytes())
    again = spec_of(tmp_path / "renamed.onnx")
    assert (again.scale, again.size_rule.multiple, again.peak, again.digest) == (3, 1, 1.0, first.digest)


def test_a_network_that_is_being_tried_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, quick = (library.load(str(repeat(tmp_path / f"{n}.onnx", [1, 3, "h", "w"], n))) for n in (2, 3))
    begun, go_on, right = threading.Event(), threading.Event(), probe.find

    def find(file: ModelFile) -> probe.Findings:
        if file is slow:
            begun.set()
            assert go_on.wait(60)
        return right(file)

    monkeypatch.setattr(probe, "find", find)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(probe.describe, slow) for _ in range(2)]
        assert begun.wait(60)
        assert probe.describe(quick).spec.scale == 3
        assert not any(future.done() for future in waiting)
        go_on.set()
        assert [future.result(60).spec.scale for future in waiting] == [2, 2]


@pytest.mark.parametrize("content", ["", "nonsense", "[]", '{"version": 0, "models": {}}', '{"version": 1}'])
def test_damaged_cache_is_made_anew(content: str, tmp_path: Path) -> None:
    path = repeat(tmp_path / "m.onnx", [1, 3, "h", "w"], 3)
    probe.remembered.path().parent.mkdir(parents=True)
    probe.remembered.path().write_text(content)
    assert spec_of(path).scale == 3
    assert json.loads(probe.remembered.path().read_text())["probes"][spec_of(path).digest]["scale"] == 3


def test_cache_that_lies_or_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = repeat(tmp_path / "m.onnx", [1, 3, "h", "w"], 3)
    digest = library.load(str(path)).spec.digest
    probe.remembered.path().parent.mkdir(parents=True)
    lie = {"scale": -2, "multiple": 1, "minimum": 1, "peak": 1}
    probe.remembered.path().write_text(json.dumps({"version": 1, "probes": {digest: lie}}))
    assert spec_of(path).scale == 3
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    probe.cache.clear()
    assert spec_of(path).scale == 3


def test_own_models_by_name_and_near_names(tmp_path: Path) -> None:
    user_folders.models_folder().mkdir(parents=True)
    repeat(user_folders.models_folder() / "anime-sharp-4x.onnx", [1, 3, "h", "w"], 4)
    clip = clips.noise(vs.RGB24, 16, 16, length=1)
    assert clip.gansr.Upscale("anime-sharp-4x").width == 64
    for typo, message in (
        (
            "anime-sharp4x",
            r'unknown model "anime-sharp4x"; shipped: .*; own: anime-sharp-4x, .*; did you mean anime-sharp-4x\?',
        ),
        ("Anime-Sharp-4X", r"; did you mean anime-sharp-4x\?"),
        ("fast2x", r"; did you mean fast-2x\?"),
        (
            str(user_folders.models_folder() / "anime-shrap-4x.onnx"),
            r"does not exist; .*; did you mean anime-sharp-4x.onnx\?",
        ),
    ):
        with pytest.raises(vs.Error, match=f"^Upscale: .*{message}"):
            clip.gansr.Upscale(typo)
    (tmp_path / "net.pth").touch()
    for name, message in (
        (str(tmp_path / "net.pth"), r'net.pth" is PyTorch\'s, not ONNX; .*: gansr convert ".*net.pth"'),
        ("fast-2x.onnx", r"did you mean fast-2x\?"),
    ):
        with pytest.raises(vs.Error, match=f"^Upscale: model .*{message}"):
            clip.gansr.Upscale(name)
    with pytest.raises(vs.Error, match=r'^Upscale: unknown model "zzz"; shipped'):
        clip.gansr.Upscale("zzz")


def test_what_is_no_image_network_is_refused(tmp_path: Path) -> None:
    for channels in (2, 4, 6, 12):
        with pytest.raises(ModelError, match=f"has {channels} input channels, 1 or 3 are supported, and 3 for each"):
            library.load(str(repeat(tmp_path / "m.onnx", [1, channels, "h", "w"])))
    with pytest.raises(ModelError, match="a free number of input channels"):
        library.load(str(repeat(tmp_path / "m.onnx", [1, "c", "h", "w"])))
    with pytest.raises(
        ModelError, match=r"with 3 channels for each of 3 frames into a tensor of shape \[1, 9, 130, 128\]"
    ):
        spec_of(repeat(tmp_path / "m.onnx", [1, 9, "h", "w"]))
