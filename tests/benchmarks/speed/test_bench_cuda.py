"""scripts/bench_cuda from end to end, the CPU provider standing in, and what its page says of which results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import networks
import numpy as np
import onnxruntime as ort
import pytest
import torch

from benchmarks.paths import ROOT
from benchmarks.speed import bench_cuda, report
from benchmarks.speed.job import SpeedJob, measure
from benchmarks.speed.torchnet import OnnxModule
from vs_gansr.engine.cuda_options import CudaOptions


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
def results(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str, str]:
    """(JSON, Markdown, what was said) of one run of everything, short."""
    folder = tmp_path_factory.mktemp("bench")
    network = networks.compact(folder / "tiny.onnx", features=8, convs=3)
    command = [sys.executable, "-m", "benchmarks.speed.bench_cuda", "--provider", "CPU", "--quick"]
    command += [
        "--models",
        str(network),
        "--clips",
        str(clip),
        "--out",
        str(folder / "out"),
        "--option",
        "graph",
        "streams",
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    page = (folder / "out" / "bench_cuda.md").read_text()
    assert done.stdout.strip() == page.strip()
    return json.loads((folder / "out" / "bench_cuda.json").read_text()), page, done.stderr


def test_every_stage_gives_figures(results: tuple[dict[str, Any], str, str]) -> None:
    found, _, _ = results
    assert set(found) == {"machine", *bench_cuda.STAGES}
    for precision, least in (("fp32", 100), ("fp16", 50)):
        [clips] = found["agreement"][precision].values()
        assert clips["test"]["psnr"] > least
    assert all(value["largest"] <= 1 for value in found["formats"]["fp32"].values())
    assert min(value["psnr"] for value in found["formats"]["fp16"].values()) > 50
    [row] = found["speed"]
    assert (row["model"], row["width"], row["height"], row["format"], row["precision"]) == (
        "tiny",
        96,
        64,
        "YUV420P10",
        "fp32",
    )
    assert list(row["results"]) == list(bench_cuda.RIVALS)
    missing = {name: result["missing"] for name, result in row["results"].items() if "missing" in result}
    assert set(missing) == {name for name in bench_cuda.RIVALS if "CUDA graph" in name}, missing
    assert all(result["fps"] > 0 for result in row["results"].values() if "missing" not in result)
    assert [r["options"] for r in found["options"]["results"]] == [
        {},
        {"graph": False},
        *({"streams": n} for n in (1, 3, 4)),
    ]
    assert found["trial"]["trouble"] == ""
    operators = found["profile"]["operators"]
    assert {row[0] for row in operators} >= {"Conv"} and all(row[1] == "CPU" and row[2] > 0 for row in operators)
    assert found["shortage"]["second"] == "runs on 1 of 2 streams"
    assert found["soak"]["frames"] == 40 and found["soak"]["level_mib"] > 0


def test_page_claims_nothing_without_a_gpu(results: tuple[dict[str, Any], str, str]) -> None:
    found, page, said = results
    assert "the CPU provider stands in" in page and found["machine"]["provider"] == "CPU"
    marks = [result for _, result in report.verdicts(found)]
    assert len(marks) == 5 and all(mark.startswith("open, no GPU") for mark in marks)
    assert "tiny, 96x64, YUV420P10, fp32" in page and "| bound |" in page
    assert "gansr: " in said


def on_a_gpu(**changes: Any) -> dict[str, Any]:
    """Results as a GPU that meets every mark would give them."""
    fps = {"gansr": 190.0, "mlrt, RGBS": 60.0, "mlrt, RGBH": 90.0, "bound": 200.0}
    row = {"model": "m", "width": 8, "height": 8, "format": "YUV420P10", "precision": "fp16"}
    return {
        "machine": {"provider": "CUDA"},
        "formats": {"fp32": {"YUV420P8": {"psnr": 90.0, "largest": 1.0}, "RGBS": {"psnr": 99.0, "largest": 1e-6}}},
        "agreement": {"fp16": {"m": {"a": {"psnr": 61.0, "largest": 9}, "b": {"psnr": 55.0, "largest": 9}}}},
        "speed": [row | {"results": {name: {"fps": rate} for name, rate in fps.items()}}],
        "soak": {"frames": 5000, "level_mib": 900.0, "growth_mib": 0.5},
    } | changes


def test_marks_on_a_gpu_are_met_or_missed() -> None:
    assert [r for _, r in report.verdicts(on_a_gpu())] == [
        "met: 1.00 codes", "met: 55.00 dB", "met: 2.11 times", "met: 0.95 of it", "met: 0.50 MiB",
    ]  # fmt: skip
    worse = on_a_gpu(
        formats={"fp32": {"YUV420P8": {"psnr": 60.0, "largest": 2.0}}},
        agreement={"fp16": {"m": {"a": {"psnr": 49.0, "largest": 9}}}},
        speed=[
            on_a_gpu()["speed"][0]
            | {"results": {"gansr": {"fps": 100.0}, "mlrt, RGBH": {"fps": 90.0}, "bound": {"fps": 200.0}}}
        ],
        soak={"frames": 5000, "level_mib": 900.0, "growth_mib": 80.0},
    )
    assert all(result.startswith("missed") for _, result in report.verdicts(worse))
    nothing = {"machine": {"provider": "CUDA"}, "speed": [{"results": {"gansr": {"missing": "no"}}}]}
    assert [r for _, r in report.verdicts(nothing)] == ["not measured"] * 5
    assert "| mlrt, RGBH | 90.0 | 0.45 |" in report.markdown(on_a_gpu())


def test_a_contestant_that_fails_is_a_row_with_its_reason(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no network")
    result = measure(SpeedJob("gansr", str(broken), 32, 16, seconds=0.1))
    assert "is not a readable ONNX file" in result["missing"]
    rows = list(report.speed({"gansr": result, "bound": {"fps": 2.0, "runs": [1.0, 2.0, 3.0]}}))
    assert rows[0][1] == result["missing"] and rows[1][1] == "2.0 (1.0 to 3.0)"


def test_alternatives_change_one_option_each() -> None:
    seen = list(bench_cuda.alternatives())
    assert seen[0] == {} and all(len(given) == 1 for given in seen[1:])
    assert len(seen) == len({json.dumps(given) for given in seen})
    defaults = asdict(CudaOptions()) | {"streams": 2}
    assert {name for given in seen for name in given} == set(defaults)
    assert all(defaults[name] != value for given in seen for name, value in given.items())


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
    picture = np.random.default_rng(0).random((1, 3, 24, 40), np.float32)
    [want] = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"input": picture})
    with torch.inference_mode():
        got = OnnxModule(path)(torch.from_numpy(picture)).numpy()
    assert got.shape == want.shape
    assert np.abs(got - want).max() < 1e-3


def test_pytorch_says_what_it_does_not_know(tmp_path: Path) -> None:
    from onnx import helper

    path = networks.save(tmp_path / "odd.onnx", [helper.make_node("Erf", ["input"], ["output"])], [])
    with pytest.raises(ValueError, match=r"odd\.onnx: no PyTorch counterpart for Erf"):
        OnnxModule(path)
