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
import onnxruntime as ort
import pytest
import vapoursynth as vs
from paths import ROOT, SUPPORT

from vs_gansr.engine import probe
from vs_gansr.engine.auto import providers
from vs_gansr.engine.base import EngineKey
from vs_gansr.engine.cuda import driver as cuda_driver
from vs_gansr.engine.cuda import engine as cuda_engine
from vs_gansr.engine.cuda.engine import CudaEngine
from vs_gansr.engine.cuda.options import CudaOptions
from vs_gansr.errors import ProviderError, RenderError
from vs_gansr.model import library
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
from vs_gansr.engine.auto import providers
from vs_gansr.engine.cuda import libraries as cuda_libraries
from vs_gansr.engine.tiled import tile_planner as layout
from vs_gansr.engine.base import CUDA, EngineKey
from vs_gansr.engine.cuda.engine import CudaEngine
from vs_gansr.engine.cuda.options import CudaOptions
from vs_gansr.model import library
cuda_libraries.preload = lambda: None
if not job["cudnn"]:
    providers.trial_network = lambda: fakegpu.network_without_cudnn()

def placed(path, options):
    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = ort.InferenceSession(path, settings, providers=[(CUDA, options)], enable_fallback=0)
    found = session.get_provider_graph_assignment_info()
    return {p: [n.name for a in found if a.ep_name == p for n in a.get_nodes()] for p in {a.ep_name for a in found}}

def key_of(model, width=32, height=16, streams=2, **options):
    return EngineKey("x", CUDA, 0, "fp16", width, height, streams, 1, limit=1 << 30, cuda=CudaOptions(**options))

def engine(path, streams, options, pictures):
    model = probe.describe(library.load(path))
    engine = CudaEngine(model, key_of(model, streams=streams, **options))
    planes = [[np.zeros((16 * s, 32 * s), np.float32) for _ in range(3)] for s in (1, 2)]
    print("fake - frames -", file=sys.stderr, flush=True)
    for _ in range(pictures):
        engine.run(*planes)
    engine.close()
    return engine.options.graph

def trouble():
    return providers.trouble(CUDA, 0)

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
    """Also what CUDA graphs need: a session with them is refused where one node is the CPU's."""
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
            for options in (CudaOptions(), CudaOptions(nhwc=False, tf32=True, search="EXHAUSTIVE")):
                calls.append(("placed", [str(path), options.provider_options(0, "fp16", 4096, 1 << 30)]))
                names.append((name, title, options.nhwc))
    results, _ = on_the_gpu(libraries, *calls)
    for who, placed in zip(names, results, strict=True):
        assert list(placed) == [providers.CUDA], f"{who}: on the CPU {placed.get(providers.CPU)}"
        assert placed[providers.CUDA]


@pytest.mark.parametrize("own_stream", [True, False])
def test_graph_is_captured_and_launched_on_the_streams_own_thread(
    own_stream: bool, libraries: list[Path], tmp_path: Path
) -> None:
    path = networks.point(tmp_path / "p.onnx", metadata={"scale": "2"})
    [with_graph], told = on_the_gpu(libraries, ("engine", [str(path), 2, {"own_stream": own_stream}, 12]))
    assert with_graph
    start = next(i for i, event in enumerate(told) if event[1] == "frames")
    before, during = told[:start], told[start + 1 :]
    threads = {event[0]: event[2] for event in before if event[1] == "capture"}
    assert len(threads) == len(set(threads.values())) == 2  # a thread and a CUDA stream each
    assert not [event for event in during if event[1] in ("capture", "captured")]
    launches = [event for event in during if event[1] == "launch"]
    assert len(launches) == 12
    assert all(threads[thread] == stream for thread, _, stream in launches)
    waits = [event for event in during if event[1] == "wait" and event[2] in threads.values()]
    assert len(waits) == (0 if own_stream else 12)  # with a stream of ours the one wait is ours, by the driver


def test_without_graphs_nothing_is_captured(libraries: list[Path], tmp_path: Path) -> None:
    path = networks.point(tmp_path / "p.onnx", metadata={"scale": "2"})
    [with_graph], told = on_the_gpu(libraries, ("engine", [str(path), 2, {"graph": False}, 3]))
    assert not with_graph
    assert not {"capture", "launch"} & {event[1] for event in told}


@pytest.mark.parametrize("clip_format", [vs.RGB24, vs.YUV420P8])
def test_the_whole_plugin_takes_the_gpu_by_itself(clip_format: int, libraries: list[Path], tmp_path: Path) -> None:
    """`auto` finds it, half precision is the default, frames are launched from captured graphs."""
    path = str(networks.point(tmp_path / "p.onnx", metadata={"scale": "2", "name": "point"}))
    [[sizes, said]], told = on_the_gpu(libraries, ("rendered", [path, 10, {}, int(clip_format)]))
    assert sizes == [[128, 72, int(clip_format)]] * 10
    assert said[1:] == ["Upscale: point in fp16 on CUDA"]  # the first is about the handler
    during = told[next(i for i, event in enumerate(told) if event[1] == "frames") :]
    assert len([event for event in during if event[1] == "launch"]) == 10


def test_a_network_the_gpu_refuses_is_told_and_the_error_is_one_line(libraries: list[Path], tmp_path: Path) -> None:
    """There is no cuDNN here, so no convolution: an error where CUDA was named, the CPU where `auto` chose."""
    path = str(networks.compact(tmp_path / "m.onnx", features=8, convs=2))
    done = in_a_process(libraries, ("rendered", [path, 1, {"provider": "CUDA"}, int(vs.YUV420P8)]))
    assert done.returncode == 1
    assert "vapoursynth.Error: Upscale: ONNX Runtime failed" in done.stderr and "cuDNN" in done.stderr
    [[sizes, said]], _ = on_the_gpu(libraries, ("rendered", [path, 2, {}, int(vs.YUV420P8)]))
    assert sizes == [[128, 72, int(vs.YUV420P8)]] * 2
    assert [line for line in said if "CUDA fails" in line and line.endswith("going on with CPU")], said


def test_a_gpu_that_cannot_compute_is_not_taken(libraries: list[Path], tmp_path: Path) -> None:
    """Sessions can be made here, and run without cuDNN as long as nothing needs it; a convolution does."""
    path = str(networks.point(tmp_path / "p.onnx", metadata={"scale": "2", "name": "point"}))
    calls = ("trouble", []), ("rendered", [path, 1, {}, int(vs.RGB24)])
    [reason, [_, said]], _ = on_the_gpu(libraries, *calls, cudnn=True)
    assert "cuDNN" in reason and "Turing" in reason and "driver 580" in reason
    assert any(line.startswith("Upscale: point in fp32 on CPU (CUDA: ") and "Turing" in line for line in said), said


def test_integers_run_without_a_graph(libraries: list[Path], tmp_path: Path) -> None:
    """A file in 8 bit integers has nodes that only the CPU computes, which no CUDA graph can hold."""
    said = {"scale": "2", "name": "whole", "precision": "int8"}
    path = networks.save(tmp_path / "q.onnx", *integers(), metadata=said)
    done = in_a_process(libraries, ("rendered", [str(path), 2, {"provider": "CUDA"}, int(vs.RGB24)]))
    assert done.returncode == 0, done.stderr[-2000:]
    [[sizes, said]] = json.loads(done.stdout.splitlines()[-1])
    assert sizes == [[128, 72, int(vs.RGB24)]] * 2 and "Upscale: whole in int8 on CUDA" in said
    assert "this network runs without graph" in done.stderr and "launch" not in done.stderr


def integers() -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Nodes and weights of a 3x3 convolution in 8 bit integers, then pixels repeated."""
    node, tensor = onnx.helper.make_node, onnx.numpy_helper.from_array
    weights = [
        tensor(np.float32(1 / 255), "s"),
        tensor(np.uint8(0), "z"),
        tensor(np.int8(0), "zw"),
        tensor(np.ones((3, 3, 3, 3), np.int8), "w"),
        tensor(np.array([1, 1, 2, 2], np.float32), "sizes"),
    ]
    nodes = [
        node("QuantizeLinear", ["input", "s", "z"], ["q"]),
        node("QLinearConv", ["q", "s", "z", "w", "s", "zw", "s", "z"], ["c"], pads=[1, 1, 1, 1]),
        node("DequantizeLinear", ["c", "s", "z"], ["d"]),
        node("Resize", ["d", "", "sizes"], ["output"], mode="nearest"),
    ]
    return nodes, weights


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


@pytest.mark.parametrize(
    ("streams", "options"),
    [
        (2, CudaOptions()),
        (2, CudaOptions(pinned=False)),
        (2, CudaOptions(block=False)),
        (2, CudaOptions(own_stream=False)),
        (1, CudaOptions(spare=0)),
    ],
    ids=str,
)
def test_pictures_through_the_driver(
    streams: int, options: CudaOptions, driver: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contexts, streams, events, pinned and device memory are used as the driver wants them, and all given back."""
    gpu = cuda_driver.Cuda(0, str(driver))
    assert (gpu.title, gpu.memory()) == ("Fake", (1 << 30, 1 << 31))
    monkeypatch.setattr(gpu, "name", "cpu")  # device memory is the processor's here, so its provider can compute
    monkeypatch.setattr(cuda_engine, "Host", lambda: gpu)
    model = probe.describe(library.load(str(networks.compact(tmp_path / "m.onnx", features=8, convs=3))))
    monkeypatch.setattr(
        providers, "create", lambda data, settings, provider, device_id, chosen=None: plain_session(data, settings)
    )
    before = live(driver)
    engine = CudaEngine(model, EngineKey("x", providers.CPU, 0, "fp32", 32, 16, streams, 1, cuda=options))
    assert live(driver) - before == streams * 4 + (streams + options.spare) * 2 * options.pinned
    planes = list(np.random.default_rng(0).random((3, 16, 32), np.float32))
    out = [np.zeros((32, 64), np.float32) for _ in range(3)]
    for _ in range(5):
        engine.run(planes, out)
    [want] = plain_session(model.data).run(None, {"input": np.stack(planes)[None]})
    assert np.abs(np.stack(out) - want[0]).max() < 1e-5
    engine.close()
    assert live(driver) == before


def plain_session(data: bytes, settings: Any = None) -> Any:
    return ort.InferenceSession(data, settings, providers=["CPUExecutionProvider"])


def test_driver_errors_carry_its_words(driver: Path) -> None:
    gpu = cuda_driver.Cuda(0, str(driver))
    with gpu.current(), pytest.raises(RenderError, match="cuMemAlloc_v2 says 2, out of memory"):
        gpu.allocate(1 << 40)
    with pytest.raises(RenderError, match="201"):
        gpu.allocate(16)  # outside its context
    with pytest.raises(ProviderError, match="device_id 3 cannot be opened"):
        cuda_driver.Cuda(3, str(driver))
