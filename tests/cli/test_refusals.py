"""`gansr upscale` refuses damaged and unsuitable sources and impossible outputs, with the reason."""

from __future__ import annotations

from pathlib import Path

import footage
import pytest
from gansr_process import Gansr, nothing_left, one_line

from vs_gansr.cli import main


def cut(source: Path, output: Path, share: float) -> Path:
    """The first part of a file."""
    output.write_bytes(source.read_bytes()[: int(source.stat().st_size * share)])
    return output


def blank(source: Path, output: Path, start: float, end: float) -> Path:
    """A file with a hole of zeros."""
    data = bytearray(source.read_bytes())
    a, b = int(len(data) * start), int(len(data) * end)
    data[a:b] = bytes(b - a)
    output.write_bytes(data)
    return output


def corrupt(kind: str, folder: Path) -> Path:
    """An input that is damaged in one way."""
    if kind == "empty":
        (folder / "in.mkv").touch()
    elif kind == "text":
        (folder / "in.mkv").write_text("This is not a film.\n" * 50)
    elif kind == "sound only":
        footage.ffmpeg(*footage.tone(1), "-c:a", "aac", folder / "in.mkv")
    elif kind == "mkv cut":
        cut(footage.plain(folder / "whole.mkv", frames=60), folder / "in.mkv", 0.5)
    elif kind == "mp4 without its index":
        cut(footage.plain(folder / "whole.mp4", frames=60), folder / "in.mkv", 0.8)
    elif kind == "mp4 cut behind its index":
        footage.plain(folder / "whole.mp4", frames=60)
        footage.ffmpeg("-i", folder / "whole.mp4", "-c", "copy", "-movflags", "faststart", folder / "fast.mp4")
        cut(folder / "fast.mp4", folder / "in.mkv", 0.6)
    elif kind == "hole in mkv":
        blank(footage.plain(folder / "whole.mkv", frames=60), folder / "in.mkv", 0.3, 0.7)
    elif kind == "hole in mp4":
        footage.plain(folder / "whole.mp4", frames=60)
        blank(folder / "whole.mp4", folder / "in.mkv", 0.3, 0.7)
    return folder / "in.mkv"


def refusal(gansr: Gansr, source: Path, model: Path) -> str:
    """The one line that `gansr upscale` refuses the source with; nothing is left of the try."""
    done = gansr("upscale", source, source.parent / "out.mkv", "--model", model, "-q")
    assert done.returncode == 1, done.stderr
    nothing_left(source.parent)
    return one_line(done.stderr)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("empty", "cannot be read as video"),
        ("text", "cannot be read as video"),
        ("sound only", "has no video track"),
        ("mkv cut", "is damaged"),
        ("mp4 without its index", "cannot be read as video"),
        ("mp4 cut behind its index", "is damaged"),
        ("hole in mkv", "is damaged"),
        ("hole in mp4", "is damaged"),
    ],
)
def test_corrupt_input(gansr: Gansr, tmp_path: Path, point_model: Path, kind: str, said: str) -> None:
    source = corrupt(kind, tmp_path)
    line = refusal(gansr, source, point_model)
    assert str(source) in line and said in line


def test_damage_can_be_accepted(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    source = corrupt("mkv cut", tmp_path)
    done = gansr("upscale", source, tmp_path / "out.mkv", "--model", point_model, "--accept-damage")
    assert done.returncode == 0, done.stderr
    assert "note: it ends after" in done.stderr
    assert 20 < footage.facts(tmp_path / "out.mkv").picture["frames"] < 50


def test_what_comes_before_the_cut_is_decoded(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    """An MP4 with its index in front, of which a decoder with many threads gives nothing."""
    whole = tmp_path / "whole.mp4"
    moving = ["-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25,trim=end_frame=16,format=yuv420p"]
    footage.ffmpeg(*moving, "-c:v", "libx264", "-bf", "3", "-movflags", "faststart", whole)
    source = cut(whole, tmp_path / "in.mp4", 0.6)
    assert "--accept-damage" in refusal(gansr, source, point_model)
    done = gansr("upscale", source, tmp_path / "out.mkv", "--model", point_model, "--accept-damage")
    assert done.returncode == 0, done.stderr
    assert 1 <= footage.facts(tmp_path / "out.mkv").picture["frames"] < 16


def refused_source(kind: str, folder: Path) -> Path:
    """A sound file that must be refused, because the result would be wrong."""
    source = folder / "in.mkv"
    tff = ["-vf", "format=yuv420p,setfield=tff", "-flags", "+ilme+ildct", "-c:v", "mpeg2video"]
    if kind == "interlaced":
        footage.ffmpeg(*footage.picture("96x96"), *tff, source)
    elif kind == "no times":
        source = folder / "in.h264"
        footage.ffmpeg(*footage.picture(), *footage.H264, source)
    elif kind == "two sizes":
        parts = []
        for size in ("96x64", "128x96"):
            footage.ffmpeg(*footage.picture(size), *footage.H264, "-pix_fmt", "yuv420p", folder / f"{size}.ts")
            parts.append((folder / f"{size}.ts").read_bytes())
        source = folder / "in.ts"
        source.write_bytes(b"".join(parts))
    elif kind == "times run backwards":
        for place in ("a", "b"):
            footage.ffmpeg(*footage.picture(), *footage.H264, "-pix_fmt", "yuv420p", folder / f"{place}.ts")
        source = folder / "in.ts"
        source.write_bytes((folder / "a.ts").read_bytes() + (folder / "b.ts").read_bytes())
    elif kind == "dolby":
        source = footage.dolby(folder / "in.mp4", profile=5, compatible=0)
    return source


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("dolby", "Dolby Vision of profile 5"),
        ("interlaced", "--field ivtc"),
        ("no times", "carries no timestamps"),
        ("two sizes", "changes its size or format"),
        ("times run backwards", "sound and picture could drift apart"),
    ],
)
def test_refused_with_the_reason(gansr: Gansr, tmp_path: Path, point_model: Path, kind: str, said: str) -> None:
    assert said in refusal(gansr, refused_source(kind, tmp_path), point_model)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("missing/out.mkv", "does not exist; create it first"),
        ("in.mp4", "is the source itself"),
        ("folder.mkv", "is a folder"),
        ("in.mp4/out.mkv", "does not exist; create it first"),
        ("out.avi", "does not end in one of .mkv, .mp4, .mov, .webm"),
        ("out.webm", "use --encoder svt-av1"),
        ("there.mkv", "exists; give -y"),
    ],
)
def test_targets_that_cannot_be(gansr: Gansr, tmp_path: Path, point_model: Path, output: str, said: str) -> None:
    source = footage.plain(tmp_path / "in.mp4", frames=3)
    (tmp_path / "folder.mkv").mkdir()
    (tmp_path / "there.mkv").write_text("mine")
    before = source.read_bytes()
    done = gansr("upscale", source, tmp_path / output, "--model", point_model)
    assert done.returncode == 1
    assert said in one_line(done.stderr)
    assert (tmp_path / "there.mkv").read_text() == "mine" and source.read_bytes() == before
    assert not (tmp_path / "missing").exists() and not list(tmp_path.rglob(".gansr-*"))


def test_missing_source(gansr: Gansr, tmp_path: Path) -> None:
    done = gansr("upscale", tmp_path / "none.mkv", tmp_path / "out.mkv")
    assert done.returncode == 1
    assert "none.mkv does not exist" in one_line(done.stderr)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["https://example.org/film.mkv", "out.mkv"], "film.mkv is a URL"),
        ([".", "out.mkv"], "%05d.png, for films give --output-dir"),
        (["in.mkv"], "one path is given"),
        (["in.mkv", "out.mkv", "--params", "aq-mode"], '"aq-mode" has no value; write aq-mode=1'),
        (["in.mkv", "out.mkv", "--preset-file", "none.toml"], "none.toml cannot be read: No such file"),
    ],
)
def test_a_wrong_command_line_says_what_would_be_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    (tmp_path / "in.mkv").touch()
    monkeypatch.chdir(tmp_path)
    assert main(["upscale", *words]) == 1
    assert said in one_line(capsys.readouterr().err)
