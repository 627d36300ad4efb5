"""Dead leaves pictures are repeatable, cover the picture, and have edges at every size."""

from __future__ import annotations

import numpy as np

from training.material.leaves import leaves
from training.material.luma import luma_of


def test_the_same_draws_make_the_same_picture() -> None:
    first, again, other = (leaves(np.random.default_rng(seed), 160, 96) for seed in (1, 1, 2))
    assert first.size == (160, 96) and first.mode == "RGB"
    assert first.tobytes() == again.tobytes() != other.tobytes()


def test_edges_are_there_at_every_size() -> None:
    """The energy of differences falls off like a photograph's: by a factor of 2 to 8 from one octave to the next."""
    planes = [luma_of(np.asarray(leaves(np.random.default_rng(seed), 256, 256))) for seed in range(4)]
    energies = []
    for size in (1, 2, 4, 8):
        small = [plane.reshape(256 // size, size, 256 // size, size).mean((1, 3)) for plane in planes]
        energies.append(np.mean([(np.diff(each, axis=1) ** 2).mean() / size**2 for each in small]))
    ratios = np.array(energies[:-1]) / energies[1:]
    assert ((ratios > 1.5) & (ratios < 8)).all()
