"""Long names, names with a percent sign, replaced sources, and sizes that an encoder does not accept."""

from __future__ import annotations

import os
from pathlib import Path

import footage
import pytest
from command_fixtures import WITH_SVT_AV1
from footage import facts, ffmpeg
from gansr_process import Gansr, one_line

from vs_gansr.cli import ffmpeg as ffmpegs
from vs_gansr.cli import main
from vs_gansr.cli.common import CommandError
from vs_gansr.cli.upscale.chunks.ledger import folder_of
from vs_gansr.cli.upscale.ffmpeg.trials import try_size
from vs_gansr.cli.upscale.job import UpscaleJob
from vs_gansr.cli.upscale.source.clip import escaped, images
from vs_gansr.cli.upscale.source.index import index_folder

AS_IS = ["--as-is", "--preset", "ultrafast", "--encoder", "x264"]


@pytest.mark.parametrize("name", [246 * "x", 251 * "x", 125 * "é"])
def test_long_names(gansr: Gansr, tmp_path: Path, name: str) -> None:
    source, output = footage.plain(tmp_path / "in.mp4"), tmp_path / f"{name}.mkv"
    done = gansr("upscale", source, output, "-q", "--chunk", "0.3", *AS_IS)
    assert done.returncode == 0, done.stderr
    assert facts(output).picture["frames"] == 20 and len(list(tmp_path.iterdir())) == 3  # and the home
    assert folder_of(output) != folder_of(tmp_path / f"{name[:-1]}y.mkv")


@pytest.mark.parametrize("words", [["--stills", "1"], ["--preview"]])
def test_names_that_become_too_long_are_refused_at_once(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.mp4").write_text("no film")
    assert main(["upscale", str(tmp_path / "in.mp4"), str(tmp_path / f"{246 * 'x'}.mkv"), *words]) == 1
    assert "bytes, and 255 are the most that file systems take; shorten it" in one_line(capsys.readouterr().err)


def test_names_that_are_too_long(gansr: Gansr, tmp_path: Path) -> None:
    source, long = footage.plain(tmp_path / "in.mp4"), f"{252 * 'x'}.mkv"
    for words in ([source, tmp_path / long], [tmp_path / long, tmp_path / "out.mkv"]):
        refused = gansr("upscale", *words, *AS_IS)
        assert refused.returncode == 1 and "is a name of 256 bytes" in one_line(refused.stderr)


@pytest.mark.parametrize("folder", ["100%", "a%03d", "%%", "%s"])
def test_percent_signs_in_the_folder_of_images(gansr: Gansr, tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    ffmpeg(*footage.picture(frames=3), tmp_path / "im%03d.png")
    for path in tmp_path.glob("im*.png"):
        path.rename(tmp_path / folder / path.name)
    done = gansr("upscale", tmp_path / folder / "im%03d.png", tmp_path / folder / "out.mkv", "--fps", "25", *AS_IS)
    assert done.returncode == 0, done.stderr
    assert facts(tmp_path / folder / "out.mkv").picture["frames"] == 3


def test_percent_signs_in_the_name_of_images(tmp_path: Path) -> None:
    (tmp_path / "50%001.png").touch()
    assert [path.name for path in images(str(tmp_path / "50%%%03d.png"))] == ["50%001.png"]
    with pytest.raises(CommandError, match="has a % that is not"):
        images(str(tmp_path / "50%x%03d.png")) or images(str(tmp_path / "50%%03d.png"))
    for path, wanted in (("/a%/b%03d.png", "/a%%/b%03d.png"), ("/a%/b.mp4", "/a%/b.mp4")):
        assert Path(escaped(UpscaleJob(path, "out.mkv"))) == Path(wanted)


def test_a_source_that_is_replaced_is_indexed_anew(gansr: Gansr, tmp_path: Path) -> None:
    """Both are as long; BestSource indexes films of 100 frames and more."""
    source, other = tmp_path / "in.mkv", tmp_path / "other.mkv"
    for path, picture in ((source, "testsrc2"), (other, "mandelbrot")):
        film = ["-f", "lavfi", "-i", f"{picture}=size=64x48:rate=25", "-frames:v", "120"]
        ffmpeg(*film, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", path)
    size = max(path.stat().st_size for path in (source, other)) + 100
    for path in (source, other):
        fill = size - path.stat().st_size  # an EBML Void element
        path.write_bytes(path.read_bytes() + b"\xec" + (1 << 56 | fill - 9).to_bytes(8, "big") + bytes(fill - 9))
    words = [source, tmp_path / "out.mkv", "-q", "-y", "--frames", "3", *AS_IS]
    assert gansr("upscale", *words).returncode == 0
    before, times = index_folder(str(source)), source.stat()
    assert before.is_dir()
    source.write_bytes(other.read_bytes())
    os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))
    done = gansr("upscale", *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert not before.exists(), "the index of the file that is gone"


@pytest.mark.parametrize(
    ("encoder", "width", "height", "said"),
    [
        ("x265", 64, 8, "does not encode pictures of 64x8 pixels (Image size is too small"),
        ("x264", 17280, 30720, "17280x30720 pixels (FFmpeg holds no picture that large); ask for less"),
        ("x264", 16386, 64, "16386x64 pixels (invalid width x height"),
        pytest.param("svt-av1", 16386, 256, "16386x256 pixels (", marks=WITH_SVT_AV1),
        pytest.param("svt-av1", 64, 70000, "no side may be longer than 65535", marks=WITH_SVT_AV1),
        ("x265", 640, 360, ""),
        ("x264", 96, 64, ""),
        ("x264", 16384, 256, ""),
    ],
)
def test_sizes_that_an_encoder_does_not_take(encoder: str, width: int, height: int, said: str) -> None:
    job = UpscaleJob("in.mkv", "out.mkv", encoder=encoder, preset={"svt-av1": "13"}.get(encoder, "ultrafast"))
    tool = ffmpegs.choose(encoder)
    if not said:
        try_size(job, tool, width, height, "yuv420p")
        return
    with pytest.raises(CommandError) as error:
        try_size(job, tool, width, height, "yuv420p")
    assert said in str(error.value) and "or take another --encoder" in str(error.value)


def test_a_size_is_refused_before_anything_is_rendered(gansr: Gansr, tmp_path: Path) -> None:
    source = tmp_path / "in.mkv"
    ffmpeg(*footage.picture("64x8", frames=3), "-pix_fmt", "yuv420p", "-c:v", "ffv1", source)
    words = ["--as-is", "--encoder", "x265", "-q"]
    refused = gansr("upscale", source, tmp_path / "out.mkv", *words)
    assert refused.returncode == 1 and "x265 does not encode pictures of 64x8 pixels" in one_line(refused.stderr)
