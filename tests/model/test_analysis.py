"""The receptive field from the graph equals the one that changing a pixel shows; unknown graphs are reported as
unknown.
"""

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
from known_graphs import CASES, unpadded
from onnx import TensorProto, helper

from vs_gansr.model import library
from vs_gansr.model.analysis import Study, study

SHIPPED = library.shipped()


def read(proto: onnx.ModelProto) -> Study:
    return study(proto, proto.graph.input[0].name, proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value)


def perturbed_radius(proto: onnx.ModelProto, step: int, side: int, trials: int = 6) -> int:
    """Return how far from a changed pixel the output changes, in input pixels, over every position within `step`."""
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
    if precision == "int8" and not library.has_int8(name):
        precision = "fp32"
    loaded = library.load(name, precision)
    proto = onnx.load_model_from_string(loaded.data)
    found = read(proto)
    stated = {p.key: p.value for p in proto.metadata_props}
    assert found.radius is not None
    assert (found.radius, found.multiple) == (int(stated["gansr.radius"]), int(stated["gansr.multiple"]))
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
    assert reflecting.minimum == 6  # reflecting 5 pixels needs 6
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
    """A plain stack keeps two feature maps in memory at once; the estimate also holds at sizes that were not walked."""
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
