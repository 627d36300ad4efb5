"""Define the arguments of Upscale besides the clip, and check their values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ..errors import ArgumentError

__all__ = ["ARGUMENTS", "Settings", "check", "given"]

MOST_STREAMS = 64


def argument(default: Any, kind: str, help: str) -> Any:
    """Return a field of Settings: its default, VapourSynth type (data, int, float, int[]) and one line of help."""
    return field(default=default, metadata={"kind": kind, "help": help})


@dataclass(frozen=True)
class Settings:
    """The arguments of Upscale besides the clip, as the user gave them.

    This is their only list: `vs_gansr.upscale`, the command line, the scaler for vsjetpack and the tests of the shim's
    signature and of the README use it.
    """

    model: str | None = argument(
        None, "data", "a name that `gansr models` lists, or a path to an .onnx file (default: general-2x)"
    )
    provider: str = argument(
        "auto",
        "data",
        "auto, OpenVINO, CPU (ONNX Runtime's), CUDA, TensorRT-RTX, WebGPU, TensorRT, MIGraphX, DirectML or CoreML; a "
        "named provider fails if it cannot run (default: auto)",
    )
    device_id: int | None = argument(
        None, "int", "which of the provider's devices, from 0 (default: any with auto, else 0)"
    )
    precision: str = argument("auto", "data", "of the network: auto, fp32, fp16, bf16 or int8 (default: auto)")
    num_streams: int | None = argument(
        None,
        "int",
        "frames computed at once (default: 2; 1 with WebGPU, and on CPUs for networks of unknown radius)",
    )
    tilesize: tuple[int, int] | None = argument(
        None,
        "int[]",
        "width and height of a tile in input pixels, overlap included; one number for both (default: the whole "
        "picture, if memory allows)",
    )
    overlap: tuple[int, int] | None = argument(
        None,
        "int[]",
        "width and height of a tile's margin on each side; one number for both (default: as the network needs)",
    )
    memory: int | None = argument(
        None,
        "int",
        "limit in MiB (default: half of the free memory, on GPUs their own; on CPUs at most 1536 in all, or for each "
        "stream if num_streams is given)",
    )
    strength: float = argument(1.0, "float", "from 0, a Catmull-Rom resize, to 1, the network (default: 1)")
    texture: float = argument(
        1.0,
        "float",
        "0: the softer model NAME-psnr (general-2x-psnr); 1: the model itself; between: a mix of both results "
        "(default: 1)",
    )
    reuse: int = argument(1, "int", "1: a frame equal to its neighbour is not computed again; 0: every frame is")
    format: int | None = argument(None, "int", "the output's format, as one of VapourSynth's presets")
    clamp: int | None = argument(
        None,
        "int",
        "1: clip values below black and above white before the network; 0: do not, as HDR networks need (default: 1 "
        "for RGB networks, else 0)",
    )
    grain: float = argument(
        0.0,
        "float",
        "add new random grain to flat areas: 0 none, 1 as strong as the source's, at most 4 (default: 0)",
    )


ARGUMENTS = fields(Settings)


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of `values` that are arguments of Upscale and not None."""
    return {f.name: values[f.name] for f in ARGUMENTS if values.get(f.name) is not None}


def check(settings: Settings) -> None:
    """Raise ArgumentError for values that are wrong for every clip and model."""
    from ..engine.base import PRECISIONS  # with it come the engines, which whoever only reads the list does not need

    if settings.precision not in PRECISIONS:
        raise ArgumentError(f'precision "{settings.precision}" is unknown; use one of: {", ".join(PRECISIONS)}')
    check_tiles(settings)
    if settings.num_streams is not None and not 1 <= settings.num_streams <= MOST_STREAMS:
        raise ArgumentError(f"num_streams {settings.num_streams} must be at least 1 and at most {MOST_STREAMS}")
    if settings.memory is not None and settings.memory < 1:
        raise ArgumentError(f"memory {settings.memory} must be at least 1 (MiB)")
    if not 0 <= settings.strength <= 1:
        raise ArgumentError(f"strength {settings.strength} must be from 0 (Catmull-Rom resize) to 1 (the network)")
    if not 0 <= settings.texture <= 1:
        raise ArgumentError(
            f"texture {settings.texture} must be from 0 (the softer model NAME-psnr) to 1 (the model itself)"
        )
    if not 0 <= settings.grain <= 4:
        raise ArgumentError(f"grain {settings.grain} must be from 0 (none) to 4; 1 is as much as the source has")
    for name in ("reuse", "clamp"):
        if getattr(settings, name) not in (0, 1, None):
            raise ArgumentError(f"{name} {getattr(settings, name)} must be 0 or 1")


def check_tiles(settings: Settings) -> None:
    """Raise ArgumentError for wrong values of tilesize and overlap."""
    for label, pair in (("tilesize", settings.tilesize), ("overlap", settings.overlap)):
        if pair is not None and min(pair) < (1 if label == "tilesize" else 0):
            raise ArgumentError(f"{label} {list(pair)} must not be negative{' or 0' * (label == 'tilesize')}")
    if settings.tilesize and settings.overlap:
        for side, margin in zip(settings.tilesize, settings.overlap, strict=True):
            if side <= 2 * margin:
                raise ArgumentError(
                    f"tilesize {list(settings.tilesize)} must exceed twice the overlap {list(settings.overlap)}"
                )
