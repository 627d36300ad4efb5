"""Owns what is known of a network, first as its file says it, then resolved; reads and runs nothing.

    ModelFile (FileSpec) -- engine/probe.py fills in what the file leaves open --> Model (ModelSpec)

Whatever computes takes a Model. Its networks take one picture, or a few stacked along the channels, as a tensor
(1, C, H, W) of float32 or float16, and give one picture, (1, C, scale * H, scale * W), of any float type.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path

from .analysis import Study

__all__ = ["FileSpec", "Model", "ModelFile", "ModelSpec", "NetworkSpec", "SizeRule", "ValueRange", "round_up"]


def round_up(length: int, multiple: int) -> int:
    """The least multiple of `multiple` that is not less than `length`."""
    return -(-length // multiple) * multiple


@dataclass(frozen=True)
class ValueRange:
    """The values of a network's input or output between which a picture lies."""

    black: float = 0.0  # the value that stands for black
    white: float = 1.0  # the value that stands for white

    def __str__(self) -> str:
        return f"{self.black:g} to {self.white:g}"


@dataclass(frozen=True)
class SizeRule:
    """Which sizes of a picture a network takes."""

    minimum: int = 1  # pixels of the shortest side; not necessarily a multiple of `multiple`
    multiple: int = 1  # pixels that both sides, and the positions of tiles, are divisible by
    fixed: tuple[int, int] | None = None  # (width, height) in pixels where the network takes no other size

    @property
    def least(self) -> int:
        """Pixels of the shortest side that the network really takes, where its size is not fixed."""
        return round_up(self.minimum, self.multiple)

    def side(self, length: int) -> int:
        """The least side, in pixels, that is allowed and not shorter than `length`, where the size is not fixed."""
        return round_up(max(length, self.minimum), self.multiple)

    def padded(self, width: int, height: int) -> tuple[int, int]:
        """The least (width, height) in pixels that covers the picture and that the network can be run over.

        For a fixed size that is in tiles of `fixed`, all of them inside; else at once or in tiles.
        """
        if self.fixed:
            width, height = max(width, self.fixed[0]), max(height, self.fixed[1])
            return round_up(width, self.multiple), round_up(height, self.multiple)
        return self.side(width), self.side(height)

    def takes(self, width: int, height: int) -> bool:
        """True if the network takes a picture of width x height as it is, at once."""
        return (width, height) == (self.fixed or self.padded(width, height))


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """What a network's file alone decides."""

    name: str  # what the file calls itself, else the file's name without .onnx
    digest: str  # SHA-256 of the file's content, in hexadecimal
    input: str  # name of the only input
    output: str  # name of the only output
    channels: int  # of one picture: 3 (RGB) or 1 (luma)
    frames: int = 1  # pictures stacked as the input, in order of time; the middle one is upscaled
    aligned: bool = False  # True: of luma, the two frames around the middle one moved onto it
    radius: int | None = None  # pixels an output pixel looks to any side; None: the whole picture, or unknown
    half_input: bool = False  # True: the input is float16
    signed_output: bool = False  # True: the output lies between -1 and 1, by a Tanh or Clip at the graph's end
    clamp: bool | None = None  # whether the input is clamped from black to white; None: the file does not say
    study: Study = field(default_factory=Study)  # what the graph says of itself
    weights: int = 0  # bytes that its weights take
    precision: str = "fp32"  # of the weights: "fp32", "fp16" or "int8"
    licence: str = "unknown"  # SPDX name, or whatever the file says
    summary: str = ""  # one line
    source: str = ""  # where a converted network came from

    @property
    def inputs(self) -> int:
        """Channels of the input: those of all pictures together."""
        return self.channels * self.frames


@dataclass(frozen=True, kw_only=True)
class FileSpec(NetworkSpec):
    """A network as its file describes it. None stands for what neither its metadata nor its graph says."""

    scale: int | None = None  # output over input size
    range: ValueRange | None = None  # of input and output
    multiple: int | None = None  # pixels that sides and positions of tiles are divisible by
    minimum: int = 1  # pixels of the shortest side, as far as the file says
    fixed: tuple[int, int] | None = None  # (width, height) in pixels where the file allows no other

    def resolved(self, scale: int, size_rule: SizeRule, takes: ValueRange, gives: ValueRange) -> ModelSpec:
        """The same with nothing left open."""
        shared = {f.name: getattr(self, f.name) for f in fields(NetworkSpec)}
        return ModelSpec(**shared, scale=scale, size_rule=size_rule, takes=takes, gives=gives)


@dataclass(frozen=True, kw_only=True)
class ModelSpec(NetworkSpec):
    """A network with all that is needed to run it."""

    scale: int  # output over input size
    size_rule: SizeRule = field(default_factory=SizeRule)  # sizes it takes
    takes: ValueRange = field(default_factory=ValueRange)  # of the input
    gives: ValueRange = field(default_factory=ValueRange)  # of the output


@dataclass(frozen=True)
class ModelFile:
    """A network's file."""

    spec: FileSpec  # what it says of itself
    path: Path  # where it came from
    data: bytes = field(repr=False)  # its content


@dataclass(frozen=True)
class Model:
    """A network that is ready to be run."""

    spec: ModelSpec  # all there is to know of it
    path: Path  # the file it came from
    data: bytes = field(repr=False)  # the file's content
