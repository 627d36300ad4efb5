"""Float types and value ranges of foreign networks: mixed types, colours beyond black and white, a final Tanh."""

from __future__ import annotations

from pathlib import Path

import clips
import fakegpu
import numpy as np
import onnx
import pytest
import vapoursynth as vs
from foreign import enlarge, spec_of
from onnx import TensorProto, helper, numpy_helper

from vs_gansr.errors import ModelError
from vs_gansr.model.rewrite import ends
from vs_gansr.model.spec import ValueRange

pytestmark = pytest.mark.usefixtures("fresh_cache")

FLOAT, HALF, DOUBLE = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE
MIXED = [(FLOAT, HALF), (HALF, FLOAT), (FLOAT, DOUBLE), (HALF, DOUBLE)]
NAMES = {FLOAT: "float32", HALF: "float16", DOUBLE: "float64"}


def network(
    path: Path,
    nodes: list[onnx.NodeProto],
    weights: dict[str, np.ndarray] | None = None,
    channels: int = 3,
    kinds: tuple[int, int] = (FLOAT, FLOAT),
    opset: int = 17,
    said: dict[str, str] | None = None,
) -> Path:
    """The nodes between `x` and `z`, then every pixel four times as `y`; types of `x` and `y` as `kinds`."""
    node, sizes = enlarge("z", "large", 2)
    everything = [*nodes, node, helper.make_node("Cast", ["large"], ["y"], to=kinds[1])]
    x = helper.make_tensor_value_info("x", kinds[0], [1, channels, "h", "w"])
    y = helper.make_tensor_value_info("y", kinds[1], None)
    tensors = [numpy_helper.from_array(value, name) for name, value in {**(weights or {}), "sizes": sizes}.items()]
    graph = helper.make_graph(everything, "g", [x], [y], tensors)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    for key, value in (said or {}).items():
        proto.metadata_props.add(key=f"gansr.{key}", value=value)
    onnx.save(proto, str(path))
    return path


def repeating(path: Path, kinds: tuple[int, int], channels: int = 3) -> Path:
    return network(path, [helper.make_node("Cast", ["x"], ["z"], to=FLOAT)], channels=channels, kinds=kinds)


@pytest.mark.parametrize("kinds", MIXED, ids=lambda kinds: f"{NAMES[kinds[0]]} to {NAMES[kinds[1]]}")
def test_input_and_output_of_different_float_types(kinds: tuple[int, int], tmp_path: Path, engine: str) -> None:
    path = repeating(tmp_path / "m.onnx", kinds)
    clip = vs.core.std.BlankClip(format=vs.RGB24, width=24, height=16, color=[200, 100, 50], length=1)
    for arguments in ({}, {"precision": "fp16"}, {"tilesize": 16}, {"tilesize": 16, "overlap": 2}):
        with clip.gansr.Upscale(str(path), provider=engine, **arguments).get_frame(0) as frame:
            assert [np.unique(plane).tolist() for plane in clips.planes(frame)] == [[200], [100], [50]]


@pytest.mark.parametrize("kinds", MIXED, ids=lambda kinds: f"{NAMES[kinds[0]]} to {NAMES[kinds[1]]}")
@pytest.mark.parametrize("fmt", [vs.GRAY8, vs.GRAY16, vs.GRAYH, vs.GRAYS], ids=str)
def test_mixed_types_between_stored_samples(kinds: tuple[int, int], fmt: int, tmp_path: Path, engine: str) -> None:
    path = repeating(tmp_path / "m.onnx", kinds, channels=1)
    clip = clips.noise(fmt, 24, 16, 1)
    got, want = clip.gansr.Upscale(str(path), provider=engine), clip.resize.Point(48, 32)
    half = HALF in kinds and fmt in (vs.GRAY16, vs.GRAYS)
    assert clips.largest_difference(got, want) <= (1e-3 if fmt in (vs.GRAYH, vs.GRAYS) else 40 if half else 0)


@pytest.mark.parametrize("kinds", MIXED, ids=lambda kinds: f"{NAMES[kinds[0]]} to {NAMES[kinds[1]]}")
@pytest.mark.parametrize("tier", ["plain", "fast"])
def test_mixed_types_on_a_gpu(
    kinds: tuple[int, int], tier: str, tmp_path: Path, machine: fakegpu.StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CUDA's engines on a stand-in for the GPU, colours and stored luma, whole pictures and tiles."""
    monkeypatch.setenv("GANSR_GPU", tier)
    path = repeating(tmp_path / "m.onnx", kinds)
    clip = vs.core.std.BlankClip(format=vs.RGB24, width=24, height=16, color=[200, 100, 50], length=1)
    with clip.gansr.Upscale(str(path), provider="CUDA").get_frame(0) as frame:
        assert [np.unique(plane).tolist() for plane in clips.planes(frame)] == [[200], [100], [50]]
    luma = repeating(tmp_path / "luma.onnx", kinds, channels=1)
    for fmt, tolerance in ((vs.GRAY8, 0), (vs.GRAYH, 1e-3)):
        clip = clips.noise(fmt, 40, 24, 1)
        got = clip.gansr.Upscale(str(luma), provider="CUDA", precision="fp32", tilesize=24, overlap=2)
        assert clips.largest_difference(got, clip.resize.Point(80, 48)) <= tolerance


@pytest.mark.parametrize(
    ("faithful", "shipped"),
    list(zip([(HALF, HALF), (HALF, FLOAT), (FLOAT, DOUBLE), (FLOAT, FLOAT)], MIXED, strict=True)),
)
def test_mixed_types_with_texture(
    faithful: tuple[int, int], shipped: tuple[int, int], tmp_path: Path, engine: str
) -> None:
    """Each network keeps its own types; both repeat pixels, so that every mixture does."""
    path = str(repeating(tmp_path / "m.onnx", shipped, channels=1))
    repeating(tmp_path / "m-psnr.onnx", faithful, channels=1)
    for fmt, tolerance, more in ((vs.GRAY8, 0, {"tilesize": 24}), (vs.GRAYS, 1e-3, {"precision": "fp16"})):
        clip = clips.noise(fmt, 40, 24, 1)
        got = clip.gansr.Upscale(path, provider=engine, texture=0.3, **more)
        assert clips.largest_difference(got, clip.resize.Point(80, 48)) <= tolerance


def test_mixed_types_with_texture_on_a_gpu(tmp_path: Path, machine: fakegpu.StandIn) -> None:
    path = str(repeating(tmp_path / "m.onnx", (FLOAT, FLOAT), channels=1))
    repeating(tmp_path / "m-psnr.onnx", (HALF, HALF), channels=1)
    clip = clips.noise(vs.GRAY8, 40, 24, 1)
    for precision in ("fp32", "fp16"):
        got = clip.gansr.Upscale(path, provider="CUDA", precision=precision, texture=0.3)
        assert clips.largest_difference(got, clip.resize.Point(80, 48)) == 0


@pytest.mark.parametrize("kind", ["UINT8", "BFLOAT16"])
def test_outputs_of_other_types_are_refused(kind: str, tmp_path: Path) -> None:
    path = repeating(tmp_path / "m.onnx", (FLOAT, TensorProto.DataType.Value(kind)))
    with pytest.raises(ModelError, match=f"outputs {kind.lower()}; float16, float32 or float64 is needed"):
        spec_of(path)


@pytest.mark.parametrize("kind", ["UINT8", "BFLOAT16", "DOUBLE"])
def test_inputs_of_other_types_are_refused(kind: str, tmp_path: Path) -> None:
    path = repeating(tmp_path / "m.onnx", (TensorProto.DataType.Value(kind), FLOAT))
    with pytest.raises(ModelError, match=f"of float16 or float32, but {kind.lower()} of 4 dimensions; export it"):
        spec_of(path)


def test_more_than_one_output_is_refused(tmp_path: Path) -> None:
    """Networks that are trained with losses on features are often exported with these."""
    path = repeating(tmp_path / "m.onnx", (HALF, FLOAT))
    proto = onnx.load(str(path))
    proto.graph.output.append(helper.make_tensor_value_info("large", FLOAT, None))
    onnx.save(proto, str(path))
    with pytest.raises(ModelError, match="1 inputs and 2 outputs; exactly one of each is needed: export it without"):
        spec_of(path)


def shy(path: Path, channels: int = 3, opset: int = 17, said: dict[str, str] | None = None) -> Path:
    """Repeats pixels from 0 to 1 and gives -9 for all others, as networks do that were not trained on them."""
    nodes = [
        helper.make_node("Clip", ["x", "zero", "one"] if opset > 10 else ["x"], ["c"],
                         **({} if opset > 10 else {"min": 0.0, "max": 1.0})),
        helper.make_node("Sub", ["x", "c"], ["beyond"]),
        helper.make_node("Abs", ["beyond"], ["far"]),
        helper.make_node("Mul", ["far", "much"], ["spoilt"]),
        helper.make_node("Sub", ["x", "spoilt"], ["z"]),
    ]  # fmt: skip
    weights = {"zero": np.float32(0), "one": np.float32(1), "much": np.float32(20)}
    return network(path, nodes, weights, channels, opset=opset, said=said)


def strong(fmt: int = vs.YUV420P8) -> vs.VideoNode:
    """YUV colours outside of RGB: gray luma with strong chroma."""
    color = [60, 220, 40] if vs.core.get_video_format(fmt).sample_type == vs.INTEGER else [0.1, 0.45, -0.45]
    clip = vs.core.std.BlankClip(format=fmt, width=32, height=24, color=color, length=1)
    return clip.std.SetFrameProps(_Matrix=1, _Range=0)


def clamped(clip: vs.VideoNode) -> vs.VideoNode:
    """What a network that repeats pixels should make of the clip."""
    rgb = clip.resize.Bicubic(format=vs.RGBS).std.Expr("x 0 max 1 min")
    return rgb.resize.Point(2 * clip.width, 2 * clip.height).resize.Bicubic(format=clip.format.id, matrix=1)


@pytest.mark.parametrize("arguments", [{}, {"tilesize": 16}, {"tilesize": 16, "overlap": 4}, {"precision": "fp16"}])
@pytest.mark.parametrize("fmt", [vs.YUV420P8, vs.YUV444P10, vs.YUV444PS, vs.YUV444PH], ids=str)
def test_rgb_networks_see_black_to_white(fmt: int, arguments: dict, tmp_path: Path, engine: str) -> None:
    clip = strong(fmt)
    out = clip.gansr.Upscale(str(shy(tmp_path / "m.onnx")), provider=engine, **arguments)
    unit = 1 / 255 if clip.format.sample_type == vs.FLOAT else 1 << clip.format.bits_per_sample - 8
    assert clips.largest_difference(out, clamped(clip)) <= unit * (2 if "precision" in arguments else 1)


def test_rgb_networks_on_a_gpu_see_black_to_white(tmp_path: Path, machine: fakegpu.StandIn) -> None:
    out = strong().gansr.Upscale(str(shy(tmp_path / "m.onnx")), provider="CUDA", precision="fp32")
    assert clips.largest_difference(out, clamped(strong())) <= 1


@pytest.mark.parametrize("value", [-0.5, 1.5, 12.0])
def test_float_clips_too(value: float, tmp_path: Path, engine: str) -> None:
    path = shy(tmp_path / "m.onnx")
    clip = vs.core.std.BlankClip(format=vs.RGBS, width=24, height=16, color=[value, 0.5, 0.25], length=1)
    with clip.gansr.Upscale(str(path), provider=engine).get_frame(0) as frame:
        assert [float(plane.max()) for plane in clips.planes(frame)] == [min(max(value, 0), 1), 0.5, 0.25]


@pytest.mark.parametrize("opset", [9, 11])
def test_networks_of_old_operators_are_clamped(opset: int, tmp_path: Path, engine: str) -> None:
    """Opset 9 writes Clip's bounds as attributes."""
    nodes = [helper.make_node("Mul", ["x", "one"], ["y"])]
    x, y = (helper.make_tensor_value_info(name, FLOAT, [1, 3, "h", "w"]) for name in "xy")
    one = numpy_helper.from_array(np.float32(1), "one")
    proto = helper.make_model(helper.make_graph(nodes, "g", [x], [y], [one]), ir_version=4,
                              opset_imports=[helper.make_opsetid("", opset)])  # fmt: skip
    onnx.save(proto, str(tmp_path / "m.onnx"))
    clip = vs.core.std.BlankClip(format=vs.RGBS, width=24, height=16, color=[-1, 0.5, 2], length=1)
    with clip.gansr.Upscale(str(tmp_path / "m.onnx"), provider=engine).get_frame(0) as frame:
        assert [float(plane.max()) for plane in clips.planes(frame)] == [0, 0.5, 1]


@pytest.mark.parametrize("how", ["argument", "file"])
def test_networks_of_hdr_see_all(how: str, tmp_path: Path, engine: str) -> None:
    path = network(
        tmp_path / "m.onnx",
        [helper.make_node("Identity", ["x"], ["z"])],
        said={"clamp": "0"} if how == "file" else {},
    )
    clip = vs.core.std.BlankClip(format=vs.RGBS, width=24, height=16, color=[-0.5, 0.5, 12], length=1)
    asked = {"clamp": 0} if how == "argument" else {}
    with clip.gansr.Upscale(str(path), provider=engine, **asked).get_frame(0) as frame:
        assert [float(plane.max()) for plane in clips.planes(frame)] == [-0.5, 0.5, 12]
    with clip.gansr.Upscale(str(path), provider=engine, clamp=1).get_frame(0) as frame:
        assert [float(plane.max()) for plane in clips.planes(frame)] == [0, 0.5, 1]


def beyond(fmt: int) -> vs.VideoNode:
    """Noise from -0.5 to 2.5, in floats, as luma or RGB."""
    return clips.noise(fmt, 46, 30, 1).std.Expr("x 3 * 0.5 -")


TILES = [{}, {"tilesize": 24}, {"tilesize": 24, "overlap": 3}, {"tilesize": [20, 30], "overlap": 0}]


@pytest.mark.parametrize(("fmt", "tiles"), [(vs.RGBS, TILES[1]), (vs.GRAYH, TILES[2]), (vs.RGBH, TILES[3])], ids=str)
def test_everything_is_seen_in_tiles_too(fmt: int, tiles: dict, tmp_path: Path, engine: str) -> None:
    """Values beyond black and white pass with clamp=0, whatever the tiles and the texture; with clamp=1 none does."""
    channels = 1 if fmt in (vs.GRAYS, vs.GRAYH) else 3
    path = str(network(tmp_path / "m.onnx", [helper.make_node("Identity", ["x"], ["z"])], channels=channels))
    network(tmp_path / "m-psnr.onnx", [helper.make_node("Cast", ["x"], ["z"], to=FLOAT)], channels=channels)
    clip = beyond(fmt)
    tolerance = 1e-5 if fmt in (vs.RGBS, vs.GRAYS) else 2e-3
    for clamp, want in ((0, clip), (1, clip.std.Expr("x 0 max 1 min"))):
        got = clip.gansr.Upscale(path, provider=engine, clamp=clamp, texture=0.5, **tiles)
        assert clips.largest_difference(got, want.resize.Point(92, 60)) <= tolerance


@pytest.mark.parametrize("tier", ["plain", "fast"])
def test_everything_is_seen_on_a_gpu(
    tier: str, tmp_path: Path, machine: fakegpu.StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANSR_GPU", tier)
    path = str(network(tmp_path / "m.onnx", [helper.make_node("Identity", ["x"], ["z"])]))
    clip = beyond(vs.RGBS)
    for clamp, want in ((0, clip), (1, clip.std.Expr("x 0 max 1 min"))):
        for tiles in TILES[::2]:
            got = clip.gansr.Upscale(path, provider="CUDA", precision="fp32", clamp=clamp, **tiles)
            assert clips.largest_difference(got, want.resize.Point(92, 60)) <= 1e-5


@pytest.mark.parametrize("clamp", [0, 1])
def test_colours_outside_of_rgb_pass_without_a_clamp(clamp: int, tmp_path: Path, engine: str) -> None:
    """YUV whose colours RGB from 0 to 1 cannot hold comes back unchanged only where they are not clamped."""
    path = str(network(tmp_path / "m.onnx", [helper.make_node("Identity", ["x"], ["z"])]))
    for fmt in (vs.YUV444P10, vs.YUV444PS):
        unit = 1 / 1023 if fmt == vs.YUV444PS else 1
        color = [240, 880, 160] if fmt == vs.YUV444P10 else [0.1, 0.45, -0.45]
        clip = vs.core.std.BlankClip(format=fmt, width=46, height=30, color=color, length=1)
        clip = clip.std.SetFrameProps(_Matrix=1, _Range=0)
        got = clip.gansr.Upscale(path, provider=engine, clamp=clamp, tilesize=24)
        far = clips.largest_difference(got, clip.resize.Point(92, 60))
        assert far <= unit if clamp == 0 else far > 50 * unit


def test_luma_keeps_what_its_codes_hold_unless_asked(tmp_path: Path, engine: str) -> None:
    path = network(tmp_path / "m.onnx", [helper.make_node("Identity", ["x"], ["z"])], channels=1)
    clip = vs.core.std.BlankClip(format=vs.GRAY8, width=24, height=16, color=[250], length=1)
    assert clip.gansr.Upscale(str(path), provider=engine).get_frame(0)[0][0, 0] == 250
    assert clip.gansr.Upscale(str(path), provider=engine, clamp=1).get_frame(0)[0][0, 0] == 235
    with pytest.raises(vs.Error, match=r"^Upscale: clamp 2 must be 0 or 1"):
        clip.gansr.Upscale(str(path), clamp=2)


def test_networks_that_clip_by_themselves_are_left_as_they_are(tmp_path: Path) -> None:
    nodes = [helper.make_node("Clip", ["x", "zero", "one"], ["z"])]
    path = network(tmp_path / "m.onnx", nodes, {"zero": np.float32(0), "one": np.float32(1)})
    plain = ends.Samples.float32()
    made = ends.wrap(onnx.load(str(path)), plain, plain, (1, 3, 8, 8), clamp=True)
    assert [node.op_type for node in made.graph.node] == ["Clip", "Resize", "Cast"]
    wider = ends.wrap(onnx.load(str(path)), plain, plain, (1, 3, 8, 8), takes=ValueRange(0.25, 0.5), clamp=True)
    assert [node.op_type for node in wider.graph.node][2:4] == ["Clip", "Clip"]


def tanh_net(path: Path, takes: ValueRange, end: str = "Tanh", kinds: tuple[int, int] = (FLOAT, FLOAT)) -> Path:
    """Repeats pixels and gives them from -1 to 1; the inverse of the last operator comes before it."""
    span = np.float32(takes.white - takes.black)
    nodes = [
        helper.make_node("Cast", ["x"], ["wide"], to=FLOAT),
        helper.make_node("Mul", ["wide", "factor"], ["scaled"]),
        helper.make_node("Add", ["scaled", "shift"], ["signed"]),
    ]
    if end == "Tanh":  # artanh(v) = log((1 + v) / (1 - v)) / 2
        nodes += [
            helper.make_node("Clip", ["signed", "least", "most"], ["safe"]),
            helper.make_node("Add", ["one", "safe"], ["above"]),
            helper.make_node("Sub", ["one", "safe"], ["below"]),
            helper.make_node("Div", ["above", "below"], ["ratio"]),
            helper.make_node("Log", ["ratio"], ["log"]),
            helper.make_node("Mul", ["log", "half"], ["inverse"]),
            helper.make_node("Tanh", ["inverse"], ["z"]),
        ]
    else:
        nodes.append(helper.make_node("Clip", ["signed", "minus", "one"], ["z"]))
    weights = {
        "factor": np.float32(2 / span), "shift": np.float32(-1 - 2 * takes.black / span), "one": np.float32(1),
        "minus": np.float32(-1), "least": np.float32(-0.9999), "most": np.float32(0.9999), "half": np.float32(0.5),
    }  # fmt: skip
    used = {name for node in nodes for name in node.input}
    path = network(path, nodes, {name: value for name, value in weights.items() if name in used}, kinds=kinds)
    proto = onnx.load(str(path))
    [moved] = [n for n in proto.graph.node if n.op_type == "Resize"]
    assert moved.output[0] == "large"
    if end == "Tanh":  # the last operator, as in networks that people train: Tanh behind the enlargement
        tanh = next(n for n in proto.graph.node if n.op_type == "Tanh")
        source = tanh.input[0]
        proto.graph.node.remove(tanh)
        moved.input[0], moved.output[0] = source, "before"
        last = helper.make_node("Tanh", ["before"], ["large"])
        proto.graph.node.insert(len(proto.graph.node) - 1, last)
        onnx.save(proto, str(path))
    return path


@pytest.mark.parametrize("end", ["Tanh", "Clip"])
@pytest.mark.parametrize("takes", [ValueRange(-1, 1), ValueRange(0, 1), ValueRange(0, 255)], ids=str)
def test_networks_that_give_minus_one_to_one(takes: ValueRange, end: str, tmp_path: Path, engine: str) -> None:
    path = tanh_net(tmp_path / "m.onnx", takes, end)
    if end == "Tanh":
        assert (spec_of(path).input_range, spec_of(path).output_range) == (takes, ValueRange(-1, 1))
    clip = vs.core.std.BlankClip(format=vs.RGB24, width=24, height=16, color=[200, 100, 50], length=1)
    for arguments in ({}, {"precision": "fp16"}, {"tilesize": 16}):
        with clip.gansr.Upscale(str(path), provider=engine, **arguments).get_frame(0) as frame:
            got = [
                float(np.abs(plane - want).max())
                for plane, want in zip(clips.planes(frame), (200, 100, 50), strict=True)
            ]
        assert max(got) <= 1, got


def test_softsign_gives_minus_one_to_one(tmp_path: Path, engine: str) -> None:
    """It answers x / (1 + |x|): what comes before takes the inverse."""
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["twice"]),
        helper.make_node("Sub", ["twice", "one"], ["v"]),
        helper.make_node("Abs", ["v"], ["size"]),
        helper.make_node("Sub", ["bound", "size"], ["rest"]),
        helper.make_node("Div", ["v", "rest"], ["inverse"]),
        helper.make_node("Softsign", ["inverse"], ["z"]),
    ]
    weights = {"two": np.float32(2), "one": np.float32(1), "bound": np.float32(1.0001)}
    path = network(tmp_path / "m.onnx", nodes, weights)
    assert spec_of(path).output_range == ValueRange(-1, 1)
    clip = vs.core.std.BlankClip(format=vs.RGB24, width=24, height=16, color=[200, 100, 50], length=1)
    with clip.gansr.Upscale(str(path), provider=engine).get_frame(0) as frame:
        got = [float(plane.mean()) for plane in clips.planes(frame)]
    assert np.allclose(got, [200, 100, 50], atol=1), got


def test_tanh_with_a_description_that_says_no_range(tmp_path: Path) -> None:
    """The file says its scale; its range is found all the same."""
    path = tanh_net(tmp_path / "m.onnx", ValueRange(-1, 1))
    proto = onnx.load(str(path))
    for key, value in {"scale": "2", "multiple": "1", "radius": "1"}.items():
        proto.metadata_props.add(key=f"gansr.{key}", value=value)
    onnx.save(proto, str(path))
    assert spec_of(path).output_range == ValueRange(-1, 1)


@pytest.mark.parametrize(
    ("takes", "gives"), [((-1, 1), (0, 1)), ((0, 255), (0, 1)), ((0, 1), (0, 255))], ids=["signed", "bytes", "large"]
)
def test_other_pairs_of_ranges(takes: tuple, gives: tuple, tmp_path: Path) -> None:
    """Networks whose input and output ranges differ, and that give a constant for values outside of the input's."""
    span, out = takes[1] - takes[0], gives[1] - gives[0]
    nodes = [
        helper.make_node("Clip", ["x", "low", "high"], ["c"]),
        helper.make_node("Mul", ["c", "factor"], ["m"]),
        helper.make_node("Add", ["m", "shift"], ["z"]),
    ]
    weights = {
        "low": np.float32(takes[0]), "high": np.float32(takes[1]), "factor": np.float32(out / span),
        "shift": np.float32(gives[0] - takes[0] * out / span),
    }  # fmt: skip
    path = network(tmp_path / "m.onnx", nodes, weights)
    clip = vs.core.std.BlankClip(format=vs.RGB24, width=24, height=16, color=[200, 100, 50], length=1)
    with clip.gansr.Upscale(str(path), provider="CPU").get_frame(0) as frame:
        assert [np.unique(plane).tolist() for plane in clips.planes(frame)] == [[200], [100], [50]]
