"""Networks of any opset, type, range and size rule are mixed as their results are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import foreign
import networks
import numpy as np
import onnx
import onnxruntime as ort
import pairs
import pytest
from onnx import TensorProto, helper, numpy_helper

from vs_gansr.engine import probe
from vs_gansr.errors import ModelError
from vs_gansr.model import library
from vs_gansr.model.spec import Model, ValueRange


def model(path: Path) -> Model:
    return probe.describe(library.load(str(path)))


def mixed(faithful: Path, shipped: Path, texture: float = 0.25) -> Model:
    return probe.describe(library.mixed(model(shipped), model(faithful), texture))


def run(model: Model, picture: np.ndarray) -> np.ndarray:
    """The network's result for `picture`, from 0 to 1, as values from 0 to 1."""
    takes, gives = model.spec.input_range, model.spec.output_range
    session = ort.InferenceSession(model.data, providers=["CPUExecutionProvider"])
    values = takes.black + picture * np.float32(takes.white - takes.black)
    kind = np.float16 if model.spec.half_input else np.float32
    made = session.run(None, {model.spec.input: values.astype(kind)})[0].astype(np.float64)
    return (made - gives.black) / (gives.white - gives.black)


def picture(channels: int = 3, width: int = 24, height: int = 18) -> np.ndarray:
    return 0.25 + np.random.default_rng(0).random((1, channels, height, width), np.float32) / 2


def check(faithful: Path, shipped: Path, tolerance: float = 1e-5) -> Model:
    """Asserts that a quarter of the shipped network's result is mixed in."""
    made, seen = mixed(faithful, shipped), picture()
    onnx.checker.check_model(made.data, full_check=True)
    a, b = run(model(faithful), seen), run(model(shipped), seen)
    assert np.abs(a - b).max() > 0.02
    np.testing.assert_allclose(run(made, seen), 0.75 * a + 0.25 * b, atol=tolerance)
    return made


def test_the_mixture_describes_itself(tmp_path: Path) -> None:
    shipped = pairs.pair(tmp_path, "luma", "4:2:0")
    proto = onnx.load(str(shipped))
    proto.metadata_props.add(key="gansr.licence", value="MIT")
    onnx.save(proto, str(shipped))
    spec = mixed(tmp_path / "one-psnr.onnx", shipped).spec
    assert (spec.name, spec.kind, spec.scale, spec.licence) == ("one at texture 0.25", "4:2:0", 2, "MIT")
    assert spec.radius == 2  # three luma samples reach two places; so do two convolutions of places
    assert library.mixed(model(shipped), model(tmp_path / "one-psnr.onnx"), 0.25).spec.digest == spec.digest
    assert mixed(tmp_path / "one-psnr.onnx", shipped, 0.26).spec.digest != spec.digest


def test_the_larger_reach_counts(tmp_path: Path) -> None:
    for name, convs in (("small", 2), ("large", 5)):
        pairs.network(tmp_path / f"{name}.onnx", "luma", 1, convs)
    for names in (("small", "large"), ("large", "small")):
        assert mixed(*(tmp_path / f"{name}.onnx" for name in names)).spec.radius == 5
    pairs.network(tmp_path / "places.onnx", "4:2:0", 1, 1)
    assert mixed(tmp_path / "large.onnx", tmp_path / "places.onnx").spec.radius == 3


def test_size_rules_are_joined(tmp_path: Path) -> None:
    halved, free = networks.halved(tmp_path / "a.onnx", 4), pairs.network(tmp_path / "b.onnx", "luma", 1)
    assert mixed(halved, free).spec.size_rule.multiple == mixed(free, halved).spec.size_rule.multiple == 4
    assert mixed(halved, pairs.network(tmp_path / "c.onnx", "4:2:0", 1)).spec.size_rule.multiple == 2


def test_the_last_cells_are_joined_once(tmp_path: Path) -> None:
    """Engines take the last depth-to-space out of a graph, so there is one, at the end."""
    made = check(pairs.network(tmp_path / "a.onnx", "RGB", 1), pairs.network(tmp_path / "b.onnx", "RGB", 2))
    kinds = [node.op_type for node in onnx.load_model_from_string(made.data).graph.node]
    assert kinds.count("DepthToSpace") == 1 and kinds[-1] == "DepthToSpace"


def test_other_cells_stay_where_they_are(tmp_path: Path) -> None:
    faithful = networks.compact(tmp_path / "a.onnx", 8, 2)
    proto = onnx.load(str(faithful))
    del proto.graph.node[-1].attribute[:]
    proto.graph.node[-1].attribute.append(helper.make_attribute("blocksize", 2))  # DCR
    onnx.save(proto, str(tmp_path / "b.onnx"))
    check(faithful, tmp_path / "b.onnx")


@pytest.mark.parametrize("faithful", [11, 13, 17, 19, 21])
@pytest.mark.parametrize("shipped", [12, 17, 20])
def test_opsets_are_made_equal(faithful: int, shipped: int, tmp_path: Path) -> None:
    paths = []
    for seed, opset in ((1, faithful), (2, shipped)):
        paths.append(pairs.network(tmp_path / f"{seed}.onnx", "RGB", seed))
        proto = onnx.load(str(paths[-1]))
        proto.opset_import[0].version = opset
        proto.ir_version = 10 if opset > 20 else 8
        onnx.save(proto, str(paths[-1]))
    made = onnx.load_model_from_string(check(*paths).data)
    assert [entry.version for entry in made.opset_import] == [max(17 if v < 13 else v for v in (faithful, shipped))]


def test_opsets_that_cannot_be_made_equal(tmp_path: Path) -> None:
    """The linear enlargement of opset 9 is not that of later ones."""
    sizes = np.array([1, 1, 2, 2], np.float32)
    old = foreign.build(
        tmp_path / "old.onnx",
        [helper.make_node("Upsample", ["x", "sizes"], ["y"], mode="linear")],
        {"sizes": sizes},
        [1, 3, "h", "w"],
    )
    proto = onnx.load(str(old))
    proto.opset_import[0].version = 9
    onnx.save(proto, str(old))
    new = pairs.network(tmp_path / "new.onnx", "RGB", 1)
    with pytest.raises(ModelError, match='"new" is of opset 17, its softer model "old" of opset 9'):
        mixed(old, new)
    assert mixed(old, old).spec.scale == 2


@pytest.mark.parametrize("halved", ["faithful", "shipped", "both"])
def test_half_floats(halved: str, tmp_path: Path) -> None:
    """A float16 network, in the middle and at both ends, beside a float32 one."""
    paths = []
    for seed, name in ((1, "faithful"), (2, "shipped")):
        path = pairs.network(tmp_path / f"{name}.onnx", "RGB", seed)
        if halved in (name, "both"):
            proto = onnx.load(str(path))
            for tensor in proto.graph.initializer:
                tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
            for value in (*proto.graph.input, *proto.graph.output):
                value.type.tensor_type.elem_type = TensorProto.FLOAT16
            onnx.save(proto, str(path))
        paths.append(path)
    made = check(*paths, tolerance=1e-3)
    assert not made.spec.half_input
    assert onnx.load_model_from_string(made.data).graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT


@pytest.mark.parametrize("ranges", [((0, 255), (0, 1)), ((0, 1), (-1, 1)), ((0, 255), (0, 255))], ids=str)
def test_ranges_are_made_equal(ranges: tuple[tuple[float, float], ...], tmp_path: Path) -> None:
    """Networks that take and give other values than 0 to 1."""
    models = []
    for seed, (black, white) in enumerate(ranges):
        said = model(pairs.network(tmp_path / f"{seed}.onnx", "RGB", seed + 1))
        proto = onnx.load_model_from_string(said.data)
        span, weights = white - black, {t.name: t for t in proto.graph.initializer}
        for name, value in (("w0", 1 / span), ("repeat", 1 / span)):
            weights[name].CopyFrom(
                numpy_helper.from_array(numpy_helper.to_array(weights[name]) * np.float32(value), name)
            )
        proto.graph.initializer.extend(
            [numpy_helper.from_array(np.float32(n), name) for name, n in (("black", black), ("span", span))]
        )
        nodes = [helper.make_node("Sub", ["input", "black"], ["at"])]
        for node in proto.graph.node:
            node.input[0] = "at" if node.input[0] == "input" else node.input[0]
            node.output[0] = "unit" if node.output[0] == "output" else node.output[0]
            nodes.append(node)
        nodes += [
            helper.make_node("Mul", ["unit", "span"], ["wide"]),
            helper.make_node("Add", ["wide", "black"], ["output"]),
        ]
        nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del proto.graph.node[:]
        proto.graph.node.extend(nodes)
        takes = ValueRange(black, white)
        models.append(
            Model(replace(said.spec, input_range=takes, output_range=takes), said.path, proto.SerializeToString())
        )
    made = probe.describe(library.mixed(models[1], models[0], 0.25))
    a, b, value = (run(each, picture()) for each in (*models, made))
    assert np.abs(a - b).max() > 0.02
    np.testing.assert_allclose(value, 0.75 * a + 0.25 * b, atol=1e-5)
    assert made.spec.input_range == made.spec.output_range == ValueRange()


def test_networks_of_one_size(tmp_path: Path) -> None:
    """They are mixed where both take the same one only."""
    paths = [
        foreign.repeat(tmp_path / f"{n}.onnx", [1, 3, *shape]) for n, shape in enumerate(((24, 32), (24, 32), (32, 32)))
    ]
    assert mixed(paths[0], paths[1]).spec.size_rule.fixed == (32, 24)
    words = '"1" is 2x RGB of 32x24 pixels, its softer model "2" 2x RGB of 32x32 pixels'
    with pytest.raises(ModelError, match=words):
        mixed(paths[2], paths[1])


def test_a_reach_that_is_not_known(tmp_path: Path) -> None:
    """What the shipped file says of its own reach is not the mixture's."""
    shipped = pairs.network(tmp_path / "shipped.onnx", "RGB", 1)
    unknown = foreign.build(
        tmp_path / "unknown.onnx",
        [
            helper.make_node("Shape", ["x"], ["shape"]),
            helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
            helper.make_node("ScatterND", ["zeros", "at", "one"], ["mask"]),
            helper.make_node("Add", ["x", "mask"], ["sum"]),
            foreign.enlarge("sum", "y", 2)[0],
        ],
        {
            "at": np.zeros((1, 4), np.int64),
            "one": np.ones(1, np.float32),
            "sizes": np.array([1, 1, 2, 2], np.float32),
        },
        [1, 3, "h", "w"],
    )
    assert model(unknown).spec.radius is None
    assert mixed(unknown, shipped).spec.radius is None
    assert mixed(unknown, shipped).spec.size_rule == model(unknown).spec.size_rule
