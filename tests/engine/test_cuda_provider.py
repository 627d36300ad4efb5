"""ONNX Runtime's own CUDA provider on a GPU that computes nothing: placement, options, capture, order of calls."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import fakegpu
import networks
import numpy as np
import onnx
import pytest
import vapoursynth as vs
from paths import ROOT, SUPPORT

from vs_gansr.engine.base import EngineKey
from vs_gansr.engine.cuda import driver as cuda_driver
from vs_gansr.engine.cuda.provider import FAST, FAST_NHWC, CudaProvider
from vs_gansr.errors import ProviderError, RenderError
from vs_gansr.model.rewrite import ends, float16
from vs_gansr.model.rewrite.ends import Samples
from vs_gansr.model.spec import ValueRange

pytestmark = pytest.mark.skipif(fakegpu.missing() is not None, reason=str(fakegpu.missing()))

UNIT, BYTE = ValueRange(), ValueRange(0, 255)
SAMPLES = {
    "float": Samples.float32(),
    "half": Samples(np.dtype(np.float16)),
    "8 bit": Samples.integer(8, full_range=True),
    "10 bit": Samples.integer(10, full_range=False),
    "16 bit": Samples.integer(16, full_range=False),
}

# Runs in a process of its own: once the stand-ins are loaded there is no way back.
PROGRAM = """
import json, sys
from pathlib import Path
import fakegpu
job = json.load(sys.stdin)
fakegpu.load([Path(library) for library in job["libraries"]])
import numpy as np, onnxruntime as ort
from vs_gansr.engine import probe
from vs_gansr.engine.auto import proof, registry
from vs_gansr.engine.cuda import libraries as cuda_libraries
from vs_gansr.engine.onnxruntime import provider
from vs_gansr.engine.tiled import tile_planner as layout
from vs_gansr.engine.base import EngineKey
from vs_gansr.engine.cuda.provider import FAST
from vs_gansr.model import library
CUDA = "CUDAExecutionProvider"
cuda = registry.find("CUDA")
cuda_libraries.preload = lambda: None
if not job["cudnn"]:
    provider.trial_network = lambda half: fakegpu.network_without_cudnn()
# Nothing is computed here, so nothing can be proven.
proof.prove = lambda job: proof.Verdict(99.0, 99.0, 0.0, 3.0)

def placed(path, options):
    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = ort.InferenceSession(path, settings, providers=[(CUDA, options)], enable_fallback=0)
    found = session.get_provider_graph_assignment_info()
    return {p: [n.name for a in found if a.ep_name == p for n in a.get_nodes()] for p in {a.ep_name for a in found}}

def key_of(model, width=32, height=16, streams=2, tier=FAST):
    return EngineKey("x", cuda, 0, "fp16", width, height, streams, 1, limit=1 << 30, options=tier)

def engine(path, streams, tier, pictures):
    model = probe.describe(library.load(path))
    engine = cuda.make(model, key_of(model, streams=streams, tier=cuda.tiers()[tier]))
    planes = [[np.zeros((16 * s, 32 * s), np.float32) for _ in range(3)] for s in (1, 2)]
    print("fake - frames -", file=sys.stderr, flush=True)
    for _ in range(pictures):
        try:
            engine.run(*planes)
        except Exception as error:
            return str(error)
    engine.close()

def trouble():
    return cuda.trouble(0)

def rendered(path, frames, arguments, clip_format):
    import vapoursynth as vs
    said = []
    vs.core.add_log_handler(lambda kind, message: said.append(message))
    blank = vs.core.std.BlankClip(format=clip_format, width=64, height=36, length=frames)
    if blank.format.color_family == vs.YUV:
        blank = blank.std.SetFrameProps(_Matrix=1)
    out = blank.gansr.Upscale(path, reuse=0, **arguments)
    print("fake - frames -", file=sys.stderr, flush=True)
    sizes = [[f.width, f.height, int(f.format.id)] for f in out.frames(close=True)]
    return [sizes, said]

def budgeted(path):
    model = probe.describe(library.load(path))
    limits = layout.Limits(), layout.Limits(mebibytes=100), layout.Limits(mebibytes=1 << 20)
    return [layout.TilePlanner(model, key_of(model, 0, 0, 1), limit).budget for limit in limits]

print(json.dumps([globals()[name](*arguments) for name, arguments in job["calls"]]))
"""


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return fakegpu.build(tmp_path_factory.mktemp("fakegpu"))


def in_a_process(
    libraries: list[Path], *calls: tuple[str, list[Any]], cudnn: bool = False
) -> subprocess.CompletedProcess[str]:
    """With `cudnn` as if there were one, so that what a provider is tried with is what it is on a GPU."""
    job = {"libraries": [str(library) for library in libraries], "calls": calls, "cudnn": cudnn}
    environment = os.environ | {"FAKE_LOG": "1", "PYTHONPATH": os.pathsep.join([str(SUPPORT), str(ROOT)])}
    command = [sys.executable, "-c", PROGRAM]
    return subprocess.run(command, input=json.dumps(job), env=environment, capture_output=True, text=True, timeout=300)


def on_the_gpu(
    libraries: list[Path], *calls: tuple[str, list[Any]], cudnn: bool = False
) -> tuple[list[Any], list[list[str]]]:
    """Results of the calls and what the runtime's stand-in told, `[thread, event, stream]` each."""
    done = in_a_process(libraries, *calls, cudnn=cudnn)
    assert done.returncode == 0, done.stderr[-2000:]
    told = [line.split()[1:] for line in done.stderr.splitlines() if line.startswith("fake ")]
    return json.loads(done.stdout.splitlines()[-1]), told


def test_every_node_is_the_gpus(libraries: list[Path], tmp_path: Path) -> None:
    plain = onnx.load(networks.compact(tmp_path / "m.onnx", features=16, convs=3, slope=0.1))
    networks_tried = {
        "fp32": (plain, UNIT),
        "fp16": (float16.convert(plain), UNIT),
        "peak 255": (float16.convert(plain, BYTE), BYTE),
        "point": (onnx.load(networks.point(tmp_path / "p.onnx")), UNIT),
    }
    calls: list[tuple[str, list[Any]]] = []
    names = []
    for name, (network, takes) in networks_tried.items():
        for title, samples in SAMPLES.items():
            path = tmp_path / f"{name}-{title}.onnx"
            onnx.save(ends.wrap(network, samples, samples, (1, 3, 20, 36), takes, takes, watch=True), str(path))
            for tier in (FAST, FAST_NHWC):
                cuda = CudaProvider()
                key = EngineKey("", cuda, 0, "fp16", 36, 20, 1, 1, limit=1 << 30, options=tier)
                calls.append(("placed", [str(path), cuda.options(key) | {"user_compute_stream": "4096"}]))
                names.append((name, title, tier.nhwc))
    results, _ = on_the_gpu(libraries, *calls)
    for who, placed in zip(names, results, strict=True):
        assert list(placed) == ["CUDAExecutionProvider"], f"{who}: on the CPU {placed}"
        assert placed["CUDAExecutionProvider"]


@pytest.mark.parametrize("tier", ["plain", "fast", "fast NHWC"])
def test_nothing_is_captured_and_every_stream_is_its_own(tier: str, libraries: list[Path], tmp_path: Path) -> None:
    path = networks.point(tmp_path / "p.onnx", metadata={"scale": "2"})
    [_], told = on_the_gpu(libraries, ("engine", [str(path), 2, tier, 3]))
    assert not {"capture", "launch"} & {event[1] for event in told}


@pytest.mark.parametrize("clip_format", [vs.RGB24, vs.YUV420P8])
def test_the_whole_plugin_takes_the_gpu_by_itself(clip_format: int, libraries: list[Path], tmp_path: Path) -> None:
    """`auto` finds it, half precision is the default; what it does not compute is found in the first frame."""
    path = str(networks.point(tmp_path / "p.onnx", metadata={"scale": "2", "name": "point"}))
    [[sizes, said]], _ = on_the_gpu(libraries, ("rendered", [path, 10, {}, int(clip_format)]))
    assert sizes == [[128, 72, int(clip_format)]] * 10
    assert said[1].startswith("Upscale: point in fp16 on CUDA (")  # the first is about the handler


def test_a_network_the_gpu_refuses_is_told_and_the_error_is_one_line(libraries: list[Path], tmp_path: Path) -> None:
    """There is no cuDNN here, so no convolution: an error where CUDA was named, the CPU where `auto` chose."""
    path = str(networks.compact(tmp_path / "m.onnx", features=8, convs=2))
    done = in_a_process(libraries, ("rendered", [path, 1, {"provider": "CUDA"}, int(vs.YUV420P8)]))
    assert done.returncode == 1
    assert "vapoursynth.Error: Upscale: frame 0: ONNX Runtime failed" in done.stderr and "cuDNN" in done.stderr
    [[sizes, said]], _ = on_the_gpu(libraries, ("rendered", [path, 2, {}, int(vs.YUV420P8)]))
    assert sizes == [[128, 72, int(vs.YUV420P8)]] * 2
    assert [line for line in said if "CUDA fails" in line and line.endswith("continuing with CPU")], said


def test_a_gpu_that_cannot_compute_is_not_taken(libraries: list[Path], tmp_path: Path) -> None:
    """Sessions can be made here, and run without cuDNN as long as nothing needs it; a convolution does."""
    path = str(networks.point(tmp_path / "p.onnx", metadata={"scale": "2", "name": "point"}))
    calls = ("trouble", []), ("rendered", [path, 1, {}, int(vs.RGB24)])
    [reason, [_, said]], _ = on_the_gpu(libraries, *calls, cudnn=True)
    assert "cuDNN" in reason and "Turing" in reason and "driver 580" in reason
    assert any(line.startswith("Upscale: point in fp32 on CPU (CUDA: ") and "Turing" in line for line in said), said


def test_memory_is_the_gpus(libraries: list[Path], tmp_path: Path) -> None:
    path = str(networks.point(tmp_path / "p.onnx", metadata={"scale": "2"}))
    [budgets], _ = on_the_gpu(libraries, ("budgeted", [path]))
    assert budgets == [1 << 29, 100 << 20, 1 << 30]  # half of the free GiB, the cap, all of it


def test_libraries_of_another_folder_on_the_path_are_found(tmp_path: Path) -> None:
    """As where torch brought CUDA's libraries and ONNX Runtime lies elsewhere."""
    folder = tmp_path / "nvidia" / "cu13" / "lib"
    folder.mkdir(parents=True)
    code = tmp_path / "mark.c"
    code.write_text("int fakeMark(void) { return 42; }")
    fakegpu.compiled(code, folder / "libcurand.so.10")
    program = "import ctypes; from vs_gansr.engine.cuda import libraries as cuda_libraries; cuda_libraries.preload(); "
    program += "print(ctypes.CDLL('libcurand.so.10').fakeMark())"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.stdout == "42\n", done.stderr[-2000:]


# ---- the driver alone, the CPU provider computing ----------------------------------------------------


def live(driver: Path) -> int:
    return ctypes.CDLL(str(driver)).fakeLive()


def test_driver_errors_carry_its_words(driver: Path) -> None:
    gpu = cuda_driver.Cuda(0, str(driver))
    with gpu.current(), pytest.raises(RenderError, match="cuMemAlloc_v2 says 2, out of memory"):
        gpu.allocate(1 << 40)
    with pytest.raises(RenderError, match="201"):
        gpu.allocate(16)  # outside its context
    with pytest.raises(ProviderError, match="device_id 3 cannot be opened"):
        cuda_driver.Cuda(3, str(driver))
