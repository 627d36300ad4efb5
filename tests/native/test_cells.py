"""The native copies between a plane and the planes of its cells equal NumPy's slices, for every type and side."""

from __future__ import annotations

import numpy as np
import pytest

from vs_gansr.colour import pictures
from vs_gansr.filter import samples


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float16, np.float32])
@pytest.mark.parametrize("side", [1, 2, 3, 4, 6])
def test_as_slices_do(side: int, kind: type) -> None:
    rng = np.random.default_rng(side)
    for height, width in ((1, 1), (3, 37), (8, 64)):
        padded = (rng.random((side * height, side * width + 5)) * 200).astype(kind)
        plane = padded[:, : side * width]
        parts = np.zeros((side * side, height, width), kind)
        samples.split(plane, parts)
        assert np.array_equal(parts, np.stack(pictures.cells(plane, side)))
        out = np.full_like(padded, 7)
        samples.join(parts, out[:, : side * width])
        assert np.array_equal(out[:, : side * width], plane)
        assert (out[:, side * width :] == 7).all()
