"""scripts/evaluate: texture measures detect known faults of synthetic textures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from benchmarks.quality import media, metrics, prepare, texture
from benchmarks.quality.texture import Plane

SIZE = (192, 256)
MEAN = 120.0


def grain(seed: int, sigma: float = 0.6, spread: float = 12.0) -> Plane:
    """Directionless texture: noise, softened a little as a lens does, RMS `spread` code values."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=SIZE), sigma)
    return np.asarray(noise * spread / noise.std(), np.float32)


def worms(seed: int, spread: float = 12.0) -> Plane:
    """The same noise with neighbouring dots linked along directions that turn from place to place."""
    noise = np.random.default_rng(seed).normal(size=SIZE)
    angles = np.pi * ndimage.gaussian_filter(np.random.default_rng(seed + 1).normal(size=SIZE), 12) * 40
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    steps = (ndimage.map_coordinates(noise, [y + s * np.sin(angles), x + s * np.cos(angles)], order=1, mode="wrap")
             for s in np.linspace(-2, 2, 9))  # fmt: skip
    linked = np.sum(list(steps), axis=0)
    return np.asarray(linked * spread / linked.std(), np.float32)


def compared(reference: Plane, output: Plane) -> dict[str, float]:
    values = texture.compare(MEAN + reference[None], MEAN + output[None])
    return {name: value for name, value in values.items() if value is not None}


def test_a_perfect_picture_is_perfect() -> None:
    values = compared(grain(1), grain(1))
    assert {"swd_finest", "swd_second", "energy_texture", "coherence"} <= set(values)
    assert all(value == (0 if name.startswith("swd") else 1) for name, value in values.items())


def test_the_same_texture_elsewhere_is_nearly_perfect() -> None:
    """No pixel agrees, and no measure minds."""
    values = compared(grain(1), grain(2))
    assert metrics.psnr(grain(1)[None], grain(2)[None]) < 24
    assert values["swd_finest"] < 3 and values["swd_second"] < 6
    assert values["energy_texture"] == pytest.approx(1, abs=0.02)
    assert values["coherence"] == pytest.approx(1, abs=0.02)


def test_worms_raise_coherence_and_nothing_else_tells_them() -> None:
    values = compared(grain(1), worms(3))
    assert values["coherence"] > 1.25
    alike = worms(3) * np.float32(1 / values["energy_texture"])
    again = compared(grain(1), alike)
    assert again["energy_texture"] == pytest.approx(1, abs=0.01)
    assert again["coherence"] > 1.25  # scale has no say


def test_white_noise_lowers_coherence_and_raises_energy() -> None:
    soft = grain(1, sigma=1.0)
    noise = np.random.default_rng(5).normal(0, 8, SIZE).astype(np.float32)
    values = compared(soft, soft + noise)
    assert values["coherence"] < 0.97
    assert values["energy_texture"] > 1.2
    assert values["swd_finest"] > 10


@pytest.mark.parametrize(("sigma", "most"), [(0.7, 0.8), (1.2, 0.45)])
def test_blur_lowers_energy_and_its_distance_grows(sigma: float, most: float) -> None:
    blurred = np.asarray(ndimage.gaussian_filter(grain(1), sigma), np.float32)
    values = compared(grain(1), blurred)
    assert values["energy_texture"] < most
    assert values["swd_finest"] > 70 * (1 - most)


def test_regions_are_told_apart() -> None:
    """A third flat, a third with lines, a third with grain; each fault shows in its own figure."""
    reference = np.zeros(SIZE, np.float32)
    reference[:, 96:160] = 60 * (np.arange(64) // 16 % 2)
    reference[:, 160:] = grain(1)[:, 160:]
    noise = np.random.default_rng(5).normal(0, 2, SIZE).astype(np.float32)
    noise[:, 90:] = 0
    reference += 0.3 * grain(4, spread=1)  # no camera's wall is without any
    found = texture.regions(MEAN + reference)
    assert found.flat[:, :84].mean() > 0.95 and not found.texture[:, :84].any() and not found.edge[:, :84].any()
    assert found.texture[:, 176:].mean() > 0.9 and found.directionless[:, 184:].mean() > 0.9
    assert found.edge[:, 110:114].mean() > 0.9 and not found.directionless[:, 112:144].any()
    good, noisy = compared(reference, reference), compared(reference, reference + noise)
    assert good["energy_flat"] == good["energy_edge"] == 1
    assert noisy["energy_flat"] > 3
    assert noisy["energy_texture"] == noisy["energy_edge"] == noisy["coherence"] == 1
    sharp = reference.copy()
    sharp[:, 90:164] *= 1.3
    assert compared(reference, sharp)["energy_edge"] > 1.2


def test_distance_is_the_formula() -> None:
    """For Gaussian noise mean |x| is 0.798 of its spread: half of it missing is 40 %, all of it 80 %."""
    noise = np.random.default_rng(0).normal(0, 9, (300, 300)).astype(np.float32)
    assert texture.distance([noise], [noise / 2]) == pytest.approx(39.9, abs=0.5)
    assert texture.distance([noise], [0 * noise]) == pytest.approx(79.8, abs=1)
    assert texture.distance([noise, noise], [noise, noise / 2]) == pytest.approx(20, abs=0.5)
    with pytest.raises(ValueError, match="the reference is flat"):
        texture.distance([0 * noise], [noise])
    with pytest.raises(ValueError, match="5x300 is smaller"):
        texture.distance([noise[:, :5]], [noise[:, :5]])


def test_the_bands_and_what_they_leave_are_the_picture() -> None:
    """A ramp has no detail, a chequer has all of it in the finest band, and no border adds any."""
    y, x = np.mgrid[:64, :81].astype(np.float32)
    finest, second = texture.laplacian(2 * x + y)
    assert finest.shape == (64, 81) and second.shape == (32, 41)
    assert np.abs(finest[4:-4, 4:-4]).max() < 1e-3
    chequer = (20 * ((x + y) % 2) - 10).astype(np.float32)
    finest, second = texture.laplacian(chequer)
    assert np.abs(finest - chequer).max() < 1e-3 and np.abs(second).max() < 1e-3


def test_what_has_no_texture_has_no_figure(tmp_path: Path) -> None:
    flat = np.full((2, 64, 64), 90, np.float32)
    assert set(texture.compare(flat, flat).values()) == {None}


def test_files_are_read_and_must_match(case: prepare.Case, tmp_path: Path) -> None:
    values = texture.measure(case.reference, case.reference, case.frames)
    assert values["swd_finest"] == 0 and values["energy_texture"] == 1
    media.encode(case.load_reference().std.CropAbs(96, 64), tmp_path / "small.mkv")
    with pytest.raises(ValueError, match="its reference"):
        texture.measure(case.reference, tmp_path / "small.mkv", case.frames)
