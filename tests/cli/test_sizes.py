"""Picture sizes and pixel shapes in `gansr upscale`: odd, anamorphic, rotated and requested ones."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import footage
import pytest
from encodes import FAST, KEPT, upscale
from footage import facts
from gansr_process import Gansr


def test_anamorphic_pixels_keep_their_shape(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    source = footage.anamorphic(tmp_path / "in.mkv")
    before = facts(source)
    for suffix in ("mkv", "mp4"):
        after = upscale(gansr, source, tmp_path / f"out.{suffix}", point_model)
        assert after.picture["size"] == (180, 144)
        assert {key: after.picture[key] for key in KEPT} == {key: before.picture[key] for key in KEPT}
        assert after.picture["sar"] == Fraction(16, 11)
        assert after.picture["matrix"] == 5


def test_square_target_for_anamorphic_source_changes_the_pixels_shape(
    gansr: Gansr, tmp_path: Path, point_model: Path
) -> None:
    source = footage.anamorphic(tmp_path / "in.mkv")
    after = upscale(gansr, source, tmp_path / "out.mkv", point_model, "--width", "160", "--height", "88")
    assert after.picture["size"] == (160, 88)
    assert after.picture["sar"] * 160 / 88 == Fraction(16, 11) * 90 / 72, "the picture would look squeezed"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "format", "codec", "expected"),
    [
        ("97x65", "yuv444p", "libx264", (194, 130)),
        ("97x66", "yuv422p", "ffv1", (192, 132)),  # VapourSynth holds whole chroma samples only
        ("98x66", "yuv420p", "libx264", (196, 132)),
        ("70x50", "yuv420p", "libx264", (140, 100)),
        ("33x21", "gbrp", "libx264rgb", (66, 42)),
        ("50x38", "gray", "ffv1", (100, 76)),
    ],
)
def test_odd_sizes(
    gansr: Gansr, tmp_path: Path, point_model: Path, size: str, format: str, codec: str, expected: tuple[int, int]
) -> None:
    source = tmp_path / "in.mkv"
    footage.ffmpeg(
        *footage.picture(size, frames=5),
        "-vf",
        f"scale={size.replace('x', ':')}",
        "-pix_fmt",
        format,
        "-c:v",
        codec,
        source,
    )
    before = facts(source)
    assert before.picture["size"] == tuple(map(int, size.split("x")))
    done = gansr("upscale", source, tmp_path / "out.mkv", "--model", point_model, *FAST)
    assert done.returncode == 0, done.stderr
    after = facts(tmp_path / "out.mkv")
    assert after.picture["size"] == expected
    assert after.picture["frames"] == 5
    assert after.picture["sar"] == 1
    wanted = {"gbrp": "yuv444p", "gray": "yuvj420p"}  # ffmpeg calls gray full range
    assert after.picture["format"] == wanted.get(format, format)
    assert ("is cut to 96x66" in done.stderr) == (size == "97x66")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "size", "passes"),
    [
        (["--height", "100"], (150, 100), 1),
        (["--width", "100"], (100, 66), 1),
        (["--height", "200"], (300, 200), 2),
        (["--width", "192", "--height", "100"], (192, 100), 1),
    ],
)
def test_target_sizes(
    gansr: Gansr, tmp_path: Path, point_model: Path, words: list[str], size: tuple[int, int], passes: int
) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=3)
    after = upscale(gansr, source, tmp_path / "out.mkv", point_model, *words)
    assert after.picture["size"] == size
    assert after.picture["frames"] == 3
    script = gansr("upscale", source, tmp_path / "o.mkv", "--model", point_model, "--script-only", *words).stdout
    assert script.count("gansr.Upscale") == passes and script.count("resize.Spline36") == 1
    if len(words) == 2:
        assert after.picture["sar"] == 1
    else:
        assert after.picture["sar"] * Fraction(*size) == Fraction(96, 64)


def test_rotated_video_comes_out_upright(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    flat = footage.anamorphic(tmp_path / "flat.mkv")
    footage.ffmpeg("-display_rotation", "90", "-i", flat, "-c", "copy", tmp_path / "in.mp4")
    after = upscale(gansr, tmp_path / "in.mp4", tmp_path / "out.mp4", point_model)
    assert after.picture["size"] == (144, 180)
    assert after.picture["sar"] == Fraction(11, 16)
