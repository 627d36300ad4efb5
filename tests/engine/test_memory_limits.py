"""Memory: an estimate that holds, tiles chosen by it, and a shortage that costs no frame."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import clips
import networks
import pytest
import vapoursynth as vs
from faulty_gpu import FaultyGpu
from graphs import Graph
from paths import SUPPORT

from vs_gansr.engine import memory, probe
from vs_gansr.engine.base import Choice, Engine, EngineKey
from vs_gansr.engine.engines import engines
from vs_gansr.engine.onnxruntime.provider import CPU, Cpu
from vs_gansr.engine.tiled.recovery import Recovery
from vs_gansr.engine.tiled.tile_planner import Limits, TilePlanner
from vs_gansr.errors import ShortageError
from vs_gansr.model import library
from vs_gansr.model.spec import Model

MIB = 1 << 20


def child(code: str, *arguments: str, timeout: float = 240) -> str:
    """What a Python of its own prints; its tests' helpers are importable."""
    program = f"import sys; sys.path.insert(0, {str(SUPPORT)!r})\n" + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 features, 8 convolutions."""
    return networks.compact(tmp_path_factory.mktemp("wide") / "wide.onnx", 48, 8)


def choice_for(path: Path, streams: int = 1) -> Choice:
    loaded = probe.describe(library.load(str(path)))
    return Choice(loaded, EngineKey(loaded.spec.digest, CPU, 0, "fp32", 0, 0, streams, 1))


def planner_for(path: Path, limits: Limits, streams: int = 1) -> TilePlanner:
    choice = choice_for(path, streams)
    return TilePlanner(choice.model, choice.key, limits)


@pytest.mark.parametrize("streams", [1, 3])
@pytest.mark.parametrize("mebibytes", [120, 400, 1000])
def test_tiles_stay_within_the_memory_given(core: vs.Core, wide: Path, mebibytes: int, streams: int) -> None:
    net = planner_for(wide, Limits(mebibytes=mebibytes), streams)
    layout = net.layout(3840, 2160)
    assert net.need(*layout.size) <= mebibytes * MIB
    assert net.need(layout.size[0] * 2, layout.size[1] * 2) > mebibytes * MIB * 0.9  # not smaller than need be


def test_untiled_where_it_fits_and_tiled_where_it_does_not(core: vs.Core, wide: Path) -> None:
    net = planner_for(wide, Limits())
    net.budget = memory.COMFORTABLE
    assert len(net.layout(1280, 720).tiles) == 1
    assert len(net.layout(1920, 1080).tiles) == 1
    large = net.layout(3840, 2160)
    assert len(large.tiles) > 1
    computed = len(large.tiles) * large.size[0] * large.size[1]
    assert computed < 1.05 * 3840 * 2160  # what the overlap costs


def test_the_budget_is_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 1000 * MIB)
    assert memory.budget(None, 1) == 500 * MIB
    assert memory.budget(300, 1) == 300 * MIB
    assert memory.budget(5000, 1) == 1000 * MIB
    monkeypatch.setattr(memory, "available", lambda: 64_000 * MIB)
    assert memory.budget(None, 1) == memory.COMFORTABLE
    assert memory.budget(None, 3) == 3 * memory.COMFORTABLE


def test_limits_of_the_process_count() -> None:
    assert 0 < memory.available() < 1 << 50
    if sys.platform != "linux":
        return
    said = child(
        """
        import resource
        from vs_gansr.engine import memory
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (300 << 20), resource.RLIM_INFINITY))
        print(memory.available() >> 20)
        """
    )
    assert 280 <= int(said) <= 300


MEASURE = """
import resource
import clips, vapoursynth as vs
path, width, height, mebibytes, streams = sys.argv[1], *map(int, sys.argv[2:])
core = vs.core
core.num_threads = streams
warm = clips.noise(vs.RGBS, 64, 64, length=1)
warm.gansr.Upscale(path, provider="CPU").get_frame(0).close()
blank = core.std.BlankClip(format=vs.RGBS, width=width, height=height, length=2 * streams, color=[0.1, 0.5, 0.9])
plain = blank.resize.Point(2 * width, 2 * height)
for _ in plain.frames(close=True):  # what the frames themselves take
    pass

def peak():
    return int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1]) << 10

open("/proc/self/clear_refs", "w").write("5")
before = peak()
frames = 0
for _ in blank.gansr.Upscale(path, memory=mebibytes, num_streams=streams, reuse=0).frames(close=True):
    frames += 1
assert frames == 2 * streams
output = 4 * 3 * 4 * width * height * (streams + 1)
print((peak() - before - output) / (mebibytes << 20))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("size", "mebibytes", "streams"), [((960, 540), 120, 1), ((960, 540), 260, 2)])
def test_what_is_really_taken(wide: Path, size: tuple[int, int], mebibytes: int, streams: int) -> None:
    """The process grows by no more than allowed, beside the frames; untiled it would be far more."""
    share = float(child(MEASURE, str(wide), *map(str, size), str(mebibytes), str(streams)))
    assert share <= 1.05
    if streams == 1:
        assert float(child(MEASURE, str(wide), *map(str, size), "2000", "1")) * 2000 > 1.2 * mebibytes


def test_a_cap_does_not_change_the_picture(wide: Path) -> None:
    clip = clips.noise(vs.RGBS, 321, 243, length=1)
    free = clip.gansr.Upscale(str(wide))
    assert clips.largest_difference(free, clip.gansr.Upscale(str(wide), memory=60)) <= 1e-5


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the address space")
def test_a_genuine_shortage_costs_no_frame(wide: Path) -> None:
    """The limit comes down after the graph is built, when the estimate can no longer help."""
    said = child(
        """
        import ctypes, gc, resource
        ctypes.CDLL(None).mallopt(-8, 1)  # one arena: what others hold in reserve would blur the limit
        import clips, numpy as np, vapoursynth as vs
        from vs_gansr.engine.engines import engines

        core = vs.core
        core.num_threads = 2
        said = []
        core.add_log_handler(lambda kind, message: said.append(message))
        clip = clips.noise(vs.RGBS, 640, 360, length=6)
        first = clip.gansr.Upscale(sys.argv[1])
        want = [[p.astype(np.float32) for p in clips.planes(first.get_frame(n))] for n in range(6)]
        del first
        gc.collect()
        engines.clear()
        out = clip.gansr.Upscale(sys.argv[1], reuse=0)
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (85 << 20), resource.RLIM_INFINITY))
        for n in (3, 0, 5, 1, 2, 4):
            with out.get_frame(n) as frame:
                for i in range(3):
                    for row in range(0, 720, 90):
                        part = np.asarray(frame[i])[row : row + 90]
                        assert np.abs(part - want[n][i][row : row + 90]).max() <= 1e-5
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print([m for m in said if "memory" in m])
        """,
        str(wide),
    )
    assert said.count("Upscale: out of system memory with tiles of 640x360") == 1, said
    assert said.count("out of system memory with tiles") == 1, said


class Limited(Cpu):
    """The CPU with memory for sessions of so many pixels."""

    def __init__(self, pixels: int) -> None:
        super().__init__("CPUExecutionProvider")
        self.pixels = pixels

    def session(self, data: bytes, settings: object, key: EngineKey, *more: object) -> object:
        if key.width * key.height > self.pixels:
            raise MemoryError("Failed to allocate memory for requested buffer of size 123456")
        return super().session(data, settings, key, *more)


def on_limited(path: Path, pixels: int) -> Recovery:
    choice = choice_for(path)
    limited = replace(choice, key=replace(choice.key, provider=Limited(pixels)))
    return Recovery(limited, Limits(), lambda message: None)


def test_a_shortage_while_the_session_is_made(small_model: Path) -> None:
    tiled = on_limited(small_model, 900)
    tiled.prepare(64, 48)
    size = tiled.planner.layout(64, 48).size
    assert size[0] * size[1] <= 900


class Short(FaultyGpu):
    """A provider without memory for any engine; its first device is the CPU."""

    def processor(self, device_id: int) -> bool:
        return device_id == 0

    def make(self, model: Model, key: EngineKey) -> Engine:
        raise RuntimeError(self.fault)


@pytest.mark.parametrize(
    ("device_id", "error", "kind"),
    [
        (0, "Failed to allocate memory", "system memory"),
        (1, "CUDA failure 2: out of memory", "memory of Faulty device 1"),
        (1, "std::bad_alloc", "system memory"),
    ],
)
def test_a_shortage_names_the_memory(device_id: int, error: str, kind: str, small_model: Path) -> None:
    engines.clear()
    loaded = probe.describe(library.load(str(small_model)))
    key = EngineKey(loaded.spec.digest, Short(error), device_id, "fp32", 0, 0, 1, 1)
    with pytest.raises(
        ShortageError, match=f"^out of {kind} with tiles of .* .too little {kind} to load the network: "
    ):
        Recovery(Choice(loaded, key), Limits(), lambda message: None).prepare(64, 48)


def test_a_shortage_that_no_tile_cures(small_model: Path) -> None:
    with pytest.raises(ShortageError, match=r"^out of system memory with tiles of 9x\d+ .*, smaller tiles fail too"):
        on_limited(small_model, 0).prepare(70, 50)


def test_a_network_of_a_fixed_size_that_cannot_fit(core: vs.Core, tmp_path: Path) -> None:
    g = Graph(size=(60_000, 60_000))
    path = g.save(tmp_path / "vast.onnx", g.conv("input", 3), {"scale": "1"})
    clip = clips.noise(vs.RGBS, 16, 16, length=1)
    with pytest.raises(vs.Error, match=r'^Upscale: model "vast" takes 60000x60000 pictures only, which need about'):
        clip.gansr.Upscale(str(path))
    unsaid = g.save(tmp_path / "unsaid.onnx", g.conv("input", 3))
    with pytest.raises(
        vs.Error, match=r'^Upscale: model "unsaid" takes 60000x60000 pictures only, which is too large; at most'
    ):
        clip.gansr.Upscale(str(unsaid))


@pytest.mark.parametrize(
    "said",
    [
        "Failed to allocate memory for requested buffer of size 1592524800",
        "std::bad_alloc",
        "bad allocation",
        "CUDA failure 2: out of memory ; GPU=0",
        "CUDNN_STATUS_ALLOC_FAILED",
        "Available memory of 1024 is smaller than requested bytes of 4096",
        "CUDA_ERROR_OUT_OF_MEMORY",
        "cudaErrorMemoryAllocation",
        "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "[Errno 12] Cannot allocate memory",
    ],
)
def test_words_for_a_shortage(said: str) -> None:
    assert memory.is_shortage(RuntimeError(said))


def test_other_words() -> None:
    for said in ("Invalid rank for input", "CUDA failure 700: an illegal memory access was encountered", "allocator"):
        assert not memory.is_shortage(RuntimeError(said))
    assert memory.is_shortage(MemoryError())


def test_an_unknown_graph_counts_as_a_wide_one(tmp_path: Path) -> None:
    g = Graph()
    path = g.save(tmp_path / "u.onnx", g.op("Einsum", g.conv("input", 3), equation="nchw->nchw"), {"scale": "1"})
    spec = probe.describe(library.load(str(path))).spec
    assert spec.study.bytes(100, 100) is None
    assert memory.need(spec, EngineKey("", CPU, 0, "fp32", 1000, 1000, 1, 1)) > 1000 * 1000 * 1024
