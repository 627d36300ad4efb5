"""Describe a network: first what its file says, then with every value filled in. This module reads and runs nothing.

    ModelFile (FileSpec) -- engine/probe.py fills in what the file does not say --> Model (ModelSpec)

Engines run a Model. Its network takes one picture, or several pictures stacked along the channels, as a tensor (1, C,
H, W) of float32 or float16. It returns one picture, (1, C, scale * H, scale * W), of any float type.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path

from .analysis import Study

__all__ = [
    "CHANNELS_420",
    "FileSpec",
    "Model",
    "ModelFile",
    "ModelSpec",
    "NetworkSpec",
    "SizeRule",
    "ValueRange",
    "kind_of",
    "round_up",
]


CHANNELS_420 = 6  # of the input of a network of 4:2:0


def round_up(length: int, multiple: int) -> int:
    """Return the smallest multiple of `multiple` that is at least `length`."""
    return -(-length // multiple) * multiple


def kind_of(channels: int, frames: int) -> str:
    """Return what a network takes in words: `RGB`, `luma` or `4:2:0`, or for example `RGB of 3 frames`."""
    kind = {1: "luma", CHANNELS_420: "4:2:0"}.get(channels, "RGB")
    return kind if frames == 1 else f"{kind} of {frames} frames"


@dataclass(frozen=True)
class ValueRange:
    """The values that stand for black and white in a network's input or output."""

    black: float = 0.0  # the value of black
    white: float = 1.0  # the value of white

    def __str__(self) -> str:
        return f"{self.black:g} to {self.white:g}"


@dataclass(frozen=True)
class SizeRule:
    """The picture sizes that a network accepts."""

    minimum: int = 1  # pixels; smallest width and height; not necessarily a multiple of `multiple`
    multiple: int = 1  # pixels; width, height and tile positions are multiples of it
    fixed: tuple[int, int] | None = None  # the only accepted (width, height) in pixels; None: sizes are free

    @property
    def least(self) -> int:
        """The smallest accepted width and height in pixels: `minimum` rounded up to `multiple`. Ignores `fixed`."""
        return round_up(self.minimum, self.multiple)

    def side(self, length: int) -> int:
        """Return the smallest accepted side, in pixels, that is at least `length`. Ignores `fixed`."""
        return round_up(max(length, self.minimum), self.multiple)

    def padded(self, width: int, height: int) -> tuple[int, int]:
        """Return the smallest (width, height), in pixels, that covers the picture and that the network can process.

        With a fixed size, tiles of that size cover the result. Otherwise the network takes the result at once or in
        tiles.
        """
        if self.fixed:
            width, height = max(width, self.fixed[0]), max(height, self.fixed[1])
            return round_up(width, self.multiple), round_up(height, self.multiple)
        return self.side(width), self.side(height)

    def takes(self, width: int, height: int) -> bool:
        """Return True if the network accepts a picture of width x height without padding or tiling."""
        return (width, height) == (self.fixed or self.padded(width, height))


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """What is known about a network from its file alone."""

    name: str  # the name in the file's metadata, else the file's name without .onnx
    digest: str  # SHA-256 of the file's content, in hexadecimal
    input: str  # name of the only input
    output: str  # name of the only output
    channels: int  # channels of one picture: 3 (RGB), 1 (luma) or 6 (4:2:0, see `grid`)
    frames: int = 1  # number of stacked input pictures, in order of time; the middle one is upscaled
    radius: int | None = None  # pixels that an output pixel sees to each side; None: the whole picture, or unknown
    half_input: bool = False  # True: the input is float16
    signed_output: bool = False  # True: the output ranges from -1 to 1 because the graph ends in Tanh or Clip
    clamp: bool | None = None  # whether to clamp the input to black and white; None: the file does not say
    study: Study = field(default_factory=Study)  # results of the graph analysis
    weights: int = 0  # bytes of the weights
    precision: str = "fp32"  # precision of the weights: "fp32", "fp16" or "int8"
    licence: str = "unknown"  # SPDX name, or the text in the file
    summary: str = ""  # one-line description
    source: str = ""  # origin of a converted network

    @property
    def kind(self) -> str:
        """What the network takes, as `kind_of` puts it."""
        return kind_of(self.channels, self.frames)

    @property
    def inputs(self) -> int:
        """The number of input channels, over all stacked pictures."""
        return self.channels * self.frames

    @property
    def grid(self) -> int:
        """Luma samples per column and row of the input tensor: 2 for a network of 4:2:0, whose tensor has the size of
        the chroma planes and holds four luma samples row by row, U and V at each place; else 1."""
        return 2 if self.channels == CHANNELS_420 else 1


@dataclass(frozen=True, kw_only=True)
class FileSpec(NetworkSpec):
    """A network as its file describes it. None stands for a value that neither the metadata nor the graph gives."""

    scale: int | None = None  # output size divided by input size
    range: ValueRange | None = None  # black and white of input and output
    multiple: int | None = None  # pixels; width, height and tile positions are multiples of it
    minimum: int = 1  # pixels; smallest width and height that the file states
    fixed: tuple[int, int] | None = None  # the only accepted (width, height) in pixels; None: free

    def resolved(self, scale: int, size_rule: SizeRule, input_range: ValueRange, output_range: ValueRange) -> ModelSpec:
        """Return the complete ModelSpec: this description with the given values for what the file leaves open."""
        shared = {f.name: getattr(self, f.name) for f in fields(NetworkSpec)}
        return ModelSpec(**shared, scale=scale, size_rule=size_rule, input_range=input_range, output_range=output_range)


@dataclass(frozen=True, kw_only=True)
class ModelSpec(NetworkSpec):
    """A complete description of a network, sufficient to run it."""

    scale: int  # output size divided by input size
    size_rule: SizeRule = field(default_factory=SizeRule)  # accepted picture sizes
    input_range: ValueRange = field(default_factory=ValueRange)  # black and white of the input
    output_range: ValueRange = field(default_factory=ValueRange)  # black and white of the output

    @property
    def growth(self) -> int:
        """Width and height of the output tensor, divided by those of the input tensor."""
        return 1 if self.grid > 1 else self.scale

    @property
    def outputs(self) -> int:
        """Channels of the output tensor. For 4:2:0 each place holds scale * 2 x scale * 2 luma samples row by row,
        then scale x scale of U and as many of V."""
        return self.channels * self.scale**2 if self.grid > 1 else self.channels


@dataclass(frozen=True)
class ModelFile:
    """A network's file as it was read."""

    spec: FileSpec  # the file's description of the network
    path: Path  # where the file is
    data: bytes = field(repr=False)  # the file's content


@dataclass(frozen=True)
class Model:
    """A network that is ready to run."""

    spec: ModelSpec  # its complete description
    path: Path  # the file it was read from
    data: bytes = field(repr=False)  # the file's content
