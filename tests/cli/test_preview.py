"""The page of `--preview`: what is in it, what it shows, and whether a browser opens it."""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
from pathlib import Path

import av
import footage
import numpy as np
import pytest
from footage import H264, ffmpeg, picture
from gansr_process import Gansr

from vs_gansr.cli.upscale.preview.pictures import densest, encoded, for_screen, places

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
NOISY = "geq=lum='16+mod(X*13+Y*29+N*17,200)':cb=128:cr=128"


def images(page: str, name: str) -> list[np.ndarray]:
    """The embedded pictures of this class, decoded."""
    found = re.findall(rf'<img class="{name}"[^>]*src="data:image/jpeg;base64,([^"]+)"', page)
    decoded = []
    for data in found:
        with av.open(io.BytesIO(base64.b64decode(data)), format="jpeg_pipe") as file:
            decoded.append(next(file.decode(video=0)).to_ndarray(format="rgb24"))
    return decoded


def preview(gansr: Gansr, source: Path, *words: str | Path) -> str:
    output = source.with_name("out.mkv")
    done = gansr("upscale", source, output, "--preview", *words)
    assert done.returncode == 0 and done.stdout == "", done.stderr
    assert "out.preview.html: " in done.stderr and not output.exists()
    return output.with_name("out.preview.html").read_text("utf-8")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """30 frames of 4:3 pixels."""
    source = tmp_path / "in.mkv"
    ffmpeg(*picture(frames=30), "-vf", f"format=yuv420p,{NOISY},setsar=4/3", *H264, source)
    return source


def test_a_page_of_ten_moments(gansr: Gansr, film: Path, point_model: Path) -> None:
    page = preview(gansr, film, "--model", point_model)
    assert "http:" not in page and "https:" not in page and ' src="data:' in page, "something lies elsewhere"
    assert page.count('<figure class="pair"') == 10 and "$" not in page
    before, after = images(page, "source"), images(page, "result")
    assert len(before) == len(after) == 15, "ten moments, and a strip of five"
    assert {picture.shape for picture in (*before[:10], *after[:10])} == {(128, 256, 3)}, "square pixels"
    assert "gansr upscale --model=point" in page and "in.mkv, 96x64 YUV420P8, 30 frames" in page
    for one, other in zip(before[:10], after[:10], strict=True):
        assert 0.5 < np.abs(one.astype(int) - other).mean() < 30, "the same picture, enlarged in another way"
    assert np.abs(after[-1].astype(int) - after[-5]).mean() > 1, "five different frames"


@pytest.mark.parametrize("kind", ["hdr.mkv", "in.vpy", "im%03d.png"])
def test_every_kind_of_source(gansr: Gansr, tmp_path: Path, kind: str) -> None:
    words = ["--as-is", "--height", "128"] if kind == "in.vpy" else ["--as-is"]
    source = tmp_path / kind
    if kind == "hdr.mkv":
        footage.hdr(source)
    elif kind == "in.vpy":
        source.write_text(
            "import vapoursynth as vs\nprint('hello')\nclip = vs.core.std.BlankClip(None, 96, 64, vs.YUV444P16, 3)\n"
            "clip.set_output()\n"
        )
    else:
        ffmpeg(*picture(frames=4), source)
        words += ["--fps", "24"]
    page = preview(gansr, source, *words)
    moments = page.count('<figure class="pair"')
    assert moments == {"in.vpy": 3, "im%03d.png": 4}.get(kind, 10) and page.count('class="source"') > moments
    assert ("reference white" in page) == (kind == "hdr.mkv")


def test_hdr_is_compressed_above_white_alone() -> None:
    grey = np.array([0.0, 0.2, 0.6, 1.0, 5.0, 50.0], np.float32).reshape(1, -1, 1).repeat(3, 2)
    codes = for_screen(grey)[0, :, 0]
    assert list(codes[:3]) == [0, 124, 203] and list(codes) == sorted(codes) and codes[-1] == 255
    red = for_screen(np.array([[[8.0, 0.8, 0.0]]], np.float32))[0, 0]
    assert red[0] > 250 and 80 < red[1] < 100 and red[2] == 0, "the hue stays"


def test_pictures_are_embedded_as_they_are() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (40, 56, 3), np.uint8)
    with av.open(io.BytesIO(encoded(noise, "mjpeg")), format="jpeg_pipe") as file:
        back = next(file.decode(video=0)).to_ndarray(format="rgb24")
    assert np.abs(back.astype(int) - noise).mean() < 5, "with subsampled chroma it is more than 30"


def test_moments_lie_evenly_and_parts_where_most_is() -> None:
    assert places(10, 100) == list(range(5, 100, 10)) and places(10, 3) == [0, 1, 2]
    weights = np.zeros((63, 95), np.float32)
    weights[40:50, 70:80] = 1
    top, left = densest(weights, 24, 32)
    assert top <= 40 and top + 24 >= 50 and left <= 70 and left + 32 >= 80


def test_a_browser_opens_it(gansr: Gansr, film: Path) -> None:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    preview(gansr, film, "--as-is")
    address = film.with_name("out.preview.html").as_uri()
    words = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={film.parent / 'profile'}"]
    for part, width, pressed in (("", 128, "1"), ("#300", 384, "3")):
        seen = subprocess.run(
            [*words, "--dump-dom", address + part], capture_output=True, text=True, timeout=200
        ).stdout
        assert f"width: {width}px" in seen, "the page's script did not run"
        assert f'data-zoom="{pressed}" aria-pressed="true"' in seen and seen.count("--at:") == 10
