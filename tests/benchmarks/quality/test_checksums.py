"""scripts/checksums prints equal lines for equal code, and other lines for other code or another model's file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import imageio_ffmpeg
import onnx
import onnx.numpy_helper
import pytest
import vapoursynth as vs

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "scripts" / "checksums"
FAST = ("--size", "96x64", "--frames", "2", "--only", "fast-2x")
FORMATS = ["YUV420P8", "YUV444P16", "RGB24", "Gray16"]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two moving clips of 12 frames, wide and tall."""
    folder = tmp_path_factory.mktemp("material")
    for name, size in (("wide", "192x108"), ("tall", "90x128")):
        source = f"testsrc2=size={size}:rate=24:duration=0.5"
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-f", "lavfi", "-i", source]
        subprocess.run([*command, "-pix_fmt", "yuv420p", "-c:v", "ffv1", str(folder / f"{name}.mkv")], check=True)
    return folder


@pytest.fixture(scope="module")
def stored(material: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This checkout's checksums as --save leaves them."""
    file = tmp_path_factory.mktemp("stored") / "here.json"
    told = checksums(material, *FAST, "--save", str(file))
    assert told.returncode == 0, told.stderr
    return file


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A second checkout, to be changed: package and models, without this repository's scripts."""
    for name in ("vs_gansr", "models"):
        shutil.copytree(ROOT / name, tmp_path / "copy" / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "copy"


def checksums(material: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SCRIPT), "--material", str(material), *arguments],
        env={**os.environ, "GANSR_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def patched_entry(checkout: Path, more: str) -> None:
    """Have the checkout's own Upscale do as if its caller had given `more`, too."""
    with (checkout / "vs_gansr" / "plugin.py").open("a") as file:
        file.write(f"\n\nFUNCTIONS['Upscale'] = lambda **given: upscale(**{{**given, {more}}})\n")


def test_a_line_for_each_clip_model_precision_and_format(material: Path) -> None:
    told = checksums(material, *FAST)
    assert told.returncode == 0, told.stderr
    lines = [line.split(" ") for line in told.stdout.splitlines()]
    expected = [
        [clip, "fast-2x", precision, form]
        for clip in ("tall", "wide")
        for precision in ("fp32", "int8")
        for form in FORMATS
    ]
    assert [line[:4] for line in lines] == expected
    digests = {line[4] for line in lines}
    assert len(digests) == len(lines), "two lines tell the same frames"
    assert all(len(digest) == 64 for digest in digests)


def test_the_same_code_elsewhere_is_equal(material: Path, copy: Path) -> None:
    told = checksums(material, *FAST, "RGB24", "--against", str(copy))
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("4 of 4 equal: ")
    assert len(told.stdout.splitlines()) == 1


def test_what_was_stored_is_equal(material: Path, stored: Path) -> None:
    told = checksums(material, *FAST, "tall", "--against", str(stored))
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("8 of 8 equal: ")


@pytest.mark.parametrize("change", ["'strength': 0.99", f"'format': {int(vs.YUV422P8)}"])
def test_other_frames_are_seen(material: Path, stored: Path, copy: Path, change: str) -> None:
    """A blend that moves samples by little, and a result in another format."""
    patched_entry(copy, change)
    told = checksums(material, *FAST, "wide", "--checkout", str(copy), "--against", str(stored))
    assert told.returncode == 1, told.stderr
    assert told.stdout.startswith("wide fast-2x fp32 YUV420P8: ")
    assert told.stdout.splitlines()[-1].startswith("0 of 8 equal: ")


def test_another_network_is_seen_where_it_is_used(material: Path, copy: Path) -> None:
    path = copy / "models" / "fast-2x.onnx"
    network = onnx.load(path)
    weights = next(tensor for tensor in network.graph.initializer if len(tensor.dims) == 4)
    halved = onnx.numpy_helper.to_array(weights) / 2
    weights.CopyFrom(onnx.numpy_helper.from_array(halved, weights.name))
    onnx.save(network, path)
    told = checksums(material, *FAST, "wide", "Gray16", "--against", str(copy))
    assert told.returncode == 1, told.stderr
    assert [line.split(":")[0] for line in told.stdout.splitlines()] == ["wide fast-2x fp32 Gray16", "1 of 2 equal"]


def test_a_missing_int8_variant_is_a_difference(material: Path, copy: Path) -> None:
    (copy / "models" / "fast-2x.int8.onnx").unlink()
    told = checksums(material, *FAST, "wide", "Gray16", "--against", str(copy))
    assert told.returncode == 1, told.stderr
    assert "wide fast-2x int8 Gray16: " in told.stdout and "missing at " in told.stdout


def test_code_of_elsewhere_is_refused(material: Path, tmp_path: Path) -> None:
    """A folder that only looks like a checkout: Python would go on to the installed package."""
    (tmp_path / "vs_gansr").mkdir()
    told = checksums(material, *FAST, "--checkout", str(tmp_path))
    assert told.returncode == 2
    assert "vs_gansr was imported from " in told.stderr and f"instead of {tmp_path}" in told.stderr
    assert told.stdout == ""


def test_stored_under_other_conditions_is_refused(material: Path, stored: Path) -> None:
    told = checksums(material, *FAST, "--frames", "1", "--against", str(stored))
    assert told.returncode == 2
    assert "frames and size" in told.stderr


@pytest.mark.parametrize("arguments", [("--only", "no-such-word"), ("--against", "no-such-place")])
def test_nothing_to_compare_is_an_error(material: Path, arguments: tuple[str, ...]) -> None:
    told = checksums(material, *arguments)
    assert told.returncode == 2
    assert arguments[1] in told.stderr
