"""Sharpening for scripts/faithful reaches the wanted detail, and leaves pictures alone that have it."""

from __future__ import annotations

from pathlib import Path

import networks
import numpy as np
import pytest

from benchmarks.quality import faithful
from training.records.metrics import detail
from vs_gansr.errors import ModelError
from vs_gansr.model import library


@pytest.fixture(scope="module")
def luma() -> faithful.Pictures:
    noise = np.random.default_rng(2).normal(0.5, 0.1, (3, 48, 64)).astype(np.float32)
    return faithful.blurred(noise)


def test_blurring_keeps_the_mean_and_flat_pictures(luma: faithful.Pictures) -> None:
    flat = np.full((1, 20, 30), 0.3, np.float32)
    assert faithful.blurred(flat) == pytest.approx(flat)
    assert faithful.blurred(luma).mean() == pytest.approx(luma.mean(), abs=1e-3)
    assert detail(faithful.blurred(luma)) < 0.7 * detail(luma)


@pytest.mark.parametrize("factor", [1.1, 1.5, 2.5])
def test_the_amount_found_gives_the_detail_wanted(luma: faithful.Pictures, factor: float) -> None:
    wanted = factor * detail(luma)
    strength = faithful.amount(luma, wanted)
    assert strength > 0
    assert detail(luma + strength * (luma - faithful.blurred(luma))) == pytest.approx(wanted, rel=1e-3)


def test_what_is_sharp_enough_stays(luma: faithful.Pictures) -> None:
    assert faithful.amount(luma, 0.9 * detail(luma)) == 0
    assert faithful.sharpened(luma, 0.0) == pytest.approx(np.clip(luma, 0, 1))
    assert detail(faithful.sharpened(luma, 1.0)) > detail(luma)
    assert 0 <= faithful.sharpened(luma, 20.0).min() < faithful.sharpened(luma, 20.0).max() <= 1


def test_what_ships_sees_the_luma_of_crops() -> None:
    enlarge = faithful.network(library.find("fast-2x"))
    low = np.random.default_rng(1).integers(0, 256, (3, 3, 12, 16), dtype=np.uint8)
    low[2] = np.array([200, 100, 50])[:, None, None]
    made = enlarge(low)
    assert made.shape == (3, 24, 32)
    assert made[1] == pytest.approx(enlarge(low[1:2])[0])
    assert made[2] * 255 == pytest.approx(200 * 0.2126 + 100 * 0.7152 + 50 * 0.0722, abs=1)


def test_networks_of_rgb_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="3 channels; name a network of luma"):
        faithful.network(networks.compact(tmp_path / "one.onnx", 8, 3))
