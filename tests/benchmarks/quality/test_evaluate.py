"""scripts/evaluate: the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import networks
import numpy as np
import pytest
from PIL import Image

from benchmarks import sheets
from benchmarks.paths import ROOT
from benchmarks.quality import evaluate, methods, prepare, score, strips, table
from benchmarks.quality.store import Store


@pytest.fixture
def command(folder: Path, store: Store, tmp_path: Path) -> Callable[..., int]:
    def run(*extra: str) -> int:
        places = ("--material", str(folder), "--cache", str(store.root), "--json", str(tmp_path / "report.json"))
        return evaluate.main([*extra, *places])

    return run


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_command_measures_models_and_anchors(
    command: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "anchors").mkdir()
    networks.point(tmp_path / "anchors" / "other.onnx", 4)
    mine = networks.compact(tmp_path / "mine.onnx", 8, 4)
    options = (str(mine), "--preparations", "A,B", "--anchors", str(tmp_path / "anchors"), "--quick")
    assert command(*options, "--strips", str(tmp_path / "strips"), "--plot", str(tmp_path / "plot.png")) == 0
    shown = capsys.readouterr()
    tables, costs = shown.out.split("\n\n## Cost: rings, 96x64 in")
    assert costs.count("\n| ") == 2 + 7 and (tmp_path / "plot.png").is_file()
    assert set(json.loads((tmp_path / "report.json").read_text())[1]["cost"]["by_method"]["mine"]) == {
        "ms", "multiply_adds",
    }  # fmt: skip
    assert "## Preparation A, halved" in shown.out and "## Preparation B, halved" in shown.out
    assert "other, rings crf26" in shown.err
    report = json.loads((tmp_path / "report.json").read_text())
    names = ["bicubic", "Lanczos", "Lanczos, sharpened", "Lanczos, mask 0.6", "Lanczos, mask 1.2", "other", "mine"]
    assert [list(part["means"]["all"]) for part in report] == [names, names]
    means = report[0]["means"]["all"]
    assert means["Lanczos, sharpened"]["ssimulacra2"] >= means["Lanczos"]["ssimulacra2"]
    assert means["mine"]["ssimulacra2"] < means["Lanczos"]["ssimulacra2"]  # random weights
    assert sorted(p.name for p in (tmp_path / "strips").iterdir()) == [
        "rings-A-crf18.png", "rings-A-crf26.png", "rings-B-crf28.png",
        "still-A-crf18.png", "still-A-crf26.png", "still-B-crf28.png",
    ]  # fmt: skip
    assert command(*options) == 0
    again = capsys.readouterr()
    assert again.out.rstrip() == tables and again.err == ""  # nothing was measured twice


def test_clips_may_be_cut_short(folder: Path, store: Store) -> None:
    options = evaluate.arguments(["--material", str(folder), "--frames", "3"])
    assert {case.frames for case in evaluate.prepared(store, options, prepare.PREPARATIONS["A"])} == {1, 3}


def test_networks_of_others_are_chosen_by_name_file_and_folder(shared: Path, tmp_path: Path) -> None:
    point = networks.point(tmp_path / "point.onnx")

    def names(*options: str) -> list[str]:
        return [method.name for method in evaluate.anchors(evaluate.arguments(options))]

    assert names("--anchors", f"LiveActionV1_SPAN,{point},FSRCNNX_x2_16-0-4-1,{tmp_path}") == [
        "LiveActionV1_SPAN", "point", "FSRCNNX_x2_16-0-4-1", "point",
    ]  # fmt: skip
    assert names() == sorted(path.stem for path in (shared / "anchors").glob("*.onnx")) and names("--no-anchors") == []
    with pytest.raises(ValueError, match=r"--anchors Live is unknown; use some of .*,LiveActionV1_SPAN,.*folder"):
        names("--anchors", "Live")


def test_material_is_chosen_by_place_and_by_name(folder: Path, shared: Path) -> None:
    rings, still = folder / "rings.mkv", folder / "still.png"
    assert evaluate.footage(f"{still},{rings}") == [prepare.Footage(still), prepare.Footage(rings)]
    assert evaluate.footage(str(folder), halved=True, clips="still") == [prepare.Footage(still, halved=True)]
    held_out = evaluate.footage("held-out,clips", clips="coffee,blocks,facade_hlg10")
    assert [(piece.path.stem, piece.halved) for piece in held_out] == [
        ("facade_hlg10", True), ("coffee", True), ("blocks", False),
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"--clips rings,ski is not in .*; use some of still"):
        evaluate.footage(str(still), clips="rings,still,ski")


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_command_evaluates_at_scale_four(
    command: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = networks.point(tmp_path / "four.onnx", 4, metadata={"scale": "4"})
    assert command(str(mine), "--preparations", "A", "--scale", "4", "--no-anchors", "--quick", "--chroma") == 0
    shown = capsys.readouterr().out
    assert "## Preparation A, quartered" in shown and "four, Lanczos' chroma" in shown
    assert command(str(mine), "--preparations", "A", "--scale", "4", "--no-anchors", "--quick", "--bare") == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert list(report[0]["means"]["all"]) == ["Lanczos", "four"]


def test_command_refuses_what_it_does_not_know(
    command: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("no-such-model") == 2
    assert 'unknown model "no-such-model"' in capsys.readouterr().err
    assert command("--preparations", "A,Z", "--no-anchors") == 2
    assert "--preparations Z is unknown; use some of A,B,C,soft,halo,dvd,bob,S" in capsys.readouterr().err
    assert command("--frames", "1") == 2
    assert "--frames 1: the temporal delta needs 2 or more" in capsys.readouterr().err
    assert command("--frames", "2", "--quick") == 2 and command("--unlike", "key.json") == 2
    assert command("--plot", "plot.gif") == 2
    said = capsys.readouterr().err
    assert "--plot plot.gif: end the name in .png or .svg" in said
    assert "give one of them" in said and "--unlike key.json is for --blind" in said
    assert evaluate.main(["--material", str(tmp_path)]) == 2
    assert "name a folder" in capsys.readouterr().err


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_command_shows_methods_blind_and_counts_rankings(
    command: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = networks.point(tmp_path / "mine.onnx")
    options = (str(mine), "--preparations", "A", "--no-anchors", "--quick", "--blind", str(tmp_path / "sheets"))
    assert command(*options) == 0
    assert capsys.readouterr().out == "" and not (tmp_path / "report.json").exists()  # nothing is measured
    key = json.loads((tmp_path / "sheets-key.json").read_text())["sheets"]
    wanted = ["Lanczos", "Lanczos, mask 0.6", "Lanczos, mask 1.2", "Lanczos, sharpened", "mine"]
    assert key and all(sorted(entry["methods"].values()) == wanted for entry in key.values())
    ranking = {name: "".join(sorted(entry["methods"], key=entry["methods"].get)) for name, entry in key.items()}
    (tmp_path / "ranking.json").write_text(json.dumps({"sheets": ranking}))
    files = (str(tmp_path / "sheets-key.json"), str(tmp_path / "ranking.json"))
    assert evaluate.main(["--tally", *files]) == 0
    assert "| Lanczos | 1.00 |" in capsys.readouterr().out
    assert command(*options) == 2
    assert "is there already" in capsys.readouterr().err


def test_command_shows_footage_at_its_own_size(
    command: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = networks.halved(tmp_path / "mine.onnx")
    options = (str(mine), "--no-anchors", "--native", str(tmp_path / "sheets"), "--sheets", "2")
    assert command(*options) == 0
    assert capsys.readouterr().out == ""
    key = json.loads((tmp_path / "sheets-key.json").read_text())["sheets"]
    assert sorted((entry["clip"], entry["condition"]) for entry in key.values()) == [
        ("rings", "native 2x"), ("still", "native 2x"),
    ]  # fmt: skip
    field = ["Lanczos", "Lanczos, mask 0.6", "Lanczos, mask 1.2", "mine"]
    assert all(sorted(entry["methods"].values()) == field for entry in key.values())
    for wrong, words in (
        (("--blind", "other"), "give one of them"),
        (("--halved",), "at its own size"),
        (("--sheets", "0"), "--sheets 0: give 1 or more"),
    ):
        assert command(*options, *wrong) == 2
        assert words in capsys.readouterr().err
    assert command("--sheets", "3") == 2


def test_command_draws_named_crops_of_footage(
    command: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two rows of source, Lanczos and the model, with the left upper pixel of the source as a square of 6x6."""
    mine, drawn = networks.halved(tmp_path / "mine.onnx"), tmp_path / "drawn.png"
    options = (str(mine), "--no-anchors", "--picture", str(drawn), "--crops")
    assert command(*options, "rings:64,32", "still:0,0") == 0
    picture = np.asarray(Image.open(drawn))
    width, height = strips.CROP[0] * sheets.ZOOM, strips.CROP[1] * sheets.ZOOM
    assert picture.shape[1] == 3 * width + 4 * sheets.GAP and picture.shape[0] > 2 * height
    top = sheets.GAP + sheets.LABEL
    square = picture[top : top + 6, sheets.GAP : sheets.GAP + 6].reshape(-1, 3)
    assert (square == square[0]).all()
    for crop, words in (("rings", "CLIP:X,Y"), ("rings:1,x", "CLIP:X,Y"), ("rings:9999,0", "X is at most")):
        assert command(*options, crop) == 2
        assert words in capsys.readouterr().err
    assert command("--picture", str(drawn)) == 2


def test_faithful_models_are_shown_beside_their_models() -> None:
    names = [method.name for method in evaluate.chosen(["general-2x"], 2, faithful=True)]
    assert names == ["general-2x", "general-2x-psnr"]
    assert [method.name for method in evaluate.chosen(["general-2x"], 2)] == ["general-2x"]


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_wrapper_runs_from_another_folder(folder: Path, store: Store, tmp_path: Path) -> None:
    networks.point(tmp_path / "named-from-here.onnx")
    options = ("--preparations", "A", "--quick", "--no-anchors", "--json", "out.json", "--cache", str(store.root))
    done = subprocess.run(
        [str(ROOT / "scripts" / "evaluate"), "named-from-here.onnx", "--material", str(folder), *options],
        cwd=tmp_path, env={**os.environ, "GANSR_PYTHON": sys.executable}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "named-from-here" in done.stdout
    assert (tmp_path / "out.json").is_file()


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_networks_of_others_on_real_clips(shared: Path, tmp_path: Path) -> None:
    """What anchors/README.md reports: RealCUGAN wins VMAF over Lanczos and loses SSIMULACRA2."""
    store = Store(tmp_path)
    juggle = prepare.Footage(shared / "data/eval/clips/juggle.mp4")
    made = prepare.prepare(store, [juggle], prepare.PREPARATIONS["A"], 2, 2)[0]
    base = score.score(store, made, methods.resizers()[1]).values
    network = methods.anchor(shared / "anchors" / "realcugan-se-2x-conservative.onnx")
    over = table.difference(score.score(store, made, network).values, base)
    assert over["vmaf"] is not None and over["ssimulacra2"] is not None
    assert over["vmaf"] > 2
    assert over["ssimulacra2"] < -2
