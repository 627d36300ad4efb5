"""Convert a network file to an .onnx model with metadata, and verify the result before it gets its name.

Sources are PyTorch files (torch_file.py, extra [convert]) and .onnx files. Each output is written to a temporary
file, read back, compared with the original on real pictures, and then renamed. If anything fails, no file is left
behind.
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
from ...common import files
from ...engine.onnxruntime.provider import cpu_session
from ...errors import ArgumentError, GansrError, ModelError, one_line
from ...model import metadata
from ...model.metadata import Metadata
from ...model.rewrite import cpu_layout, float16
from ...model.rewrite.int8 import quantise
from ...model.spec import SizeRule, ValueRange
from ..common import silenced
from . import crops

__all__ = ["Checked", "Conversion", "Report", "convert"]

type Picture = npt.NDArray[np.float32]
type Run = Callable[[Picture], Picture]

PRECISIONS = ("fp32", "fp16")
UNIT = ValueRange()
CHECKS = 3  # pictures for verification
CALIBRATION = 16  # pictures for the calibration of int8
SIDE = 96  # pixels; width and height of these pictures, or more if the network requires it
LEAST_PSNR = {"fp16": 50.0, "int8": 35.0}  # dB from the original, averaged over the pictures


@dataclass(frozen=True)
class Conversion:
    """What to convert, and how."""

    source: Path  # a PyTorch or .onnx file
    target: Path  # the .onnx file to write
    name: str = ""  # the model's name; "": the target's name
    licence: str = ""  # "": the source's licence
    origin: str = ""  # origin of the network: a URL or an author
    summary: str = ""  # one-line description; "": generated
    precision: str = "fp32"  # precision of the weights: "fp32" or "fp16"
    int8: bool = False  # True: also make an int8 variant; needs `frames`
    frames: tuple[Path, ...] = ()  # images, videos or folders of images to verify and calibrate on; (): photographs
    tile: int = 128  # pixels; tile width and height for networks that need a fixed size
    overwrite: bool = False  # True: overwrite `target` and its int8 variant


@dataclass(frozen=True)
class Checked:
    """A written file and its distance from the original."""

    path: Path
    precision: str  # "fp32", "fp16" or "int8"
    difference: float  # largest difference, as a fraction of the output's largest value
    psnr: float  # dB, averaged over the pictures


@dataclass(frozen=True)
class Report:
    """The result of a conversion."""

    architecture: str  # spandrel's name of the architecture, or "ONNX"
    scale: int  # output size divided by input size
    channels: int  # channels of one picture: 3 or 1
    frames: int  # number of input pictures
    size_rule: SizeRule  # accepted picture sizes
    licence: str  # "unknown" if it is not stated
    files: tuple[Checked, ...]  # the model, then its int8 variant if there is one


@dataclass(frozen=True)
class Original:
    """The network to convert."""

    architecture: str  # spandrel's name of the architecture, or "ONNX"
    data: bytes  # the network as ONNX, in float32 or its original precision
    run: Run  # the original: (1, C, H, W) float32 -> (1, C, scale * H, scale * W) float32
    channels: int  # channels of one picture: 3 or 1
    scale: int  # output size divided by input size
    size_rule: SizeRule  # accepted picture sizes
    licence: str  # "" if it is not stated
    takes: ValueRange = UNIT  # value range of the input
    gives: ValueRange = UNIT  # value range of the output
    frames: int = 1  # number of input pictures

    def picture(self, values: Picture) -> Picture:
        """Return `values` in [0, 1] scaled to the network's input range."""
        scaled: Picture = np.float32(self.takes.black) + values * np.float32(self.takes.white - self.takes.black)
        return scaled


def convert(job: Conversion, say: Callable[[str], None] = lambda line: None) -> Report:
    """Convert as `job` says and report each step to `say`.

    Raises ArgumentError for invalid arguments, ModelError for a network that cannot be converted or whose result is
    too far from the original, and OSError where a file cannot be written.
    """
    check(job)
    say(f"reading {job.source.name}")
    network = open_onnx(job) if job.source.suffix.lower() == ".onnx" else open_torch(job, say)
    samples = sample(job, network, CHECKS)
    described = describe(job, network)
    with contextlib.ExitStack() as renames:
        # Renamed in reverse order: the int8 variant first, so that the model itself appears last, complete.
        written: list[Checked] = []

        def keep(target: Path, data: bytes, precision: str) -> None:
            say(f"writing and verifying {target.name}")
            part = renames.enter_context(files.replacement(target))
            files.write_through(part, with_metadata(data, replace(described, precision=precision)))
            written.append(verify(part, target, precision, network, samples))

        keep(
            job.target, halved(network.data, network.takes) if job.precision == "fp16" else network.data, job.precision
        )
        if job.int8:
            say(f"quantising on {CALIBRATION} pictures")
            calibration = [network.picture(c) for c in sample(job, network, CALIBRATION + CHECKS)[CHECKS:]]
            keep(int8_path(job.target), quantised(network.data, calibration, job.source.name), "int8")
        if not job.int8:
            int8_path(job.target).unlink(missing_ok=True)  # the variant of a model that was replaced
    return Report(
        network.architecture,
        network.scale,
        network.channels,
        network.frames,
        network.size_rule,
        described.licence or "unknown",
        tuple(written),
    )


def check(job: Conversion) -> None:
    """Raise ArgumentError for invalid arguments, before any file is read."""
    if job.precision not in PRECISIONS:
        raise ArgumentError(f'precision "{job.precision}" is unknown; use one of: {", ".join(PRECISIONS)}')
    if job.int8 and not job.frames:
        raise ArgumentError("int8 is calibrated on real pictures; add --frames")
    if job.tile < 16:
        raise ArgumentError(f"tile {job.tile} is too small; use 16 or more")
    if job.target.suffix.lower() != ".onnx":
        raise ArgumentError(f'output "{job.target.name}" must end in .onnx')
    if not job.source.is_file():
        raise ArgumentError(f'"{job.source}" does not exist')
    if job.target.exists() and job.target.samefile(job.source):
        raise ArgumentError(f'"{job.target}" is the source itself; choose another output')
    if not job.target.parent.is_dir():
        raise ArgumentError(f'the folder "{job.target.parent}" does not exist; create it first')
    refuse_existing(job.target, job.overwrite)
    refuse_existing(int8_path(job.target), job.overwrite)  # Upscale would use it for the new model


def int8_path(target: Path) -> Path:
    """Return the path of a model's int8 variant."""
    return target.with_name(f"{target.stem}.int8.onnx")


def refuse_existing(target: Path, overwrite: bool) -> None:
    """Raise ArgumentError if the file `target` exists and `overwrite` is False."""
    if target.exists() and not overwrite:
        raise ArgumentError(f'"{target}" exists; add -y (--overwrite) to overwrite it, or choose another --output')


def open_torch(job: Conversion, say: Callable[[str], None]) -> Original:
    """Return the network of a PyTorch file. Raises ArgumentError where PyTorch or spandrel is not installed."""
    try:
        from . import torch_file
    except ImportError as error:
        raise ArgumentError(
            f'converting "{job.source.name}" needs PyTorch and spandrel ({one_line(error)}): '
            'pip install "vs-gansr[convert]"'
        ) from error
    source = torch_file.load(job.source)
    say(f"{source.architecture}, {source.scale}x: exporting to ONNX")
    exported = torch_file.export(source, job.tile)
    return Original(
        source.architecture,
        exported.data,
        source.run,
        source.channels,
        source.scale,
        SizeRule(max(1, source.least), exported.multiple, exported.fixed),
        source.licence,
    )


def open_onnx(job: Conversion) -> Original:
    """Return the network of an .onnx file."""
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
        "ONNX", data, run, spec.channels, spec.scale, spec.size_rule, licence, spec.input_range, spec.output_range,
        spec.frames,
    )  # fmt: skip


def sample(job: Conversion, network: Original, count: int) -> list[Picture]:
    """Return pictures in a size that the network accepts: (1, C, H, W) in [0, 1]."""
    rule = network.size_rule
    width, height = rule.fixed or (rule.side(SIDE) + rule.multiple, rule.side(SIDE))
    samples = crops.crops(job.frames or crops.photographs(), width, height, count)
    if network.channels == 1:
        samples = [pictures.luma(picture) for picture in samples]
    return [np.tile(picture, (1, network.frames, 1, 1)) for picture in samples]


def describe(job: Conversion, network: Original) -> Metadata:
    """Return the metadata of the result."""
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
    """Return the network with half-precision weights, except those that need float32; input and output stay float32."""
    return bytes(float16.convert(onnx.load_model_from_string(data), takes).SerializeToString())


def quantised(data: bytes, calibration: list[Picture], name: str) -> bytes:
    """Return the int8 variant of the network called `name`. Raises ModelError where the quantiser fails."""
    try:
        with silenced():
            return quantise(data, calibration)
    except GansrError:
        raise
    except Exception as error:  # ONNX Runtime's quantiser raises its own types
        raise ModelError(f"{name} cannot be quantised: {one_line(error, 200)}") from error


def with_metadata(data: bytes, described: Metadata) -> bytes:
    """Return the network with the fields of `described` as its metadata; other properties stay."""
    proto = onnx.load_model_from_string(data)
    metadata.write(proto, described)
    return bytes(proto.SerializeToString())


def psnr(a: Picture, b: Picture, peak: float) -> float:
    """Return the peak signal-to-noise ratio in dB, at most 200."""
    error = float(np.mean(np.square(a.astype(np.float64) - b)))
    return pictures.psnr(error, peak, most=200.0)


def verify(part: Path, target: Path, precision: str, network: Original, samples: list[Picture]) -> Checked:
    """Compare the file at `part`, the future `target`, with the original. Raises ModelError if they differ."""
    data = part.read_bytes()
    try:
        session = cpu_session(data)
    except Exception as error:  # the binding raises types of its own
        raise ModelError(f"{target.name} in {precision} does not run: {one_line(error, 200)}") from error
    source, kind = session.get_inputs()[0], np.float32
    if source.type == "tensor(float16)":
        kind = np.float16  # type: ignore[assignment]
    worst, ratios = 0.0, []
    for picture in samples:
        wanted = network.run(network.picture(picture))
        got: Any = session.run(None, {source.name: network.picture(picture).astype(kind)})[0].astype(np.float32)
        if got.shape != wanted.shape:
            raise ModelError(
                f"{target.name} in {precision} returns a tensor of shape {list(got.shape)}, "
                f"but the original returns {list(wanted.shape)}"
            )
        if not np.isfinite(got).all():
            raise ModelError(f"{target.name} in {precision} returns NaN or infinity{without(precision)}")
        span = network.gives.white - network.gives.black
        worst = max(worst, float(np.abs(got - wanted).max() / max(span, float(np.abs(wanted).max()))))
        ratios.append(psnr(got, wanted, span))
    checked = Checked(target, precision, worst, float(np.mean(ratios)))
    if precision == "fp32" and worst > 2e-4:
        raise ModelError(
            f"{target.name} differs from the original by {worst:.2g} of the value range; at most 2e-4 is allowed"
        )
    least = LEAST_PSNR.get(precision, 0.0)
    if checked.psnr < least:
        raise ModelError(
            f"{target.name} in {precision} has a PSNR of {checked.psnr:.1f} dB against the original; {least:g} dB are "
            f"required{without(precision)}"
        )
    return checked


def without(precision: str) -> str:
    """Return the advice to leave out the option for a precision; "" for float32."""
    return {"fp16": "; omit --fp16", "int8": "; give other --frames, or omit --int8"}.get(precision, "")
