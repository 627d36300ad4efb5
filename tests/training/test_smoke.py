"""The whole chain: scripts/train --smoke's run, its model in core.gansr, and the command lines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import vapoursynth as vs
from paths import ROOT

from training import command, smoke
from training.export import command as export_command
from training.loop.trainer import CHECKPOINT


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("smoke")
    lines: list[str] = []
    smoke.run(folder, "cpu", lines.append)
    return folder, lines


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_smoke_run_trains_resumes_and_exports(made: tuple[Path, list[str]]) -> None:
    folder, lines = made
    rows = smoke.losses_logged(folder / "broken")
    assert [row["step"] for row in rows] == list(range(10))
    assert {"discriminator", "accuracy", "loss_adversarial", "loss_feature", "loss_temporal"} <= set(rows[-1])
    assert "resumed exactly" in lines[-1]
    assert any("held-out crops psnr_y" in line for line in lines)


@pytest.mark.slow
def test_smoke_model_upscales_in_the_plugin(made: tuple[Path, list[str]]) -> None:
    folder, _ = made
    clip = vs.core.std.BlankClip(width=64, height=48, format=vs.YUV420P8, length=2, color=[120, 100, 140])
    clip = clip.std.SetFrameProps(_Matrix=1)
    large = clip.gansr.Upscale(model=str(folder / "smoke.onnx"), provider="CPU")
    frame = large.get_frame(1)
    assert (frame.width, frame.height, frame.format.id) == (128, 96, vs.YUV420P8)
    assert abs(float(np.asarray(frame[0]).mean()) - 120) < 20


@pytest.mark.slow
def test_export_and_report_commands(made: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = made
    target = folder / "again.onnx"
    assert export_command.main([str(folder / "broken" / CHECKPOINT), str(target), "--hardware", "a test"]) == 0
    assert target.read_bytes()[:20]
    assert target.with_suffix(".md").read_text().startswith("# smoke")
    target.with_suffix(".md").write_text("edited by hand")
    assert export_command.main([str(folder / "broken" / CHECKPOINT), str(target)]) == 0
    assert target.with_suffix(".md").read_text() == "edited by hand"
    assert export_command.main([str(folder / "none.pt"), str(target)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "none.pt" in said.err.splitlines()[-1]


def test_train_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.toml").write_text('name = "x"\nsummary = "y"\n[run]\nsteps = 1\nsped = 2')
    assert command.main([str(tmp_path / "bad.toml")]) == 1
    assert "unknown field `sped`" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command.main([])


@pytest.mark.slow
def test_sheet_of_pairs(made: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = made
    monkeypatch.chdir(folder)
    (folder / ".pool").symlink_to(folder / "pool")
    command.write_sheet(smoke.recipe(folder), tmp_path / "sheet.png", pairs=8)
    assert (tmp_path / "sheet.png").stat().st_size > 10_000
    labels = (tmp_path / "sheet.txt").read_text().splitlines()
    assert len(labels) == 8
    assert all("drawn-" in label for label in labels)


def test_wrappers_start_the_scripts() -> None:
    for name in ("train", "export"):
        command = [str(ROOT / "scripts" / name), "--help"]
        environment = os.environ | {"GANSR_PYTHON": sys.executable}
        shown = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
        assert shown.stdout.startswith(f"usage: scripts/{name} ")
