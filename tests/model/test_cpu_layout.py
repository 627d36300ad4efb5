"""Graph rewrites keep the network's values and keep ONNX Runtime's blocked layout."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from vs_gansr.model.rewrite import cpu_layout

CPU = ["CPUExecutionProvider"]


def network(nodes: list, weights: dict[str, np.ndarray], channels: int = 3) -> onnx.ModelProto:
    """Return a network `input` -> `output` of static size."""
    x = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, channels, 20, 28])
    y = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, None, 20, 28])
    tensors = [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "test", [x], [y], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def conv(source: str, target: str, weight: str) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, weight], [target], pads=[1, 1, 1, 1])


def kernels(features: int, inputs: int = 3) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.3, (features, inputs, 3, 3))


def run(proto: onnx.ModelProto, tmp_path: Path) -> tuple[np.ndarray, Counter[str]]:
    """Return the network's output on a picture, and the operators that ONNX Runtime kept."""
    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    settings.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    session = ort.InferenceSession(proto.SerializeToString(), settings, providers=CPU)
    channels = proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    picture = np.random.default_rng(0).normal(size=(1, channels, 20, 28)).astype(np.float32)
    kinds = Counter(node.op_type for node in onnx.load(settings.optimized_model_filepath).graph.node)
    return session.run(None, {"input": picture})[0], kinds


def check_equal(proto: onnx.ModelProto, tmp_path: Path) -> tuple[Counter[str], Counter[str]]:
    """Assert that the rewritten network gives the same values; return the operators before and after."""
    want, before = run(proto, tmp_path)
    copy = onnx.ModelProto.FromString(proto.SerializeToString())
    got, after = run(cpu_layout.for_cpu(copy), tmp_path)
    onnx.checker.check_model(copy)
    assert np.abs(want).max() > 0.1
    np.testing.assert_allclose(got, want, atol=2e-6 * np.abs(want).max())
    return before, after


@pytest.mark.parametrize(
    "slopes",
    [np.linspace(-0.3, 0.9, 32), np.linspace(0.1, 1.7, 32), np.zeros(32), np.full(32, 0.2), np.linspace(1, 2, 32)],
    ids=["below one", "around one", "zero", "one number", "above one"],
)
@pytest.mark.parametrize("rank", [3, 4])
def test_prelu(slopes: np.ndarray, rank: int, tmp_path: Path) -> None:
    slopes = slopes.reshape([1] * (rank - 3) + [-1, 1, 1])
    nodes = [conv("input", "a", "w0"), helper.make_node("PRelu", ["a", "s"], ["b"]), conv("b", "output", "w1")]
    weights = {"w0": kernels(32), "w1": kernels(16, 32), "s": slopes}
    before, after = check_equal(network(nodes, weights), tmp_path)
    assert before["PRelu"] == 1
    assert after["PRelu"] == 0 and after["ReorderOutput"] <= 1  # only the output leaves the blocked layout


def test_prelu_of_one_shared_slope_and_exporters_habits(tmp_path: Path) -> None:
    """A slope that passes through Identity or Constant nodes is handled as a constant."""
    slope = numpy_helper.from_array(np.linspace(0, 0.5, 16, dtype=np.float32).reshape(16, 1, 1), "value")
    nodes = [
        helper.make_node("Constant", [], ["k"], value=slope),
        helper.make_node("Identity", ["k"], ["s"]),
        conv("input", "a", "w0"),
        helper.make_node("PRelu", ["a", "s"], ["b"]),
        conv("b", "c", "w1"),
        helper.make_node("PRelu", ["c", "s"], ["d"]),
        helper.make_node("PRelu", ["d", "one"], ["output"]),
    ]
    weights = {"w0": kernels(16), "w1": kernels(16, 16), "one": np.full((1, 1, 1), 0.3)}
    _, after = check_equal(network(nodes, weights), tmp_path)
    assert after["PRelu"] == 0 and after["ReorderOutput"] <= 1


def test_what_does_not_come_in_blocks_is_left_alone(tmp_path: Path) -> None:
    nodes = [conv("input", "a", "w0"), helper.make_node("PRelu", ["a", "s"], ["output"])]
    before, after = check_equal(
        network(nodes, {"w0": kernels(24), "s": np.linspace(0, 1, 24).reshape(24, 1, 1)}), tmp_path
    )
    assert before == after
    nodes = [helper.make_node("PRelu", ["input", "s"], ["output"])]  # no node before it
    before, after = check_equal(network(nodes, {"s": np.linspace(0, 1, 16).reshape(16, 1, 1)}, 16), tmp_path)
    assert before == after
    nodes = [conv("input", "a", "w0"), helper.make_node("PRelu", ["a", "s"], ["output"])]
    by_place = np.random.default_rng(2).random((16, 20, 28))  # one slope per pixel
    before, after = check_equal(network(nodes, {"w0": kernels(16), "s": by_place}), tmp_path)
    assert before == after


@pytest.mark.parametrize("turned", [False, True])
def test_scaled_residual(turned: bool, tmp_path: Path) -> None:
    """c * (a + b) + x, with the number on either side of the product."""
    nodes = [
        conv("input", "x", "w0"),
        conv("x", "a", "w1"),
        helper.make_node("Add", ["a", "x"], ["b"]),
        helper.make_node("Mul", ["c", "b"] if turned else ["b", "c"], ["d"]),
        helper.make_node("Add", ["d", "x"], ["e"]),
        conv("e", "output", "w1"),
    ]
    weights = {"w0": kernels(16), "w1": kernels(16, 16), "c": np.float32(0.2)}
    before, after = check_equal(network(nodes, weights), tmp_path)
    assert before["Mul"] == 1
    assert after["Mul"] == 0 and after["ReorderInput"] == 0


def test_anchor_with_seventeen_prelus(shared: Path, tmp_path: Path) -> None:
    proto = onnx.load(str(shared / "anchors" / "realesr-animevideov3-x4.onnx"))
    for dim, size in zip(proto.graph.input[0].type.tensor_type.shape.dim, (1, 3, 20, 28), strict=True):
        dim.dim_value = size
    before, after = check_equal(proto, tmp_path)
    assert before["PRelu"] == 17
    assert after["PRelu"] == 0 and after["ReorderInput"] == 0


def test_tidy_leaves_outputs_and_values_alone(tmp_path: Path) -> None:
    two = numpy_helper.from_array(np.float32(2).reshape(()), "value")
    nodes = [
        helper.make_node("Constant", [], ["k"], value=two),
        helper.make_node("Identity", ["input"], ["a"]),
        helper.make_node("Mul", ["a", "k"], ["b"]),
        helper.make_node("Identity", ["b"], ["output"]),
    ]
    proto = network(nodes, {})
    want, _ = run(proto, tmp_path)
    tidied = cpu_layout.tidy(proto)
    assert [node.op_type for node in tidied.graph.node] == ["Mul", "Identity"]
    np.testing.assert_array_equal(run(tidied, tmp_path)[0], want)


@pytest.mark.parametrize("opset", [9, 10, 11, 12, 13])
def test_old_networks_become_modern(opset: int) -> None:
    """Networks of old exporters: attributes that became inputs later, and weights listed as inputs."""
    nodes = [conv("input", "a", "w"), helper.make_node("LeakyRelu", ["a"], ["b"], alpha=0.2)]
    weights = {"w": kernels(4), "sizes": np.array([1, 1, 2, 2])}
    if opset < 11:
        nodes.append(helper.make_node("Pad", ["b"], ["c"], mode="reflect", pads=[0, 0, 3, 3, 0, 0, 3, 3]))
        nodes.append(helper.make_node("Clip", ["c"], ["d"], min=-0.5, max=0.5))
        nodes.append(helper.make_node("Upsample" if opset == 9 else "Resize", ["d", "sizes"], ["f"]))
    else:
        nodes.append(helper.make_node("Resize", ["b", "none", "sizes"], ["f"], mode="linear"))
        weights["none"] = np.zeros(0)
    squeezed = {} if opset >= 13 else {"axes": [2, 3]}
    if squeezed:
        nodes.append(helper.make_node("ReduceSum", ["f"], ["sum"], keepdims=1, **squeezed))
        nodes.append(helper.make_node("Add", ["f", "sum"], ["output"]))
    else:
        nodes[-1].output[0] = "output"
    proto = network(nodes, weights)
    proto.opset_import[0].version, proto.ir_version = opset, 3
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    proto.metadata_props.add(key="gansr.licence", value="MIT")
    for tensor in proto.graph.initializer:
        proto.graph.input.add().CopyFrom(helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, tensor.dims))
    picture = np.random.default_rng(0).normal(size=(1, 3, 20, 28)).astype(np.float32)
    [want] = ort.InferenceSession(proto.SerializeToString(), providers=CPU).run(None, {"input": picture})
    modernised = cpu_layout.modern(proto)
    [got] = ort.InferenceSession(modernised.SerializeToString(), providers=CPU).run(None, {"input": picture})
    np.testing.assert_array_equal(got, want)
    assert max(o.version for o in modernised.opset_import) >= 13
    assert [value.name for value in modernised.graph.input] == ["input"]
    assert {p.key: p.value for p in modernised.metadata_props} == {"gansr.licence": "MIT"}


def test_what_the_opset_converter_would_change_or_refuses_is_left_alone() -> None:
    enlarged = network(
        [helper.make_node("Resize", ["input", "sizes"], ["output"], mode="linear")], {"sizes": [1, 1, 2, 2]}
    )
    enlarged.opset_import[0].version = 10
    unknown = network([helper.make_node("Unheard", ["input"], ["output"])], {})
    unknown.opset_import[0].version = 12
    for proto in (enlarged, unknown):
        assert cpu_layout.modern(proto) is proto
        assert proto.opset_import[0].version < 13
