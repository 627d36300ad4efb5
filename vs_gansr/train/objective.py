"""Owns which losses a stage's shares ask for; knows no formula and no weight."""

from __future__ import annotations

from torch import Tensor

from . import losses


def terms(shares: dict[str, float], made: Tensor, real: Tensor, clip: int) -> dict[str, Tensor]:
    """The losses named in `shares` that ask for no discriminator, by name, each a scalar.

    `made` and `real` are (N, 1, H, W) luma in [0, 1], every `clip` of them neighbouring frames of one place.
    """
    table: dict[str, Tensor] = {}
    if "pixel" in shares:
        table["pixel"] = losses.charbonnier(made, real)
    if "structure" in shares:
        table["structure"] = losses.structure(made, real)
    if "gradient" in shares:
        table["gradient"] = losses.gradient(made, real)
    if "frequency" in shares:
        table["frequency"] = losses.frequency(made, real)
    if "temporal" in shares:
        clips = (-1, clip, *made.shape[1:])
        table["temporal"] = losses.temporal(made.reshape(clips), real.reshape(clips))
    return table
