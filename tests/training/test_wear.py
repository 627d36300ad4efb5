"""Worn inputs: drawn as often as asked for, repeatable, softer or ringing, and lying where the reference lies."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from training.material import degrade, wear
from training.material.codec import Frames
from training.material.luma import luma_of
from training.material.wear import Wear
from training.recipe.config import DegradeConfig, WearConfig

PLAIN = Wear(0.0, 1.0, 1.0, ("catrom", "catrom"), 0.0, 0.0, (0.0, 0.0), -1, 0.0)


@pytest.fixture(scope="module")
def sharp() -> Frames:
    """Three frames of blocks of random grays, (3, 96, 128, 3)."""
    grays = np.random.default_rng(3).integers(30, 220, (3, 12, 16, 1), dtype=np.uint8)
    return np.broadcast_to(grays.repeat(8, 1).repeat(8, 2), (3, 96, 128, 3)).copy()


def slope(frames: Frames) -> float:
    """Mean of the squared differences of neighbours along rows."""
    return float((np.diff(luma_of(frames), axis=2) ** 2).mean())


def test_the_chosen_share_is_worn_and_repeats(sharp: Frames) -> None:
    config = WearConfig(chance=0.5)
    drawn = [wear.draw(np.random.default_rng(seed), config) for seed in range(200)]
    assert 70 < sum(each is not None for each in drawn) < 130
    assert drawn == [wear.draw(np.random.default_rng(seed), config) for seed in range(200)]
    worn = [each for each in drawn if each is not None]
    assert all(config.width[0] <= each.width <= config.width[1] for each in worn)
    assert all(bool(each.radius) + any(each.taps) <= 1 for each in worn)
    assert {each.lines for each in worn} == {-1, 0, 1}
    for seed in range(6):
        rng, again = np.random.default_rng(seed), np.random.default_rng(seed)
        low, fate = degrade.degrade(sharp, rng, DegradeConfig(), replace(config, chance=1.0))
        assert low.shape == (3, 48, 64, 3) and low.dtype == np.uint8
        assert fate.worn is not None and str(fate.worn) in str(fate)
        assert np.array_equal(low, degrade.degrade(sharp, again, DegradeConfig(), replace(config, chance=1.0))[0])


def test_each_kind_of_wear_leaves_its_mark(sharp: Frames) -> None:
    plain = slope(wear.apply(sharp, PLAIN, 2))
    soft = Wear(1.5, 0.7, 1.0, ("area", "bilinear"), 0.0, 0.0, (0.0, 0.0), -1, 0.0)
    mask = Wear(0.0, 1.0, 1.0, ("catrom", "catrom"), 1.2, 1.0, (0.0, 0.0), -1, 0.0)
    taps = Wear(0.0, 1.0, 1.0, ("catrom", "catrom"), 0.0, 0.0, (0.3, 0.0), -1, 0.0)
    assert slope(wear.apply(sharp, soft, 2)) < 0.7 * plain
    assert slope(wear.apply(sharp, mask, 2)) > 1.2 * plain
    assert slope(wear.apply(sharp, taps, 2)) > 1.2 * plain


def test_half_the_lines_are_shown_twice(sharp: Frames) -> None:
    kept = Wear(0.0, 1.0, 1.0, ("catrom", "area"), 0.0, 0.0, (0.0, 0.0), 0, 0.0)
    lines = np.diff(luma_of(wear.apply(sharp, kept, 2)), axis=1)
    plain = np.diff(luma_of(wear.apply(sharp, PLAIN, 2)), axis=1)
    assert (lines**2).mean() < 0.8 * (plain**2).mean()


def test_worn_pictures_lie_where_the_reference_lies(sharp: Frames) -> None:
    """The centre of gravity of a bright square stays."""
    square = np.zeros((1, 96, 128, 3), np.uint8)
    square[:, 40:56, 60:84] = 200
    for worn in (PLAIN, Wear(0.8, 0.66, 0.9, ("lanczos", "bilinear"), 0.8, 0.5, (0.0, 0.0), -1, 0.0)):
        made = luma_of(wear.apply(square, worn, 2))[0]
        weight = made / made.sum()
        y, x = (weight.sum(1) * np.arange(48)).sum(), (weight.sum(0) * np.arange(64)).sum()
        assert (y, x) == pytest.approx((47.5 / 2 - 0.25, 71.5 / 2 - 0.25), abs=0.08)
