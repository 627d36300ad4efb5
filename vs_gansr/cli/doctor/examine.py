"""The checks of `gansr doctor`. Each check tries one thing for real and reports what it found.

A fault keeps something installed, or a GPU, from working. A note reports that something is absent. No check depends
on the success of another one.
"""

from __future__ import annotations

import platform
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...errors import one_line
from .. import ffmpeg
from . import FAULT, NOTE, OK, Finding
from .providers import CUDA_EXTRA, providers_tried

__all__ = ["examine", "nvidia_gpus"]

OLDEST_COMPUTE = {13: (7, 5)}  # CUDA 13 dropped Maxwell, Pascal and Volta
COMPILED = {13: (7, 8, 9, 12)}  # major compute versions that ONNX Runtime's wheels contain code for
LEAST_DRIVER = {12: 525, 13: 580}
SECONDS = 60.0
SCRIPT = "import vapoursynth as vs\nvs.core.std.BlankClip(length=1).set_output()\n"
VAPOURSYNTH = 'pip install "vapoursynth>=81"'
REINSTALL = "pip install --force-reinstall --no-deps vs-gansr"
CLI_EXTRA = 'pip install "vs-gansr[cli]"'
OLDER_WHEEL = 'use provider="CPU", or try the wheels for CUDA 12: pip install "onnxruntime-gpu[cuda,cudnn]==1.24.*"'


def examine() -> Iterator[Finding]:
    """Yield every finding as soon as it is made. A check that raises becomes a finding itself."""
    for check in CHECKS:
        try:
            yield from check()
        except Exception as error:
            yield Finding(check.__name__, FAULT, f"cannot be examined: {type(error).__name__}: {one_line(error)}")


def python() -> Iterator[Finding]:
    yield Finding("Python", OK, f"{platform.python_version()} on {platform.platform()}, {sys.executable}")


@cache
def host() -> tuple[Any, str]:
    """Return (VapourSynth's core, "") or (None, the reason why it does not load).

    The core loads every plugin it finds, and a damaged plugin can crash the process, so another process tries first.
    """
    words = [sys.executable, "-c", "import vapoursynth; vapoursynth.core.core.plugins()"]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    if done.returncode < 0:
        return None, f"a plugin crashes the process when VapourSynth loads it ({signal.Signals(-done.returncode).name})"
    if done.returncode:
        return None, f"does not load: {one_line(RuntimeError(done.stderr.strip().splitlines()[-1]))}"
    return import_module("vapoursynth").core.core, ""


def vapoursynth() -> Iterator[Finding]:
    core, trouble = host()
    if core is None:
        spec = find_spec("vapoursynth")
        fix = VAPOURSYNTH
        if spec and spec.origin and "plugin" in trouble:
            fix = f"remove the plugins from {Path(spec.origin).parent / 'plugins'} one by one; for gansr: {REINSTALL}"
        yield Finding("VapourSynth", FAULT, trouble, fix)
        return
    home = Path(import_module("vapoursynth").__file__ or "").parent
    yield Finding("VapourSynth", OK, f"R{core.core_version.release_major}, {home}")
    yield from plugin(core, home)


def plugin(core: Any, home: Path) -> Iterator[Finding]:
    """Check that core.gansr exists, that it comes from this Python, and that its native and Python parts fit."""
    loaded = getattr(core, "gansr", None)
    if loaded is None:
        folder = home / "plugins" / "gansr"
        libraries = [p for p in folder.glob("*gansr.*") if p.suffix in (".so", ".dll", ".dylib")]
        why = why_not(core, libraries[0]) if libraries else f"its library is not in {folder}"
        yield Finding("plugin", FAULT, f"core.gansr is missing: {why}", REINSTALL)
        return
    ours = Path(__file__).resolve().parents[2]
    yield Finding("plugin", OK, f"{metadata.version('vs-gansr')}, {loaded.plugin_path}, Python side {ours}")
    if home not in Path(loaded.plugin_path).parents:
        yield Finding(
            "plugin",
            FAULT,
            f"the loaded library does not belong to this Python: {loaded.plugin_path}",
            f"remove {loaded.plugin_path}",
        )
    try:
        loaded.Version()
    except Exception as error:
        yield Finding("plugin", FAULT, f"core.gansr does not answer: {one_line(error)}", REINSTALL)


def hosts() -> Iterator[Finding]:
    """Check that vspipe starts scripts, which needs `vapoursynth config`."""
    if host()[0] is None:
        return  # `vapoursynth` reports it
    program = find_vspipe()
    if program is None:
        yield Finding("vspipe", FAULT, "found neither on the path nor beside this Python", VAPOURSYNTH)
    elif reason := vspipe_trouble(program):
        fix = f'"{sys.executable}" -m vapoursynth config'
        if program.parent != Path(sys.executable).parent:
            fix = f"{fix}; if that does not help, remove {program}, which belongs to another Python, from the path"
        yield Finding("vspipe", FAULT, f"{program} cannot start a script: {reason}", fix)
    else:
        yield Finding("vspipe", OK, str(program))


def find_vspipe() -> Path | None:
    """Return the vspipe that a shell starts, else the one among this Python's programs; None if there is none."""
    found = shutil.which("vspipe") or shutil.which("vspipe", path=sysconfig.get_path("scripts"))
    return Path(found) if found else None


def vspipe_trouble(program: Path) -> str:
    """Return why `program` does not run a script; "" if it does."""
    with tempfile.TemporaryDirectory(prefix="gansr-") as folder:
        script = Path(folder) / "one_frame.vpy"
        script.write_text(SCRIPT, encoding="utf-8")
        try:
            done = subprocess.run(
                [program, script, "."],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return one_line(error)
    if done.returncode == 0:
        return ""
    return one_line(RuntimeError(done.stderr)) if done.stderr.strip() else f"exit code {done.returncode}"


def why_not(core: Any, library: Path) -> str:
    """Return VapourSynth's message when it loads `library`."""
    try:
        core.std.LoadPlugin(str(library))
    except Exception as error:
        return one_line(error)
    return f"{library} loads on request, but not automatically"


def runtime() -> Iterator[Finding]:
    """Check ONNX Runtime and look for other packages that use its folder."""
    packages = runtimes()
    try:
        import onnxruntime
    except Exception as error:
        fix = f"pip install --force-reinstall {' '.join(packages) or 'onnxruntime-gpu'}"
        yield Finding("ONNX Runtime", FAULT, f"does not load: {one_line(error)}", fix)
        return
    if len(packages) > 1:
        keep = "onnxruntime-gpu" if "onnxruntime-gpu" in packages else next(iter(packages))
        named = " and ".join(f"{name} {version}" for name, version in packages.items())
        yield Finding(
            "ONNX Runtime",
            FAULT,
            f"{named} are installed in the same folder, {Path(onnxruntime.__file__).parent}",
            f"pip uninstall -y {' '.join(packages)} && pip install {keep}",
        )
    else:
        name = next(iter(packages), "onnxruntime")
        yield Finding("ONNX Runtime", OK, f"{onnxruntime.__version__} ({name}), {Path(onnxruntime.__file__).parent}")


def runtimes() -> dict[str, str]:
    """Return the installed distributions that put files into the folder `onnxruntime`, with their versions."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        name = (distribution.metadata["Name"] or "").lower()
        if name.startswith(("onnxruntime", "ort-")) and any(
            file.parts[:1] == ("onnxruntime",) for file in distribution.files or ()
        ):
            found.setdefault(name, distribution.version)  # Python uses the first one
    return found


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA GPU as nvidia-smi describes it."""

    name: str
    compute: tuple[int, int]  # compute capability
    memory: str  # MiB
    driver: str  # the driver's version


def nvidia_gpus() -> tuple[list[Gpu], str]:
    """Return NVIDIA's GPUs by nvidia-smi, which comes with the driver, and why it lists none; "" if it is absent."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return [], ""
    query = "--query-gpu=name,compute_cap,memory.total,driver_version"
    words = [program, query, "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=SECONDS
        )
        rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines() if line.strip()]
        if done.returncode or not rows:
            return [], one_line(RuntimeError(f"{done.stdout} {done.stderr}".strip() or f"exit code {done.returncode}"))
        return [Gpu(name, version(compute), memory, driver) for name, compute, memory, driver in rows], ""
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return [], one_line(error)


def version(text: str) -> tuple[int, int]:
    """Return the first two numbers of a version such as 580.65.06. Raises ValueError if it has no two numbers."""
    major, minor, *_ = text.split(".")
    return int(major), int(minor)


def gpu() -> Iterator[Finding]:
    """Check that NVIDIA's driver and GPUs fit this ONNX Runtime; `providers_tried` runs something on them."""
    cards, trouble = nvidia_gpus()
    if trouble:
        yield Finding("GPU", FAULT, f"nvidia-smi lists no GPU: {trouble}", "reinstall the NVIDIA driver and restart")
    elif not cards:
        yield Finding("GPU", NOTE, "nvidia-smi is not found, so there is no NVIDIA driver")
    for place, card in enumerate(cards):
        about = f"{place}: {card.name}, compute {dotted(card.compute)}, {card.memory} MiB, driver {card.driver}"
        yield Finding("GPU", OK, about)
    try:
        import onnxruntime
    except Exception:
        return  # `runtime` reports it
    build = import_module("onnxruntime.capi.build_and_package_info")
    major = int(str(getattr(build, "cuda_version", "") or 0).split(".")[0])
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers() and major:
        yield from fit(cards, major)
    elif cards:
        names = " ".join(runtimes()) or "onnxruntime"
        yield Finding(
            "CUDA",
            FAULT,
            f"there is a GPU, but the installed ONNX Runtime ({names}) is built without CUDA",
            f"pip uninstall -y {names} && {CUDA_EXTRA}",
        )


def fit(cards: list[Gpu], major: int) -> Iterator[Finding]:
    """Check that driver and GPUs are new enough for CUDA `major`, which ONNX Runtime is built for."""
    least_driver = LEAST_DRIVER.get(major, 0)
    least = OLDEST_COMPUTE.get(major, (0, 0))
    for card in cards:
        if version(card.driver)[0] < least_driver:
            yield Finding(
                "GPU",
                FAULT,
                f"driver {card.driver} is too old for CUDA {major}, which this ONNX Runtime is built for",
                f"install NVIDIA driver {least_driver} or later",
            )
        if card.compute < least:
            yield Finding(
                "GPU",
                FAULT,
                f"{card.name} is too old for CUDA {major}: compute {dotted(card.compute)}; at least {dotted(least)} is "
                "needed (Turing; CUDA dropped Maxwell, Pascal and Volta)",
                OLDER_WHEEL,
            )
        elif card.compute[0] not in COMPILED.get(major, (card.compute[0],)):
            yield Finding(
                "GPU",
                FAULT,
                f"{card.name}, compute {dotted(card.compute)}: ONNX Runtime's wheels for CUDA {major} have no code for "
                "it",
                'use provider="CPU"',
            )


def dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def models() -> Iterator[Finding]:
    """Check every shipped and own model and, if the plugin works, run it on a small clip."""
    from ...model.user_folders import models_folder
    from ..models import rows

    count = 0
    for row in rows([]):
        count += row.origin == "shipped"
        reason = row.error or tiny_run(row.path)
        if reason:
            fix = REINSTALL if row.origin == "shipped" else f"delete or replace {row.path}"
            yield Finding("model", FAULT, f"{row.name} cannot be used: {reason}", fix)
        else:
            yield Finding("model", OK, f"{row.name}, {row.scale}x, {row.licence}, {row.origin}, {row.path}")
    if not count:
        yield Finding("model", FAULT, "no shipped models are installed", REINSTALL)
    yield Finding("model", NOTE, f"own models are the .onnx files in {models_folder()}")


def tiny_run(path: str) -> str:
    """Return why a model fails to upscale a small picture; "" if it works or if there is no plugin to try it with."""
    core, _ = host()
    if core is None or not hasattr(core, "gansr"):
        return ""  # `vapoursynth` reports it
    import vapoursynth as vs

    try:
        clip = core.std.BlankClip(format=vs.YUV444P8, width=64, height=64, length=1).std.SetFrameProps(_Matrix=1)
        clip.gansr.Upscale(model=path, provider="CPU").get_frame(0).close()
    except vs.Error as error:
        return one_line(error)
    return ""


def command_line() -> Iterator[Finding]:
    """Check the other requirements of `gansr upscale`."""
    source = getattr(host()[0], "bs", None)
    if source is None:
        yield Finding("BestSource", NOTE, "not installed; `gansr upscale` needs it", CLI_EXTRA)
    else:
        yield Finding("BestSource", OK, source.plugin_path)
    try:
        yield Finding("PyAV", OK, import_module("av").__version__)
    except Exception as error:
        yield Finding("PyAV", NOTE, f"not usable ({one_line(error)}); `gansr upscale` needs it", CLI_EXTRA)
    tools = ffmpeg.found()
    for tool in tools:
        hdr = "" if tool.hdr else ", writes no HDR10 tags to the container"
        text = f"{tool.version}, {tool.path}, encodes with {', '.join(tool.encoders) or 'no supported encoder'}{hdr}"
        usable = tool.encoders and tool.number >= ffmpeg.OLDEST
        yield Finding("ffmpeg", OK if usable else NOTE, text)
    if not any(tool.encoders and tool.number >= ffmpeg.OLDEST for tool in tools):
        least = dotted(ffmpeg.OLDEST)
        what = f"no version {least} or later has a supported encoder" if tools else "not found"
        yield Finding("ffmpeg", FAULT if tools else NOTE, f"{what}; `gansr upscale` needs it", ffmpeg.INSTALL)


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    python,
    vapoursynth,
    hosts,
    runtime,
    gpu,
    providers_tried,
    models,
    command_line,
)
