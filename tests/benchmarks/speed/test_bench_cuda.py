"""scripts/bench_cuda from end to end, with the CPU instead of a GPU, and the page that it writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import fakegpu
import imageio_ffmpeg
import networks
import numpy as np
import onnxruntime as ort
import pytest
import torch
from onnx import helper, numpy_helper

from benchmarks.paths import ROOT
from benchmarks.speed import bench_cuda, faults, report, worker
from benchmarks.speed import job as speed_job
from benchmarks.speed.job import Measured, SpeedJob, measure
from benchmarks.speed.torchnet import OnnxModule


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one real H.264 clip of six frames."""
    folder = tmp_path_factory.mktemp("clips")
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=96x64:rate=6:duration=1",
    ]
    command += [
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv420p",
        "-crf",
        "23",
        "-colorspace",
        "bt709",
        str(folder / "test.mp4"),
    ]
    subprocess.run(command, check=True)
    return folder


@pytest.fixture(scope="module")
def luma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of luma, as those that ship are."""
    path = tmp_path_factory.mktemp("models") / "tiny.onnx"
    weights = np.random.default_rng(0).normal(0, 0.1, (4, 1, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["input", "w"], ["wide"], pads=[1, 1, 1, 1]),
        helper.make_node("DepthToSpace", ["wide"], ["output"], blocksize=2, mode="CRD"),
    ]
    said = {"scale": "2", "radius": "1"}
    return networks.save(path, nodes, [numpy_helper.from_array(weights, "w")], channels=1, metadata=said)


def check_figures(found: dict[str, Any], least_half: float = 50) -> None:
    """Every stage has them, within what a processor in the GPU's place must give."""
    assert set(found) == {"machine", "measured", *bench_cuda.SHARES}
    assert found["trial"]["trouble"] == ""
    for stage in ("planes", "formats"):
        assert all(value["largest"] <= 1 for value in found[stage]["fp32"].values()), stage
        assert min(value["psnr"] for value in found[stage]["fp16"].values()) > least_half
    for precision, least in (("fp32", 100), ("fp16", least_half)):
        [clips] = found["agreement"][precision].values()
        assert clips and all(value["psnr"] > least for value in clips.values())
    [row] = found["speed"]
    assert list(row["results"]) == list(bench_cuda.RIVALS)
    assert all(result["fps"] > 0 for result in row["results"].values() if "missing" not in result)
    assert all(row["result"]["fps"] > 0 for row in found["options"]["results"])
    assert found["soak"]["frames"] == 40 and found["soak"]["level_mib"] > 0
    assert found["soak"]["through"] == "Upscale"
    operators = found["profile"]["operators"]
    assert {row[0] for row in operators} >= {"Conv"} and all(row[2] > 0 for row in operators)
    assert len(found["measured"]) >= 20 and all(entry["seconds"] >= 0 for entry in found["measured"])


@pytest.mark.timeout(900)
@pytest.mark.slow
def test_the_command_from_end_to_end(clip: Path, luma: Path, tmp_path: Path) -> None:
    """Every measurement in its process; the page claims nothing where the CPU stands in."""
    command = [str(ROOT / "scripts" / "bench_cuda"), "--provider", "CPU", "--quick", "--models", str(luma)]
    command += ["--clips", str(clip), "--out", str(tmp_path), "--option", "tier", "streams"]
    environment = os.environ | {"GANSR_PYTHON": sys.executable}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    page = (tmp_path / "bench_cuda.md").read_text()
    assert done.stdout.strip() == page.strip()
    found = json.loads((tmp_path / "bench_cuda.json").read_text())
    check_figures(found)
    [row] = found["speed"]
    missing = {name: result["missing"] for name, result in row["results"].items() if "missing" in result}
    assert set(missing) == {name for name in bench_cuda.RIVALS if "CUDA graph" in name}, missing
    assert "the CPU provider stands in" in page and found["machine"]["provider"] == "CPU"
    marks = [result for _, result in report.verdicts(found)]
    assert len(marks) == 4 and all(mark.startswith("open, no GPU") for mark in marks)
    assert "tiny, 96x64, YUV420P10, fp32" in page
    assert "gansr: " in done.stderr


def in_this_process(job: SpeedJob, timeout: float) -> Measured:
    """What the worker's process does."""
    passed = SpeedJob(**json.loads(json.dumps(asdict(job))))
    try:
        return json.loads(json.dumps(worker.KINDS[job.contestant](passed)))
    except Exception as error:
        return {"missing": f"{type(error).__name__}: {error}"}


def bench(folder: Path, *words: str) -> tuple[bench_cuda.Bench, dict[str, Any], str]:
    """A run with these arguments, its JSON and its page."""
    made = bench_cuda.Bench(bench_cuda.parse(["--quick", "--clips", str(folder), "--out", str(folder), *words]))
    made.run()
    return made, json.loads((folder / "bench_cuda.json").read_text()), (folder / "bench_cuda.md").read_text()


@pytest.mark.slow
def test_on_a_gpu_that_the_processor_stands_in_for(
    machine: fakegpu.StandIn, luma: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way of a GPU through every stage: its memory, its options, its engine behind `Upscale`."""
    monkeypatch.setattr(bench_cuda, "measure", in_this_process)
    machine.refuse = lambda o: "Failed to allocate memory" if o.get("gpu_mem_limit") == str(faults.TOO_LITTLE) else None
    _, found, page = bench(tmp_path, "--provider", "CUDA", "--models", str(luma), "--seconds", "0.05")
    check_figures(found)
    assert found["trial"]["device"].startswith("Fake, 2 GiB")
    assert found["shortage"]["limited"].startswith(
        "told: too little memory of CUDA device 0 to load the network: Failed to allocate"
    )
    assert found["speed"][0]["precision"] == "fp16" and "missing" not in found["speed"][0]["results"]["gansr"]
    tiers = [(row["precision"], row["options"]) for row in found["options"]["results"]][:4]
    assert tiers == [("fp16", {}), ("fp32", {}), ("fp16", {"tier": "fast"}), ("fp16", {"tier": "fast NHWC"})]
    given = [options for _, options in machine.made]
    assert {options["use_tf32"] for options in given} == {"0", "1"}
    assert all(verdict != "not measured" for mark, verdict in report.verdicts(found) if "vs-mlrt" not in mark and
               "every clip" not in mark)  # fmt: skip
    assert "Fake, 2 GiB" in page and "stands in" not in page


def test_without_vapoursynth_the_engines_figures_are_there(luma: Path, tmp_path: Path) -> None:
    """As on a machine that has ONNX Runtime and nothing else yet; in processes that find no VapourSynth."""
    (tmp_path / "vapoursynth.py").write_text("raise ImportError('there is no VapourSynth here')")
    command = [sys.executable, "-m", "benchmarks.speed.bench_cuda", "--provider", "CPU", "--quick"]
    command += ["--models", str(luma), "--out", str(tmp_path), "--seconds", "0.05", "--soak", "20"]
    command += ["--only", "speed", "soak", "formats", "--rivals", "gansr", "engine (no VapourSynth)"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "bench_cuda.json").read_text())
    results = found["speed"][0]["results"]
    assert "there is no VapourSynth here" in results["gansr"]["missing"]
    assert results["engine (no VapourSynth)"]["fps"] > 0
    assert (found["soak"]["through"], found["soak"]["frames"]) == ("the engine alone", 40)
    assert "no VapourSynth here" in (tmp_path / "bench_cuda.md").read_text()


def test_a_stage_that_fails_keeps_none_from_running(
    luma: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a result that nobody expected, or a page that cannot be made of it; all that came is written down."""
    kept: list[int] = []  # measurements in the file when the next one begins

    def odd(job: SpeedJob, timeout: float) -> Measured:
        kept.append(len(json.loads((tmp_path / "bench_cuda.json").read_text())["measured"]))
        return {"fps": 1.0} if job.contestant == "engine" else {"psnr": None, "out": "odd"}

    def fails(bench: bench_cuda.Bench) -> Any:
        raise RuntimeError("nobody thought of that")

    monkeypatch.setattr(bench_cuda, "measure", odd)
    monkeypatch.setitem(bench_cuda.RUN, "trial", fails)
    _, found, page = bench(tmp_path, "--provider", "CPU", "--models", str(luma))
    assert set(found) == {"machine", "measured", *bench_cuda.SHARES}
    assert found["trial"] == {"missing": "RuntimeError: nobody thought of that"}
    assert "No page can be made of" in page or "nobody thought of that" in page
    assert kept == list(range(len(kept))) and len(found["measured"]) == len(kept) > 15


def test_no_stage_takes_the_time_of_those_after_it(luma: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, given = [0.0], []

    def slow(job: SpeedJob, timeout: float) -> Measured:
        given.append((job.contestant, timeout))
        now[0] += min(timeout, 100.0)  # what takes longer is stopped
        return {"missing": "not done"} if timeout < 100 else {"fps": 1.0, "largest": 0.0, "psnr": 99.0}

    monkeypatch.setattr(bench_cuda, "measure", slow)
    monkeypatch.setattr(bench_cuda.time, "monotonic", lambda: now[0])
    _, found, _ = bench(tmp_path, "--provider", "CPU", "--models", str(luma), "--minutes", "10")
    assert now[0] <= 600 + 1e-6
    assert {kind for kind, _ in given} >= {"trial", "planes", "gansr", "engine", "soak", "formats", "clips", "profile"}
    assert any(entry.get("missing") == "no time was left" for entry in found["measured"])


def test_a_measurement_that_hangs_or_says_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    job = SpeedJob("trial", "m.onnx", 8, 8)
    for program, told in (("this", "missing"), ("pyclbr", "missing")):
        monkeypatch.setattr(speed_job, "PROGRAM", program)  # both end without a figure
        assert told in measure(job)
    monkeypatch.setattr(speed_job, "PROGRAM", "http.server")

    def hangs(*arguments: Any, **more: Any) -> Any:
        raise subprocess.TimeoutExpired("python", 3.0)

    monkeypatch.setattr(subprocess, "run", hangs)
    assert measure(job, 3.0) == {"missing": "not done in 3 s"}


def soak(growth: float) -> dict[str, Any]:
    known = {"frames": 5000, "fps": 300.0, "through": "Upscale", "level_mib": 900.0}
    return known | {"growth_mib": growth, "host_growth_mib": 0.25}


def on_a_gpu(**changes: Any) -> dict[str, Any]:
    """Results as a GPU that meets every mark would give them."""
    fps = {"gansr": 190.0, "mlrt, float": 60.0, "mlrt, half float": 90.0}
    row = {"model": "m", "width": 8, "height": 8, "format": "YUV420P10", "precision": "fp16"}
    return {
        "machine": {"provider": "CUDA"},
        "formats": {"fp32": {"YUV420P8": {"psnr": 90.0, "largest": 1.0}, "RGBS": {"psnr": 99.0, "largest": 1e-6}}},
        "agreement": {"fp16": {"m": {"a": {"psnr": 61.0, "largest": 9}, "b": {"psnr": 55.0, "largest": 9}}}},
        "speed": [row | {"results": {name: {"fps": rate} for name, rate in fps.items()}}],
        "soak": soak(0.5),
    } | changes


def test_marks_on_a_gpu_are_met_or_missed() -> None:
    assert [r for _, r in report.verdicts(on_a_gpu())] == [
        "met: 1.00 codes", "met: 55.00 dB", "met: 2.11 times", "met: 0.50 MiB",
    ]  # fmt: skip
    worse = on_a_gpu(
        formats={"fp32": {"YUV420P8": {"psnr": 60.0, "largest": 2.0}}},
        agreement={"fp16": {"m": {"a": {"psnr": 49.0, "largest": 9}}}},
        speed=[on_a_gpu()["speed"][0] | {"results": {"gansr": {"fps": 100.0}, "mlrt, half float": {"fps": 90.0}}}],
        soak=soak(80.0),
    )
    assert all(result.startswith("missed") for _, result in report.verdicts(worse))
    nothing = {"machine": {"provider": "CUDA"}, "speed": [{"results": {"gansr": {"missing": "no"}}}]}
    assert [r for _, r in report.verdicts(nothing)] == ["not measured"] * 4
    assert "| mlrt, half float | 90.0 |" in report.markdown(on_a_gpu())


def test_a_contestant_that_fails_is_a_row_with_its_reason(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no network")
    result = measure(SpeedJob("gansr", str(broken), 32, 16, seconds=0.1))
    assert "is not a readable ONNX file" in result["missing"]
    rows = list(report.speed({"gansr": result, "other": {"fps": 2.0, "runs": [1.0, 2.0, 3.0]}}))
    assert rows[0][1] == result["missing"] and rows[1][1] == "2.0 (1.0 to 3.0)"


def test_alternatives_change_one_option_each() -> None:
    for precision in ("fp16", "fp32"):
        seen = list(bench_cuda.alternatives("CUDA", precision))
        assert seen[0] == {} and len(seen) == len({json.dumps(given) for given in seen})
        changed = [{k: v for k, v in given.items() if k != "precision"} for given in seen]
        assert all(len(given) <= 1 for given in changed)
        assert {name for given in changed for name in given} == {"tier", "streams"}


@pytest.mark.parametrize("slope", [None, 0.2])
@pytest.mark.parametrize("scale", [2, 3])
def test_pytorch_runs_the_same_network(scale: int, slope: float | None, tmp_path: Path) -> None:
    agrees(networks.compact(tmp_path / "m.onnx", features=8, convs=3, scale=scale, slope=slope))


@pytest.mark.parametrize("name", ["realesr-animevideov3-x4", "realcugan-se-2x-conservative"])
def test_pytorch_runs_networks_people_use(name: str, shared: Path) -> None:
    agrees(shared / "anchors" / f"{name}.onnx")


def test_pytorch_runs_the_shipped_networks() -> None:
    for file in sorted((ROOT / "models").glob("*.onnx")):
        if not file.name.endswith(".int8.onnx"):
            agrees(file)


def agrees(path: Path) -> None:
    network = OnnxModule(path)
    picture = np.random.default_rng(0).random((1, network.channels, 24, 40), np.float32)
    [want] = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {network.entry: picture})
    with torch.inference_mode():
        got = network(torch.from_numpy(picture)).numpy()
    assert got.shape == want.shape
    assert np.abs(got - want).max() < 1e-3


def test_pytorch_says_what_it_does_not_know(tmp_path: Path) -> None:
    path = networks.save(tmp_path / "odd.onnx", [helper.make_node("Erf", ["input"], ["output"])], [])
    with pytest.raises(ValueError, match=r"odd\.onnx: no PyTorch counterpart for Erf"):
        OnnxModule(path)
