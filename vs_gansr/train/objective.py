"""Owns which losses a stage's shares ask for, and what each is shown; knows no formula and no weight."""

from __future__ import annotations

import torch
from torch import Tensor

from . import losses
from .bands import halve, laplacian, low_pass
from .config import BandConfig
from .recipe import Recipe
from .regions import regions
from .sliced_wasserstein import directions, sliced_wasserstein


def terms(shares: dict[str, float], made: Tensor, real: Tensor, recipe: Recipe, step: int) -> dict[str, Tensor]:
    """The losses named in `shares` that ask for no discriminator, by name, each a scalar.

    `made` and `real` are (N, 1, H, W) luma in [0, 1], every `run.clip` of them neighbouring frames of one place.
    Random choices are a function of the recipe's seed and `step`.
    """
    table: dict[str, Tensor] = {}
    low, low_real = (low_pass(pictures, recipe.bands.low_sigma) for pictures in (made, real))
    if "pixel" in shares:
        table["pixel"] = losses.charbonnier(low, low_real)
    if "structure" in shares:
        table["structure"] = losses.structure(low, low_real)
    if "gradient" in shares:
        table["gradient"] = losses.gradient(made, real)
    if "frequency" in shares:
        table["frequency"] = losses.frequency(made, real)
    if "temporal" in shares:
        clips = (-1, recipe.run.clip, *made.shape[1:])
        table["temporal"] = losses.temporal(made.reshape(clips), real.reshape(clips))
    kinds = [kind for kind in ("texture", "edge", "flat") if f"sliced_{kind}" in shares]
    if kinds:
        random = torch.Generator().manual_seed(recipe.run.seed * 1_000_003 + step)
        table |= _sliced(kinds, made, real, recipe.bands, random)
    return table


def _sliced(
    kinds: list[str], made: Tensor, real: Tensor, config: BandConfig, random: torch.Generator
) -> dict[str, Tensor]:
    """The sliced losses of those kinds of places: means over the finest bands."""
    found: dict[str, list[Tensor]] = {kind: [] for kind in kinds}
    seen = real
    pairs = zip(laplacian(made, config.levels)[:-1], laplacian(real, config.levels)[:-1], strict=True)
    for band, band_real in pairs:
        places = regions(seen)
        slices = directions(config.slices, config.patch, random)
        for kind, values in found.items():
            values.append(sliced_wasserstein(band, band_real, getattr(places, kind), slices, config.window))
        seen = halve(seen)
    return {f"sliced_{kind}": torch.stack(values).mean() for kind, values in found.items()}
