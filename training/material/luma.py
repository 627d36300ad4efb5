"""Compute BT.709 luma of frames and of tensors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vs_gansr.colour.tags import BT709_LUMA

from .codec import Frames

LUMA = np.array(BT709_LUMA, np.float32)
"""Of R, G and B, as BT.709 weighs them: (3,)."""


def luma_of(frames: Frames | NDArray[np.float32]) -> NDArray[np.float32]:
    """(..., height, width, 3) RGB in code values of any range to (..., height, width) float32 in the same."""
    plane: NDArray[np.float32] = frames.astype(np.float32) @ LUMA
    return plane


def luma(pictures: Tensor) -> Tensor:
    """(N, 3, H, W) RGB to (N, 1, H, W): all that a generator changes, and so all that losses and judges see.

    >>> round(float(luma(torch.full((1, 3, 1, 1), 0.5))), 4)
    0.5
    """
    return (pictures * pictures.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
