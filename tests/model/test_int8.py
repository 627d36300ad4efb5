"""The int8 variant computes in integers where that is faster, stays close to float32 and keeps its metadata."""

from __future__ import annotations

from pathlib import Path

import networks
import numpy as np
import onnx
import onnxruntime as ort
import pytest

from vs_gansr.errors import ModelError
from vs_gansr.model.rewrite.int8 import align_channels, quantise, with_float_end


def run(data: bytes, picture: np.ndarray) -> np.ndarray:
    return ort.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, {"input": picture})[0]


def pictures(count: int = 4) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.random((1, 3, 32, 40), np.float32) for _ in range(count)]


def test_variant_is_close_and_its_convolutions_are_integers(tmp_path: Path) -> None:
    path = networks.compact(tmp_path / "a.onnx", 16, 5, skip=True, metadata={"name": "a", "licence": "MIT"})
    variant = quantise(path.read_bytes(), pictures())
    picture = pictures(6)[-1]
    want, got = run(path.read_bytes(), picture), run(variant, picture)
    assert want.shape == got.shape
    assert 10 * np.log10(np.ptp(want) ** 2 / np.mean((want - got) ** 2)) > 35
    assert np.abs(want - got).max() > 0
    proto = onnx.load_model_from_string(variant)
    stored = {prop.key: prop.value for prop in proto.metadata_props}
    assert stored["gansr.precision"] == "int8" and stored["gansr.licence"] == "MIT" and stored["gansr.name"] == "a"
    settings = ort.SessionOptions()
    settings.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    ort.InferenceSession(variant, settings, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(settings.optimized_model_filepath).graph.node]
    assert kinds.count("QLinearConv") == 5
    assert sum(kind in ("Conv", "FusedConv") for kind in kinds) == 1  # the resizing convolution stays float32
    assert "Relu" not in kinds  # folded into the quantisation


@pytest.mark.parametrize("skip", [False, True])
def test_the_end_is_not_rounded(skip: bool, tmp_path: Path) -> None:
    """Without the last rounding the result is nearer to float32; all other convolutions still read integers."""
    path = networks.compact(tmp_path / "a.onnx", 16, 5, skip=skip)
    variant = quantise(path.read_bytes(), pictures())
    proto = with_float_end(onnx.load_model_from_string(variant))
    onnx.checker.check_model(proto, full_check=True)
    before, after = (
        [node.op_type for node in each.graph.node].count("QuantizeLinear")
        for each in (onnx.load_model_from_string(variant), proto)
    )
    assert after == before - 1
    picture = pictures(6)[-1]
    want = run(path.read_bytes(), picture)
    errors = [np.mean((want - run(data, picture)) ** 2) for data in (variant, proto.SerializeToString())]
    assert errors[1] < errors[0]
    plain = path.read_bytes()
    assert with_float_end(onnx.load_model_from_string(plain)) == onnx.load_model_from_string(plain)


def test_an_end_that_clips_is_left_alone(tmp_path: Path) -> None:
    """A ReLU before depth-to-space is folded into the rounding; removing the rounding would remove the ReLU."""
    proto = onnx.load(str(networks.compact(tmp_path / "a.onnx", 16, 4)))
    end = next(node for node in proto.graph.node if node.op_type == "DepthToSpace")
    place = list(proto.graph.node).index(end)
    proto.graph.node.insert(place, onnx.helper.make_node("Relu", [end.input[0]], ["clipped"]))
    end.input[0] = "clipped"
    variant = quantise(proto.SerializeToString(), pictures())
    assert "Relu" not in [node.op_type for node in onnx.load_model_from_string(variant).graph.node]
    kept = with_float_end(onnx.load_model_from_string(variant)).SerializeToString()
    picture = pictures(6)[-1]
    assert run(kept, picture).min() >= 0
    np.testing.assert_array_equal(run(kept, picture), run(variant, picture))


@pytest.mark.parametrize("skip", [False, True])
def test_aligning_channels_changes_nothing(skip: bool, tmp_path: Path) -> None:
    path = networks.compact(tmp_path / "a.onnx", 8, 4, skip=skip)
    proto = onnx.load(str(path))
    align_channels(proto)
    onnx.checker.check_model(proto, full_check=True)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in proto.graph.initializer}
    assert shapes["w0"][1] == 4 and shapes["w3"][0] == 16
    picture = pictures()[0]
    np.testing.assert_allclose(run(proto.SerializeToString(), picture), run(path.read_bytes(), picture), atol=1e-6)


def test_aligning_looks_through_a_clamp_of_the_input(tmp_path: Path) -> None:
    proto = onnx.load(str(networks.compact(tmp_path / "a.onnx", 8, 4)))
    limits = [onnx.numpy_helper.from_array(np.array(value, np.float32), f"limit{value}") for value in (0, 1)]
    proto.graph.initializer.extend(limits)
    first = next(node for node in proto.graph.node if node.op_type == "Conv")
    source, first.input[0] = first.input[0], "clamped"
    proto.graph.node.insert(0, onnx.helper.make_node("Clip", [source, "limit0", "limit1"], ["clamped"]))
    before = proto.SerializeToString()
    align_channels(proto)
    onnx.checker.check_model(proto, full_check=True)
    assert next(tuple(tensor.dims) for tensor in proto.graph.initializer if tensor.name == "w0")[1] == 4
    picture = 1.4 * pictures()[0] - 0.2
    np.testing.assert_allclose(run(proto.SerializeToString(), picture), run(before, picture), atol=1e-6)


def test_shapes_that_an_exporter_wrote_down_do_not_stop_it(tmp_path: Path) -> None:
    proto = onnx.load(str(networks.compact(tmp_path / "a.onnx", 8, 4)))
    shuffle = proto.graph.node[-1]
    proto.graph.node.append(onnx.helper.make_node("Identity", ["shuffled"], [shuffle.output[0]]))
    shuffle.output[0] = "shuffled"
    weight = next(tensor for tensor in proto.graph.initializer if tensor.name == "w0")
    stored = onnx.helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims)
    proto.graph.value_info.append(stored)  # the shape of a weight that gets another channel
    variant = quantise(proto.SerializeToString(), pictures())
    picture = pictures()[0]
    assert np.abs(run(variant, picture) - run(proto.SerializeToString(), picture)).max() < 0.1


def test_what_cannot_be_quantised_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no convolutions"):
        quantise(networks.point(tmp_path / "p.onnx").read_bytes(), pictures())
    with pytest.raises(ModelError, match="at least one calibration picture"):
        quantise(networks.compact(tmp_path / "c.onnx", 8, 3).read_bytes(), [])


def test_named_convolutions_stay_float32(tmp_path: Path) -> None:
    path = networks.compact(tmp_path / "a.onnx", 16, 4)
    named = onnx.load(path)
    for n, node in enumerate(node for node in named.graph.node if node.op_type == "Conv"):
        node.name = f"conv{n}"
    data, kept = named.SerializeToString(), quantise(named.SerializeToString(), pictures(), keep=["conv0"])
    weights = {w.name: w.data_type for w in onnx.load_model_from_string(kept).graph.initializer}
    assert weights["w0"] == onnx.TensorProto.FLOAT and "w1" not in weights
    picture = pictures(6)[-1]
    want, whole, part = (run(each, picture) for each in (data, quantise(data, pictures()), kept))
    assert np.mean((part - want) ** 2) < np.mean((whole - want) ** 2)
