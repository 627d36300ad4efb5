"""Upscale shows what PyTorch computes after a conversion; a failed conversion leaves no files."""

from __future__ import annotations

from pathlib import Path

import clips
import families
import networks
import numpy as np
import onnx
import pytest
import spandrel
import torch
import vapoursynth as vs

from vs_gansr.cli.common import silenced
from vs_gansr.cli.convert import converter, crops, torch_file
from vs_gansr.colour import pictures
from vs_gansr.engine import probe
from vs_gansr.errors import ArgumentError, ModelError
from vs_gansr.model import library

SIZE = (53, 41)  # odd


def frames(shared: Path) -> tuple[Path, ...]:
    return (shared / "data" / "eval" / "stills",)


@pytest.mark.slow
@pytest.mark.parametrize("family", families.FAMILIES)
def test_families_run_through_upscale_as_in_pytorch(family: str, shared: Path, tmp_path: Path) -> None:
    source = families.save(tmp_path, family)
    job = converter.Conversion(
        source, tmp_path / "made.onnx", frames=frames(shared), tile=32, licence="MIT", origin="a test"
    )
    report = converter.convert(job)
    assert report.files[0].difference <= 2e-4
    said = families.metadata(tmp_path / "made.onnx")
    assert (said["gansr.licence"], said["gansr.precision"]) == ("MIT", "fp32")
    assert said["gansr.source"].startswith(f"a test, {source.name}, sha256 ")

    clip = clips.noise(vs.RGBS, *SIZE, length=1)
    with clip.gansr.Upscale(str(tmp_path / "made.onnx")).get_frame(0) as f:
        got = np.stack([np.asarray(f[i]) for i in range(3)])
    spec = probe.describe(library.load(str(tmp_path / "made.onnx"))).spec
    assert report.size_rule.fixed is None and spec.size_rule.fixed is None
    picture = np.stack(clips.planes(clip.get_frame(0))).astype(np.float32)
    sides = [spec.size_rule.side(side) - side for side in (SIZE[1], SIZE[0])]
    padded = np.pad(picture, ((0, 0), (0, sides[0]), (0, sides[1])), "reflect")[np.newaxis]
    torchs = spandrel.ModelLoader(device="cpu").load_from_file(source).model.eval()
    with torch.inference_mode():
        want = torchs(torch.from_numpy(padded)).numpy()[0]
    want = want[:, : report.scale * SIZE[1], : report.scale * SIZE[0]]
    assert want.shape == got.shape
    assert np.ptp(want) > 0.01
    np.testing.assert_allclose(got, want, atol=2e-4 * max(1, np.abs(want).max()))


def source_of(module: torch.nn.Module) -> torch_file.TorchNetwork:
    """Return a 1x network for RGB as if it were read from a file."""

    def run(picture: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return module(torch.from_numpy(picture)).numpy()

    return torch_file.TorchNetwork(type(module).__name__, 3, 1, 1, 1, 0, "", module.eval(), run)


@pytest.mark.slow
def test_what_exporters_cannot_do_is_named(tmp_path: Path) -> None:
    """ATD sorts. If this fails, the exporters have learnt it: move ATD to the families and change docs/migration.md."""

    class Sorting(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sort(x, dim=-1, stable=False)[0]

    with pytest.raises(Exception, match="ONNX export of operator Sort"), silenced():
        torch_file.trace(torch_file.load(families.save(tmp_path, "ATD")), (64, 64), True)
    with pytest.raises(
        ModelError, match=r"^Sorting cannot be exported to ONNX; tried: traced .*; exported .*aten.sort"
    ) as why:
        torch_file.export(source_of(Sorting()), 32)
    assert "fixed" not in str(why.value)  # a missing operator is missing at any size
    assert "[96m" not in str(why.value)


def test_fixed_tile_where_sizes_cannot_be_free(tmp_path: Path) -> None:
    """A network that computes with its size in Python is exported for one tile size, and Upscale runs it in tiles."""

    class Stubborn(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 3, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            height, width = int(x.shape[2]), int(x.shape[3])
            windows = self.conv(x).reshape(1, 3, height // 8, 8, width // 8, 8)
            return windows.reshape(1, 3, height, width)

    module = Stubborn()
    made = torch_file.export(source_of(module), 32)
    assert made.fixed == (32, 32)
    path = tmp_path / "stubborn.onnx"
    path.write_bytes(made.data)
    clip = clips.noise(vs.RGBS, *SIZE, length=1)
    out = clip.gansr.Upscale(str(path))
    assert (out.width, out.height) == SIZE
    got = np.stack(clips.planes(out.get_frame(0)))
    picture = np.stack(clips.planes(clip.get_frame(0))).astype(np.float32)[np.newaxis]
    want = np.tensordot(module.conv.weight.detach().numpy()[:, :, 0, 0], picture[0], 1)
    np.testing.assert_allclose(got, want + module.conv.bias.detach().numpy()[:, None, None], atol=1e-5)


@pytest.mark.parametrize(("suffix", "wrap"), [(".safetensors", ""), (".ckpt", "state_dict"), (".pt", "params_ema")])
def test_files_people_have(suffix: str, wrap: str, tmp_path: Path) -> None:
    source = families.save(tmp_path, "Compact", suffix, wrap)
    report = converter.convert(converter.Conversion(source, tmp_path / "made.onnx"))
    assert report.architecture.endswith("Compact")
    licence = "CC0-1.0" if suffix == ".safetensors" else "unknown"
    assert report.licence == licence == families.metadata(tmp_path / "made.onnx")["gansr.licence"]


@pytest.mark.slow
def test_half_and_int8(shared: Path, tmp_path: Path) -> None:
    source = families.save(tmp_path, "Compact")
    job = converter.Conversion(source, tmp_path / "made.onnx", precision="fp16", int8=True, frames=frames(shared))
    report = converter.convert(job)
    assert [checked.precision for checked in report.files] == ["fp16", "int8"]
    assert all(checked.psnr > least for checked, least in zip(report.files, (50, 35), strict=True))
    assert 0 < report.files[0].difference < report.files[1].difference
    kinds = {t.data_type for t in onnx.load(str(tmp_path / "made.onnx")).graph.initializer}
    assert onnx.TensorProto.FLOAT16 in kinds
    clip = clips.noise(vs.YUV420P8, *(2 * s for s in SIZE), props={"_Matrix": 1})
    both = [clip.gansr.Upscale(str(tmp_path / "made.onnx"), precision=p) for p in ("fp32", "fp16", "int8")]
    assert clips.largest_difference(both[0], both[1]) <= 1
    assert clips.largest_difference(both[0], both[2]) <= 8


def test_onnx_becomes_described_half_and_int8(shared: Path, tmp_path: Path) -> None:
    source = networks.compact(tmp_path / "plain.onnx", 16, 4, metadata={"licence": "MIT"})
    job = converter.Conversion(source, tmp_path / "made.onnx", name="other", int8=True, frames=frames(shared))
    report = converter.convert(job)
    assert (report.architecture, report.scale, report.licence) == ("ONNX", 2, "MIT")
    assert report.files[0].difference == 0
    said = families.metadata(tmp_path / "made.int8.onnx")
    assert (said["gansr.name"], said["gansr.precision"], said["gansr.radius"]) == ("other", "int8", "4")


@pytest.mark.slow
def test_what_is_verified_on(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Crops come from the given videos or images, else from photographs, and never from synthetic pictures."""
    video = next((shared / "data" / "eval" / "clips").glob("*.mp4"))
    source = families.save(tmp_path, "Compact")
    used: list[np.ndarray] = []
    right = converter.verify

    def watched(part: Path, target: Path, kind: str, network: converter.Original, tests: list) -> converter.Checked:
        used.extend(tests)
        return right(part, target, kind, network, tests)

    monkeypatch.setattr(converter, "verify", watched)
    monkeypatch.setattr(pictures, "synthetic", lambda *_: pytest.fail("made up"))
    for given in ((video,), frames(shared), ()):
        used.clear()
        converter.convert(converter.Conversion(source, tmp_path / "made.onnx", frames=given, overwrite=True))
        whole = [picture for path in crops.files(given or crops.photographs()) for picture in crops.read(path)]
        assert len(used) == converter.CHECKS
        assert all(any(is_part(crop[0], picture) for picture in whole) for crop in used)
    monkeypatch.setattr(crops, "PHOTOGRAPHS", ("gone.png",))
    with pytest.raises(
        ArgumentError, match=r'real pictures are needed: .*--frames, or pip install "vs-gansr\[convert\]"'
    ):
        converter.convert(converter.Conversion(source, tmp_path / "other.onnx"))
    assert not list(tmp_path.glob("*other*"))


def is_part(crop: np.ndarray, picture: np.ndarray) -> bool:
    """Return True if `crop` is part of `picture`."""
    _, height, width = crop.shape
    corners = picture[:, : picture.shape[1] - height + 1, : picture.shape[2] - width + 1]
    places = np.argwhere((corners == crop[:, :1, :1]).all(0))
    return any(np.array_equal(picture[:, y : y + height, x : x + width], crop) for y, x in places)


def test_old_networks_get_an_int8_variant_too(shared: Path, tmp_path: Path) -> None:
    """Opset 11, with weights among the inputs as in files before IR version 4."""
    proto = onnx.load(str(networks.compact(tmp_path / "new.onnx", 16, 4)))
    want = proto.SerializeToString()
    proto.opset_import[0].version, proto.ir_version = 11, 3
    for tensor in proto.graph.initializer:
        proto.graph.input.add().CopyFrom(onnx.helper.make_tensor_value_info(tensor.name, 1, tensor.dims))
    onnx.save(proto, str(tmp_path / "old.onnx"))
    job = converter.Conversion(tmp_path / "old.onnx", tmp_path / "made.onnx", int8=True, frames=frames(shared))
    report = converter.convert(job)
    assert report.files[0].difference == 0 and report.files[1].psnr > 35
    clip = clips.noise(vs.RGBS, *SIZE, length=1)
    (tmp_path / "new.onnx").write_bytes(want)
    before, after = (clip.gansr.Upscale(str(tmp_path / f"{name}.onnx"), precision="fp32") for name in ("new", "made"))
    assert clips.largest_difference(before, after) <= 1e-6


def test_int8_variant_of_another_network_does_not_stay(shared: Path, tmp_path: Path) -> None:
    """Upscale would use it for the new model: without --overwrite it is refused like the model, with it it is
    deleted.
    """
    source, target = families.save(tmp_path, "Compact"), tmp_path / "made.onnx"
    converter.convert(converter.Conversion(source, target, int8=True, frames=frames(shared)))
    target.unlink()
    with pytest.raises(ArgumentError, match=r'made.int8.onnx" exists'):
        converter.convert(converter.Conversion(source, target))
    assert not target.exists()
    converter.convert(converter.Conversion(source, target, overwrite=True))
    assert [path.name for path in tmp_path.glob("made*")] == ["made.onnx"]


def test_networks_of_several_frames_are_described_and_halved(tmp_path: Path) -> None:
    source = networks.compact(tmp_path / "one.onnx", 16, 3)
    proto = onnx.load(str(source))
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 9
    first = next(tensor for tensor in proto.graph.initializer if tensor.name == "w0")
    first.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(first).repeat(3, 1) / 3, "w0"))
    onnx.save(proto, str(tmp_path / "three.onnx"))
    report = converter.convert(converter.Conversion(tmp_path / "three.onnx", tmp_path / "made.onnx", precision="fp16"))
    assert (report.channels, report.frames) == (3, 3) and report.files[0].psnr > 50
    spec = probe.describe(library.load(str(tmp_path / "made.onnx"))).spec
    assert (spec.channels, spec.frames, spec.scale) == (3, 3, 2)


@pytest.mark.slow
def test_conversion_prints_nothing(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    told: list[str] = []
    converter.convert(converter.Conversion(families.save(tmp_path, "SAFMN"), tmp_path / "made.onnx"), told.append)
    assert capfd.readouterr().out == ""
    assert told[0] == "reading SAFMN.pth" and "SAFMN, 2x" in told[1]
