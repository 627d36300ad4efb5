"""`scripts/bench` measures in separate processes and prints correct ratios."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import networks
import numpy as np
import pytest
import vapoursynth as vs

from benchmarks.paths import ROOT
from benchmarks.speed import harness
from benchmarks.speed.bench import main
from benchmarks.speed.run import BenchRun, moving_clip


def result(fps: float) -> harness.Result:
    return harness.Result(fps, 1.0, 1.0, 1.0)


def test_ratios_are_taken_turn_by_turn() -> None:
    ours, theirs = [result(2.0), result(4.0), result(9.0)], [result(1.0), result(4.0), result(3.0)]
    assert harness.ratios(ours, theirs) == (2.0, 1.0, 3.0)


def test_measures_ours_and_the_bound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = networks.compact(tmp_path / "tiny.onnx", 8, 3)
    words = ["--model", str(path), "--size", "64x48", "--seconds", "0.2", "--repeats", "2", "--bare"]
    assert main([*words, "--precision", "fp32", "--profile", "--json"]) == 0
    (table,) = json.loads(capsys.readouterr().out)
    ours, bare = table
    assert (ours["job"]["contestant"], bare["job"]["contestant"]) == ("gansr", "bare")
    for row in table:
        assert row["fps"] > 1 and row["first_ms"] > 0 and row["peak_mib"] > 10
        assert len(row["turns"]) == 2
    parts = dict(ours["parts"])
    frame, overlapped = parts.pop("frame"), parts.pop("overlapped")
    assert set(parts) == {"fetch", "convert", "copy in", "run", "copy out"}
    assert min(parts.values()) > 0
    assert sum(parts.values()) - overlapped == pytest.approx(frame)
    assert main([*words[:-1], "--precision", "fp32"]) == 0
    assert "gansr" in capsys.readouterr().out


def test_times_an_encode_of_the_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = networks.compact(tmp_path / "tiny.onnx", 8, 3)
    words = ["--model", str(path), "--size", "64x48", "--seconds", "0.3", "--repeats", "1", "--encode"]
    assert main([*words, "--json"]) == 0
    ((row,),) = json.loads(capsys.readouterr().out)
    assert row["fps"] > 0.5
    assert row["ns_per_pixel"] == pytest.approx(1e9 / (row["fps"] * 64 * 48))
    assert main([*words, "--bare"]) != 0
    assert "leave out --bare" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="the encoder ended with 1"):
        harness.measure(BenchRun("gansr", str(path), 64, 48, format="YUV444PS", encoder="/bin/false", seconds=0.1))


def test_a_contestant_that_cannot_run_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no network")
    assert main(["--model", str(broken), "--size", "64x48", "--repeats", "1"]) != 0
    assert "not a readable ONNX file" in capsys.readouterr().err


def test_bad_size_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--size", "large"])
    assert "write it as 640x360" in capsys.readouterr().err


def test_a_format_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--format", "YUV420"]) == 1
    said = capsys.readouterr().err
    assert said.startswith('bench: --format "YUV420" is not a format') and "did you mean YUV420P8" in said


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name", ["YUV420P8", "YUV420P10", "YUV410P8", "YUV444PS", "GRAY16", "RGB24"])
def test_a_peer_gets_what_its_network_takes(name: str, half: bool, tmp_path: Path) -> None:
    """Luma where the network takes one plane, RGB where it takes three; the result is in the clip's own format."""
    source = moving_clip(BenchRun("ort", "", 48, 32, format=name))
    for channels in (1, 3):
        model = networks.point(tmp_path / f"{channels}.onnx", channels=channels, metadata={"scale": "2"})
        seen: list[vs.VideoNode] = []

        def evaluate(clip: vs.VideoNode, seen: list[vs.VideoNode] = seen) -> vs.VideoNode:
            seen.append(clip)
            return clip.resize.Point(2 * clip.width, 2 * clip.height)

        large = harness.through_peer(source, str(model), evaluate, half)
        assert (large.width, large.height, large.format.id) == (96, 64, source.format.id)
        taken = seen[0].format
        assert (taken.num_planes, taken.bits_per_sample) == (channels, 16 if half else 32)
        with large.get_frame(1) as frame, source.get_frame(1) as before:
            got, want = (np.asarray(f[0]).astype(float) for f in (frame, before))
            most = 0.08 if name == "RGB24" else 0.02  # chroma is smoothed
            assert np.abs(got[::2, ::2] - want).mean() < most * want.max()


def test_a_peer_runs_a_luma_network(tmp_path: Path) -> None:
    model = networks.point(tmp_path / "luma.onnx", channels=1, metadata={"scale": "2"})
    assert harness.measure(BenchRun("ort", str(model), 64, 48, seconds=0.1)).fps > 0


def test_two_checkouts_in_pairs(tmp_path: Path) -> None:
    path = networks.compact(tmp_path / "tiny.onnx", 8, 3)
    words = [sys.executable, "-P", str(ROOT / "benchmarks" / "speed" / "checkouts.py"), str(ROOT)]
    more = ["--model", str(path), "--size", "64", "48", "--seconds", "0.1", "--pairs", "1"]
    done = subprocess.run([*words, str(ROOT), *more], capture_output=True, text=True, check=True)
    pair, ratios = done.stdout.splitlines()
    assert pair.count("fps") == 2
    assert re.fullmatch(r"second over first: fps [\d.]+, first frame [\d.]+, processor time [\d.]+", ratios)
    wrong = subprocess.run([*words, str(tmp_path), *more], capture_output=True, text=True, check=False)
    assert wrong.returncode and "this process runs" in wrong.stderr.splitlines()[-1]
