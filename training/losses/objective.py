"""Compute the losses that a stage has shares for, each on the pictures it sees."""

from __future__ import annotations

import torch
from torch import Tensor

from ..recipe import Recipe
from ..recipe.config import AdversaryConfig, BandConfig
from . import formulas
from .aim import aimed
from .bands import halve, laplacian
from .regions import KINDS, directionless, regions
from .sliced_wasserstein import directions, sliced_wasserstein


def terms(
    shares: dict[str, float], small: Tensor, made: Tensor, real: Tensor, recipe: Recipe, step: int
) -> dict[str, Tensor]:
    """The losses named in `shares` that ask for no discriminator, by name, each a scalar.

    `small` is (N, 1, h, w), `made` and `real` are (N, 1, H, W) luma in [0, 1], every `run.clip` of them neighbouring
    frames of one place.
    Random choices are a function of the recipe's seed and `step`.
    """
    table: dict[str, Tensor] = {}
    aim = aimed(small, real, recipe.aim)
    if "pixel" in shares:
        table["pixel"] = formulas.charbonnier(made, aim)
    if "structure" in shares:
        table["structure"] = formulas.structure(made, aim)
    if "gradient" in shares:
        table["gradient"] = formulas.gradient(made, real)
    if "frequency" in shares:
        table["frequency"] = formulas.frequency(made, real)
    if "temporal" in shares:
        clips = (-1, recipe.run.clip, *made.shape[1:])
        table["temporal"] = formulas.temporal(made.reshape(clips), real.reshape(clips))
    if "mesh" in shares:
        scale, phases = recipe.generator.scale, recipe.generator.phases
        table["mesh"] = formulas.mesh(made, real, scale * phases)
        if phases > 1:  # a mesh of single pixels moves with the input, so that `shift` cannot see it
            for period in (scale, scale * phases):
                table["mesh"] = table["mesh"] + formulas.repetition(made, real, period)
    wanted = [kind for kind in KINDS if f"sliced_{kind}" in shares]
    if wanted:
        random = torch.Generator().manual_seed(recipe.run.seed * 1_000_003 + step)
        found = _sliced(made, real, recipe.bands, random)
        table |= {f"sliced_{kind}": found[KINDS.index(kind)] for kind in wanted}
    return table


def heard(made: Tensor, real: Tensor, config: AdversaryConfig) -> Tensor:
    """`made` as the discriminator judges it for the generator: the same picture, which carries the judgement back only
    where the recipe says. Both are (N, 1, H, W) luma in [0, 1].

    Edges and lettering can be known from the small picture, so that there an adversary only adds to the error.
    """
    if config.where == "everywhere":
        return made
    return made.detach().lerp(made, directionless(real).to(made.dtype))


def _sliced(made: Tensor, real: Tensor, config: BandConfig, random: torch.Generator) -> Tensor:
    """The sliced losses, one for each of `KINDS`: means over the finest bands."""
    found: list[Tensor] = []
    seen = real
    pairs = zip(laplacian(made, config.levels)[:-1], laplacian(real, config.levels)[:-1], strict=True)
    for band, band_real in pairs:
        slices = directions(config.slices, config.patch, random)
        found.append(sliced_wasserstein(band, band_real, regions(seen), len(KINDS), slices, config.window))
        seen = halve(seen)
    return torch.stack(found).mean(0)
