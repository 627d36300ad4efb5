"""Three frames against one: the same measures for both, and a verdict that follows the numbers."""

from __future__ import annotations

import re
from pathlib import Path

import networks
import pytest
from msgspec.structs import replace

from benchmarks.quality import frames, media, methods, metrics, prepare
from benchmarks.quality.store import Store
from vs_gansr.train.config import DataConfig
from vs_gansr.train.recipe import RecipeError
from vs_gansr.train.smoke import recipe


def test_both_files_and_lanczos_are_measured(case: prepare.Case, tmp_path: Path) -> None:
    """A network that takes the aligned frame before in place of the frame is not the frame's own."""
    three = networks.aligned_mix(tmp_path / "three.onnx", (1.0, 0.0, 0.0))
    same = networks.aligned_mix(tmp_path / "same.onnx", (0.0, 1.0, 0.0))
    one = networks.point(tmp_path / "one.onnx", channels=1)
    found = frames.compare(case, same, one)
    assert found.three == found.control and found.gain == found.calm == 0
    reference = metrics.luma(case.load_reference())
    lanczos = metrics.luma(methods.lanczos(case.load_source(), 2))
    assert found.lanczos == (metrics.psnr(reference, lanczos), metrics.temporal_delta(reference, lanczos))
    other = frames.compare(case, three, one)
    assert other.control == found.control and other.three != found.control


@pytest.mark.parametrize(
    ("three", "words"),
    [
        ((30.2, 2.0), r"Mean gain \+0.200 dB .* 0.0 % less .*: go on"),
        ((30.0, 1.8), r"Mean gain \+0.000 dB .* 10.0 % less .*: go on"),
        ((30.05, 1.9), r"Mean gain \+0.050 dB .* 5.0 % less .*: too little"),
    ],
)
def test_the_verdict_follows_the_numbers(case: prepare.Case, three: tuple[float, float], words: str) -> None:
    text = frames.report([frames.Comparison(case, (29.0, 2.5), (30.0, 2.0), three)])
    assert f"| {case.clip} | {case.condition} | 29.00 | 30.00 |" in text
    assert re.search(words, text)


def test_only_held_out_videos_count(folder: Path, store: Store, tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    for name in ("kept.mkv", "drawn.mkv"):
        media.encode(media.load(folder / "rings.mkv")[:2], tmp_path / "train" / name)
    settings = recipe(tmp_path)
    with pytest.raises(RecipeError, match=r"data.held_out names no video"):
        frames.held_out(settings)
    settings = replace(settings, data=replace(DataConfig(root=str(tmp_path)), held_out=("kept*",)))
    assert frames.held_out(settings) == [prepare.Footage(tmp_path / "train/kept.mkv", halved=True)]
