"""`gansr convert`: its report, where the output goes, and how the model is found afterwards."""

from __future__ import annotations

from pathlib import Path

import families
import networks
import pytest
from gansr_process import Gansr


@pytest.mark.slow
def test_pytorch_file_becomes_an_own_model(gansr: Gansr, home: Path, tmp_path: Path) -> None:
    source = families.save(tmp_path, "Compact")
    done = gansr("convert", str(source), "--licence", "MIT", "--origin", "example.org")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    made = home / "data" / "gansr" / "models" / "Compact.onnx"
    assert "2x, RGB, any size, licence MIT" in done.stderr and f"{made}: fp32" in done.stderr
    assert "verified on photographs from scikit-image" in done.stderr
    shown = gansr("models", "show", "Compact").stdout
    assert "MIT" in shown and "example.org, Compact.pth, sha256" in shown
    again = gansr("convert", str(source))
    assert again.returncode == 1 and "exists; add -y" in again.stderr
    assert gansr("convert", str(source), "-y").returncode == 0


@pytest.mark.slow
def test_failures_are_one_line(gansr: Gansr, tmp_path: Path) -> None:
    (tmp_path / "bad.pth").write_bytes(b"nothing")
    for words, message in (
        ((str(tmp_path / "bad.pth"),), "bad.pth"),
        ((str(tmp_path / "none.pth"),), "does not exist"),
        ((str(networks.point(tmp_path / "p.onnx")), "-o", str(tmp_path / "q.onnx"), "--int8"), "--frames"),
    ):
        done = gansr("convert", *words)
        assert done.returncode == 1 and message in done.stderr
        assert "Traceback" not in done.stderr and done.stdout == ""
    assert not (tmp_path / "q.onnx").exists()
