"""Invalid arguments raise an error that begins `Upscale:`, with the values and the remedy."""

from __future__ import annotations

from pathlib import Path

import networks
import onnx
import pytest
import vapoursynth as vs
from onnx import TensorProto, helper

import vs_gansr


@pytest.fixture(scope="module")
def clip() -> vs.VideoNode:
    return vs.core.std.BlankClip(format=vs.YUV420P8, width=32, height=32, length=2).std.SetFrameProps(_Matrix=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "4"}, r'model "4" is a number; .*: model="general-4x"'),
        ({"model": "3x"}, r'model "3x" is a number; .*: model="general-2x"'),
        ({"model": "nonsense"}, r'unknown model "nonsense"; shipped:'),
        ({"model": "no/such/file.onnx"}, r'model file "no/such/file.onnx" does not exist; shipped models:'),
        ({"model": ""}, r"model is empty"),
        ({"tilesize": -1}, r"tilesize \[-1, -1\] must not be negative or 0"),
        ({"tilesize": [64, 0]}, r"tilesize \[64, 0\]"),
        ({"tilesize": [64, 64, 64]}, r"tilesize \[64, 64, 64\] has 3 numbers; give one, or width and height"),
        ({"overlap": [-4, 4]}, r"overlap \[-4, 4\] must not be negative"),
        ({"tilesize": 16, "overlap": 8}, r"tilesize \[16, 16\] must exceed twice the overlap \[8, 8\]"),
        ({"provider": "Abacus"}, r'unknown provider "Abacus"; installed: auto, .*CPU.*; not installed: .*DirectML'),
        ({"precision": "fp8"}, r'precision "fp8" is unknown; use one of: auto, fp32, fp16, bf16, int8'),
        ({"precision": "int8"}, r'has no int8 variant \(point\.int8\.onnx\)'),
        ({"device_id": 7, "provider": "CPU"}, r"device_id 7 does not exist, the CPU is device 0"),
        ({"device_id": -1}, r"device_id -1 is negative"),
        ({"device_id": 99}, r"device_id 99"),
        ({"num_streams": 0}, r"num_streams 0 must be at least 1"),
        ({"num_streams": 1000000000}, r"num_streams 1000000000 must be at least 1 and at most 64"),
        ({"memory": 0}, r"memory 0 must be at least 1 \(MiB\)"),
        ({"memory": -5}, r"memory -5 must be at least 1"),
        ({"memory": 1}, r"memory 1 MiB is too little: a tile of .* takes about \d+ MiB"),
        ({"strength": 1.5}, r"strength 1.5 must be from 0 \(Catmull-Rom resize\) to 1 \(the network\)"),
        ({"strength": -0.1}, r"strength -0.1 must be from 0"),
        ({"strength": float("nan")}, r"strength nan must be from 0"),
        ({"texture": 1.5}, r"texture 1.5 must be from 0 \(the softer model NAME-psnr\) to 1"),
        ({"texture": float("nan")}, r"texture nan must be from 0"),
        ({"reuse": 2}, r"reuse 2 must be 0 or 1"),
        ({"format": 12345}, r"format 12345 is no video format"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_bad_arguments(clip: vs.VideoNode, arguments: dict, message: str, point_model: Path) -> None:
    arguments = {"model": str(point_model)} | arguments
    with pytest.raises(vs.Error, match=f"^Upscale: .*{message}") as caught:
        clip.gansr.Upscale(**arguments)
    assert "\n" not in str(caught.value)
    with pytest.raises(vs.Error, match=f"^Upscale: .*{message}"):
        vs_gansr.upscale(clip, **arguments)


def test_unavailable_cuda_says_why(clip: vs.VideoNode, point_model: Path) -> None:
    from vs_gansr.engine.auto import registry

    cuda = next(provider for provider in registry.PROVIDERS if provider.name == "CUDA")
    reason = cuda.trouble(0)
    if not cuda.installed():
        expected = 'provider "CUDA" is not installed'
    elif reason is None:
        clip.gansr.Upscale(str(point_model), provider="CUDA").get_frame(0)
        return
    else:
        assert any(word in reason for word in ("driver", "device", "library", "ONNX Runtime"))
        expected = 'provider "CUDA" cannot run: '
    with pytest.raises(vs.Error, match=f"^Upscale: {expected}"):
        clip.gansr.Upscale(str(point_model), provider="CUDA")


def test_bindings_own_refusals_stay_its_own(clip: vs.VideoNode) -> None:
    with pytest.raises(ValueError):
        clip.gansr.Upscale(device_id="many")
    with pytest.raises(vs.Error):
        clip.gansr.Upscale(no_such_argument=1)


def test_files_that_are_not_onnx(clip: vs.VideoNode, tmp_path: Path) -> None:
    for name, content in (("text.onnx", b"hello"), ("empty.onnx", b""), ("zeros.onnx", bytes(4096))):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(vs.Error, match=rf'^Upscale: model "{path.stem}" is not '):
            clip.gansr.Upscale(str(path))
    other = tmp_path / "model.pth"
    other.write_bytes(b"")
    with pytest.raises(vs.Error, match=r"^Upscale: .*model\.pth"):
        clip.gansr.Upscale(str(other))


def test_channel_counts(clip: vs.VideoNode, core: vs.Core, tmp_path: Path) -> None:
    one = networks.point(tmp_path / "one.onnx", channels=1)
    gray = core.std.BlankClip(format=vs.GRAY8, width=8, height=8, color=[99])
    assert gray.gansr.Upscale(str(one)).get_frame(0)[0][15, 15] == 99
    four = networks.point(tmp_path / "four.onnx", channels=4)
    with pytest.raises(vs.Error, match=r'^Upscale: model "four" has 4 input channels; supported are 1 or 3'):
        clip.gansr.Upscale(str(four))


def test_networks_that_are_no_upscalers(clip: vs.VideoNode, tmp_path: Path) -> None:
    def save(name: str, node: onnx.NodeProto, shape: list) -> str:
        x = helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)
        y = helper.make_tensor_value_info("output", TensorProto.FLOAT, None)
        proto = helper.make_model(
            helper.make_graph([node], "g", [x], [y]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
        )
        onnx.save(proto, str(tmp_path / name))
        return str(tmp_path / name)

    free = [1, 3, "h", "w"]
    pooled = save("pooled.onnx", helper.make_node("GlobalAveragePool", ["input"], ["output"]), free)
    with pytest.raises(vs.Error, match=r'^Upscale: model "pooled" turns a 64x65 picture'):
        clip.gansr.Upscale(pooled)
    flat = save("flat.onnx", helper.make_node("Flatten", ["input"], ["output"]), free)
    with pytest.raises(vs.Error, match=r'^Upscale: model "flat" turns a 64x65 picture'):
        clip.gansr.Upscale(flat)
    vector = save("vector.onnx", helper.make_node("Relu", ["input"], ["output"]), [1, 3])
    with pytest.raises(vs.Error, match=r'^Upscale: model "vector" has no 4-dimensional'):
        clip.gansr.Upscale(vector)
    unknown = save("unknown.onnx", helper.make_node("NoSuchOperator", ["input"], ["output"]), free)
    with pytest.raises(vs.Error, match=r"^Upscale: ONNX Runtime refuses the network"):
        clip.gansr.Upscale(unknown)


def test_metadata_that_lies(clip: vs.VideoNode, tmp_path: Path) -> None:
    wrong = networks.point(tmp_path / "wrong.onnx", scale=2, metadata={"scale": "3"})
    with pytest.raises(vs.Error, match=r'^Upscale: model "wrong"'):
        clip.gansr.Upscale(str(wrong))
    damaged = networks.point(tmp_path / "damaged.onnx", metadata={"scale": "two"})
    with pytest.raises(vs.Error, match=r'^Upscale: model "damaged" has damaged metadata'):
        clip.gansr.Upscale(str(damaged))


def test_error_tree() -> None:
    assert all(
        issubclass(getattr(vs_gansr, name), vs_gansr.GansrError)
        for name in ("ArgumentError", "ModelError", "ProviderError", "RenderError")
    )
    assert vs_gansr.__all__ == sorted(vs_gansr.__all__)
