"""Owns a network's description of itself: the metadata properties `gansr.*` of an ONNX file, read and written here.

Whoever makes networks (cli/convert, train/export, the quantiser) writes them, library.py reads them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import onnx

__all__ = ["LARGEST_RULE", "LARGEST_SCALE", "MOST_FRAMES", "Metadata", "read", "write"]

PREFIX = "gansr."
LARGEST_SCALE = 16
LARGEST_RULE = 1024  # pixels, of a radius or size rule; more is damage, not a network
LARGEST_PEAK = 65535.0
MOST_FRAMES = 31  # at once; more is damage, not a network


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What a network says of itself; None where it says nothing. A property is named like its field."""

    name: str | None = None  # what people call it
    summary: str | None = None  # one line
    scale: int | None = None  # output over input size
    colour: str | None = None  # of a picture: "rgb" or "luma"
    frames: int | None = None  # pictures that its input holds, in order of time
    aligned: int | None = None  # 1: the frames around the middle one have to be moved onto it
    range: float | None = None  # the value that stands for white, where that for black is 0
    clamp: int | None = None  # 1: values below black and above white are no input for it; 0: they are, as of HDR
    radius: int | None = None  # pixels an output pixel looks to any side
    multiple: int | None = None  # pixels that both sides are divisible by
    minimum: int | None = None  # pixels of the shortest side
    precision: str | None = None  # of its weights: "fp32", "fp16" or "int8"
    licence: str | None = None  # SPDX name, or free text
    source: str | None = None  # where a converted network came from
    training: str | None = None  # how a network trained here was made, in one line


def whole(least: int, most: int) -> Callable[[str, str], int]:
    """A reader of whole numbers from `least` to `most`; it raises ValueError for others."""

    def parse(key: str, text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise ValueError(f"{key} is {value}, not {least} to {most}")
        return value

    return parse


def peak(key: str, text: str) -> float:
    """A value for white; ValueError where it cannot be one."""
    value = float(text)
    if not 0 < value <= LARGEST_PEAK:
        raise ValueError(f"{key} is {value}, not above 0 and at most {LARGEST_PEAK:g}")
    return value


NUMBERS: dict[str, Callable[[str, str], int | float]] = {
    "scale": whole(1, LARGEST_SCALE),
    "frames": whole(1, MOST_FRAMES),
    "aligned": whole(0, 1),
    "range": peak,
    "clamp": whole(0, 1),
    "radius": whole(0, LARGEST_RULE),
    "multiple": whole(1, LARGEST_RULE),
    "minimum": whole(1, LARGEST_RULE),
}


def read(proto: onnx.ModelProto) -> Metadata:
    """The network's own description. Raises ValueError for a number that is none, or out of its range."""
    said = {p.key.removeprefix(PREFIX): p.value for p in proto.metadata_props if p.key.startswith(PREFIX)}
    known: dict[str, Any] = {}
    for each in fields(Metadata):
        if each.name in said:
            parse = NUMBERS.get(each.name)
            known[each.name] = parse(each.name, said[each.name]) if parse else said[each.name]
    return Metadata(**known)


def write(proto: onnx.ModelProto, metadata: Metadata) -> None:
    """Makes `metadata` the network's own description; properties that it says nothing of stay as they are."""
    said = {p.key: p.value for p in proto.metadata_props}
    for each in fields(Metadata):
        value = getattr(metadata, each.name)
        if value is not None:
            said[PREFIX + each.name] = f"{value:g}" if isinstance(value, float) else str(value)
    onnx.helper.set_model_props(proto, said)
