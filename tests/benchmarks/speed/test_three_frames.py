"""What three frames cost: the wide file gives the pictures of the narrow one, and both are timed."""

from __future__ import annotations

from pathlib import Path

import clips
import numpy as np
import pytest
import vapoursynth as vs

from benchmarks.quality import media
from benchmarks.speed import three_frames


def moving() -> vs.VideoNode:
    """Four frames, blurred, of limited range."""
    clip = clips.noise(vs.YUV420P8, 96, 64, 4, props={"_Matrix": 1, "_Range": 0, "_ChromaLocation": 0})
    return clip.std.BoxBlur().std.AssumeFPS(fpsnum=25)


def test_silent_neighbours_change_no_picture(tmp_path: Path) -> None:
    wide = three_frames.with_three("fast-2x", tmp_path / "t3.onnx")
    clip = moving()[:3]
    one, three = (clip.gansr.Upscale(str(m), provider="CPU", precision="fp32") for m in ("fast-2x", wide))
    with one.get_frame(1) as a, three.get_frame(1) as b:
        assert np.abs(np.asarray(a[0]).astype(int) - np.asarray(b[0])).max() <= 1


def test_lines_it_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(three_frames, "SIZE", (64, 48))
    media.encode(moving(), tmp_path / "rings.mkv")
    assert three_frames.main(["fast-2x", "--clip", str(tmp_path / "rings.mkv"), "--repeats", "1"]) == 0
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("rings: Align ") and float(first.split()[2]) > 0
    assert "fast-2x on CPU in fp32" in last and last.endswith("% slower")
