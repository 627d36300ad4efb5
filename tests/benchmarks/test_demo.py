"""scripts/demo upscales its own film and given files through the real vspipe and ffmpeg."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import imageio_ffmpeg
import networks
import numpy as np
import pytest
import vapoursynth as vs
from PIL import Image

from benchmarks.demo import __main__ as demo_program
from benchmarks.demo import film
from benchmarks.demo.__main__ import CROP
from benchmarks.paths import ROOT
from benchmarks.sheets import GAP, ZOOM


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return networks.point(tmp_path_factory.mktemp("demo") / "point.onnx")


def demo(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.demo", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)


def probe(path: Path) -> str:
    """What ffmpeg says of a file's video track."""
    done = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path)], capture_output=True, text=True)
    return next(line for line in done.stderr.splitlines() if "Video:" in line)


def props(path: Path) -> dict[str, object]:
    return dict(vs.core.bs.VideoSource(str(path), cachemode=0).get_frame(0).props)


def luma(clip: vs.VideoNode, n: int) -> np.ndarray:
    return np.asarray(clip.get_frame(n)[0]).astype(float)


def still(luma: np.ndarray) -> vs.VideoNode:
    """One frame of grey YUV 4:4:4."""
    height, width = luma.shape
    blank = vs.core.std.BlankClip(format=vs.YUV444P8, width=width, height=height, length=1, color=[16, 128, 128])

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        np.asarray(out[0])[:] = luma
        return out

    return blank.std.ModifyFrame(blank, fill).std.SetFrameProps(_Matrix=1)


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_its_own_film(network: Path, tmp_path: Path) -> None:
    done = demo("--model", network, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d+\.\d fps in all", done.stdout)
    small = vs.core.bs.VideoSource(str(tmp_path / "input.mp4"), cachemode=0)
    large = vs.core.bs.VideoSource(str(tmp_path / "demo.mp4"), cachemode=0)
    assert (large.width, large.height) == (2 * small.width, 2 * small.height) == film.SIZE
    assert large.num_frames == small.num_frames == film.FRAMES
    assert large.fps == film.FPS
    assert re.search(r"Video: h264 .*yuv420p\(tv, bt709, progressive\), 960x540", probe(tmp_path / "demo.mp4"))
    tags = {name: props(tmp_path / "demo.mp4")[name] for name in ("_Matrix", "_Primaries", "_Transfer", "_Range")}
    assert tags == {"_Matrix": 1, "_Primaries": 1, "_Transfer": 1, "_Range": 0}
    # The pictures are what the plugin makes of the input, not far off after x264.
    expected = small.gansr.Upscale(model=str(network), reuse=0)
    for n in (0, 50, 95):
        assert np.abs(luma(large, n) - luma(expected, n)).mean() < 1.5
    # A low rate: under 400 kbit/s.
    assert (tmp_path / "input.mp4").stat().st_size * 8 * film.FPS / film.FRAMES < 400_000
    with Image.open(tmp_path / "side-by-side.png") as sheet:
        assert sheet.width > 4 * CROP[0] * ZOOM
        assert sheet.height > len(film.SPOTS) * CROP[1] * ZOOM
    script = (tmp_path / "demo.vpy").read_text()
    assert "gansr.Upscale(" in script and str(tmp_path / "input.mp4") in script


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_a_file_of_the_user_s(network: Path, tmp_path: Path) -> None:
    """Ten bits, 4:2:2, oblong pixels, BT.601, a name that needs quoting; nothing but the depth and chroma changes."""
    source = tmp_path / 'it\'s a "film".mkv'
    make = ["-f", "lavfi", "-i", "testsrc2=size=180x144:rate=25:duration=0.4", "-pix_fmt", "yuv422p10le"]
    declared = "setsar=16/15,setparams=colorspace=bt470bg:color_primaries=bt470bg:color_trc=smpte170m:range=tv"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *make, "-vf", declared, "-c:v", "ffv1", str(source)]
    subprocess.run(command, check=True)
    done = demo(source, "--model", network, "--out", tmp_path / "out", "--frames", 6)
    assert done.returncode == 0, done.stderr
    result = tmp_path / "out" / "demo.mp4"
    assert re.search(r"Video: h264 .*yuv420p\(tv, bt470bg/bt470bg/smpte170m.*360x288 \[SAR 16:15", probe(result))
    large = vs.core.bs.VideoSource(str(result), cachemode=0)
    assert (large.num_frames, large.format.id) == (6, vs.YUV420P8)
    assert props(result)["_Matrix"] == 5
    with Image.open(tmp_path / "out" / "side-by-side.png") as sheet:
        columns = (sheet.width - GAP) / (CROP[0] * ZOOM + GAP)
    assert columns == 3  # no original to show


@pytest.mark.parametrize("what", ["missing", "no video", "no model", "interlaced"])
def test_what_cannot_be_done_is_one_line(what: str, network: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    model: object = network
    if what == "no video":
        path.write_text("this is no video")
    elif what != "missing":
        flags = ["-vf", "setfield=tff", "-flags", "+ilme+ildct"] if what == "interlaced" else []
        make = ["-f", "lavfi", "-i", "testsrc2=size=64x64:rate=25:duration=0.2", *flags, "-c:v", "libx264"]
        subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *make, str(path)], check=True)
        model = "no-such-model" if what == "no model" else network
    done = demo(path, "--model", model, "--out", tmp_path / "out")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    word = {"missing": "is not a file", "no video": "cannot be read", "no model": "no-such-model"}.get(
        what, "interlaced"
    )
    assert word in done.stderr
    assert not (tmp_path / "out" / "demo.mp4").exists()


def test_the_film_moves_and_is_the_same_each_time() -> None:
    page = film.canvas()
    assert page.size == film.CANVAS
    assert page.tobytes() == film.canvas().tobytes()
    frames = list(film.frames())
    assert len(frames) == film.FRAMES
    assert {frame.size for frame in frames} == {film.SIZE}
    for one, other in pairwise(frames):
        assert np.abs(np.asarray(one, int) - np.asarray(other, int)).mean() > 1
    for n, x, y in film.spots():
        assert 0 <= n < film.FRAMES
        assert 0 <= x < film.SIZE[0] and 0 <= y < film.SIZE[1]


def test_the_busiest_places_are_found_one_a_quarter() -> None:
    frame = np.zeros((480, 640), np.uint8)
    frame[300:380, 400:540] = np.random.default_rng(1).integers(0, 256, (80, 140))
    frame[20:90, 30:150] = np.random.default_rng(2).integers(0, 128, (70, 120))
    frame[30:70, 190:300] = np.random.default_rng(3).integers(0, 64, (40, 110))  # in a quarter that has one
    places = [(look.x, look.y) for look in demo_program.busiest(still(frame), 0)]
    assert len(places) == 4
    assert abs(places[3][0] - 470) < 40 and abs(places[3][1] - 340) < 25
    assert abs(places[0][0] - 90) < 40 and abs(places[0][1] - 55) < 25
    for i, (x, y) in enumerate(places):
        assert all(abs(x - a) >= CROP[0] or abs(y - b) >= CROP[1] for a, b in places[:i])


def test_crops_lie_inside_the_frame() -> None:
    assert demo_program.around(240, 150, (468, 288)) == (162, 102, 318, 198)
    assert demo_program.around(5, 287, (468, 288)) == (0, 192, 156, 288)
    assert demo_program.around(20, 15, (40, 30)) == (0, 0, 40, 30)
    assert len(demo_program.busiest(still(np.zeros((30, 40), np.uint8)), 0)) == 1


def test_the_demo_needs_no_torch() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["demo"]
    assert any(line.startswith("scikit-image") for line in wanted)
    assert not [line for line in wanted if line.startswith(("torch", "vs-gansr"))]
