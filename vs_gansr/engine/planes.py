"""Copy between planes and tensors.

A tensor is a C-contiguous array of shape (1, C, H, W); planes are 2-D arrays (H, W) whose rows may be
further apart than W values, as VapourSynth aligns them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import NotFiniteError, RenderError
from ..model.rewrite.depth_to_space import Shuffle
from ..model.rewrite.ends import Samples

__all__ = [
    "HALF_MAX",
    "Plane",
    "Ramp",
    "Tensor",
    "add",
    "check_arrival",
    "check_finite",
    "expect",
    "load",
    "padded",
    "quantise",
    "store",
]

type Plane = npt.NDArray[Any]
type Ramp = npt.NDArray[np.float32]
type Tensor = npt.NDArray[Any]

HALF_MAX = np.float32(65504)  # the largest number a half float holds
NOT_ARRIVED = np.uint32(0x7FC0BEEF)  # a NaN that no sum is


def load(inputs: Sequence[Plane], out: Tensor) -> None:
    """Copies planes, (H, W) each, into `out`, shape (1, planes, H, W)."""
    for target, plane in zip(out[0], inputs, strict=True):
        put(target, plane)


def put(target: npt.NDArray[Any], values: npt.NDArray[Any]) -> None:
    """Copies `values` to `target`, of the same shape, between float types if need be; half floats are kept finite."""
    if target.dtype == np.float16 and values.dtype != np.float16:
        values = np.clip(values, -HALF_MAX, HALF_MAX)
    np.copyto(target, values, casting="same_kind")


def padded(picture: Sequence[Plane], width: int, height: int) -> Sequence[Plane]:
    """The planes at width x height, reflected beyond the right and bottom edge; themselves where they are so large."""
    rows, columns = picture[0].shape
    if (columns, rows) == (width, height):
        return picture
    return [np.pad(plane, ((0, height - rows), (0, width - columns)), "reflect") for plane in picture]


def store(
    tensor: Tensor,
    outputs: Sequence[Plane],
    offset: tuple[int, int],
    scale: int,
    shuffle: Shuffle | None = None,
) -> None:
    """Copies the part of a result that begins at `offset`, (x, y) in input pixels, into `outputs`.

    `tensor` has the shape (1, planes, scale * H, scale * W), or that before a `shuffle`.
    """
    left, top = offset
    for i, place in enumerate(outputs):
        height, width = place.shape
        if shuffle:
            shuffle.write(tensor[0], i, place, left, top)
        else:
            part = tensor[0, i, scale * top : scale * top + height, scale * left : scale * left + width]
            # Whole numbers may have travelled as floats.
            np.copyto(place, part, casting="unsafe" if place.dtype.kind == "u" else "same_kind")


def quantise(values: Plane, place: Plane, samples: Samples) -> None:
    """Writes float values, black at 0 and white at 1, as `samples` stores them."""
    codes = values * np.float32(samples.scale) + np.float32(samples.offset)
    if samples.is_integer:
        codes = np.rint(np.clip(codes, 0, samples.peak))
    np.copyto(place, codes, casting="unsafe" if samples.is_integer else "same_kind")


def add(result: Plane, place: Plane, columns: Ramp, rows: Ramp) -> None:
    """Adds what of `result` fits into `place`, weighted by `columns` and `rows`: a factor for each of `result`'s."""
    height, width = place.shape
    place += result[:height, :width] * (rows[:height, None] * columns[:width])


def expect(watch: npt.NDArray[np.float32]) -> None:
    """Marks the watch, shape (1,), as not arrived, before a run that fills it."""
    watch.view(np.uint32)[0] = NOT_ARRIVED


def check_arrival(watch: npt.NDArray[np.float32]) -> None:
    """Raises RenderError where no run has filled the watch since `expect`."""
    if watch.view(np.uint32)[0] == NOT_ARRIVED:
        raise RenderError("the device returned no result for this frame, or only a part of it")


def check_finite(values: Tensor) -> None:
    """Raises NotFiniteError where a value is NaN or infinite: one is enough to spoil a sum."""
    if not math.isfinite(values.item() if values.size == 1 else values.sum(dtype=np.float32)):
        raise NotFiniteError("the network returned NaN or infinity for this frame; try precision fp32 or another model")
