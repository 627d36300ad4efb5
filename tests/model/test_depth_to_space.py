"""Depth-to-space during the write to the frame gives exactly the values of ONNX Runtime's operator."""

from __future__ import annotations

from pathlib import Path

import networks
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from vs_gansr.model import library
from vs_gansr.model.rewrite import depth_to_space, int8


def run(proto: onnx.ModelProto, picture: np.ndarray) -> np.ndarray:
    return ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"]).run(
        None, {"input": picture}
    )[0]


@pytest.mark.parametrize("mode", ["CRD", "DCR"])
@pytest.mark.parametrize("block", [2, 3, 4])
def test_equals_the_operator(mode: str, block: int) -> None:
    channels = 3 * block * block
    nodes = [
        helper.make_node("Relu", ["input"], ["cells"]),
        helper.make_node("DepthToSpace", ["cells"], ["output"], blocksize=block, mode=mode),
    ]
    x = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, channels, "h", "w"])
    y = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, "oh", "ow"])
    proto = helper.make_model(
        helper.make_graph(nodes, "g", [x], [y]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    picture = np.random.default_rng(0).random((1, channels, 5, 7), np.float32)
    want = run(proto, picture)[0]
    taken = depth_to_space.take_out(proto)
    assert taken is not None
    cells = run(proto, picture)[0]
    assert cells.shape == (channels, 5, 7)
    for plane in range(3):
        padded = np.zeros((5 * block, 7 * block + 9), np.float32)  # rows have a stride larger than their length
        place = padded[:, : 7 * block]
        taken.write(cells, plane, place)
        np.testing.assert_array_equal(place, want[plane])


def test_surplus_channels_are_cut_with_it(tmp_path: Path) -> None:
    proto = onnx.load(str(networks.compact(tmp_path / "a.onnx", 8, 3, skip=True)))
    int8.align_channels(proto)
    picture = np.random.default_rng(0).random((1, 3, 6, 8), np.float32)
    want = run(proto, picture)[0]
    taken = depth_to_space.take_out(proto)
    assert taken == depth_to_space.Shuffle(2, "CRD", 12)
    cells = run(proto, picture)[0]
    assert cells.shape == (16, 6, 8)
    place = np.empty((12, 16), np.float32)
    for plane in range(3):
        taken.write(cells, plane, place)
        np.testing.assert_array_equal(place, want[plane])


@pytest.mark.parametrize("width", [12, 11, 10, 9])
@pytest.mark.parametrize("file", ["fast-2x.onnx", "fast-2x.int8.onnx", "synthetic.onnx"])
def test_a_wide_end_gives_the_same(file: str, width: int, tmp_path: Path) -> None:
    """Four channels are computed for four positions at once, in float32 and in int8, whole and for parts."""
    path = library.models_folder() / file
    proto = onnx.load(str(path if path.is_file() else networks.compact(tmp_path / file, 8, 3, made=1)))
    proto = int8.with_float_end(proto)
    channels = 1 if path.is_file() else 3
    picture = np.random.default_rng(0).random((1, channels, 6, width), np.float32)
    want = run(proto, picture)[0, 0]
    taken = depth_to_space.take_out(proto)
    assert taken
    wide = depth_to_space.widen(proto, taken, width)
    assert wide and wide.neighbours == 4
    depth_to_space.channels_last(proto)
    got = run(proto, picture)
    assert list(got.shape) == wide.shape(width, 6) == [1, 6, 3, 16]
    whole = np.zeros((12, 2 * width + 5), np.float32)[:, : 2 * width]
    wide.write(got[0], 0, whole)
    np.testing.assert_allclose(whole, want, atol=1e-5)
    part = np.zeros((6, 8), np.float32)
    wide.write(got[0], 0, part, 3, 2)
    np.testing.assert_array_equal(part, whole[4:10, 6:14])


def test_an_end_that_is_wide_already_stays(tmp_path: Path) -> None:
    """Twelve channels, and sums of anything but convolutions, are left alone."""
    rgb = onnx.load(str(networks.compact(tmp_path / "rgb.onnx", 8, 3, skip=True)))
    other = onnx.load(str(networks.compact(tmp_path / "luma.onnx", 8, 3, made=1)))
    last = next(node for node in other.graph.node if node.op_type == "DepthToSpace")
    other.graph.node.insert(len(other.graph.node) - 1, helper.make_node("Relu", [last.input[0]], ["rectified"]))
    last.input[0] = "rectified"
    for proto in (rgb, other):
        taken = depth_to_space.take_out(proto)
        assert taken
        before = proto.SerializeToString(deterministic=True)
        assert depth_to_space.widen(proto, taken, 12) is None
        assert proto.SerializeToString(deterministic=True) == before


def test_other_endings_are_left_alone(tmp_path: Path) -> None:
    proto = onnx.load(str(networks.point(tmp_path / "p.onnx")))
    before = proto.SerializeToString(deterministic=True)
    assert depth_to_space.take_out(proto) is None
    assert proto.SerializeToString(deterministic=True) == before
