"""The scripts, commands and error messages that README and docs/arguments.md quote work as quoted."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import imageio_ffmpeg
import networks
import pytest
import vapoursynth as vs
from paths import ROOT

TEXT = "".join(
    (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/arguments.md", "docs/migration.md")
)
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def block(kind: str, word: str) -> str:
    """The one code block of that kind with `word` in it."""
    found = [text for name, text in BLOCKS if name == kind and word in text]
    assert len(found) == 1, f"{len(found)} blocks with {word}"
    return found[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """in.mkv with picture and sound, README's script beside it, and `bin` with an ffmpeg."""
    lavfi = ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=0.2", "-f", "lavfi", "-i", "sine=duration=0.2"]
    tags = ["-vf", "format=yuv420p,setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"]
    made = [*lavfi, *tags, "-c:v", "libx264", "-c:a", "aac", str(tmp_path / "in.mkv")]
    subprocess.run([FFMPEG, "-v", "error", *made], check=True)
    (tmp_path / "script.vpy").write_text(block("python", "VideoSource"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ffmpeg").symlink_to(FFMPEG)
    return tmp_path


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=folder,
        env=os.environ | {"PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def video(path: Path) -> vs.VideoNode:
    clip = vs.core.bs.VideoSource(str(path), cachemode=0)
    frame = clip.get_frame(0)
    assert [int(frame.props[name]) for name in ("_Matrix", "_Primaries", "_Transfer")] == [1, 1, 1]
    return clip


@pytest.mark.slow
def test_x265(folder: Path) -> None:
    if not shutil.which("x265"):
        pytest.skip("x265 is not installed")
    assert "`--sar 64:45`" in TEXT
    done = shell(block("sh", "x265 --y4m --crf").replace(" - -o", " --sar 64:45 - -o"), folder)
    assert done.returncode == 0, done.stderr
    assert (video(folder / "out.hevc").width, video(folder / "out.hevc").height) == (128, 96)
    assert "SAR 64:45" in subprocess.run([FFMPEG, "-i", folder / "out.hevc"], capture_output=True, text=True).stderr


@pytest.mark.slow
def test_x265_with_hdr10(folder: Path) -> None:
    if not shutil.which("x265"):
        pytest.skip("x265 is not installed")
    (folder / "script.vpy").rename(folder / "hdr10.vpy")
    done = shell(block("sh", "hdr10.vpy"), folder)
    assert done.returncode == 0, done.stderr
    listing = subprocess.run([FFMPEG, "-i", folder / "out.hevc"], capture_output=True, text=True).stderr
    assert "yuv420p10le(tv, bt2020nc/bt2020/smpte2084" in listing


@pytest.mark.slow
def test_ffmpeg_with_the_shape_of_the_pixels(folder: Path) -> None:
    shape = ",setsar=64/45"
    assert f"`{shape}`" in TEXT and "A0:0" in TEXT
    assert "A0:0" in shell("vspipe -c y4m script.vpy - 2>/dev/null | head -n 1 || true", folder).stdout
    done = shell(block("sh", "libx265").replace("range=tv", f"range=tv{shape}"), folder)
    assert done.returncode == 0, done.stderr
    clip = video(folder / "out.mkv")
    assert (clip.width, clip.height, clip.num_frames) == (128, 96, 5)
    listing = subprocess.run([FFMPEG, "-i", folder / "out.mkv"], capture_output=True, text=True).stderr
    assert "Audio: aac" in listing and "SAR 64:45" in listing


@pytest.mark.slow
def test_the_warning_about_colorspace_is_true(folder: Path) -> None:
    """-colorspace converts from a guess where setparams declares."""
    right = block("sh", "libx265").replace("-c:v libx265 -crf 18 out.mkv", "-c:v ffv1 right.mkv")
    wrong = re.sub(r"-vf setparams=\S+", "-colorspace bt709", right).replace("right.mkv", "wrong.mkv")
    assert shell(right, folder).returncode == shell(wrong, folder).returncode == 0
    (folder / "truth.vpy").write_text(block("python", "VideoSource"))
    truth = vs.core.bs.VideoSource(str(folder / "in.mkv"), cachemode=0).gansr.Upscale()

    def apart(name: str) -> float:
        clip = vs.core.bs.VideoSource(str(folder / name), cachemode=0)
        return vs.core.std.PlaneStats(clip, truth).get_frame(0).props["PlaneStatsDiff"] * 255

    assert apart("right.mkv") == 0
    assert apart("wrong.mkv") > 0.5


def test_the_command(folder: Path) -> None:
    done = shell(block("sh", "gansr upscale in.mkv"), folder)
    assert done.returncode == 0, done.stderr
    assert video(folder / "out.mkv").width == 128


def test_the_errors_read_as_quoted() -> None:
    clip = vs.core.std.BlankClip(format=vs.YUV420P8, width=64, height=48)
    quoted = block("", "Upscale: unknown model").splitlines()
    with pytest.raises(vs.Error) as unknown:
        clip.gansr.Upscale(model="fast")
    start, end = quoted[0].split("fast-2x", 1)
    assert str(unknown.value).startswith(start) and str(unknown.value).endswith(end)
    with pytest.raises(vs.Error) as interlaced:
        clip.std.SetFieldBased(2).gansr.Upscale()
    assert str(interlaced.value) == quoted[1]


@pytest.mark.slow
def test_networks_of_any_scale_up_to_the_one_named(tmp_path: Path) -> None:
    (largest,) = re.findall(r"1x to (\d+)x", TEXT)
    clip = vs.core.std.BlankClip(format=vs.YUV420P8, width=16, height=16, length=1)
    large, beyond = (str(networks.point(tmp_path / f"{n}.onnx", scale=int(largest) + n)) for n in (0, 1))
    assert clip.gansr.Upscale(large).get_frame(0).width == 16 * int(largest)
    with pytest.raises(vs.Error, match=f"at 1 to {largest} times the size"):
        clip.gansr.Upscale(beyond)
