"""A network reads and writes samples as frames store them; the results equal numpy's arithmetic."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from vs_gansr.errors import ModelError
from vs_gansr.model import library
from vs_gansr.model.rewrite import depth_to_space, float16
from vs_gansr.model.rewrite.ends import Samples, wrap
from vs_gansr.model.spec import ValueRange

KERNEL = np.array([[0.02, -0.03, 0.01], [0.05, 0.9, -0.04], [0.0, 0.06, 0.03]], np.float32)
STORED = {
    "8 bit limited": Samples.integer(8, False),
    "8 bit full": Samples.integer(8, True),
    "10 bit limited": Samples.integer(10, False),
    "16 bit full": Samples.integer(16, True),
    "half": Samples(np.dtype(np.float16)),
    "float": Samples.float32(),
    "float, white 255": Samples.float32(255.0),
}
SIZE = (6, 10)


def network(kind: int = TensorProto.FLOAT, channels: int = 1, opset: int = 17, listed: bool = False) -> onnx.ModelProto:
    """Return a 3x3 depthwise convolution; `listed` puts its weights among the inputs, as old files do."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    weights = [numpy_helper.from_array(np.tile(KERNEL, (channels, 1, 1, 1)).astype(dtype), "k")]
    node = helper.make_node("Conv", ["x", "k"], ["y"], pads=[1] * 4, group=channels)
    shape = ["n", "c", "h", "w"]
    values = [helper.make_tensor_value_info(name, kind, shape) for name in "xy"]
    entries = values[:1] + [helper.make_tensor_value_info("k", kind, [channels, 1, 3, 3])] * listed
    graph = helper.make_graph([node], "g", entries, values[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=3 if listed else 8)


def run(proto: onnx.ModelProto, picture: np.ndarray) -> list[np.ndarray]:
    onnx.checker.check_model(proto)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: picture})


def codes(samples: Samples, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Return codes of every kind: the smallest, the largest and values between them, including values beyond black
    and white.
    """
    rng = np.random.default_rng(seed)
    values = rng.random((1, channels, *SIZE)) * 1.2 - 0.1
    values[..., 0, 0], values[..., 0, 1] = -9, 9
    scaled = samples.scale * values + samples.offset
    return (np.clip(np.rint(scaled), 0, samples.peak) if samples.is_integer else scaled).astype(samples.dtype)


def convolved(picture: np.ndarray) -> np.ndarray:
    padded = np.pad(picture, ((0, 0), (0, 0), (1, 1), (1, 1)))
    cells = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
    return np.einsum("nchwij,ij->nchw", cells, KERNEL.astype(np.float64))


def expected(picture: np.ndarray, source: Samples, target: Samples) -> np.ndarray:
    value = convolved((picture.astype(np.float64) - source.offset) / source.scale)
    stored = value * target.scale + target.offset
    return np.clip(np.rint(stored), 0, target.peak) if target.is_integer else stored


@pytest.mark.parametrize("target", STORED)
@pytest.mark.parametrize("source", STORED)
@pytest.mark.parametrize(("peak", "channels"), [(1.0, 1), (255.0, 3)])
def test_any_samples_to_any(source: str, target: str, peak: float, channels: int) -> None:
    """The convolution is linear, so a network whose white is 255 gives the same samples."""
    before, after = STORED[source], STORED[target]
    picture = codes(before, channels)
    proto = wrap(network(channels=channels), before, after, picture.shape, ValueRange(0, peak), ValueRange(0, peak))
    [got] = run(proto, picture)
    assert got.dtype == after.dtype and got.shape == picture.shape
    want = expected(picture, before, after)
    if after.is_integer:  # where rounding depends on the last bits of float32
        assert np.abs(got - want).max() <= 1 and (got != want).mean() < 0.02
    else:
        step = 1e-3 if after.dtype == np.float16 else 2e-6
        np.testing.assert_allclose(got, want, atol=step * after.scale, rtol=step)


def test_rounding_is_half_to_even_and_clipped() -> None:
    proto = network()
    alone = np.zeros((1, 1, 3, 3), np.float32)
    alone[0, 0, 1, 1] = 1
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(alone, "k"))
    target = Samples(np.dtype(np.uint8), scale=1.0, offset=0.0, peak=250.0)
    picture = np.array([[[[-3.0, 0.5, 1.5, 2.5, 249.6, 255.4, 1e9, -1e9]]]], np.float32)
    [got] = run(wrap(proto, Samples.float32(), target, picture.shape), picture)
    assert got.ravel().tolist() == [0, 0, 2, 2, 250, 250, 250, 0]


@pytest.mark.parametrize("source", ["8 bit limited", "half"])
def test_networks_in_half_precision(source: str) -> None:
    samples = STORED[source]
    picture = codes(samples)
    proto = wrap(network(TensorProto.FLOAT16), samples, samples, picture.shape, watch=True)
    got, total = run(proto, picture)
    want = expected(picture, samples, samples)
    np.testing.assert_allclose(got, want, atol=2e-2 * samples.scale, rtol=2e-3)
    assert got.dtype == samples.dtype and total.dtype == np.float32
    if source == "half":
        assert "Cast" not in [node.op_type for node in proto.graph.node[:-3]]


def test_nothing_is_added_where_nothing_changes() -> None:
    plain = Samples.float32()
    proto = wrap(network(), plain, plain, (1, 1, *SIZE))
    assert [node.op_type for node in proto.graph.node] == ["Conv"]
    assert (proto.graph.input[0].name, proto.graph.output[0].name) == ("x", "y")
    proto = wrap(
        network(), Samples.float32(255.0), Samples.float32(255.0), (1, 1, *SIZE), ValueRange(0, 255), ValueRange(0, 255)
    )
    assert [node.op_type for node in proto.graph.node] == ["Conv"]
    full = Samples.integer(8, True)
    kinds = [node.op_type for node in wrap(network(), full, full, (1, 1, *SIZE)).graph.node]
    assert kinds == ["Cast", "Mul", "Conv", "Mul", "Clip", "Round", "Cast"]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16])
def test_the_watch_sees_a_single_bad_sample(bad: float, kind: int) -> None:
    samples = Samples.float32()
    picture = codes(samples)
    proto = wrap(network(kind), samples, Samples.integer(8, True), picture.shape, watch=True)
    _, total = run(proto, picture)
    assert total.shape == (1,) and np.isfinite(total[0])
    np.testing.assert_allclose(total[0], convolved(picture).sum(), rtol=2e-2)
    picture[0, 0, 3, 4] = bad
    _, total = run(proto, picture)
    assert not np.isfinite(total[0])


def test_weights_among_the_inputs_are_none() -> None:
    samples = Samples.integer(8, True)
    picture = codes(samples)
    proto = wrap(network(listed=True), samples, samples, picture.shape)
    assert len(proto.graph.input) == 1
    assert np.abs(run(proto, picture)[0] - expected(picture, samples, samples)).max() <= 1


def test_old_operators_are_refused() -> None:
    with pytest.raises(ModelError, match="opset 6; opset 7 or later"):
        wrap(network(opset=6), Samples.float32(), Samples.float32(), (1, 1, *SIZE))
    with pytest.raises(ModelError, match="opset 10; opset 11 or later"):
        wrap(network(opset=10), Samples.float32(), Samples.integer(8, True), (1, 1, *SIZE))


def test_unknown_types_are_refused() -> None:
    with pytest.raises(ValueError, match="float64"):
        Samples(np.dtype(np.float64))


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_shipped_network_between_stored_samples(precision: str) -> None:
    """The network with conversions gives the values of the bare network, except for the rounding of the output."""
    name = library.default_model()
    file = library.load(name)
    proto = onnx.load_model_from_string(file.data)
    if precision == "fp16":
        proto = float16.convert(proto)
    samples = Samples.integer(8, False)
    shape = (1, file.spec.inputs, 24, 32)
    picture = np.random.default_rng(0).integers(16, 236, shape).astype(np.uint8)
    got, total = run(wrap(proto, samples, samples, shape, watch=True), picture)
    [bare] = run(proto, ((picture.astype(np.float32) - 16) / 219).astype(np.float32))
    want = np.clip(np.rint(bare * 219 + 16), 0, 255)
    assert got.shape == bare.shape and got.dtype == np.uint8
    assert np.abs(got - want).max() <= 1 and (got != want).mean() < (0.002 if precision == "fp32" else 0.05)
    np.testing.assert_allclose(total[0], bare.sum(), rtol=1e-3)


def test_a_network_without_its_last_depth_to_space() -> None:
    """The output has another shape than a picture; sessions can read that shape."""
    file = library.load("fast-2x")
    proto = onnx.load_model_from_string(file.data)
    whole = wrap(proto, Samples.float32(), Samples.integer(8, True), (1, file.spec.inputs, 8, 12))
    shuffle = depth_to_space.take_out(proto)
    assert shuffle
    cells = wrap(proto, Samples.float32(), Samples.integer(8, True), (1, file.spec.inputs, 8, 12))
    session = ort.InferenceSession(cells.SerializeToString(), providers=["CPUExecutionProvider"])
    assert session.get_outputs()[0].shape == [1, shuffle.channels, 8, 12]
    picture = np.random.default_rng(0).random((1, file.spec.inputs, 8, 12), np.float32)
    [want] = run(whole, picture)
    [got] = run(cells, picture)
    place = np.empty_like(want[0, 0])
    shuffle.write(got[0], 0, place)
    np.testing.assert_array_equal(place, want[0, 0])


def test_the_original_stays_as_it_is() -> None:
    proto = network()
    before = proto.SerializeToString()
    wrap(proto, Samples.integer(8, True), Samples.integer(8, True), (1, 1, *SIZE), watch=True)
    assert proto.SerializeToString() == before
