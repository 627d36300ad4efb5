"""Fine detail compared by what it is like: bands add up, regions cover, and the loss asks for no alignment."""

from __future__ import annotations

import doctest
from types import ModuleType

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from torch import Tensor

from training.losses import bands, formulas, objective, regions, sliced_wasserstein
from training.recipe import Recipe
from training.recipe.config import BandConfig, LossConfig

SLICES = sliced_wasserstein.directions(16, 7, torch.Generator().manual_seed(1))


def grain(seed: int, side: int = 64, sigma: float = 0.1) -> Tensor:
    """(1, 1, side, side) luma around 0.5 with white noise."""
    return 0.5 + sigma * torch.randn(1, 1, side, side, generator=torch.Generator().manual_seed(seed))


def stripes(side: int = 64) -> Tensor:
    """(1, 1, side, side) of vertical edges, 16 pixels apart."""
    return (torch.arange(side) // 8 % 2).float().expand(1, 1, side, side).contiguous()


def distance(made: Tensor, real: Tensor, window: int = 48) -> Tensor:
    """Of one kind of place alone."""
    everywhere = torch.zeros_like(real, dtype=torch.int64)
    return sliced_wasserstein.sliced_wasserstein(made, real, everywhere, 1, SLICES.to(made.dtype), window)[0]


@pytest.mark.parametrize("module", [bands, regions, sliced_wasserstein])
def test_examples_in_the_docstrings(module: ModuleType) -> None:
    done = doctest.testmod(module, extraglobs={"torch": torch})
    assert done.attempted > 0
    assert done.failed == 0


# --- bands ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_bands_add_up(levels: int) -> None:
    picture = torch.rand(2, 3, 32, 24, dtype=torch.float64)
    split = bands.laplacian(picture, levels)
    assert [band.shape[2] for band in split] == [32 >> level for level in range(levels + 1)]
    assert torch.allclose(bands.collapse(split), picture)


def test_flat_pictures_have_no_bands_and_noise_is_in_the_finest() -> None:
    flat = bands.laplacian(torch.full((1, 1, 32, 32), 0.3), 2)
    assert max(float(band.abs().max()) for band in flat[:-1]) < 1e-6
    energy = [float(band.square().mean()) for band in bands.laplacian(grain(0), 2)[:-1]]
    assert energy[0] > 3 * energy[1]


def test_low_pass_keeps_the_mean_and_loses_detail() -> None:
    picture = grain(0)
    blurred = bands.low_pass(picture, 1.0)
    assert float(blurred.mean()) == pytest.approx(float(picture.mean()), abs=2e-3)
    assert float(blurred.std()) == pytest.approx(0.1 / (2 * np.sqrt(np.pi)), rel=0.1)
    assert bands.low_pass(picture, 0.0) is picture


@pytest.mark.parametrize(("shape", "levels"), [((1, 1, 30, 32), 2), ((1, 1, 32, 30), 2), ((1, 1, 32, 32), 0)])
def test_sides_that_do_not_divide_are_refused(shape: tuple[int, ...], levels: int) -> None:
    with pytest.raises(ValueError, match=r"laplacian: \d levels need sides"):
        bands.laplacian(torch.zeros(shape), levels)


# --- regions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("picture", "kind", "least"),
    [(torch.full((1, 1, 64, 64), 0.5), "flat", 1.0), (grain(3, sigma=0.006), "flat", 0.95), (grain(4), "texture", 0.85),
     (stripes(), "edge", 0.85), (stripes().mT, "edge", 0.85)],
)  # fmt: skip
def test_places_are_told_apart(picture: Tensor, kind: str, least: float) -> None:
    found = regions.regions(picture)
    assert found.shape == picture.shape
    assert float((found == regions.KINDS.index(kind)).float().mean()) >= least
    assert set(found.unique().tolist()) <= {0, 1, 2}


def test_regions_want_luma() -> None:
    with pytest.raises(ValueError, match=r"regions: expected luma \(N, 1, H, W\), got \(1, 3, 8, 8\)"):
        regions.regions(torch.zeros(1, 3, 8, 8))


# --- the loss -------------------------------------------------------------------------------------------------------


def test_perfect_and_moved_grain_cost_little_and_wiped_grain_much() -> None:
    """What an absolute difference cannot: other grain of the same kind is right, no grain is wrong."""
    real, other = grain(1, 96), grain(2, 96)
    wiped = bands.low_pass(real, 1.0)
    assert float(distance(real, real)) == 0
    assert float(distance(other, real)) < 0.2 * float(distance(wiped, real))
    assert float(formulas.charbonnier(other, real)) > float(formulas.charbonnier(wiped, real))


def test_it_is_blind_within_a_window_and_sees_across() -> None:
    band = torch.zeros(1, 1, 54, 54)  # with patches of 7, 48 x 48 places: four windows of 24
    band[:, :, 10:13, 10:13] = 1.0
    near, far = torch.roll(band, (3, 2), (2, 3)), torch.roll(band, (26, 0), (2, 3))
    assert float(distance(near, band, 24)) < 1e-7
    assert float(distance(far, band, 24)) > 1e-3
    assert float(distance(far, band, 48)) < 1e-7


def test_kinds_of_places_are_kept_apart() -> None:
    """Wiped on the right only; the third kind is nowhere."""
    real, made = grain(1), grain(1)
    made[:, :, :, 40:] = 0.5
    kinds = (torch.arange(64) >= 32).long().expand(1, 1, 64, 64)
    left, right, none = sliced_wasserstein.sliced_wasserstein(made, real, kinds, 3, SLICES, 48).tolist()
    assert (left, none) == (0, 0)
    assert right > 0.005


def test_all_kinds_at_once_are_each_alone() -> None:
    """One sort does for all kinds: as if each were sorted for itself."""
    real, made = bands.laplacian(grain(1), 1)[0], bands.laplacian(grain(2, sigma=0.05), 1)[0]
    kinds = torch.randint(3, (1, 1, 64, 64), generator=torch.Generator().manual_seed(1))
    together = sliced_wasserstein.sliced_wasserstein(made, real, kinds, 3, SLICES, 58)
    inside = kinds[0, 0, 3:-3, 3:-3]
    a, b = (torch.nn.functional.conv2d(band, SLICES)[0] for band in (made, real))
    for kind in range(3):
        alone = (a[:, inside == kind].sort(dim=1).values - b[:, inside == kind].sort(dim=1).values).abs().mean()
        assert float(together[kind]) == pytest.approx(float(alone), rel=1e-3)


def test_its_gradient_is_right_and_stays_in_its_places() -> None:
    real = grain(1, 24).double()
    made = grain(2, 24).double().requires_grad_()
    kinds = torch.zeros_like(real, dtype=torch.int64)
    kinds[:, :, 8:16, 8:16] = 1

    def loss(x: Tensor) -> Tensor:
        return sliced_wasserstein.sliced_wasserstein(x, real, kinds, 2, SLICES.double(), 48)[1]

    (slope,) = torch.autograd.grad(loss(made), made)
    step = 1e-7 * torch.randn(made.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        change = float(loss(made + step) - loss(made - step))
    assert change == pytest.approx(2 * float((slope * step).sum()), rel=1e-3)
    assert float(slope[:, :, :5].abs().max()) == 0  # further than half a patch from them
    assert float(slope[:, :, 8:16, 8:16].abs().min()) > 0


def test_grain_can_be_learned_by_it_alone() -> None:
    real = grain(1)
    made = (0.5 + 0.01 * torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(5))).requires_grad_()
    optimiser = torch.optim.Adam([made], lr=0.01)
    for _ in range(60):
        optimiser.zero_grad()
        distance(made, real).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert float(made.detach().std()) == pytest.approx(0.1, rel=0.2)
    assert abs(float(torch.corrcoef(torch.stack([made.detach().flatten(), real.flatten()]))[0, 1])) < 0.2


@pytest.mark.parametrize(
    ("made", "real", "kinds"),
    [((1, 1, 16, 16), (1, 1, 16, 8), (1, 1, 16, 16)), ((1, 3, 16, 16),) * 3, ((1, 1, 5, 16),) * 3],
)  # fmt: skip
def test_wrong_shapes_are_refused(made: tuple[int, ...], real: tuple[int, ...], kinds: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="sliced_wasserstein: "):
        sliced_wasserstein.sliced_wasserstein(
            torch.zeros(made), torch.zeros(real), torch.zeros(kinds, dtype=torch.int64), 1, SLICES, 48
        )


# --- in a run -------------------------------------------------------------------------------------------------------


def test_the_objective_repeats(small_recipe: Recipe) -> None:
    recipe = replace(small_recipe, bands=BandConfig(slices=4, window=24))
    small, made, real = torch.rand(2, 1, 24, 24), torch.rand(2, 1, 48, 48), torch.rand(2, 1, 48, 48)
    shares = {"pixel": 0.5, "sliced_texture": 0.3, "sliced_flat": 0.2}
    table = objective.terms(shares, small, made, real, recipe, 3)
    assert set(table) == set(shares)
    again = objective.terms(shares, small, made, real, recipe, 3)
    assert all(torch.equal(value, again[name]) for name, value in table.items())
    assert not torch.equal(
        table["sliced_texture"], objective.terms(shares, small, made, real, recipe, 4)["sliced_texture"]
    )
    assert float(table["pixel"]) == float(formulas.charbonnier(made, real))


def test_a_run_with_sliced_losses_trains_and_resumes(trainer, small_recipe: Recipe) -> None:  # type: ignore[no-untyped-def]
    losses_used = LossConfig(pixel=0.5, sliced_texture=0.2, sliced_edge=0.2, sliced_flat=0.1)
    recipe = replace(small_recipe, pixel=losses_used, bands=BandConfig(slices=4, patch=5))
    whole, broken = (trainer(recipe, name, pixel_part=1.0, steps=4) for name in ("whole", "broken"))
    assert whole.train()
    assert not broken.train(stop_at=2)
    broken = trainer(recipe, "broken", pixel_part=1.0, steps=4)
    assert broken.train()
    assert all(torch.equal(a, b) for a, b in zip(whole.mean.parameters(), broken.mean.parameters(), strict=True))
