"""Owns running a generator on 8-bit frames; knows no training."""

from __future__ import annotations

import numpy as np
import torch

from ..material.codec import Frames
from ..networks.generator import LumaGenerator
from .metrics import to_uint8


def enlarge(generator: LumaGenerator, low: Frames) -> Frames:
    """Small frames, (n, h, w, 3) uint8, to (n, S * h, S * w, 3) uint8, one after the other, in float32, on the
    generator's device."""
    device = generator.skip.device
    made = []
    with torch.no_grad():
        for frame in low:
            tensor = torch.from_numpy(frame.transpose(2, 0, 1)[None].astype(np.float32) / 255).to(device)
            made.append(generator(tensor).cpu().numpy())
    return to_uint8(np.concatenate(made))
