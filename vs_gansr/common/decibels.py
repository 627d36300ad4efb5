"""The peak signal-to-noise ratio of a mean squared error."""

from __future__ import annotations

import math

__all__ = ["psnr"]


def psnr(error: float, peak: float = 1.0, most: float = 100.0) -> float:
    """Return 10 log10(peak^2 / error) in dB, at most `most`.

    `error` is a mean of squared differences and `peak` is the value of white; equal pictures get `most`.

    >>> psnr(0.01)
    20.0
    """
    return min(most, 10 * math.log10(peak**2 / error)) if error else most
