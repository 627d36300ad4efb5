"""ONNX Runtime's own CUDA provider on a GPU that computes nothing: placement, options, capture, order of calls."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import fakegpu
import networks
import numpy as np
import onnx
import pytest
import vapoursynth as vs
from paths import ROOT, SUPPORT
from vs_gansr.engine.flow import Shape
from vs_gansr.engine.graphcolour import Generator

from vs_gansr.colour.conversion import Side
from vs_gansr.engine import cuda_driver, graphcolour, graphflow, probe, providers
from vs_gansr.engine.cuda_driver import Switches
from vs_gansr.errors import ProviderError, RenderError
from vs_gansr.model import library
from vs_gansr.model.rewrite import float16

pytestmark = pytest.mark.skipif(fakegpu.missing() is not None, reason=str(fakegpu.missing()))

SIDES = {
    "YUV420P10": Side(3, False, 10, 1, 1, matrix=1),
    "YUV422P8": Side(3, False, 8, 1, 0, matrix=6, full_range=True),
    "YUV410P16": Side(3, False, 16, 2, 2, matrix=8, chroma_location=3),
    "YUV444PS": Side(3, True, 32, matrix=9),
    "YUV420PH": Side(3, True, 16, 1, 1, matrix=1),
    "RGB24": Side(2, False, 8),
    "GRAY16": Side(1, False, 16, matrix=1),
}

# Runs in a process of its own: once the stand-ins are loaded there is no way back.
PROGRAM = """
import json, sys
from pathlib import Path
import fakegpu
job = json.load(sys.stdin)
fakegpu.load([Path(library) for library in job["libraries"]])
import numpy as np, onnxruntime as ort
from vs_gansr import graphflow, model, providers
from vs_gansr.conversion import Side
from vs_gansr.cuda import Switches
from vs_gansr.flow import Shape
providers.preload_cuda = lambda: None

def placed(path, options):
    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = ort.InferenceSession(path, settings, providers=[(providers.CUDA, options)], enable_fallback=0)
    found = session.get_provider_graph_assignment_info()
    return {p: [n.name for a in found if a.ep_name == p for n in a.get_nodes()] for p in {a.ep_name for a in found}}

def flowed(path, switches, frames):
    loaded, side = model.load(path), Side(2, False, 8)
    key = graphflow.FlowKey("x", providers.CUDA, 0, "fp16", Shape(side, side, 32, 16, 2), Switches(**switches), 1 << 30)
    flow = graphflow.make(loaded, key)
    planes = [[np.zeros((16 * s, 32 * s), np.uint8) for _ in range(3)] for s in (1, 2)]
    print("fake - frames -", file=sys.stderr, flush=True)
    for _ in range(frames):
        flow.run(*planes)
    flow.close()
    return flow.switches.graph

def rendered(path, frames, arguments, clip_format):
    import vapoursynth as vs
    said = []
    vs.core.add_log_handler(lambda kind, message: said.append(message))
    blank = vs.core.std.BlankClip(format=clip_format, width=64, height=36, length=frames)
    out = blank.gansr.Upscale(path, reuse=0, **arguments)
    print("fake - frames -", file=sys.stderr, flush=True)
    sizes = [[f.width, f.height, int(f.format.id)] for f in out.frames(close=True)]
    return [sizes, said]

def budgeted(path):
    import vapoursynth as vs
    from vs_gansr import network, probe, session
    loaded = probe.describe(model.load(path))
    key = session.EngineKey(loaded.spec.digest, providers.CUDA, 0, "fp16", 0, 0, 1, 1)
    limits = network.Limits(), network.Limits(mebibytes=100), network.Limits(mebibytes=1 << 20)
    return [network.Network(vs.core.core, loaded, key, limit).budget for limit in limits]

print(json.dumps([globals()[name](*arguments) for name, arguments in job["calls"]]))
"""


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return fakegpu.build(tmp_path_factory.mktemp("fakegpu"))


def in_a_process(libraries: list[Path], *calls: tuple[str, list[Any]]) -> subprocess.CompletedProcess[str]:
    job = {"libraries": [str(library) for library in libraries], "calls": calls}
    environment = os.environ | {"FAKE_LOG": "1", "PYTHONPATH": os.pathsep.join([str(SUPPORT), str(ROOT)])}
    command = [sys.executable, "-c", PROGRAM]
    return subprocess.run(command, input=json.dumps(job), env=environment, capture_output=True, text=True, timeout=300)


def on_the_gpu(libraries: list[Path], *calls: tuple[str, list[Any]]) -> tuple[list[Any], list[list[str]]]:
    """Results of the calls and what the runtime's stand-in told, `[thread, event, stream]` each."""
    done = in_a_process(libraries, *calls)
    assert done.returncode == 0, done.stderr[-2000:]
    told = [line.split()[1:] for line in done.stderr.splitlines() if line.startswith("fake ")]
    return json.loads(done.stdout.splitlines()[-1]), told


def test_every_node_is_the_gpus(libraries: list[Path], tmp_path: Path) -> None:
    """Also what CUDA graphs need: a session with them is refused where one node is the CPU's."""
    plain = onnx.load(networks.compact(tmp_path / "m.onnx", features=16, convs=3, slope=0.1))
    generators = {
        "fp32": Generator(plain, 2),
        "fp16": Generator(float16.convert(plain), 2),
        "padded": Generator(float16.convert(plain), 2, multiple=8, peak=255.0),
        "point": Generator(onnx.load(networks.point(tmp_path / "p.onnx")), 2),
    }
    calls, names = [], []
    for name, generator in generators.items():
        for title, side in SIDES.items():
            path = tmp_path / f"{name}-{title}.onnx"
            source = replace(side, matrix=None) if side.family == 1 else side
            onnx.save(graphcolour.wrap(generator, source, side, 36, 20), str(path))
            for switches in (Switches(), Switches(nhwc=False, tf32=True, search="EXHAUSTIVE", fuse_bias=True)):
                calls.append(("placed", [str(path), switches.provider_options(0, 4096, 1 << 30)]))
                names.append((name, title, switches.nhwc))
    results, _ = on_the_gpu(libraries, *calls)
    for who, placed in zip(names, results, strict=True):
        assert list(placed) == [providers.CUDA], f"{who}: on the CPU {placed.get(providers.CPU)}"
        assert placed[providers.CUDA]


@pytest.mark.parametrize("own_stream", [True, False])
def test_graph_is_captured_and_launched_on_the_streams_own_thread(
    own_stream: bool, libraries: list[Path], tmp_path: Path
) -> None:
    path = networks.point(tmp_path / "p.onnx", metadata={"scale": "2"})
    switches = asdict(Switches(own_stream=own_stream, streams=2))
    [with_graph], told = on_the_gpu(libraries, ("flowed", [str(path), switches, 12]))
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
    [with_graph], told = on_the_gpu(libraries, ("flowed", [str(path), asdict(Switches(graph=False)), 3]))
    assert not with_graph
    assert not {"capture", "launch"} & {event[1] for event in told}


def test_the_whole_plugin_takes_the_gpu_by_itself(libraries: list[Path], tmp_path: Path) -> None:
    """`auto` finds it, half precision is the default, frames are launched from captured graphs."""
    path = str(networks.point(tmp_path / "p.onnx", metadata={"scale": "2", "name": "point"}))
    [[sizes, said]], told = on_the_gpu(libraries, ("rendered", [path, 10, {}, int(vs.RGB24)]))
    assert sizes == [[128, 72, int(vs.RGB24)]] * 10
    assert "Upscale: point in fp16 on CUDA" in said
    assert not [message for message in said if "goes around" in message]
    during = told[next(i for i, event in enumerate(told) if event[1] == "frames") :]
    assert len([event for event in during if event[1] == "launch"]) == 10


def test_a_network_the_gpu_refuses_is_told_and_the_error_is_one_line(libraries: list[Path], tmp_path: Path) -> None:
    """There is no cuDNN here: neither way can compute a convolution, and no frame comes out of it."""
    path = str(networks.compact(tmp_path / "m.onnx", features=8, convs=2))
    job = ("rendered", [path, 1, {}, int(vs.YUV420P8)])
    done = in_a_process(libraries, job)
    assert done.returncode == 1
    assert "vapoursynth.Error: Upscale: frame 0: ONNX Runtime failed" in done.stderr and "cuDNN" in done.stderr


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
    program = "import ctypes; from vs_gansr import providers; providers.preload_cuda(); "
    program += "print(ctypes.CDLL('libcurand.so.10').fakeMark())"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.stdout == "42\n", done.stderr[-2000:]


# ---- the driver alone, the CPU provider computing ----------------------------------------------------


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fakegpu.build_driver(tmp_path_factory.mktemp("driver"))


def live(driver: Path) -> int:
    return ctypes.CDLL(str(driver)).fakeLive()


@pytest.mark.parametrize(
    "switches",
    [
        Switches(),
        Switches(pinned=False),
        Switches(block=False),
        Switches(own_stream=False),
        Switches(streams=1, spare=0),
    ],
    ids=str,
)
def test_frames_through_the_driver(
    switches: Switches, driver: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contexts, streams, events, pinned and device memory are used as the driver wants them, and all given back."""
    gpu = cuda_driver.Cuda(0, str(driver))
    assert (gpu.title, gpu.memory()) == ("Fake", (1 << 30, 1 << 31))
    monkeypatch.setattr(gpu, "name", "cpu")  # device memory is the processor's here, so its provider can compute
    monkeypatch.setattr(graphflow, "Host", lambda: gpu)
    loaded = probe.describe(library.load(str(networks.compact(tmp_path / "m.onnx", features=8, convs=3))))
    side = SIDES["YUV420P10"]
    shape = Shape(side, side, 32, 16, 2)
    monkeypatch.setattr(
        providers, "create", lambda data, settings, provider, device_id, chosen=None: plain_session(data, settings)
    )
    before = live(driver)
    made = graphflow.make(loaded, graphflow.FlowKey("x", providers.CPU, 0, "fp32", shape, switches))
    assert live(driver) - before == switches.streams * 4 + (switches.streams + switches.spare) * 2 * switches.pinned
    rng = np.random.default_rng(0)
    planes = [rng.integers(0, 1024, side.shape(i, 32, 16)).astype(np.uint16) for i in range(3)]
    out = [np.zeros(side.shape(i, 64, 32), np.uint16) for i in range(3)]
    for _ in range(5):
        assert made.run(planes, out)
    proto = graphcolour.wrap(graphflow.generator(loaded, "fp32"), side, side, 32, 16)
    *want, _ = plain_session(proto.SerializeToString()).run(
        None, {f"in{i}": p[None, None] for i, p in enumerate(planes)}
    )
    for a, b in zip(out, want, strict=True):
        assert np.abs(a.astype(int) - b[0, 0]).max() <= 1
    made.close()
    assert live(driver) == before


def plain_session(data: bytes, settings: Any = None) -> Any:
    import onnxruntime as ort

    return ort.InferenceSession(data, settings, providers=["CPUExecutionProvider"])


def test_driver_errors_carry_its_words(driver: Path) -> None:
    gpu = cuda_driver.Cuda(0, str(driver))
    with gpu.current(), pytest.raises(RenderError, match="cuMemAlloc_v2 says 2, out of memory"):
        gpu.allocate(1 << 40)
    with pytest.raises(RenderError, match="201"):
        gpu.allocate(16)  # outside its context
    with pytest.raises(ProviderError, match="device_id 3 cannot be opened"):
        cuda_driver.Cuda(3, str(driver))
