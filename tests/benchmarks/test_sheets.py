"""Contact sheets show the right crops with square pixels, and find the windows with most texture."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from benchmarks.sheets import GAP, LABEL, PAPER, Tile, crop, richest, sheet, slopes


def test_crops_show_square_pixels_of_the_right_place() -> None:
    large = Image.fromarray(np.random.default_rng(0).integers(0, 256, (144, 234, 3), np.uint8))
    small = large.resize((117, 72), Image.Resampling.NEAREST)
    box = (32, 16, 96, 64)
    expected = np.asarray(large)[16:64, 32:96].repeat(3, 0).repeat(3, 1)
    assert np.array_equal(np.asarray(crop(large, box, 234)), expected)
    halves = np.asarray(small)[8:32, 16:48].repeat(6, 0).repeat(6, 1)
    assert np.array_equal(np.asarray(crop(small, box, 234)), halves)
    assert crop(large, box, 234, zoom=2).size == (128, 96)


def test_tiles_lie_in_rows_below_their_labels() -> None:
    tiles = [Tile("abc"[n] if n < 2 else "", Image.new("RGB", (50, 40), (n, 0, 0))) for n in range(3)]
    page = np.asarray(sheet(tiles, 2))
    assert page.shape == (GAP + LABEL + 40 + GAP + 40 + GAP, 2 * 50 + 3 * GAP, 3)
    for n, (left, top) in enumerate([(GAP, GAP + LABEL), (50 + 2 * GAP, GAP + LABEL), (GAP, LABEL + 40 + 2 * GAP)]):
        assert (page[top : top + 40, left : left + 50] == (n, 0, 0)).all()
    assert page[: GAP + LABEL].min() < 100 and (page[LABEL + GAP + 40 : LABEL + 2 * GAP + 40] == PAPER).all()
    assert sheet(tiles[:1], 4).width == 50 + 2 * GAP
    with pytest.raises(ValueError, match="no tiles"):
        sheet([], 2)


def test_the_richest_window_is_found_and_none_overlaps_another() -> None:
    plane = np.full((320, 480), 90, np.float32)
    plane[104:200, 200:328] += np.random.default_rng(0).normal(0, 20, (96, 128))
    plane[24:72, 40:104] += np.random.default_rng(1).normal(0, 5, (48, 64))
    busy = slopes(plane)
    first = richest(busy, (128, 96))
    assert first == (200, 104, 328, 200)
    second = richest(busy, (128, 96), [first])
    assert second is not None and second[0] <= 40 and second[2] >= 104 and second[1] <= 24 and second[3] >= 72
    found = [first]
    while (window := richest(busy, (128, 96), found)) is not None:
        for left, top, right, bottom in found:
            assert window[2] <= left or window[0] >= right or window[3] <= top or window[1] >= bottom
        found.append(window)
    assert 5 <= len(found) <= 9
    assert richest(busy[:64, :80], (128, 96)) == (0, 0, 80, 64)
