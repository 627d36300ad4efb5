"""Owns the peak signal-to-noise ratio, from an error that is already a mean."""

from __future__ import annotations

import math

__all__ = ["psnr"]


def psnr(error: float, peak: float = 1.0, most: float = 100.0) -> float:
    """10 log10(peak^2 / error) in dB: `error` is a mean of squares where white is `peak`; at most `most`, as of equals.

    >>> psnr(0.01)
    20.0
    """
    return min(most, 10 * math.log10(peak**2 / error)) if error else most
