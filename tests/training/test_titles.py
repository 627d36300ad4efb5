"""Lettering drawn over clips: repeatable, inside its bounds, sharp, and moving as credits do."""

from __future__ import annotations

import numpy as np
import pytest

from training.material import titles

GREY = np.full((5, 96, 160, 3), 90, np.uint8)


@pytest.mark.parametrize("seed", range(6))
def test_the_same_generator_draws_the_same_and_changes_nothing_given(seed: int) -> None:
    before = GREY.copy()
    first, again = (titles.lettering(GREY, np.random.default_rng(seed)) for _ in range(2))
    assert first.shape == GREY.shape
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert np.array_equal(before, GREY)
    assert first.std() > 5, "no letters are to be seen"


def test_without_a_backdrop_the_picture_stays_between_the_letters() -> None:
    drawn = titles.lettering(GREY, np.random.default_rng(1), size=(12, 13), backdrop=0.0)
    assert 0.3 < (drawn == 90).mean() < 0.98


def test_some_stand_still_and_some_move() -> None:
    moves = []
    for seed in range(12):
        drawn = titles.lettering(GREY, np.random.default_rng(seed))
        moves.append(not np.array_equal(drawn[0], drawn[4]))
    assert {True, False} == set(moves)
