"""The shim: core.gansr exists wherever VapourSynth runs, forwards calls to Python and leaks nothing."""

from __future__ import annotations

import dataclasses
import gc
import inspect
import os
import shutil
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import clips
import pytest
import vapoursynth as vs
from command_fixtures import SECONDS
from paths import NATIVE, ROOT

import vs_gansr
from vs_gansr.cli.upscale.arguments import grammar
from vs_gansr.cli.upscale.job import UpscaleJob
from vs_gansr.filter.settings import ARGUMENTS
from vs_gansr.model import library

SOURCES = sorted(map(str, (ROOT / "vs_gansr" / "native").glob("*.c")))
WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic"]

SCRIPT = """
import vapoursynth as vs
core = vs.core
clip = core.std.BlankClip(format=vs.YUV420P8, width=64, height=48, length=7, color=[60, 100, 140])
clip = clip.std.SetFrameProps(_Matrix=1)
core.gansr.Upscale(clip, model={model!r}).set_output()
"""


def run_python(code: str, *arguments: str, timeout: float = SECONDS) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments], capture_output=True, text=True, timeout=timeout
    )


def vspipe() -> str:
    found = shutil.which("vspipe", path=sysconfig.get_path("scripts"))
    assert found
    return found


@pytest.mark.parametrize("compiler", ["cc", "x86_64-w64-mingw32-gcc"])
def test_compiles_without_a_warning(compiler: str, tmp_path: Path) -> None:
    if not shutil.which(compiler):
        assert compiler != "cc", "a C compiler is needed"
        pytest.skip(f"{compiler} is not installed (apt-get install gcc-mingw-w64-x86-64)")
    command = [compiler, *WARNINGS, "-shared", "-I", vs.get_include(), *SOURCES, "-o", str(tmp_path / "gansr.bin")]
    done = subprocess.run(command + ["-fPIC"] * (compiler == "cc"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_functions_appear_with_nothing_imported(point_model: Path) -> None:
    done = run_python(
        """
        import sys, vapoursynth as vs
        names = {f.name for f in vs.core.gansr.functions()}
        assert {"Upscale", "Models", "Version"} <= names, names
        assert "vs_gansr" not in sys.modules and "onnxruntime" not in sys.modules
        clip = vs.core.std.BlankClip(format=vs.RGB24, width=8, height=8)
        print(clip.gansr.Upscale(sys.argv[1]).width)
        assert "torch" not in sys.modules
        """,
        str(point_model),
    )
    assert (done.stdout, done.returncode) == ("16\n", 0), done.stderr


def test_one_list_of_arguments(core: vs.Core) -> None:
    """The shim's signature, the typed function, vsjetpack's scaler and the command line follow filter/settings.py."""
    lead = "clip:vnode;"
    kinds = [f"{argument.name}:{argument.metadata['kind']}:opt;" for argument in ARGUMENTS]
    assert core.gansr.Upscale.signature == lead + "".join(kinds)
    names = [argument.name for argument in ARGUMENTS]
    assert list(inspect.signature(vs_gansr.upscale).parameters) == ["clip", *names]
    assert all(argument.metadata["help"] for argument in ARGUMENTS)
    options = vars(grammar().parse_args(["in.mkv", "out.mkv"]))
    fields = {field.name for field in dataclasses.fields(UpscaleJob)}
    named = {*names} - {"format", "grain"} | {"source_grain"}  # the command's --grain adds new grain
    assert named - {"reuse"} <= fields & set(options)
    pytest.importorskip("vsscale")
    from vs_gansr.vsjetpack import Gansr

    assert [*inspect.signature(Gansr).parameters][: len(names) - 1] == [name for name in names if name != "format"]


def test_models_and_version(core: vs.Core) -> None:
    version = core.gansr.Version()
    assert version["vapoursynth"] == f"R{core.core_version.release_major}"
    providers = version["providers"]
    assert "CPU" in ([providers] if isinstance(providers, str) else providers)
    if library.shipped():
        assert set(core.gansr.Models()) == {"name", "scale", "licence", "summary"}


def test_vspipe_pipes_y4m_and_nothing_else(point_model: Path, tmp_path: Path) -> None:
    script = tmp_path / "a.vpy"
    script.write_text(SCRIPT.format(model=str(point_model)))
    done = subprocess.run([vspipe(), "-c", "y4m", str(script), "-"], capture_output=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    header, _, rest = done.stdout.partition(b"\n")
    assert header.startswith(b"YUV4MPEG2 C420") and b"W128 H96" in header
    assert len(rest) == 7 * (len(b"FRAME\n") + 128 * 96 * 3 // 2)
    assert rest[6] == 60


def test_error_in_vspipe_is_one_clear_line(point_model: Path, tmp_path: Path) -> None:
    script = tmp_path / "a.vpy"
    script.write_text(SCRIPT.format(model="nonsense"))
    done = subprocess.run([vspipe(), "-c", "y4m", str(script), "-"], capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode != 0
    assert done.stdout == ""
    assert 'Upscale: unknown model "nonsense"' in done.stderr
    assert "plugin.py" not in done.stderr  # the traceback shows no frames of this package


def test_any_vsscript_host(point_model: Path, tmp_path: Path) -> None:
    library = Path(vs.__file__).parent
    host = tmp_path / "host"
    command = ["cc", "-Wall", "-Wextra", "-I", vs.get_include(), str(NATIVE / "host.c"), "-o", str(host)]
    subprocess.run([*command, f"-L{library}", "-lvsscript", f"-Wl,-rpath,{library}"], check=True)
    script = tmp_path / "a.vpy"
    script.write_text(SCRIPT.format(model=str(point_model)))
    done = subprocess.run([str(host), str(script), "3"], capture_output=True, text=True, timeout=SECONDS)
    assert (done.stdout, done.returncode) == ("128x96\n" * 3, 0), done.stderr


def test_two_cores_in_one_process(point_model: Path) -> None:
    done = run_python(
        """
        import sys, gc, vapoursynth as vs

        class Policy(vs.EnvironmentPolicy):
            current = None
            def on_policy_registered(self, api): self.api = api
            def on_policy_cleared(self): pass
            def get_current_environment(self): return self.current
            def set_environment(self, environment):
                before, self.current = self.current, environment
                return before
            def is_alive(self, environment): return True

        policy = Policy()
        vs.register_policy(policy)
        environments = [policy.api.create_environment() for _ in range(2)]
        clips = []
        for size, environment in zip((16, 24), environments):
            policy.current = environment
            clip = vs.core.std.BlankClip(format=vs.RGB24, width=size, height=8, color=[size, 2, 3])
            clips.append((environment, clip.gansr.Upscale(sys.argv[1])))
        for _ in range(3):
            for environment, clip in clips:
                policy.current = environment
                frame = clip.get_frame(0)
                print(frame.width, frame[0][5, 5])
        """,
        str(point_model),
    )
    assert done.stdout == "32 16\n48 24\n" * 3, done.stderr


def test_call_on_a_core_of_another_environment_is_refused(point_model: Path) -> None:
    """The clip's core decides where filters are made; mixing two cores would crash later."""
    done = run_python(
        """
        import sys, vapoursynth as vs

        class Policy(vs.EnvironmentPolicy):
            current = None
            def on_policy_registered(self, api): self.api = api
            def on_policy_cleared(self): pass
            def get_current_environment(self): return self.current
            def set_environment(self, environment): self.current = environment
            def is_alive(self, environment): return True

        policy = Policy()
        vs.register_policy(policy)
        first, policy.current = policy.api.create_environment(), policy.api.create_environment()
        second = policy.current
        policy.current = first
        clip = vs.core.std.BlankClip(format=vs.RGB24, width=8, height=8)
        upscale = clip.gansr.Upscale
        policy.current = second
        try:
            upscale(sys.argv[1])
        except vs.Error as error:
            print(error)
        """,
        str(point_model),
    )
    assert done.returncode == 0, done.stderr
    assert "Upscale: called on a core" in done.stdout or "environment" in done.stdout, done.stdout


def test_hundred_evaluations_leave_nothing(point_model: Path, core: vs.Core) -> None:
    from vs_gansr.filter.render import NetworkFilter
    from vs_gansr.filter.resize import Back
    from vs_gansr.filter.tag import Tag

    for _ in range(100):
        clip = core.std.BlankClip(format=vs.YUV420P8, width=32, height=32, length=2)
        clip.gansr.Upscale(str(point_model)).get_frame(1)
    gc.collect()
    assert not [o for o in gc.get_objects() if type(o) in (NetworkFilter, Tag, Back)]


def test_helper_functions_refuse_calls_from_scripts(core: vs.Core) -> None:
    with pytest.raises(vs.Error, match="Answer: for internal use"):
        core.gansr.Answer(func=lambda: {})


def test_frame_filter_refuses_a_frame_that_breaks_its_promise(core: vs.Core) -> None:
    clip = core.std.BlankClip(format=vs.GRAY8, width=8, height=8)
    wrong = core.create_video_frame(vs.GRAY8, 9, 8)
    for answer, message in (
        (wrong, "another size or format"),
        (clip.std.AddBorders(1), "another size or format"),
        ("no picture today", "no picture today"),
        (7, "neither frame nor clip"),
    ):
        with pytest.raises(vs.Error, match=message) as caught:
            core.gansr.FrameFilter([clip], lambda n, f, answer=answer: answer).get_frame(0)
        assert "Traceback" not in str(caught.value)


def test_frame_filter_neighbours_and_referrals(core: vs.Core) -> None:
    clip = core.std.BlankClip(format=vs.GRAY8, width=8, height=8, length=5)
    numbered = core.std.FrameEval(clip, lambda n: clip.std.SetFrameProps(N=n))
    seen = {}

    def note(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        seen[n] = [frame.props["N"] for frame in f]
        return f[1]

    around = core.gansr.FrameFilter([numbered], note, before=1, after=2)
    assert [f.props["N"] for f in around.frames()] == [0, 1, 2, 3, 4]
    assert seen == {0: [0, 0, 1, 2], 1: [0, 1, 2, 3], 2: [1, 2, 3, 4], 3: [2, 3, 4, 4], 4: [3, 4, 4, 4]}
    reverse = core.gansr.FrameFilter([clip], lambda n, f: {"val": numbered, "frame": 4 - n})
    assert [f.props["N"] for f in reverse.frames()] == [4, 3, 2, 1, 0]


def test_errors_while_rendering_are_one_line(tmp_path: Path, core: vs.Core, point_model: Path) -> None:
    def fail(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        if n == 3:
            raise ValueError("the disk\nis gone")
        return f

    blank = core.std.BlankClip(format=vs.YUV420P8, width=16, height=16, length=5)
    failing = blank.std.ModifyFrame(blank, fail)
    out = failing.gansr.Upscale(str(point_model))
    with pytest.raises(vs.Error):
        out.get_frame(3)
    out.get_frame(4)  # other frames still work after a bad one
    bad = core.std.Splice([clips.noise(vs.YUV420P8, 16, 16, 1, props={"_Matrix": m}) for m in (1, 11)])
    with pytest.raises(vs.Error) as caught:
        bad.gansr.Upscale(str(point_model)).get_frame(1)
    assert "\n" not in str(caught.value) and "Traceback" not in str(caught.value)


def test_exits_cleanly_with_live_clips(point_model: Path) -> None:
    done = run_python(
        """
        import sys, vapoursynth as vs
        clip = vs.core.std.BlankClip(format=vs.YUV420P8, width=64, height=64, length=100).gansr.Upscale(sys.argv[1])
        clip.get_frame(0)
        futures = [clip.get_frame_async(n) for n in range(1, 20)]
        """,
        str(point_model),
    )
    assert done.returncode == 0, (done.returncode, done.stderr)


def test_no_symbols_but_the_entry_point_and_what_python_calls(core: vs.Core) -> None:
    if not shutil.which("nm") or os.name != "posix" or sys.platform == "darwin":
        pytest.skip("reads an ELF symbol table")
    library = next((Path(vs.__file__).parent / "plugins" / "gansr").glob("*.so"))
    listed = subprocess.run(["nm", "-D", "--defined-only", str(library)], capture_output=True, text=True, check=True)
    names = {line.split()[-1] for line in listed.stdout.splitlines()}
    assert names == {"VapourSynthPluginInit2", "gansrJoinCells", "gansrSplitCells"}
