"""Read and write a network's description of itself: the metadata properties `gansr.*` of an ONNX file.

cli/convert, train/export and the quantiser write the properties; library.py reads them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx

__all__ = ["LARGEST_RULE", "LARGEST_SCALE", "MOST_FRAMES", "Metadata", "read", "write"]

PREFIX = "gansr."
LARGEST_SCALE = 16
LARGEST_RULE = 1024  # pixels of a radius or size rule at most; larger values mean a damaged file
LARGEST_PEAK = 65535.0
COLOUR_420 = "yuv420"  # gansr.colour of a network of 4:2:0
MOST_FRAMES = 31  # input frames at most; larger values mean a damaged file


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """A network's description of itself; None: not stated. Each property is named like its field."""

    name: str | None = None  # name for people
    summary: str | None = None  # one-line description
    scale: int | None = None  # output size divided by input size
    colour: str | None = None  # kind of picture: "rgb", "luma" or "yuv420"
    frames: int | None = None  # number of input pictures, in order of time
    range: float | None = None  # the value of white; black is 0
    clamp: int | None = None  # 1: clamp the input to black and white; 0: values outside are valid input, as in HDR
    radius: int | None = None  # pixels that an output pixel sees to each side
    multiple: int | None = None  # pixels; width and height are multiples of it
    minimum: int | None = None  # pixels; smallest width and height
    precision: str | None = None  # precision of the weights: "fp32", "fp16" or "int8"
    licence: str | None = None  # SPDX name, or free text
    source: str | None = None  # origin of a converted network
    training: str | None = None  # how a network was trained, in one line


def whole(least: int, most: int) -> Callable[[str, str], int]:
    """Return a parser of integers from `least` to `most`; it raises ValueError for anything else."""

    def parse(key: str, text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise ValueError(f"{key} is {value} but has to be from {least} to {most}")
        return value

    return parse


def peak(key: str, text: str) -> float:
    """Parse the value of white. Raises ValueError unless it is above 0 and at most LARGEST_PEAK."""
    value = float(text)
    if not 0 < value <= LARGEST_PEAK:
        raise ValueError(f"{key} is {value}, but has to be above 0 and at most {LARGEST_PEAK:g}")
    return value


NUMBERS: dict[str, Callable[[str, str], int | float]] = {
    "scale": whole(1, LARGEST_SCALE),
    "frames": whole(1, MOST_FRAMES),
    "range": peak,
    "clamp": whole(0, 1),
    "radius": whole(0, LARGEST_RULE),
    "multiple": whole(1, LARGEST_RULE),
    "minimum": whole(1, LARGEST_RULE),
}


def read(proto: onnx.ModelProto) -> Metadata:
    """Read the network's description. Raises ValueError for a value that is no number or out of range."""
    properties = {p.key.removeprefix(PREFIX): p.value for p in proto.metadata_props if p.key.startswith(PREFIX)}
    known: dict[str, Any] = {}
    for each in fields(Metadata):
        if each.name in properties:
            parse = NUMBERS.get(each.name)
            known[each.name] = parse(each.name, properties[each.name]) if parse else properties[each.name]
    return Metadata(**known)


def write(proto: onnx.ModelProto, metadata: Metadata) -> None:
    """Write the fields of `metadata` that are not None into the network's properties; other properties stay."""
    from onnx import helper  # takes longer to import than the command to start, which imports this module

    properties = {p.key: p.value for p in proto.metadata_props}
    for each in fields(Metadata):
        value = getattr(metadata, each.name)
        if value is not None:
            properties[PREFIX + each.name] = f"{value:g}" if isinstance(value, float) else str(value)
    helper.set_model_props(proto, properties)
