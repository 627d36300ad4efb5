"""Files that another program holds open, as players, virus scanners and this plugin do on Windows."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import clips
import networks
import numpy as np
import pytest
import vapoursynth as vs
from encodes import FAST
from footage import facts
from gansr_process import Gansr, one_line

from vs_gansr.common import files
from windows import film


def test_a_file_is_replaced_as_soon_as_nobody_holds_it(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"old")
    holder = target.open("rb")
    threading.Timer(0.7, holder.close).start()
    begun = time.monotonic()
    files.write(target, b"new")
    assert time.monotonic() - begun > 0.4
    assert target.read_bytes() == b"new" and list(tmp_path.iterdir()) == [target]


def test_a_file_that_stays_open_is_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PATIENCE", 0.5)
    target = tmp_path / "target"
    target.write_bytes(b"old")
    with target.open("rb"), pytest.raises(PermissionError):
        files.write(target, b"new")
    assert target.read_bytes() == b"old" and list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("chunk", ["0", "0.8"])
def test_an_output_that_cannot_be_replaced(gansr: Gansr, tmp_path: Path, point_model: Path, chunk: str) -> None:
    """The finished film is kept under another name, which the error gives, and nothing else is left. Windows also
    refuses to replace a read-only file; Wine does not."""
    source, output = film.source(tmp_path), tmp_path / "out.mkv"
    output.write_bytes(b"an older film")
    words = ["upscale", source, output, "--model", point_model, "--chunk", chunk, *FAST, "-y", "-q"]
    with output.open("rb"):
        done = gansr(*words)
    assert done.returncode == 1
    assert "read-only or open in another program" in one_line(done.stderr)
    assert output.read_bytes() == b"an older film"
    kept = [path for path in tmp_path.glob("out.*.mkv") if path != output]
    assert len(kept) == 1 and str(kept[0]) in done.stderr
    assert facts(kept[0]).picture["frames"] == film.FRAMES
    assert not list(tmp_path.glob(".gansr-*")) and not list(tmp_path.glob("*.gansr/joined-*"))


def test_a_scanner_that_opens_every_new_file(gansr: Gansr, tmp_path: Path, point_model: Path) -> None:
    """The scanner holds chunks, the ledger and the film open for half a second each."""
    source, output = film.source(tmp_path), tmp_path / "out.mkv"
    over = threading.Event()

    def scan() -> None:
        seen: set[Path] = {source}
        while not over.is_set():
            for path in [p for p in tmp_path.rglob("*") if p not in seen and p.is_file()]:
                seen.add(path)
                try:
                    with path.open("rb"):
                        over.wait(0.5)
                except OSError:
                    continue
            over.wait(0.01)

    scanner = threading.Thread(target=scan)
    scanner.start()
    try:
        done = gansr(*film.words(source, output, point_model))
    finally:
        over.set()
        scanner.join()
    assert done.returncode == 0, done.stderr
    assert film.is_whole(output)


@pytest.mark.parametrize("provider", ["CPU", "OpenVINO"])
def test_a_model_in_use_can_be_replaced_and_deleted(tmp_path: Path, provider: str) -> None:
    path = networks.compact(tmp_path / "model.onnx", features=8, convs=3)
    clip = clips.noise(vs.YUV420P8, 64, 48, length=3).gansr.Upscale(str(path), provider=provider)
    before = np.asarray(clip.get_frame(0)[0]).copy()
    other = networks.point(tmp_path / "other.onnx")
    other.replace(path)
    assert np.array_equal(before, np.asarray(clip.get_frame(0)[0]))
    clip.get_frame(1)
    path.unlink()
    clip.get_frame(2)
