"""Owns running a generator on 8-bit frames; knows no training."""

from __future__ import annotations

import numpy as np
import torch

from ..material.codec import Frames
from ..material.neighbours import Inputs
from ..networks.generator import LumaGenerator
from ..networks.noise import noise_plane
from .metrics import to_uint8


def enlarge(generator: LumaGenerator, low: Inputs) -> Frames:
    """Small frames to (n, S * h, S * w, 3) uint8, one after the other, in float32, on the generator's device.

    `low` is (n, h, w, 3) uint8, or with the neighbours that a generator of three frames sees, (n, h, w, 5).

    A generator with grain is given the noise of frames 0, 1, 2, ...
    """
    device, scale = generator.skip.device, generator.config.scale
    made = []
    with torch.no_grad():
        for number, frame in enumerate(low):
            tensor = torch.from_numpy(frame.transpose(2, 0, 1)[None].astype(np.float32) / 255).to(device)
            noise = None
            if generator.grain is not None:
                plane = noise_plane(scale * frame.shape[0], scale * frame.shape[1], number)
                noise = torch.from_numpy(plane)[None, None].to(device)
            made.append(generator(tensor, noise).cpu().numpy())
    return to_uint8(np.concatenate(made))
