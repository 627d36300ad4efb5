"""Schedules: rates, slope and the adversary's say begin, turn and end where a recipe says."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from training.loop.schedule import Schedule
from training.recipe import Recipe


@pytest.fixture
def recipe(small_recipe: Recipe) -> Recipe:
    return replace(small_recipe, run=replace(small_recipe.run, steps=1000, warmup=100, pixel_part=0.4))


def test_progress_by_steps_and_by_the_clock(recipe: Recipe) -> None:
    assert [Schedule(recipe).progress(step, 1e9) for step in (0, 500, 2000)] == [0, 0.5, 1]
    clock = replace(recipe, run=replace(recipe.run, steps=0, minutes=2.0))
    assert [Schedule(clock).progress(9, seconds) for seconds in (0, 60, 999)] == [0, 0.5, 1]


def test_rates_rise_fall_and_change_over(recipe: Recipe) -> None:
    schedule, run = Schedule(recipe), recipe.run
    assert schedule.rates(0, 0, False) == (pytest.approx(run.rate / 100), 0.0)
    assert schedule.rates(0.1, 100, False)[0] > schedule.rates(0.3, 300, False)[0]
    assert schedule.rates(0.4, 400, False)[0] == pytest.approx(0.2 * run.rate)
    assert schedule.rates(0.4, 400, True) == (pytest.approx(run.adversarial_rate), recipe.adversary.rate)
    assert schedule.rates(1.0, 999, True)[0] == pytest.approx(0.02 * run.adversarial_rate)
    alone = Schedule(replace(recipe, run=replace(run, pixel_part=1.0)))
    assert alone.rates(1.0, 999, False)[0] == pytest.approx(0.02 * run.rate)


def test_the_adversary_joins_once_and_never_alone(recipe: Recipe) -> None:
    assert [Schedule(recipe).plays(part) for part in (0.0, 0.39, 0.4, 1.0)] == [False, False, True, True]
    assert not Schedule(replace(recipe, run=replace(recipe.run, pixel_part=1.0))).plays(1.0)
    assert [Schedule(recipe).ramp(played) for played in (0, 100, 200, 300, 900)] == [0, 0, 0.5, 1, 1]


def test_slope_falls_to_its_end_value(recipe: Recipe) -> None:
    schedule = Schedule(recipe)
    slopes = [schedule.slope(part) for part in (0.0, 0.16, 0.32, 1.0)]
    assert slopes == [pytest.approx(0.1), pytest.approx(0.05), pytest.approx(0, abs=1e-9), pytest.approx(0, abs=1e-9)]
