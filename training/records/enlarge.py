"""Run a generator on 8-bit frames."""

from __future__ import annotations

import numpy as np
import torch

from vs_gansr.colour.pictures import cells

from ..material import codec
from ..material.codec import Frames
from ..material.luma import luma_of
from ..networks.generator import LumaGenerator
from .metrics import to_uint8


def enlarge(generator: LumaGenerator, low: Frames, low_chroma: Frames) -> Frames:
    """Small frames to (n, S * h, S * w, 3) uint8 RGB, one after the other, in float32, on the generator's device.

    `low` is (n, h, w, 3) uint8 RGB; `low_chroma` is its chroma as decoded, (n, h / 2, w / 2, 2), which a generator with
    `colour` enlarges; others leave colour to the resize.
    """
    device = generator.skip.device
    made = []
    with torch.no_grad():
        for frame, chroma in zip(low, low_chroma, strict=True):
            tensor = torch.from_numpy(frame.transpose(2, 0, 1)[None].astype(np.float32) / 255).to(device)
            if not generator.config.colour:
                made.append(to_uint8(generator(tensor).cpu().numpy()))
                continue
            planes = torch.from_numpy((chroma.transpose(2, 0, 1)[None].astype(np.float32) - 16) / 224).to(device)
            luma, _, added = generator.parts(tensor, planes)
            large = generator.chroma(planes, added)
            codes = [(16 + 219 * luma[:, 0]).cpu().numpy(), (16 + 224 * large).permute(0, 2, 3, 1).cpu().numpy()]
            y, uv = (np.clip(np.rint(each), 0, 255).astype(np.uint8) for each in codes)
            made.append(codec.to_rgb(codec.pack(y, uv)))
    return np.concatenate(made)


def seen(low: Frames, low_chroma: Frames, colour: bool) -> np.ndarray:
    """What an exported network is shown of 8-bit frames: (n, 1, h, w) float32 luma in [0, 1], or with `colour`
    (n, 6, h / 2, w / 2): the four pixels of each block, U and V."""
    luma = luma_of(low) / np.float32(255)
    if not colour:
        return luma[:, None]
    chroma = (low_chroma.astype(np.float32) - 16) / 224
    return np.stack([*cells(luma, 2), chroma[..., 0], chroma[..., 1]], 1)
