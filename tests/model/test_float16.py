"""The half-precision copy of a generator is close to the original and does not overflow on what the probes show."""

from __future__ import annotations

from pathlib import Path

import networks
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from vs_gansr.engine import probe
from vs_gansr.engine.base import EngineKey
from vs_gansr.engine.onnxruntime import sessions
from vs_gansr.engine.onnxruntime.provider import CPU
from vs_gansr.model import library
from vs_gansr.model.rewrite import float16
from vs_gansr.model.rewrite.graph_view import name_nodes
from vs_gansr.model.spec import ValueRange


def run(proto: onnx.ModelProto, picture: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: picture})[0]


def run_in_half(proto: onnx.ModelProto, picture: np.ndarray) -> np.ndarray:
    """Run a network with every value in the type that its graph states; ONNX Runtime's CPU provider hides overflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        return ReferenceEvaluator(proto).run(None, {"input": picture})[0]


def psnr(a: np.ndarray, b: np.ndarray, peak: float = 1.0) -> float:
    return float(10 * np.log10(peak**2 / np.mean(np.square(a.astype(np.float64) - b))))


def picture(size: int = 64, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random((1, 3, size, size), np.float32)


def loud(path: Path, gain: float) -> onnx.ModelProto:
    """Return three 1x1 convolutions: the first multiplies by `gain`, the second divides by it; together they change
    nothing.
    """
    weights = [
        numpy_helper.from_array((np.eye(3) * factor).astype(np.float32).reshape(3, 3, 1, 1), f"w{i}")
        for i, factor in enumerate((np.sqrt(gain), np.sqrt(gain), 1 / gain, 1.0))
    ]
    nodes = [
        helper.make_node("Conv", [f"v{i}" if i else "input", f"w{i}"], [f"v{i + 1}" if i < 3 else "output"])
        for i in range(4)
    ]
    return onnx.load(networks.save(path / "loud.onnx", nodes, weights))


def test_half_copy_is_close_to_the_original(tmp_path: Path) -> None:
    proto = onnx.load(networks.compact(tmp_path / "m.onnx", features=16, convs=6, slope=0.1))
    halved = float16.convert(proto)
    onnx.checker.check_model(halved)
    kinds = {t.data_type for t in halved.graph.initializer}
    assert kinds == {TensorProto.FLOAT16}
    assert [v.type.tensor_type.elem_type for v in (*halved.graph.input, *halved.graph.output)] == [
        TensorProto.FLOAT
    ] * 2
    assert psnr(run(halved, picture()), run(proto, picture())) > 60
    assert TensorProto.FLOAT16 not in {t.data_type for t in proto.graph.initializer}  # the original is unchanged


def test_activations_that_overflow_stay_in_float(tmp_path: Path) -> None:
    proto = loud(tmp_path, 1e6)
    named = name_nodes(proto)
    blocked = float16.overflowing(named)
    assert blocked == {named.graph.node[1].name, named.graph.node[2].name}  # these nodes make and read the large value
    naive = float16.convert(proto, keep=frozenset())
    assert not np.isfinite(run_in_half(naive, picture(8))).all()
    assert psnr(run_in_half(float16.convert(proto), picture(8)), picture(8)) > 55


def test_sessions_spare_what_overflows(tmp_path: Path) -> None:
    loud(tmp_path, 1e6)
    loaded = probe.describe(library.load(str(tmp_path / "loud.onnx")))
    key = EngineKey(loaded.spec.digest, CPU, 0, "fp16", 8, 8, 1, 1)
    proto = sessions.fix(onnx.load_model_from_string(loaded.data), loaded.spec, key)
    assert TensorProto.FLOAT16 in {t.data_type for t in proto.graph.initializer}
    assert psnr(run_in_half(proto, picture(8)), picture(8)) > 55


def test_weights_that_overflow_stay_in_float(tmp_path: Path) -> None:
    proto = loud(tmp_path, 1e11)
    assert psnr(run_in_half(float16.convert(proto), picture(8)), picture(8)) > 55


def test_range_of_the_network_counts(tmp_path: Path) -> None:
    proto = name_nodes(loud(tmp_path, 2000.0))
    assert not float16.overflowing(proto)
    assert float16.overflowing(proto, ValueRange(0, 255))


@pytest.mark.parametrize("name", ["realesr-animevideov3-x4", "realcugan-se-2x-conservative"])
def test_networks_people_use(name: str, shared: Path) -> None:
    proto = onnx.load(shared / "anchors" / f"{name}.onnx")
    assert psnr(run(float16.convert(proto), picture(48)), run(proto, picture(48))) > 50
