"""Tells whether two checkouts upscale to the same bits: one checksum per clip, model, precision and format.

Every checkout computes in a process of its own, with this file whatever the checkout; of vs_gansr it uses
core.gansr.Upscale and core.gansr.Models alone, and of this repository nothing, so that any commit can be asked.
All of them run on the native shim that is installed, the only part that is not the checkout's own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import vapoursynth as vs

core = vs.core

ROOT = Path(__file__).resolve().parents[2]
MATERIAL = [ROOT.parent / "shared" / "data" / "eval" / name for name in ("clips", "filmed")]
VIDEOS = frozenset({".mp4", ".mkv", ".mov", ".webm", ".avi", ".y4m"})
FORMATS = {"YUV420P8": vs.YUV420P8, "YUV444P16": vs.YUV444P16, "RGB24": vs.RGB24, "Gray16": vs.GRAY16}
PRECISIONS = ("fp32", "int8")
COLOUR_PROPS = ("_Matrix", "_Transfer", "_Primaries", "_Range", "_ChromaLocation")
BT709, UNSPECIFIED, LIMITED = 1, 2, 0
DIFFERENT, FAILED = 1, 2
"""Exit statuses."""


@dataclass(frozen=True)
class Sampling:
    """What is taken of a clip: `frames` spread evenly over it, reduced to fit in `width` x `height` pixels."""

    frames: int
    width: int
    height: int


@dataclass(frozen=True)
class Run:
    """The checksums that one checkout gave.

    `commit` as git names it · `environment` what bits may depend on besides the code · `material` SHA-256 of each
    clip's file by the clip's name · `lines` SHA-256 of the frames by "CLIP MODEL PRECISION FORMAT".
    """

    commit: str
    sampling: dict[str, int]
    environment: dict[str, str]
    material: dict[str, str]
    lines: dict[str, str]


def main() -> int:
    arguments = parse()
    sampling = Sampling(arguments.frames, *arguments.size)
    clips = material(arguments.material)
    if arguments.compute:
        for line in compute(arguments.checkout, clips, sampling, frozenset(arguments.only)):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
        return 0
    checkout, against, only = arguments.checkout, arguments.against, arguments.only
    other: Run | None = None
    if against and against.is_file():  # before the long run: what was stored may not be comparable
        other = load(against, clips, sampling, only)
    for option, folder in (("--checkout", checkout), ("--against", against)):
        if folder and not (folder / "vs_gansr").is_dir() and not (folder is against and other):
            raise ValueError(f"{option} {folder} has no folder vs_gansr; name a checkout")
    run = run_checkout(checkout.resolve(), clips, sampling, only, quiet=against is not None)
    if arguments.save:
        save(run, arguments.save)
    if not against:
        return 0
    return compare(run, other or run_checkout(against.resolve(), clips, sampling, only, quiet=True))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="checksums",
        description="Print one checksum per clip, shipped model, precision (fp32, int8) and format, of the frames that "
        "the CPU gives and their colour properties; or compare with another checkout: exit status 0 if all are equal, "
        "1 with the lines that are not, 2 if it could not be told.",
    )
    parser.add_argument("--against", type=Path, metavar="CHECKOUT|FILE", help="compare with it; FILE is one of --save")
    parser.add_argument("--checkout", type=Path, default=ROOT, help="whose code runs (default: this one)")
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep its checksums there")
    parser.add_argument("--material", type=Path, nargs="+", default=MATERIAL, metavar="FOLDER", help="where clips are")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD",
                        help="only lines with all these words: clip, model, precision, format")  # fmt: skip
    parser.add_argument("--frames", type=positive, default=3, help="per clip, spread over it (default: 3)")
    parser.add_argument("--size", type=size, default=(480, 270), metavar="WxH", help="of the input (default: 480x270)")
    parser.add_argument("--compute", action="store_true", help=argparse.SUPPRESS)  # this is the checkout's process
    return parser.parse_args()


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not 1 or more")
    return number


def size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    return positive(width), positive(height)


def material(folders: list[Path]) -> dict[str, Path]:
    """The videos in `folders` by their names without ending.

    Raises ValueError for a folder without any, and for two of one name.
    """
    clips: dict[str, Path] = {}
    for folder in folders:
        videos = sorted(path for path in folder.glob("*") if path.suffix.lower() in VIDEOS)
        if not videos:
            raise ValueError(f"--material: no video in {folder}; name folders that hold some")
        for path in videos:
            if path.stem in clips:
                raise ValueError(f"--material: {clips[path.stem]} and {path} have one name; rename one")
            clips[path.stem] = path
    return clips


# ---- in a checkout's own process ----


def compute(checkout: Path, clips: dict[str, Path], sampling: Sampling, only: frozenset[str]) -> Iterator[str]:
    """Lines "CLIP MODEL PRECISION FORMAT SHA256", by the vs_gansr in `checkout`, which this process must have."""
    models = [name if isinstance(name, str) else name.decode() for name in core.gansr.Models()["name"]]
    check_origin(checkout)
    for clip, path in clips.items():
        source: vs.VideoNode | None = None
        for model in models:
            for precision in PRECISIONS:
                for form, preset in FORMATS.items():
                    words = (clip, model, precision, form)
                    if not only.issubset(words):
                        continue
                    source = source or sample(path, sampling)
                    result = upscaled(source.resize.Bicubic(format=preset), model, precision)
                    if result is not None:
                        yield " ".join((*words, checksum(result)))
    check_origin(checkout)  # again: more was imported since


def check_origin(checkout: Path) -> None:
    """Raises ImportError unless every module of vs_gansr in this process lies in `checkout`."""
    loaded = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "vs_gansr"}
    files = [Path(module.__file__ or "").resolve() for module in loaded.values()]
    strange = [str(file) for file in files if not file.is_relative_to(checkout.resolve())]
    if strange or not files:
        raise ImportError(f"vs_gansr was imported from {strange or 'nowhere'} instead of {checkout}")


def sample(path: Path, sampling: Sampling) -> vs.VideoNode:
    """The clip's sampled frames, in its own format, with matrix and range always set."""
    whole = core.bs.VideoSource(str(path), cachemode=0)
    taken = {(2 * i + 1) * whole.num_frames // (2 * sampling.frames) for i in range(sampling.frames)}
    clip = core.std.Splice([whole[n] for n in sorted(taken)])
    with whole.get_frame(0) as first:
        if first.props.get("_Matrix", UNSPECIFIED) == UNSPECIFIED:
            clip = clip.std.SetFrameProps(_Matrix=BT709)
        if "_Range" not in first.props:
            clip = clip.std.SetFrameProps(_Range=LIMITED)
    factor = min(1.0, sampling.width / clip.width, sampling.height / clip.height)
    # multiples of 2 for subsampled chroma
    width, height = (max(2, int(side * factor) // 2 * 2) for side in (clip.width, clip.height))
    clip = clip.resize.Bicubic(width, height)
    clip.std.SetVideoCache(mode=1, fixedsize=1, maxsize=sampling.frames)  # decoded once for all models
    return clip


def upscaled(clip: vs.VideoNode, model: str, precision: str) -> vs.VideoNode | None:
    """Return the frames of `clip` upscaled on the CPU; None where the model has no int8 variant."""
    try:
        return clip.gansr.Upscale(model=model, provider="CPU", precision=precision)
    except vs.Error as error:
        if precision == "int8" and "has no int8" in str(error):
            return None
        raise


def checksum(clip: vs.VideoNode) -> str:
    """SHA-256 over size, format, colour properties and samples of all frames."""
    digest = hashlib.sha256()
    for frame in clip.frames(close=True):
        props = [int(frame.props.get(name, -1)) for name in COLOUR_PROPS]
        digest.update(json.dumps([frame.width, frame.height, frame.format.name, props]).encode())
        for plane in range(frame.format.num_planes):
            digest.update(np.ascontiguousarray(frame[plane]))
    return digest.hexdigest()


# ---- in the process that compares ----


def run_checkout(checkout: Path, clips: dict[str, Path], sampling: Sampling, only: list[str], quiet: bool) -> Run:
    """What the code in `checkout` gives; its lines are shown as they come, on stderr if `quiet`."""
    command = [sys.executable, "-P", str(Path(__file__).resolve()), "--compute", "--checkout", str(checkout)]
    command += ["--frames", str(sampling.frames), "--size", f"{sampling.width}x{sampling.height}"]
    command += ["--material", *dict.fromkeys(str(path.parent) for path in clips.values())]
    command += ["--only", *only] if only else []
    paths = [str(checkout), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    lines: dict[str, str] = {}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            (sys.stderr if quiet else sys.stdout).write(line)
            key, _, digest = line.rstrip("\n").rpartition(" ")
            lines[key] = digest
    if process.returncode:
        raise RuntimeError(f"{checkout}: exit status {process.returncode} after {len(lines)} lines, see above")
    if not lines:
        raise ValueError(f"{checkout}: no line has all of the words {' '.join(only)}")
    files = {name: content(path) for name, path in clips.items()}
    return Run(commit(checkout), asdict(sampling), environment_facts(), files, lines)


def content(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def commit(checkout: Path) -> str:
    """The commit's short hash, with "-dirty" where files differ from it; "unknown" outside of git."""
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--exclude=*"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    return told.stdout.strip() or "unknown"


def environment_facts() -> dict[str, str]:
    """Processor and libraries: float results are only comparable where these are the same."""
    facts = {"processor": processor(), "vapoursynth": f"R{core.core_version.release_major}"}
    for name in ("onnxruntime", "onnxruntime-gpu"):
        try:
            facts[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return facts


def processor() -> str:
    """Name and a digest of the instruction sets, by which ONNX Runtime picks its kernels."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    told = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}
    sets = told.get("flags", told.get("Features", ""))
    return f"{told.get('model name', platform.machine())} {hashlib.sha256(sets.encode()).hexdigest()[:8]}"


def save(run: Run, path: Path) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.write_text(json.dumps(asdict(run), indent=1) + "\n")
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def load(path: Path, clips: dict[str, Path], sampling: Sampling, only: list[str]) -> Run:
    """A run kept by `save`, its lines cut down to `only`. Raises ValueError where it is not comparable with one now."""
    try:
        stored: dict[str, Any] = json.loads(path.read_text())
        run = Run(**stored)
    except (ValueError, TypeError) as error:
        raise ValueError(f"--against {path}: not a file of --save ({error})") from error
    for name, now, then in (
        ("frames and size", asdict(sampling), run.sampling),
        ("the environment", environment_facts(), run.environment),
    ):
        if now != then:
            raise ValueError(f"--against {path}: {name} {then} there, {now} here; compare with a checkout instead")
    for name in clips.keys() & run.material.keys():
        if content(clips[name]) != run.material[name]:
            raise ValueError(f"--against {path}: {clips[name]} is another file now; compare with a checkout instead")
    keys = {key: key.rsplit(" ", 3) for key in run.lines}
    wanted = {key: run.lines[key] for key, words in keys.items() if words[0] in clips and set(only).issubset(words)}
    return replace(run, lines=wanted)


def compare(run: Run, other: Run) -> int:
    """Print the lines that differ, then how many are equal. A line that only one side has differs."""
    keys = [*run.lines, *(key for key in other.lines if key not in run.lines)]
    different = [key for key in keys if run.lines.get(key) != other.lines.get(key)]
    for key in different:
        here, there = (lines.get(key, "missing")[:16] for lines in (run.lines, other.lines))
        sys.stdout.write(f"{key}: {here} at {run.commit}, {there} at {other.commit}\n")
    sys.stdout.write(f"{len(keys) - len(different)} of {len(keys)} equal: {run.commit} and {other.commit}\n")
    return DIFFERENT if different else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, RuntimeError, OSError, ImportError, vs.Error) as error:
        sys.stderr.write(f"checksums: {error}\n")
        sys.exit(FAILED)
