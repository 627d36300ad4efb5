"""Many requests, nodes and cores; scripts that are closed while frames are rendered; interpreters that end."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from concurrent.futures import Future
from pathlib import Path

import clips
import networks
import numpy as np
import pytest
import vapoursynth as vs
from command_fixtures import SECONDS
from paths import ROOT, SUPPORT
from soak import reload, storm


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("three")
    return [networks.compact(folder / f"m{i}.onnx", width, 4, seed=i) for i, width in enumerate((8, 12, 16))]


def source(length: int = 40, seed: int = 0, width: int = 64, height: int = 48) -> vs.VideoNode:
    return clips.noise(vs.YUV420P8, width, height, length=length, seed=seed, props={"_Matrix": 1})


def all_planes(clip: vs.VideoNode) -> list[list[np.ndarray]]:
    return [clips.planes(frame) for frame in clip.frames(close=True)]


def equal(frame: vs.VideoFrame, want: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(clips.planes(frame), want, strict=True))


# ---- The short forms of scripts/soak


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_storm_of_requests() -> None:
    assert storm.main(frames=2000)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_reloads_with_requests_abandoned() -> None:
    assert reload.main(evaluations=45, limit=0.1)  # 1 MiB kept of every evaluation is more


# ---- Requests


@pytest.mark.parametrize("streams", [1, 2, 5])
@pytest.mark.parametrize("reuse", [0, 1])
def test_everything_at_once(streams: int, reuse: int, models: list[Path]) -> None:
    clip = source()
    want = all_planes(clip.gansr.Upscale(str(models[0]), reuse=0))
    out = clip.gansr.Upscale(str(models[0]), reuse=reuse, num_streams=streams)
    order = np.random.default_rng(streams).permutation(np.repeat(np.arange(40), 3)).tolist()
    futures = [(n, out.get_frame_async(n)) for n in order]
    for n, future in futures:
        with future.result(timeout=SECONDS) as frame:
            assert equal(frame, want[n]), n


def test_from_many_threads(models: list[Path]) -> None:
    clip = source()
    want = all_planes(clip.gansr.Upscale(str(models[0]), reuse=0))
    out = clip.gansr.Upscale(str(models[0]), num_streams=2)
    wrong: list[int] = []

    def work(seed: int) -> None:
        for n in np.random.default_rng(seed).permutation(40).tolist():
            with out.get_frame(n) as frame:
                if not equal(frame, want[n]):
                    wrong.append(n)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not wrong and not any(thread.is_alive() for thread in threads)


def test_callbacks_that_ask_for_more(models: list[Path]) -> None:
    out = source().gansr.Upscale(str(models[0]))
    done: Future[int] = Future()

    def then(n: int, future: Future[vs.VideoFrame]) -> None:
        try:
            future.result().close()
            if n == 39:
                done.set_result(n)
            else:
                out.get_frame_async(n + 1).add_done_callback(lambda f: then(n + 1, f))
        except BaseException as error:
            done.set_exception(error)

    out.get_frame_async(0).add_done_callback(lambda f: then(0, f))
    assert done.result(timeout=SECONDS) == 39


# ---- Graphs


def test_several_models_in_one_graph(core: vs.Core, models: list[Path]) -> None:
    """Side by side, each with another number of streams, and one behind another."""
    clip = source(12)
    alone = [all_planes(clip.gansr.Upscale(str(path), reuse=0)) for path in models]
    side = [clip.gansr.Upscale(str(path), num_streams=1 + i) for i, path in enumerate(models)]
    stacked = core.std.StackVertical(side)
    for n, frame in enumerate(stacked.frames(prefetch=6, close=True)):
        for i, plane in enumerate(clips.planes(frame)):
            assert np.array_equal(plane, np.concatenate([alone[m][n][i] for m in range(3)]))
    chain = clip
    for path in models:
        chain = chain.gansr.Upscale(str(path)).resize.Bicubic(64, 48)
    first = all_planes(chain)
    assert len(first) == 12
    order = [11, 0, 5, 6, 1, 10, 3]
    for n, future in [(n, chain.get_frame_async(n)) for n in order]:
        with future.result(timeout=SECONDS) as frame:
            assert equal(frame, first[n])


def test_nodes_that_share_a_session(models: list[Path]) -> None:
    sources = [source(20, seed) for seed in range(4)]
    wants = [all_planes(clip.gansr.Upscale(str(models[0]), reuse=0)) for clip in sources]
    outs = [clip.gansr.Upscale(str(models[0])) for clip in sources]
    futures = [(i, n, outs[i].get_frame_async(n)) for n in range(20) for i in range(4)]
    for i, n, future in futures:
        with future.result(timeout=SECONDS) as frame:
            assert equal(frame, wants[i][n])


def test_graphs_built_while_others_run(models: list[Path]) -> None:
    running = source().gansr.Upscale(str(models[0]))
    want = all_planes(running)
    futures = [running.get_frame_async(n) for n in range(40)]
    for i in range(12):
        source(3, i, 32 + 2 * i, 24).gansr.Upscale(str(models[1 + i % 2])).get_frame(0).close()
    for n, future in enumerate(futures):
        with future.result(timeout=SECONDS) as frame:
            assert equal(frame, want[n])


# ---- Ends


def child(code: str, *arguments: object, timeout: float = SECONDS) -> subprocess.CompletedProcess[str]:
    path = [str(ROOT / "tests"), str(SUPPORT)]
    program = f"import sys; sys.path[:0] = {path}\n" + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


BEGIN = """
import vapoursynth as vs
import clips
out = clips.noise(vs.YUV420P8, 320, 180, length=200, props={"_Matrix": 1}).gansr.Upscale(sys.argv[1], num_streams=2)
out.get_frame(0).close()
"""

ENDS = {
    "clip alive": "",
    "requests under way": "futures = [out.get_frame_async(n) for n in range(60)]",
    "requests nobody holds": "for n in range(60): out.get_frame_async(n)",
    "frames held": "frames = [out.get_frame(n) for n in range(4)]",
    "an iteration broken off": "it = out.frames(prefetch=8); next(it); next(it)",
    "a cycle": "class A: pass\na = A(); a.a = a; a.out = out; a.f = [out.get_frame_async(n) for n in range(9)]\ndel a",
    "an exception": "futures = [out.get_frame_async(n) for n in range(20)]\nraise SystemExit(0)",
    "a thread": "import threading; threading.Thread(target=lambda: [out.get_frame(n) for n in range(12)]).start()",
    "a daemon": """
import threading
def work():
    try:
        list(out.frames())
    except vs.Error:  # VapourSynth refuses requests of an environment that is going
        pass
threading.Thread(target=work, daemon=True).start()
""",
    "at exit": "import atexit; atexit.register(lambda: out.get_frame(7).close())",
    "an output": "out.set_output(); del out",
    "a long sleep of the cache": "del out; import gc; gc.collect()",
}


@pytest.mark.parametrize("end", ENDS, ids=lambda name: name.replace(" ", "-"))
def test_the_interpreter_ends(end: str, models: list[Path]) -> None:
    done = child(BEGIN + ENDS[end] + "\n", models[0])
    assert done.returncode == 0, (done.returncode, done.stderr)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr and "Fatal" not in done.stderr, done.stderr


@pytest.mark.slow
def test_a_host_closes_its_script_with_requests_under_way(models: list[Path]) -> None:
    """Environments made and destroyed in turn and side by side, as previews do it, with two streams."""
    done = child(
        """
        import gc
        import vapoursynth as vs
        from soak import reload
        from soak.clips import windows

        host = reload.Host()
        vs.register_policy(host)
        living = []
        for i in range(24):
            environment = host.current = host.api.create_environment()
            vs.core.num_threads = 2
            out = windows(160, 90, 32).gansr.Upscale(sys.argv[1 + i % 3], num_streams=2)
            futures = [out.get_frame_async(n) for n in range(12)]
            living.append((environment, out, futures))
            host.current = None
            if len(living) > 3:
                gone = living.pop(i % 3)
                gone[2][i % 12].result(timeout=120).close()
                host.api.destroy_environment(gone[0])
                del gone
        for environment, out, futures in living:
            for future in futures:
                future.result(timeout=120).close()
        del out, futures
        while living:
            host.api.destroy_environment(living.pop()[0])
        gc.collect()
        print("well")
        """,
        *models,
    )
    assert (done.stdout, done.returncode) == ("well\n", 0), done.stderr


def test_a_clip_let_go_with_requests_under_way(models: list[Path]) -> None:
    for i in range(20):
        out = source(30, i).gansr.Upscale(str(models[i % 3]), num_streams=1 + i % 2)
        futures = [out.get_frame_async(n) for n in range(10)]
        del out
        if i % 2:
            futures[3].result(timeout=SECONDS).close()
        del futures
    assert source(2).gansr.Upscale(str(models[0])).get_frame(1).width == 128
