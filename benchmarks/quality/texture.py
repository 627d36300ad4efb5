"""Measure whether texture is like the reference's, without alignment.

All of it works on luma in 8-bit code values, (frames, height, width) float32, and is relative to the reference: a
picture that is its reference has SWD 0, energies 1 and coherence 1. docs/measures.md says what each figure tells and
how it was checked against rankings by eye.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from benchmarks.quality import media
from benchmarks.quality.metrics import Values, luma

NAMES = {
    "swd_finest": "SWD finest, %",
    "swd_second": "SWD second, %",
    "energy_texture": "energy, texture",
    "energy_edge": "energy, edges",
    "energy_flat": "energy, flats",
    "coherence": "coherence",
}

FRAMES = 4
"""Frames of a clip that are looked at, evenly spread; texture does not change from one to the next."""

PATCH = 7
"""Side of the patches of the sliced Wasserstein distance in pixels of their band."""
PATCHES = 16384
"""Patches drawn of each band and frame."""
DIRECTIONS = 128
"""Random directions that patches are projected on."""

FINE_SIGMA = 1.5
"""What is fine: luma minus its Gaussian of so many pixels."""
EDGE_SIGMA, EDGE_COHERENCE, EDGE_SLOPE = 2.0, 0.5, 8.0
"""An edge: the gradients in a Gaussian window of 2 pixels have one direction and an RMS of 8 code values a pixel."""
SPREAD_SIGMA, TEXTURE_SPREAD, FLAT_SPREAD = 4.0, 2.0, 1.2
"""Beside edges: texture where the fine part's RMS in a window of 4 pixels is above 2 code values, flat below 1.2."""
WIDE_SIGMA, WIDE_COHERENCE = 8.0, 0.4
"""Texture without a direction: its gradients in a window of 8 pixels are less coherent than this."""
NARROW_SIGMA = 1.0
"""The window in which dots that were linked into worms look like lines."""
LEAST = 0.005
"""The share of all pixels that a region must have for a figure about it."""

Plane = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16


@dataclass(frozen=True)
class Regions:
    """Where a reference has what; masks of its (height, width)."""

    texture: Mask
    edge: Mask
    flat: Mask
    directionless: Mask
    """The part of a wider idea of texture that has no direction: where worms are counted."""


def laplacian(plane: Plane) -> tuple[Plane, Plane]:
    """The two finest bands of a Laplacian pyramid (Burt and Adelson 1983): (height, width) and half of it, rounded up.

    Each is the plane minus its reduction by two (binomial filter 1 4 6 4 1) enlarged again.
    """
    half = _blurred(plane)[::2, ::2]
    quarter = _blurred(half)[::2, ::2]
    return plane - _enlarged(half, plane.shape), half - _enlarged(quarter, half.shape)


def distance(reference: Sequence[Plane], output: Sequence[Plane]) -> float:
    """Sliced Wasserstein distance of 7 x 7 patches of two lists of bands, in percent of the reference's spread.

    Patches at PATCHES places, the same in both, are projected on DIRECTIONS unit vectors d, drawn once for all:

        100 * sum_d mean |sort(output . d) - sort(reference . d)| / sum_d std(reference . d)

    After Karras et al., Progressive Growing of GANs, ICLR 2018, who divide each set by its own spread; here both are
    divided by the reference's, since less of a texture is a fault, too. 0 is the same distribution; nothing at all
    (a flat output) is about 80. Raises ValueError when the reference is flat or a band is smaller than a patch.
    """
    random = np.random.default_rng(0)
    directions = random.normal(size=(PATCH * PATCH, DIRECTIONS)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=0)
    apart = spread = 0.0
    for wanted, made in zip(reference, output, strict=True):
        if min(wanted.shape) < PATCH:
            raise ValueError(f"distance: a band of {wanted.shape[1]}x{wanted.shape[0]} is smaller than {PATCH} pixels")
        rows, columns = (random.integers(0, size - PATCH + 1, PATCHES) for size in wanted.shape)
        a, b = (np.sort(_patches(band, rows, columns) @ directions, axis=0) for band in (wanted, made))
        apart += float(np.abs(a - b).mean(axis=0).sum())
        spread += float(a.std(axis=0).sum())
    if not spread:
        raise ValueError("distance: the reference is flat, so it has no texture to compare; choose another clip")
    return 100 * apart / spread


def regions(reference: Plane) -> Regions:
    """Edges, texture and flats of a reference by the constants of this module; what is in between belongs to none."""
    detail = fine(reference)
    slope, directed = coherence(reference, EDGE_SIGMA)
    edge = (directed > EDGE_COHERENCE) & (slope > EDGE_SLOPE)
    spread = np.sqrt(_gaussian(detail**2, SPREAD_SIGMA))
    wide = np.sqrt(_gaussian(detail**2, WIDE_SIGMA))
    return Regions(
        texture=~edge & (spread > TEXTURE_SPREAD),
        edge=edge,
        flat=~edge & (spread < FLAT_SPREAD),
        directionless=(wide > TEXTURE_SPREAD) & (coherence(detail, WIDE_SIGMA)[1] < WIDE_COHERENCE),
    )


def fine(plane: Plane) -> Plane:
    """A plane minus its Gaussian of FINE_SIGMA pixels."""
    return plane - _gaussian(plane, FINE_SIGMA)


def coherence(plane: Plane, sigma: float) -> tuple[Plane, Plane]:
    """RMS of the gradient in code values a pixel, and its coherence, in a Gaussian window of `sigma` pixels.

    Coherence is (l1 - l2) / (l1 + l2) of the structure tensor's eigenvalues (Bigun and Granlund, ICCV 1987), from 0
    (all directions alike) to 1 (one direction).
    """
    across, down = (ndimage.correlate1d(plane, [-0.5, 0, 0.5], axis) for axis in (1, 0))
    xx, yy, xy = (_gaussian(product, sigma) for product in (across * across, down * down, across * down))
    power = xx + yy
    return np.sqrt(power), np.sqrt((xx - yy) ** 2 + 4 * xy**2) / (power + np.float32(1e-3))


def compare(reference: Plane, output: Plane) -> Values:
    """Every measure of NAMES for (frames, height, width) each; None where the reference has too little of a region.

    Energy is the RMS of the finest band in a region, output over reference, all frames together; coherence the mean of
    the fine part's in a window of NARROW_SIGMA where the reference has texture without a direction, likewise.
    """
    wanted, made = ([laplacian(plane) for plane in planes] for planes in (reference, output))
    values: Values = {}
    for level, name in enumerate(("swd_finest", "swd_second")):
        bands = [[both[level] for both in side] for side in (wanted, made)]
        flat = not any(np.ptp(band) for band in bands[0])
        values[name] = None if flat else distance(bands[0], bands[1])
    found = [regions(plane) for plane in reference]
    powers = [np.stack([finest**2 for finest, _ in side]) for side in (wanted, made)]
    for name in ("texture", "edge", "flat"):
        ratio = _ratio(np.stack([getattr(each, name) for each in found]), powers[0], powers[1])
        values[f"energy_{name}"] = None if ratio is None else ratio**0.5
    lines = [np.stack([coherence(fine(plane), NARROW_SIGMA)[1] for plane in planes]) for planes in (reference, output)]
    values["coherence"] = _ratio(np.stack([each.directionless for each in found]), lines[0], lines[1])
    return values


def measure(reference: Path, output: Path, frames: int) -> Values:
    """`compare` for FRAMES of the first `frames` frames of two Matroska files of equal size."""
    step = max(1, frames // FRAMES)
    pair = (media.load(path)[:frames][step // 2 :: step][:FRAMES] for path in (reference, output))
    wanted, made = (luma(clip) for clip in pair)
    if wanted.shape != made.shape:
        raise ValueError(f"measure: {output} has {made.shape} (frames, height, width), its reference {wanted.shape}")
    return compare(wanted, made)


def _ratio(masks: Mask, wanted: Plane, made: Plane) -> float | None:
    """The sum of `made` over masked pixels in parts of that of `wanted`; None where there are too few."""
    below = float(wanted[masks].sum())
    return float(made[masks].sum()) / below if masks.mean() >= LEAST and below else None


def _gaussian(plane: Plane, sigma: float) -> Plane:
    return np.asarray(ndimage.gaussian_filter(plane, sigma), np.float32)


def _blurred(plane: Plane) -> Plane:
    # mirrored, so that even columns stay even beyond the border, which the enlargement needs
    for axis in (0, 1):
        plane = ndimage.correlate1d(plane, _BINOMIAL, axis, mode="mirror")
    return plane


def _enlarged(plane: Plane, shape: tuple[int, ...]) -> Plane:
    spread = np.zeros(shape, np.float32)
    spread[::2, ::2] = plane
    return 4 * _blurred(spread)


def _patches(band: Plane, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> Plane:
    """(places, PATCH * PATCH): the patches whose top left corners are given."""
    return np.lib.stride_tricks.sliding_window_view(band, (PATCH, PATCH))[rows, columns].reshape(len(rows), -1)
