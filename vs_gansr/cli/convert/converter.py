"""Owns the way from somebody's network file to a self-describing .onnx, verified before it gets its name.

Takes PyTorch's files (torchfile.py, extra [convert]) and plain .onnx. Every file is written beside its target under
another name, read back from there, run against the original on real pictures, and only then renamed; whatever fails
on the way leaves nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from ...colour import pictures
from ...common import decibels, files
from ...engine.onnxruntime.provider import cpu_session
from ...errors import ArgumentError, GansrError, ModelError, one_line
from ...model import metadata
from ...model.metadata import Metadata
from ...model.rewrite import cpu_layout, float16
from ...model.rewrite.int8 import quantise
from ...model.spec import SizeRule, ValueRange
from . import crops
from .silence import silenced

__all__ = ["Checked", "Conversion", "Report", "convert"]

type Picture = npt.NDArray[np.float32]
type Run = Callable[[Picture], Picture]

PRECISIONS = ("fp32", "fp16")
UNIT = ValueRange()
CHECKS = 3  # pictures the result is verified on
CALIBRATION = 16  # pictures int8 is calibrated on
SIDE = 96  # pixels a side of those pictures, more where the network asks for it
LEAST_PSNR = {"fp16": 50.0, "int8": 35.0}  # dB against the original, in the mean over the checks


@dataclass(frozen=True)
class Conversion:
    """What to convert, into what."""

    source: Path  # of PyTorch's files, or .onnx
    target: Path  # .onnx
    name: str = ""  # that the result goes by; "": the target's
    licence: str = ""  # "": the source's
    origin: str = ""  # where the network came from: an address or an author
    summary: str = ""  # one line; "": one is made
    precision: str = "fp32"  # of the weights: "fp32" or "fp16"
    int8: bool = False  # True: an int8 twin beside it, too; needs `frames`
    frames: tuple[Path, ...] = ()  # images, videos, folders of images to verify and calibrate on; (): photographs
    tile: int = 128  # pixels a side, for networks that can only have a fixed size
    overwrite: bool = False  # True: `target` and its twin may exist


@dataclass(frozen=True)
class Checked:
    """A file that was written, and how far it is from the original."""

    path: Path
    precision: str  # "fp32", "fp16" or "int8"
    difference: float  # the greatest, as part of the output's greatest value
    psnr: float  # dB, mean over the pictures it was verified on


@dataclass(frozen=True)
class Report:
    """What a conversion gave."""

    architecture: str  # spandrel's name for it, or "ONNX"
    scale: int  # output over input size
    channels: int  # of one picture: 3 or 1
    frames: int  # pictures it sees at once
    size_rule: SizeRule  # sizes it takes
    licence: str  # "unknown" if nobody says
    files: tuple[Checked, ...]  # the network's own, then its twin's


@dataclass(frozen=True)
class Original:
    """The network that is converted."""

    architecture: str  # spandrel's name for it, or "ONNX"
    data: bytes  # itself as ONNX, in float32 or as it was
    run: Run  # itself where it came from: (1, C, H, W) float32 -> (1, C, scale * H, scale * W) float32
    channels: int  # of one picture: 3 or 1
    scale: int  # output over input size
    size_rule: SizeRule  # sizes it takes
    licence: str  # "" if it says none
    takes: ValueRange = UNIT  # of the input
    gives: ValueRange = UNIT  # of the output
    frames: int = 1  # pictures it sees at once

    def picture(self, values: Picture) -> Picture:
        """Values from 0 to 1 as the network takes them."""
        scaled: Picture = np.float32(self.takes.black) + values * np.float32(self.takes.white - self.takes.black)
        return scaled


def convert(job: Conversion, say: Callable[[str], None] = lambda line: None) -> Report:
    """Converts as `job` says, telling each step to `say`.

    Raises ArgumentError for a request that makes no sense, ModelError for a network that cannot be converted or
    whose result is too far from the original, OSError where the disk refuses.
    """
    check(job)
    say(f"reading {job.source.name}")
    network = open_onnx(job) if job.source.suffix.lower() == ".onnx" else open_torch(job, say)
    tests = sample(job, network, CHECKS)
    said = describe(job, network)
    with contextlib.ExitStack() as renames:
        # The twin, opened last, gets its name first: a model is complete once its own file is there.
        written: list[Checked] = []

        def keep(target: Path, data: bytes, precision: str) -> None:
            say(f"writing and verifying {target.name}")
            part = renames.enter_context(files.replaced(target))
            files.write_through(part, with_metadata(data, replace(said, precision=precision)))
            written.append(verify(part, target, precision, network, tests))

        keep(
            job.target, halved(network.data, network.takes) if job.precision == "fp16" else network.data, job.precision
        )
        if job.int8:
            say(f"quantising on {CALIBRATION} pictures")
            calibration = [network.picture(c) for c in sample(job, network, CALIBRATION + CHECKS)[CHECKS:]]
            keep(twin_of(job.target), quantised(network.data, calibration, job.source.name), "int8")
        if not job.int8:
            twin_of(job.target).unlink(missing_ok=True)  # that of the network replaced
    return Report(
        network.architecture,
        network.scale,
        network.channels,
        network.frames,
        network.size_rule,
        said.licence or "unknown",
        tuple(written),
    )


def check(job: Conversion) -> None:
    """Raises ArgumentError for what is wrong with a request before anything is read."""
    if job.precision not in PRECISIONS:
        raise ArgumentError(f'precision "{job.precision}" is unknown; use one of: {", ".join(PRECISIONS)}')
    if job.int8 and not job.frames:
        raise ArgumentError("int8 is calibrated on real pictures; give some with --frames")
    if job.tile < 16:
        raise ArgumentError(f"tile {job.tile} is too small; give 16 or more")
    if job.target.suffix.lower() != ".onnx":
        raise ArgumentError(f'target "{job.target.name}" must end in .onnx')
    if not job.source.is_file():
        raise ArgumentError(f'"{job.source}" does not exist')
    if job.target.exists() and job.target.samefile(job.source):
        raise ArgumentError(f'"{job.target}" is the source itself; write to another name')
    if not job.target.parent.is_dir():
        raise ArgumentError(f'the folder "{job.target.parent}" does not exist; create it first')
    refuse_existing(job.target, job.overwrite)
    refuse_existing(twin_of(job.target), job.overwrite)  # Upscale would take it for this network's


def twin_of(target: Path) -> Path:
    """Where the int8 twin of a network lies."""
    return target.with_name(f"{target.stem}.int8.onnx")


def refuse_existing(target: Path, overwrite: bool) -> None:
    """ArgumentError if there is a file called `target` that may not be overwritten."""
    if target.exists() and not overwrite:
        raise ArgumentError(f'"{target}" exists; give -y (--overwrite) to replace it, or another --output')


def open_torch(job: Conversion, say: Callable[[str], None]) -> Original:
    """A network out of a PyTorch file."""
    try:
        from . import torch_file
    except ImportError as error:
        raise ArgumentError(
            f'converting "{job.source.name}" needs PyTorch and spandrel ({one_line(error)}): '
            'pip install "vs-gansr[convert]"'
        ) from error
    source = torch_file.load(job.source)
    say(f"{source.architecture}, {source.scale}x: exporting to ONNX")
    made = torch_file.export(source, job.tile)
    return Original(
        source.architecture,
        made.data,
        source.run,
        source.channels,
        source.scale,
        SizeRule(max(1, source.least), made.multiple, made.fixed),
        source.licence,
    )


def open_onnx(job: Conversion) -> Original:
    """A network that is ONNX already, to be described, halved or quantised."""
    from ...engine import probe
    from ...model import library

    found = probe.describe(library.load(str(job.source)))
    spec = found.spec
    session = cpu_session(found.data)
    kind = np.float16 if spec.half_input else np.float32

    def run(picture: Picture) -> Picture:
        result: Picture = session.run(None, {spec.input: picture.astype(kind)})[0].astype(np.float32)
        return result

    licence = "" if spec.licence == "unknown" else spec.licence
    data = cpu_layout.modern(onnx.load_model_from_string(found.data)).SerializeToString()
    return Original(
        "ONNX", data, run, spec.channels, spec.scale, spec.size_rule, licence, spec.takes, spec.gives, spec.frames
    )  # fmt: skip


def sample(job: Conversion, network: Original, count: int) -> list[Picture]:
    """Pictures of a size that the network takes, as it takes them but for its range: (1, C, H, W) in [0, 1]."""
    rule = network.size_rule
    width, height = rule.fixed or (rule.side(SIDE) + rule.multiple, rule.side(SIDE))
    made = crops.crops(job.frames or crops.photographs(), width, height, count)
    if network.channels == 1:
        made = [pictures.luma(picture) for picture in made]
    return [np.tile(picture, (1, network.frames, 1, 1)) for picture in made]


def describe(job: Conversion, network: Original) -> Metadata:
    """The metadata of the result."""
    digest = hashlib.sha256(job.source.read_bytes()).hexdigest()
    origin = f"{job.origin}, " if job.origin else ""
    name = job.name or job.target.stem
    rule = network.size_rule
    return Metadata(
        name=name,
        summary=job.summary or f"{network.architecture}, converted from {job.source.name}",
        scale=network.scale,
        colour="luma" if network.channels == 1 else "rgb",
        range=network.takes.white if network.takes == network.gives and not network.takes.black else None,
        multiple=rule.multiple,
        minimum=rule.least if rule.least > rule.multiple else None,
        licence=job.licence or network.licence or "unknown",
        source=f"{origin}{job.source.name}, sha256 {digest}",
    )


def halved(data: bytes, takes: ValueRange) -> bytes:
    """The network with weights in half precision, but for those it needs in float32; input and output float32."""
    return bytes(float16.convert(onnx.load_model_from_string(data), takes).SerializeToString())


def quantised(data: bytes, calibration: list[Picture], name: str) -> bytes:
    """The int8 twin of the network called `name`. Raises ModelError where the quantiser fails."""
    try:
        with silenced():
            return quantise(data, calibration)
    except GansrError:
        raise
    except Exception as error:  # ONNX Runtime's quantiser raises types of its own
        raise ModelError(f"{name} cannot be quantised: {one_line(error, 200)}") from error


def with_metadata(data: bytes, said: Metadata) -> bytes:
    """The network with `said` as its own description; what it said before under other names stays."""
    proto = onnx.load_model_from_string(data)
    metadata.write(proto, said)
    return bytes(proto.SerializeToString())


def psnr(a: Picture, b: Picture, peak: float) -> float:
    """Peak signal-to-noise ratio in dB, at most 200."""
    error = float(np.mean(np.square(a.astype(np.float64) - b)))
    return decibels.psnr(error, peak, most=200.0)


def verify(part: Path, target: Path, precision: str, network: Original, tests: list[Picture]) -> Checked:
    """Runs the file at `part`, the future `target`, against the original. Raises ModelError where it is too far off."""
    data = part.read_bytes()
    try:
        session = cpu_session(data)
    except Exception as error:  # the binding raises types of its own
        raise ModelError(f"{target.name} in {precision} does not run: {one_line(error, 200)}") from error
    source, kind = session.get_inputs()[0], np.float32
    if source.type == "tensor(float16)":
        kind = np.float16  # type: ignore[assignment]
    worst, ratios = 0.0, []
    for picture in tests:
        wanted = network.run(network.picture(picture))
        got: Any = session.run(None, {source.name: network.picture(picture).astype(kind)})[0].astype(np.float32)
        if got.shape != wanted.shape or not np.isfinite(got).all():
            raise ModelError(f"{target.name} gives {list(got.shape)} or no numbers where {list(wanted.shape)} is right")
        span = network.gives.white - network.gives.black
        worst = max(worst, float(np.abs(got - wanted).max() / max(span, float(np.abs(wanted).max()))))
        ratios.append(psnr(got, wanted, span))
    checked = Checked(target, precision, worst, float(np.mean(ratios)))
    if precision == "fp32" and worst > 2e-4:
        raise ModelError(f"{target.name} differs from the original by {worst:.2g}, at most 2e-4 is right")
    least = LEAST_PSNR.get(precision, 0.0)
    if checked.psnr < least:
        raise ModelError(
            f"{target.name} in {precision} is {checked.psnr:.1f} dB from the original, {least:g} dB are needed"
        )
    return checked
