"""Two films are compared by their frames, their times and their tracks."""

from __future__ import annotations

from pathlib import Path

import footage
import pytest

from benchmarks.quality.films import compared, read


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return footage.plain(tmp_path / "a.mkv", frames=10)


def test_a_copy_is_equal(film: Path) -> None:
    footage.ffmpeg("-i", film, "-c", "copy", film.with_name("b.mkv"))
    found = compared(read(film), read(film.with_name("b.mkv")))
    assert found == {"frames": "equal (10)", "times": "equal (10)", "tracks": "equal"}


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["-vf", "drawbox=w=2:h=2", "-c:a", "copy"], "frames"),
        (["-c", "copy", "-bsf:v", "setts=ts=TS+40*gt(N\\,4)"], "times"),
        (["-c", "copy", "-bsf:a", "noise=amount=1"], "tracks"),
        (["-c", "copy", "-metadata", "artist=somebody"], "tracks"),
    ],
)
def test_a_change_is_named(film: Path, words: list[str], part: str) -> None:
    footage.ffmpeg("-i", film, *words, film.with_name("b.mkv"))
    found = compared(read(film), read(film.with_name("b.mkv")))
    assert not found[part].startswith("equal"), found


def test_an_error_counts_as_a_change(film: Path) -> None:
    assert compared(read(film), {"error": "no"}) == {"error": "a film -> no"}
    assert compared({"error": "no"}, {"error": "no"}) == {"error": "equal: no"}
