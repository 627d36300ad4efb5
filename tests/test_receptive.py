"""The receptive field read off a graph is the one that perturbing a pixel shows; unknown graphs are called unknown."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import networks
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from graphs import Graph
from onnx import TensorProto, helper

from vs_gansr.model import library
from vs_gansr.model.analysis import Study, study

SHIPPED = library.shipped()


def read(proto: onnx.ModelProto) -> Study:
    return study(proto, proto.graph.input[0].name, proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value)


def perturbed_radius(proto: onnx.ModelProto, step: int, side: int, trials: int = 6) -> int:
    """How far from a changed pixel the output changes, in input pixels, over every position within `step`."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    [entry] = session.get_inputs()
    rng = np.random.default_rng(0)
    middle = side // 2 // step * step
    farthest = 0
    for trial in range(trials):
        picture = rng.normal(0.5, 1, (1, entry.shape[1], side, side)).astype(np.float32)
        before = session.run(None, {entry.name: picture})[0]
        scale = before.shape[2] // side
        for phase in range(step):
            y, x = middle + phase, middle + (phase + trial) % step
            changed = picture.copy()
            changed[:, :, y, x] += rng.choice([-8, 8], entry.shape[1])
            difference = (session.run(None, {entry.name: changed})[0] != before).any((0, 1))
            rows, columns = np.nonzero(difference)
            farthest = max(farthest, *np.abs(rows // scale - y), *np.abs(columns // scale - x))
    return int(farthest)


def kernels(g: Graph) -> str:
    return g.conv(g.conv("input", 6, 5), 3, (1, 7))


def dilated(g: Graph) -> str:
    return g.conv(g.conv("input", 6, 3, dilation=3), 3, 3, dilation=2)


def unpadded(g: Graph) -> str:
    padded = g.op("Pad", "input", g.const([0, 0, 5, 5, 0, 0, 5, 5]), mode="reflect")
    return g.conv(g.conv(padded, 6, 7, pad=[0] * 4), 3, 5, pad=[0] * 4)


def lopsided(g: Graph) -> str:
    return g.conv("input", 3, 5, pad=[4, 4, 0, 0])


def cropped(g: Graph) -> str:
    padded = g.op("Pad", "input", g.const([0, 0, 4, 4, 0, 0, 4, 4]), mode="edge")
    inner = g.conv(padded, 3, 3)
    return g.op("Slice", inner, g.const([4, 4]), g.const([-4, -4]), g.const([2, 3]))


def strided(g: Graph) -> str:
    down = g.op("Relu", g.conv("input", 8, 3, stride=2, pad=[1, 1, 1, 1]))
    return g.up(g.conv(down, 8, 3), 3)


def twice_strided(g: Graph) -> str:
    down = g.conv(g.conv("input", 6, 2, stride=2, pad=[0] * 4), 6, 2, stride=2, pad=[0] * 4)
    return g.up(g.up(g.conv(down), 6, 2, pad=0), 3, 2, pad=0)


def unet(g: Graph) -> str:
    skip = g.conv("input", 6)
    low = g.conv(g.op("MaxPool", skip, kernel_shape=[2, 2], strides=[2, 2]), 6)
    return g.conv(g.op("Add", skip, g.up(low, 6, 2, pad=0)), 3)


def shuffled(g: Graph) -> str:
    low = g.conv(g.space_to_depth("input"), 16)
    return g.depth_to_space(g.conv(low, 48), 4)


def unshuffled(g: Graph) -> str:
    return g.depth_to_space(g.conv(g.conv(g.unshuffle("input"), 12), 12))


def nearest(g: Graph) -> str:
    large = g.resize(
        g.conv("input"), 2, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    )
    return g.conv(large, 3)


def linear(g: Graph) -> str:
    return g.resize(g.conv("input", 3), 3, mode="linear")


def cubic(g: Graph) -> str:
    return g.resize(g.conv("input", 3), 2, mode="cubic")


def cubic_at_whole_places(g: Graph) -> str:
    return g.resize("input", 2, mode="cubic", coordinate_transformation_mode="asymmetric")


def there_and_back(g: Graph) -> str:
    small = g.resize(g.conv("input"), 0.5, mode="linear")
    return g.resize(g.conv(small, 3), 4, mode="linear")


def by_sizes(g: Graph) -> str:
    shape = g.op("Shape", "input")
    spatial = g.op("Slice", shape, g.const([2]), g.const([4]), g.const([0]))
    sizes = g.op("Concat", g.const([1, 3]), g.op("Mul", spatial, g.const([2])), axis=0)
    return g.op("Resize", g.conv("input", 3), "", "", sizes, mode="linear")


def branches(g: Graph) -> str:
    a, b = g.conv("input", 4), g.conv("input", 4, 7)
    both = g.op("Concat", a, g.op("PRelu", b, g.const(np.full((4, 1, 1), 0.2), np.float32)), axis=1, width=8)
    left, right = g.op("Split", both, g.const([3, 5]), axis=1, outputs=2, width=3)
    return g.conv(g.op("Sum", left, g.conv(g.op("Sigmoid", right, width=5), 3)), 3)


def averaged(g: Graph) -> str:
    return g.conv(g.op("AveragePool", "input", kernel_shape=[3, 3], pads=[1] * 4), 3, 1)


def channels_last(g: Graph) -> str:
    """A normalisation over channels and a matrix, as ConvNeXt-like networks have them."""
    last = g.op("Transpose", g.conv("input", 6), perm=[0, 2, 3, 1])
    mean = g.op("ReduceMean", last, axes=[-1])
    centred = g.op("Sub", last, mean)
    spread = g.op(
        "Sqrt", g.op("Add", g.op("ReduceMean", g.op("Mul", centred, centred), axes=[3]), g.const(1e-3, np.float32))
    )
    normal = g.op("Div", centred, spread)
    mixed = g.op("MatMul", normal, g.const(g.rng.normal(0, 0.4, (6, 6)), np.float32))
    return g.conv(g.op("Transpose", mixed, perm=[0, 3, 1, 2]), 3)


def windows(g: Graph) -> str:
    """Attention within windows of 4 x 4, nothing across."""
    shape = g.op("Shape", "input")
    h, w = (g.op("Div", g.op("Gather", shape, g.const([i])), g.const([4])) for i in (2, 3))
    cut = g.op("Reshape", g.conv("input", 3, 1), g.op("Concat", g.const([3]), h, g.const([4]), w, g.const([4]), axis=0))
    tokens = g.op("Reshape", g.op("Transpose", cut, perm=[1, 3, 2, 4, 0]), g.const([-1, 16, 3]))
    scores = g.op("Softmax", g.op("MatMul", tokens, g.op("Transpose", tokens, perm=[0, 2, 1])), axis=-1)
    mixed = g.op("MatMul", scores, tokens)
    joined = g.op("Reshape", mixed, g.op("Concat", h, w, g.const([4, 4, 3]), axis=0))
    turned = g.op("Transpose", joined, perm=[4, 0, 2, 1, 3])
    size = g.op("Concat", g.const([1, 3]), g.op("Mul", h, g.const([4])), g.op("Mul", w, g.const([4])), axis=0)
    return g.op("Reshape", turned, size, width=3)


CASES: list[tuple[Callable[[Graph], str], int, int]] = [
    (kernels, 5, 1),
    (dilated, 5, 1),
    (unpadded, 5, 1),
    (lopsided, 4, 1),
    (cropped, 1, 1),
    (strided, 5, 2),
    (twice_strided, 7, 4),
    (unet, 5, 2),
    (shuffled, 5, 2),
    (unshuffled, 5, 2),
    (nearest, 2, 1),
    (linear, 2, 1),
    (cubic, 3, 1),
    (cubic_at_whole_places, 2, 1),
    (there_and_back, 5, 2),
    (by_sizes, 2, 1),
    (branches, 5, 1),
    (averaged, 1, 1),
    (channels_last, 2, 1),
    (windows, 3, 4),
]


@pytest.mark.parametrize(("make", "radius", "multiple"), CASES, ids=lambda v: getattr(v, "__name__", str(v)))
def test_known_networks(make: Callable[[Graph], str], radius: int, multiple: int) -> None:
    g = Graph()
    proto = g.proto(make(g))
    found = read(proto)
    assert (found.radius, found.multiple) == (radius, multiple)
    assert perturbed_radius(proto, multiple, 48) == radius


def test_the_64x16_anchor_is_18(shared: Path) -> None:
    proto = onnx.load(str(shared / "anchors" / "realesr-animevideov3-x4.onnx"))
    found = read(proto)
    assert (found.radius, found.multiple, found.minimum) == (18, 1, 1)
    assert perturbed_radius(proto, 1, 48, trials=3) == 18


def test_the_anchor_with_global_pooling_is_unknown(shared: Path) -> None:
    found = read(onnx.load(str(shared / "anchors" / "realcugan-se-2x-conservative.onnx")))
    assert (found.radius, found.multiple, found.minimum) == (None, 2, 20)


@pytest.mark.parametrize("name", SHIPPED or [pytest.param("", marks=pytest.mark.skip("no model is shipped yet"))])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_shipped_models(name: str, precision: str) -> None:
    if precision == "int8" and not library.has_twin(name):
        precision = "fp32"
    loaded = library.load(name, precision)
    proto = onnx.load_model_from_string(loaded.data)
    found = read(proto)
    said = {p.key: p.value for p in proto.metadata_props}
    assert found.radius is not None
    assert (found.radius, found.multiple) == (int(said["gansr.radius"]), int(said["gansr.multiple"]))
    assert loaded.spec.radius == found.radius
    assert perturbed_radius(proto, found.multiple, 2 * found.radius + 9, trials=4) == found.radius


def test_compact_networks(tmp_path: Path) -> None:
    for convs in (1, 4, 9):
        assert read(onnx.load(str(networks.compact(tmp_path / "m.onnx", 4, convs)))).radius == convs


def pooled(g: Graph) -> str:
    weight = g.op("Sigmoid", g.op("GlobalAveragePool", "input"))
    return g.conv(g.op("Mul", "input", weight), 3)


def attention(g: Graph) -> str:
    flat = g.op("Reshape", g.conv("input", 3), g.const([1, 3, -1]))
    return g.op("Reshape", g.op("Softmax", flat, axis=-1), g.op("Shape", "input"), width=3)


def normalised(g: Graph) -> str:
    scale, bias = g.const([1, 1, 1], np.float32), g.const([0, 0, 0], np.float32)
    return g.op("InstanceNormalization", "input", scale, bias)


def aligned(g: Graph) -> str:
    return g.resize("input", 2, mode="linear", coordinate_transformation_mode="align_corners")


def rolled(g: Graph) -> str:
    head = g.op("Slice", "input", g.const([0]), g.const([5]), g.const([2]))
    rest = g.op("Slice", "input", g.const([5]), g.const([1 << 30]), g.const([2]))
    return g.op("Concat", rest, head, axis=2)


def unknown(g: Graph) -> str:
    return g.op("Einsum", "input", equation="nchw->nchw")


@pytest.mark.parametrize("make", [pooled, attention, normalised, aligned, rolled, unknown], ids=lambda f: f.__name__)
def test_global_or_unknown_networks(make: Callable[[Graph], str]) -> None:
    g = Graph()
    assert read(g.proto(make(g))).radius is None


def test_a_constant_picture_over_the_picture_is_no_translation() -> None:
    g = Graph(size=(48, 64))
    proto = g.proto(g.op("Add", g.conv("input", 3), g.const(g.rng.random((1, 1, 48, 1)), np.float32)))
    assert study(proto, "input", 3, (64, 48)).radius is None
    plain = Graph(size=(48, 64))
    assert study(plain.proto(plain.conv("input", 3, 7)), "input", 3, (64, 48)).radius == 3


def test_smallest_picture() -> None:
    g = Graph()
    reflecting = read(g.proto(unpadded(g)))
    assert reflecting.minimum == 6  # reflecting 5 pixels takes 6
    g = Graph()
    deep = g.op("Pad", g.space_to_depth("input"), g.const([0, 0, 3, 3, 0, 0, 3, 3]), mode="reflect")
    assert read(g.proto(g.depth_to_space(g.conv(deep, 12, 7, pad=[0] * 4)))).minimum == 8


def test_what_looks_too_far_is_unknown() -> None:
    g = Graph()
    x = "input"
    for _ in range(10):
        x = g.conv(x, 3, 3, dilation=128)
    assert read(g.proto(x)).radius is None


def test_memory_follows_the_picture() -> None:
    """Two feature maps are alive at once in a plain stack; the estimate holds at sizes that were not walked."""
    g = Graph()
    found = read(g.proto(g.depth_to_space(g.conv(g.op("Relu", g.conv(g.conv("input", 32), 32)), 12))))
    for width, height in ((100, 60), (1920, 1080)):
        assert found.bytes(width, height) == 2 * 32 * 4 * width * height
    g = Graph()
    inner = read(g.proto(unpadded(g)))
    assert inner.bytes(200, 100) == 4 * (3 * 210 * 110 + 6 * 204 * 104)


def test_damaged_graphs_are_unknown_not_errors() -> None:
    x = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "h", "w"])
    y = helper.make_tensor_value_info("output", TensorProto.FLOAT, None)
    far = 1 << 40
    nodes = {
        "missing": helper.make_node("Relu", ["nowhere"], ["output"]),
        "no operator": helper.make_node("NoSuch", ["input"], ["output"]),
        "no attribute": helper.make_node("DepthToSpace", ["input"], ["output"]),
        "no kernel": helper.make_node("MaxPool", ["input"], ["output"]),
        "no output": helper.make_node("Relu", ["input"], ["other"]),
        "huge kernel": helper.make_node("MaxPool", ["input"], ["output"], kernel_shape=[far] * 2, pads=[far] * 4),
        "zero stride": helper.make_node("MaxPool", ["input"], ["output"], kernel_shape=[2, 2], strides=[0, 0]),
    }
    for name, node in nodes.items():
        proto = helper.make_model(helper.make_graph([node], "g", [x], [y]))
        assert read(proto) == Study(), name


def test_huge_sizes_cost_nothing() -> None:
    g = Graph()
    large = g.op("Expand", "input", g.const([1 << 40, 3, 1, 1]))
    assert math.isclose(read(g.proto(large)).bytes(64, 64) or 0, 0)
    g = Graph()
    assert read(g.proto(g.resize("input", 1e9, mode="nearest"))) == Study()
