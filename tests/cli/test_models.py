"""`gansr models` lists the models that have a name and caches their measured speed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import footage
import networks
import pytest
from gansr_process import Gansr

from vs_gansr.model.library import shipped


@pytest.fixture
def own(home: Path) -> Path:
    """Return the user's model folder, with one model in it."""
    folder = home / "data" / "gansr" / "models"
    folder.mkdir(parents=True)
    told = {"scale": "2", "radius": "0", "licence": "CC0-1.0", "summary": "Repeats pixels."}
    networks.point(folder / "mine.onnx", metadata=told)
    return folder


def listed(gansr: Gansr, *words: str, code: int = 0) -> dict[str, dict[str, Any]]:
    done = gansr("models", "--json", *words)
    assert done.returncode == code, done.stderr
    return {row["name"]: row for row in json.loads(done.stdout)}


def test_shipped_and_own_models_are_listed(gansr: Gansr, own: Path) -> None:
    rows = listed(gansr)
    assert set(rows) == {*shipped(), "mine"}
    assert rows["mine"] | {"digest": ""} == {
        "name": "mine",
        "origin": "own",
        "path": str(own / "mine.onnx"),
        "digest": "",
        "scale": 2,
        "channels": "RGB",
        "licence": "CC0-1.0",
        "summary": "Repeats pixels.",
        "fps": None,
        "error": "",
    }
    for name in shipped():
        assert rows[name]["origin"] == "shipped" and rows[name]["scale"] and rows[name]["licence"] == "MIT"


def test_the_table_has_the_same(gansr: Gansr, own: Path) -> None:
    done = gansr("models", "mine")
    head, row = done.stdout.splitlines()
    assert head.split() == ["name", "scale", "channels", "licence", "fps", "origin", "summary"]
    assert row.split(None, 6) == ["mine", "2x", "RGB", "CC0-1.0", "-", "own", "Repeats pixels."]
    assert "gansr models --measure" in done.stderr and str(own) in done.stderr


def test_one_model_is_shown_with_what_was_found(gansr: Gansr, own: Path, tmp_path: Path) -> None:
    networks.point(own / "mono.onnx", scale=3, channels=1)
    done = gansr("models", "show", "mono", str(own / "mine.onnx"))
    assert done.returncode == 0, done.stderr
    mono, mine = (dict(line.split("  ", 1) for line in part.splitlines()) for part in done.stdout.split("\n\n"))
    mono, mine = ({key.strip(): value.strip() for key, value in said.items()} for said in (mono, mine))
    assert mono["scale"] == "3x (found by trial)" and mono["channels"] == "luma" and mono["licence"] == "unknown"
    assert mono["range"] == "0 to 1 (found by trial)" and mono["sizes"] == "any"
    assert mine["scale"] == "2x (stated by the file)" and mine["licence"] == "CC0-1.0"
    assert mine["summary"] == "Repeats pixels." and mine["radius"] == "0 pixels"
    assert (tmp_path / "cache").is_dir() or any(tmp_path.rglob("probes.json"))
    failed = gansr("models", "show", "minne")
    assert failed.returncode == 1 and "did you mean mine?" in failed.stderr


@pytest.mark.slow
def test_speed_is_measured_once_and_belongs_to_the_content(gansr: Gansr, own: Path) -> None:
    networks.compact(own / "heavy.onnx", features=32)
    rows = listed(gansr, "--measure", "--provider", "CPU", "mine", "heavy")
    assert rows["mine"]["fps"] > rows["heavy"]["fps"] > 0, "repeating pixels is quicker than convolutions"
    again = listed(gansr, "--provider", "CPU", "mine", "heavy")
    assert {name: row["fps"] for name, row in again.items()} == {name: row["fps"] for name, row in rows.items()}
    assert listed(gansr, "--provider", "CPU", "--precision", "fp32", "mine")["mine"]["fps"] is None
    networks.compact(own / "mine.onnx", features=8, convs=3)
    assert listed(gansr, "--provider", "CPU", "mine")["mine"]["fps"] is None, "another model under the same name"
    (own / "mine.onnx").write_bytes((own / "heavy.onnx").read_bytes())
    assert listed(gansr, "--provider", "CPU", "mine")["mine"]["fps"] == rows["heavy"]["fps"]


def test_what_cannot_be_used_is_listed_with_the_reason(gansr: Gansr, own: Path) -> None:
    (own / "broken.onnx").write_bytes(b"nothing")
    rows = listed(gansr, code=1)
    assert "not a readable ONNX file" in rows["broken"]["error"] and not rows["mine"]["error"]
    unknown = listed(gansr, "none", code=1)["none"]
    assert 'unknown model "none"' in unknown["error"] and unknown["origin"] == "-"
    assert "`show` needs the name" in gansr("models", "show").stderr
    failed = listed(gansr, "--measure", "--provider", "nothing", "mine", code=1)["mine"]
    assert 'unknown provider "nothing"' in failed["error"] and failed["fps"] is None


def test_an_own_model_is_named_without_its_folder(gansr: Gansr, own: Path, tmp_path: Path) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=2)
    done = gansr("upscale", source, tmp_path / "out.mkv", "--model", "mine", "-q")
    assert done.returncode == 0, done.stderr
    assert footage.facts(tmp_path / "out.mkv").picture["size"] == (192, 128)
    unknown = gansr("upscale", source, tmp_path / "other.mkv", "--model", "yours", "-q")
    assert "own: mine" in unknown.stderr
