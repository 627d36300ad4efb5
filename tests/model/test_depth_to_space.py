"""Depth-to-space during the write to the frame gives exactly the values of ONNX Runtime's operator."""

from __future__ import annotations

from pathlib import Path

import networks
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

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


def test_other_endings_are_left_alone(tmp_path: Path) -> None:
    proto = onnx.load(str(networks.point(tmp_path / "p.onnx")))
    before = proto.SerializeToString(deterministic=True)
    assert depth_to_space.take_out(proto) is None
    assert proto.SerializeToString(deterministic=True) == before
