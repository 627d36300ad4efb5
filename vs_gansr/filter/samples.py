"""Look at the planes of frames, compare their samples, and make samples finite."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine.planes import HALF_MAX, Plane

__all__ = ["clamp_nonfinite", "equal", "finite", "views"]

HALF_EXPONENT = np.uint16(0x7C00)  # all its bits are set in what is not finite


def views(frame: Any) -> list[Plane]:
    """The planes of a frame as arrays over its own memory, writable if the frame is."""
    return [np.asarray(frame[i]) for i in range(frame.format.num_planes)]


def finite(plane: npt.NDArray[Any]) -> bool:
    """True if no sample of a float plane is NaN, infinite, or beyond what a half float holds."""
    if plane.dtype == np.float16:
        return not bool(((plane.view(np.uint16) & HALF_EXPONENT) == HALF_EXPONENT).any())
    return bool(plane.max() <= HALF_MAX and plane.min() >= -HALF_MAX)  # NaN fails either


def clamp_nonfinite(plane: npt.NDArray[Any]) -> None:
    """Makes every sample finite: NaN becomes 0, the rest is clipped to what a half float holds."""
    plane[np.isnan(plane)] = 0
    np.clip(plane, -HALF_MAX, HALF_MAX, out=plane)


def equal(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    """True if the planes `a` and `b` hold the same bits, of one type and shape.

    Most frames that differ do so in their middle rows already.
    """
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    bits = np.dtype(f"u{a.itemsize}")
    a, b = a.view(bits), b.view(bits)
    middle = slice(a.shape[0] // 2, a.shape[0] // 2 + 8)
    return bool(np.array_equal(a[middle], b[middle]) and np.array_equal(a, b))
