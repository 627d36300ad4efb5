"""A failed conversion gives the reason in one line and leaves no files."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import families
import numpy as np
import onnx
import pytest
import torch

from vs_gansr.cli.convert import converter, crops, torch_file
from vs_gansr.errors import ArgumentError, GansrError, ModelError


class Evil:
    """Runs a command when unpickled carelessly."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.mark,))


def test_files_that_would_run_code_are_refused(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    weights = dict(families.FAMILIES["Compact"]().state_dict())
    torch.save({"params": weights, "extra": Evil(mark)}, tmp_path / "evil.pth")
    (tmp_path / "bare.pth").write_bytes(pickle.dumps({"params": Evil(mark)}))
    for name in ("evil.pth", "bare.pth"):
        with pytest.raises(ModelError, match=rf'"{name}" is refused.*safetensors'):
            converter.convert(converter.Conversion(tmp_path / name, tmp_path / "made.onnx"))
    torch.jit.script(torch.nn.Conv2d(3, 3, 1)).save(str(tmp_path / "script.pt"))
    with pytest.raises(ModelError, match="TorchScript is code"):
        converter.convert(converter.Conversion(tmp_path / "script.pt", tmp_path / "made.onnx"))
    assert not mark.exists()
    assert not list(tmp_path.glob("*made*"))


def test_bad_files_leave_nothing(tmp_path: Path) -> None:
    whole = families.save(tmp_path, "Compact").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "cut.safetensors").write_bytes(families.save(tmp_path, "Compact", ".safetensors").read_bytes()[:-9])
    torch.save({"some": torch.zeros(3)}, tmp_path / "other.pth")
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    four = families.make("Compact", "Compact", num_in_ch=4, num_out_ch=4, num_feat=8, num_conv=1, upscale=2)
    torch.save(four().state_dict(), tmp_path / "four.pth")
    for name, reason in (
        ("cut.pth", "cannot be read|is refused"),
        ("empty.pth", "cannot be read|is refused"),
        ("cut.safetensors", "cannot be read"),
        ("other.pth", "an architecture that spandrel does not know"),
        ("list.pth", "contains a list"),
        ("four.pth", "maps 4 channels to 4; 1 to 1 and 3 to 3"),
    ):
        with pytest.raises(ModelError, match=reason):
            converter.convert(converter.Conversion(tmp_path / name, tmp_path / "made.onnx"))
    assert not list(tmp_path.glob("*made*"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"precision": "fp8"}, 'precision "fp8" is unknown'),
        ({"int8": True}, "int8 is calibrated on real pictures"),
        ({"tile": 4}, "tile 4 is too small"),
        ({"target": Path("x.pth")}, "must end in .onnx"),
        ({"source": Path("/nowhere.pth")}, "does not exist"),
        ({"target": Path("/no/such/folder/x.onnx")}, "folder .* does not exist"),
        ({"frames": (Path("/nowhere.png"),)}, '"/nowhere.png" does not exist'),
        ({"target": Path(__file__).with_suffix(".onnx")}, None),
    ],
)
def test_requests_without_sense(changes: dict, message: str | None, tmp_path: Path) -> None:
    source = families.save(tmp_path, "Compact")
    if message is None:
        (tmp_path / "there.onnx").write_bytes(b"mine")
        with pytest.raises(ArgumentError, match="exists"):
            converter.convert(converter.Conversion(source, tmp_path / "there.onnx"))
        assert (tmp_path / "there.onnx").read_bytes() == b"mine"
        converter.convert(converter.Conversion(source, tmp_path / "there.onnx", overwrite=True))
        assert families.metadata(tmp_path / "there.onnx")["gansr.scale"] == "2"
        return
    with pytest.raises(ArgumentError, match=message):
        converter.convert(converter.Conversion(**{"source": source, "target": tmp_path / "made.onnx"} | changes))
    assert not list(tmp_path.glob("*made*"))


def test_result_that_differs_is_thrown_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each stage fails after files were begun: no file with the final name is left, and no partial file."""
    source = families.save(tmp_path, "Compact")
    right = torch_file.export

    def wrong(network: torch_file.TorchNetwork, tile: int) -> torch_file.OnnxExport:
        made = right(network, tile)
        proto = onnx.load_model_from_string(made.data)
        weight = next(t for t in proto.graph.initializer if len(t.dims) == 4)
        values = onnx.numpy_helper.to_array(weight) * np.float32(1.01)
        weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
        return torch_file.OnnxExport(proto.SerializeToString(), made.multiple, made.fixed)

    with monkeypatch.context() as patch:
        patch.setattr(torch_file, "export", wrong)
        with pytest.raises(ModelError, match="differs from the original by"):
            converter.convert(converter.Conversion(source, tmp_path / "made.onnx"))
    assert not list(tmp_path.glob("*made*"))

    variant = converter.Conversion(source, tmp_path / "made.onnx", int8=True, frames=crops.photographs())
    for made, message in (
        (ModelError("no"), r"^no$"),
        (RuntimeError("no"), r"^Compact.pth cannot be quantised: no$"),
        (b"nonsense", r"^made.int8.onnx in int8 does not run: "),
    ):

        def fail(*_: object, made: Exception | bytes = made) -> bytes:
            if isinstance(made, Exception):
                raise made
            return made

        with monkeypatch.context() as patch:
            patch.setattr(converter, "quantise", fail)
            patch.setattr(converter, "with_metadata", lambda data, said: data)
            with pytest.raises(ModelError, match=message):
                converter.convert(variant)
        assert not list(tmp_path.glob("*made*"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """The process may write no more than 4 KiB to a file, less than the network needs."""
    source = families.save(tmp_path, "Compact")
    code = """
        import sys
        from pathlib import Path
        from vs_gansr.cli.convert import converter
        try:
            converter.convert(converter.Conversion(Path(sys.argv[1]), Path(sys.argv[2])))
        except OSError as error:
            print("OSError")
    """

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    begin = "import resource\nfrom vs_gansr.cli.convert import torch_file\nright = torch_file.export\n"
    script = begin + textwrap.dedent(code)
    # Only the files that convert itself writes are limited; the exporters use temporary files of their own.
    script = script.replace(
        "try:\n",
        "def tight(*a):\n    made = right(*a)\n    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "    return made\ntorch_file.export = tight\ntry:\n",
        1,
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(source), str(tmp_path / "made.onnx")],
        capture_output=True, text=True, timeout=600, preexec_fn=limit,
    )  # fmt: skip
    assert done.stdout == "OSError\n", done.stderr
    assert not list(tmp_path.glob("*made*"))


def test_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = families.save(tmp_path, "Compact")
    monkeypatch.setitem(sys.modules, "vs_gansr.cli.convert.torch_file", None)
    monkeypatch.delattr("vs_gansr.cli.convert.torch_file", raising=False)
    with pytest.raises(GansrError, match=r'pip install "vs-gansr\[convert\]"'):
        converter.convert(converter.Conversion(source, tmp_path / "made.onnx"))
