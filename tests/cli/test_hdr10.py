"""HDR10 through `gansr upscale`: colours and mastering data, in the container and in the bitstream."""

from __future__ import annotations

from pathlib import Path

import footage
import pytest
from command_fixtures import WITH_SVT_AV1
from encodes import KEPT, upscale
from footage import facts
from gansr_process import Gansr


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["x265", "x264", pytest.param("svt-av1", marks=WITH_SVT_AV1)])
@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_hdr10_keeps_colours_and_mastering_data(
    gansr: Gansr, tmp_path: Path, point_model: Path, encoder: str, suffix: str
) -> None:
    source = footage.hdr(tmp_path / "in.mkv")
    before = facts(source)
    preset = ["--preset", "12"] if encoder == "svt-av1" else []
    after = upscale(gansr, source, tmp_path / f"out.{suffix}", point_model, "--encoder", encoder, *preset)

    assert after.picture["size"] == (256, 144)
    assert {key: after.picture[key] for key in KEPT} == {key: before.picture[key] for key in KEPT}
    assert (after.picture["matrix"], after.picture["primaries"], after.picture["transfer"]) == (9, 9, 16)
    expected = {
        "mastering": [0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329, 0.005, 1000.0],
        "light": [1000.0, 400.0],
    }
    assert before.picture["light"] == expected
    assert near(after.picture["light"], expected), "not in the decoded frames"
    assert near(after.picture["container light"], expected), "not in the container"
    assert near(bitstream_light(tmp_path, tmp_path / f"out.{suffix}", encoder), expected), "not in the bitstream"


def test_dolby_vision_over_hdr10_is_taken_as_hdr10(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    source = footage.dolby(tmp_path / "in.mp4", profile=8, compatible=1)
    after = upscale(gansr, source, tmp_path / "out.mkv", point_model)
    assert (after.picture["matrix"], after.picture["transfer"], after.picture["frames"]) == (9, 16, 12)


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["x265", "x264", pytest.param("svt-av1", marks=WITH_SVT_AV1)])
def test_hdr10_reaches_the_bitstream_with_an_older_ffmpeg(
    gansr: Gansr, tmp_path: Path, point_model: Path, encoder: str
) -> None:
    """One that cannot be told the metadata, only its encoder can."""
    source, tool = footage.hdr(tmp_path / "in.mkv"), tmp_path / "older-ffmpeg"
    tool.write_text(
        f'#!/bin/sh\ncase "$*" in *"-h long"*) exec echo nothing of the kind;; *-mastering_display*) exit 9;; esac\n'
        f'exec "{footage.FFMPEG}" "$@"\n'
    )
    tool.chmod(0o755)
    words = ["--encoder", encoder, "--ffmpeg", str(tool), *(["--preset", "12"] if encoder == "svt-av1" else [])]
    after = upscale(gansr, source, tmp_path / "out.mkv", point_model, *words)
    expected = facts(source).picture["light"]
    assert expected["light"] == [1000.0, 400.0]
    assert near(after.picture["light"], expected)
    assert near(bitstream_light(tmp_path, tmp_path / "out.mkv", encoder), expected)


def near(found: dict[str, list[float]], expected: dict[str, list[float]]) -> bool:
    """Equal to the precision that AV1 stores: 1/65536 for colours, 1/16384 cd/m2 for black."""
    return found.keys() == expected.keys() and all(
        a == pytest.approx(b, rel=1e-5, abs=7e-5)
        for key in expected
        for a, b in zip(found[key], expected[key], strict=True)
    )


def bitstream_light(folder: Path, path: Path, encoder: str) -> dict[str, list[float]]:
    """HDR10 metadata of the naked stream, without any container."""
    naked = folder / {"x265": "naked.hevc", "x264": "naked.h264", "svt-av1": "naked.obu"}[encoder]
    footage.ffmpeg("-i", path, "-map", "0:v:0", "-c", "copy", naked)
    found: dict[str, list[float]] = facts(naked).picture["light"]
    return found
