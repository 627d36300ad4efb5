"""Owns the numbers of colour conversion: code ranges, matrices, chroma filters; knows no graph and no VapourSynth.

Matrices, primaries and code ranges are those of ITU-T H.273 (clauses 8.1 and 8.3), by its numbers.
Chroma is resampled with Keys' cubic (a = -0.5, Catmull-Rom: colour.CATMULL_ROM), widened when it reduces, pixels
beyond the border mirrored, sample positions by chroma location. zimg is the reference for all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from .tags import Family, Format, full_range, way_back

__all__ = ["Resampler", "Side", "downsampler", "ends", "mirrored", "upsampler"]

type Matrix = npt.NDArray[np.float64]

# Kr and Kb of the matrices that are linear in gamma-coded RGB (H.273 table 4).
KR_KB = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
YCGCO = 8
FROM_PRIMARIES = 12
# What the others would need beyond the pixel itself.
NEEDS_TRANSFER = {10: "constant luminance", 13: "constant luminance from primaries", 14: "ICtCp"}

# x, y of red, green, blue and white by H.273's number of the primaries (table 2).
_D65, _C, _DCI = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)
PRIMARIES = {
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65),
    4: ((0.670, 0.330), (0.210, 0.710), (0.140, 0.080), _C),
    5: ((0.640, 0.330), (0.290, 0.600), (0.150, 0.060), _D65),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _C),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _DCI),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), _D65),
}
SAME_AS_MATRIX = {1: 1, 9: 9}  # primaries whose derived coefficients are fixed, rounded, by a matrix of their own


@dataclass(frozen=True)
class Side:
    """The planes on one side of the network: everything that decides what their numbers mean.

    `matrix` and `primaries` are H.273 numbers, `chroma_location` is VapourSynth's (0 left, 1 centre, 2 top left,
    3 top, 4 bottom left, 5 bottom). Float planes know no range: luma and RGB span 0 to 1, chroma -0.5 to 0.5.
    """

    family: int
    is_float: bool
    bits: int
    subsampling_w: int = 0
    subsampling_h: int = 0
    full_range: bool = False
    matrix: int | None = None
    primaries: int | None = None
    chroma_location: int = 0

    @property
    def planes(self) -> int:
        """How many planes there are."""
        return 1 if self.family == Family.GRAY else 3

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """How a plane's values are stored."""
        if self.is_float:
            return np.dtype(np.float16 if self.bits == 16 else np.float32)
        return np.dtype(np.uint8 if self.bits <= 8 else np.uint16)

    def shape(self, plane: int, width: int, height: int) -> tuple[int, int]:
        """(rows, columns) of a plane of a frame of width x height."""
        if plane == 0:
            return height, width
        return height >> self.subsampling_h, width >> self.subsampling_w

    @property
    def peak(self) -> int:
        """The largest code of an integer format."""
        return (1 << self.bits) - 1

    def obstacle(self) -> str | None:
        """Why this side cannot be converted by a matrix and a filter alone, in a few words; None if it can."""
        if self.family == Family.RGB or (self.family == Family.GRAY and self.matrix is None):
            return None
        if self.matrix in NEEDS_TRANSFER:
            return f"matrix {self.matrix} ({NEEDS_TRANSFER[self.matrix]}) is not linear in RGB"
        if self.matrix == FROM_PRIMARIES and self.primaries not in PRIMARIES:
            return f"matrix 12 derives from primaries, and primaries {self.primaries} are none it knows"
        if self.matrix not in (*KR_KB, YCGCO, FROM_PRIMARIES):
            return f"matrix {self.matrix} is unknown"
        if not 0 <= self.chroma_location <= 5:
            return f"chroma location {self.chroma_location} is unknown"
        return None

    def coding(self, chroma: bool) -> tuple[float, float]:
        """(range, offset) of a plane: code = range * value + offset."""
        if self.is_float:
            return 1.0, 0.0
        unit = 1 << (self.bits - 8)
        if self.full_range:
            return float(self.peak), float(1 << (self.bits - 1) if chroma else 0)
        if chroma:
            return float((219 if self.matrix == YCGCO else 224) * unit), float(128 * unit)
        return float(219 * unit), float(16 * unit)

    @cached_property
    def yuv_from_rgb(self) -> Matrix:
        """Rows Y, U, V over columns R, G, B, all values normalised."""
        if self.matrix == YCGCO:
            return np.array([[0.25, 0.5, 0.25], [-0.25, 0.5, -0.25], [0.5, 0.0, -0.5]])
        kr, kb = self.kr_kb()
        luma = np.array([kr, 1 - kr - kb, kb])
        blue, red = np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0])
        return np.stack([luma, (blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))])

    def kr_kb(self) -> tuple[float, float]:
        """The weights of red and blue in luma. ValueError for a matrix that has none."""
        matrix = SAME_AS_MATRIX.get(self.primaries or 0, 0) if self.matrix == FROM_PRIMARIES else self.matrix
        if matrix in KR_KB:
            return KR_KB[matrix]
        if self.matrix == FROM_PRIMARIES and self.primaries in PRIMARIES:
            # The luma of a colour is its Y: solve for the light of each primary that makes white.
            points = [(x / y, 1.0, (1 - x - y) / y) for x, y in PRIMARIES[self.primaries]]
            red, _, blue = np.linalg.solve(np.array(points[:3]).T, np.array(points[3]))
            return float(red), float(blue)
        raise ValueError(f"matrix {self.matrix} with primaries {self.primaries} has no Kr and Kb")

    def to_rgb(self, channels: int) -> tuple[Matrix, Matrix]:
        """(M, b) with picture = M @ codes + b; M is (channels, planes). Gray spreads over all channels."""
        codes = [self.coding(self.family == Family.YUV and i > 0) for i in range(self.planes)]
        unit = np.diag([1 / scale for scale, _ in codes])
        zero = np.array([-offset / scale for scale, offset in codes])
        if self.family == Family.GRAY:
            spread = np.ones((channels, 1))
        else:
            spread = np.linalg.inv(self.yuv_from_rgb) if self.family == Family.YUV else np.eye(3)
        return spread @ unit, spread @ zero

    def from_rgb(self, channels: int) -> tuple[Matrix, Matrix]:
        """(M, b) with codes = M @ picture + b; M is (planes, channels)."""
        codes = [self.coding(self.family == Family.YUV and i > 0) for i in range(self.planes)]
        if channels == 1:
            mix = np.eye(1)
        else:
            mix = np.eye(3) if self.family == Family.RGB else self.yuv_from_rgb[: self.planes]
        return np.diag([scale for scale, _ in codes]) @ mix, np.array([offset for _, offset in codes])

    def lead(self, axis: int) -> float:
        """How far chroma lies from the middle of its luma pixels, in chroma pixels; axis 0 rows, 1 columns."""
        factor = 1 << (self.subsampling_w if axis else self.subsampling_h)
        to_first = 0.5 / factor - 0.5
        if axis:
            return to_first if self.chroma_location in (0, 2, 4) else 0.0
        return {2: to_first, 3: to_first, 4: -to_first, 5: -to_first}.get(self.chroma_location, 0.0)


def ends(source: Format, target: Format, props: Mapping[str, Any], width: int, height: int) -> tuple[Side, Side]:
    """The sides that colour.way_back leads from and to, for a `source` frame with `props`, width x height in pixels.

    What plays no part is left out, so that sides compare equal where conversions are.
    """
    key = way_back(source, target, props, width, height)
    primaries = props.get("_Primaries")
    # Gray's own matrix says nothing of how it spreads; it is dropped on zimg's way, too.
    tagged = props.get("_Matrix") if source.family == Family.YUV else None
    location = props.get("_ChromaLocation")
    return (
        _side(source, full_range(source.family, props), tagged, primaries, location),
        _side(target, key.full_range, key.matrix, primaries, key.chroma_location),
    )


def _side(fmt: Format, full: int, matrix: Any, primaries: Any, location: Any) -> Side:
    subsampled = bool(fmt.subsampling_w or fmt.subsampling_h)
    return Side(
        family=fmt.family,
        is_float=fmt.is_float,
        bits=fmt.bits,
        subsampling_w=fmt.subsampling_w,
        subsampling_h=fmt.subsampling_h,
        full_range=bool(full),
        matrix=None if matrix is None else int(matrix),
        primaries=int(primaries) if matrix == FROM_PRIMARIES and primaries is not None else None,
        chroma_location=int(location) if subsampled and location is not None else 0,
    )


@dataclass(frozen=True)
class Resampler:
    """One axis of a chroma filter. Output `phases * k + p` is the sum over t of
    taps[p, t] * source[stride * k + first + t], the source going on mirrored beyond its ends."""

    taps: Matrix
    first: int
    stride: int

    @property
    def phases(self) -> int:
        return len(self.taps)

    def margins(self, length: int) -> tuple[int, int]:
        """Pixels needed before and after a source of `length` to compute every output."""
        last = self.stride * (length // self.stride - 1) + self.first + self.taps.shape[1] - 1
        return max(0, -self.first), max(0, last - length + 1)

    def aligned(self) -> tuple[int, Matrix]:
        """`first` and the taps of phase 0, with zeros put before them until `first` is a multiple of `stride`."""
        missing = self.first % self.stride
        return self.first - missing, np.concatenate([np.zeros(missing), self.taps[0]])

    def dense(self, length: int) -> Matrix:
        """The filter as a matrix, (outputs, length), for one phase: what is mirrored adds to what it mirrors."""
        before, after = self.margins(length)
        left, right = mirrored(length, before, after)
        source = np.concatenate([left, np.arange(length), right])
        matrix = np.zeros((length // self.stride, length))
        for k, row in enumerate(matrix):
            begin = self.stride * k + self.first + before
            np.add.at(row, source[begin : begin + self.taps.shape[1]], self.taps[0])
        return matrix


def upsampler(factor: int, lead: float) -> Resampler:
    """Chroma to luma size along one axis; `lead` as Side.lead gives it."""
    return _resampler([(p + 0.5) / factor - lead for p in range(factor)], 1.0, 1)


def downsampler(factor: int, lead: float) -> Resampler:
    """Luma to chroma size along one axis."""
    return _resampler([factor * (0.5 + lead)], float(factor), factor)


def _resampler(centres: list[float], width: float, stride: int) -> Resampler:
    reach = int(np.ceil(2 * width))
    size = 2 * reach  # the window that weights are normalised over, around the centre
    starts = [int(np.floor(centre - reach + 0.5)) for centre in centres]
    first, last = min(starts), max(starts) + size
    taps = np.zeros((len(centres), last - first))
    for row, centre, start in zip(taps, centres, starts, strict=True):
        window = keys((np.arange(start, start + size) + 0.5 - centre) / width)
        row[start - first : start - first + size] = window / window.sum()
    used = np.flatnonzero(np.abs(taps).max(axis=0) > 1e-12)
    return Resampler(taps[:, used[0] : used[-1] + 1], first + int(used[0]), stride)


def keys(x: npt.NDArray[np.floating[Any]]) -> Matrix:
    """Keys' cubic convolution kernel, a = -0.5 (IEEE Trans. ASSP 29, 1981, equation 15)."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def mirrored(length: int, before: int, after: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Source indices of the pixels before and after a row of `length`: the border pixel comes twice.

    Where the mirror image ends, too, its last pixel goes on.
    """
    left = np.clip(np.arange(before)[::-1], 0, length - 1)
    right = np.clip(length - 1 - np.arange(after), 0, length - 1)
    return left.astype(np.int64), right.astype(np.int64)
