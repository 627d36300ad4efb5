"""How much neighbouring frames tell of the reference that a network's picture of the frame alone does not.

    python -m benchmarks.quality.neighbours MODEL --videos FILE FILE ...

The cheap test before a network of several frames is trained. What MODEL lacks, reference minus output, is regressed on
3x3 samples of each neighbour minus the frame, one set of weights for each of the factor x factor places of one; or,
for a network or filter after MODEL, on 3x3 samples of its outputs for the neighbours, moved onto the frame at the large
size. What is learned on one half of the videos is applied to the other. A trained network may find more, but hardly
where this finds nothing: three frames trained for 12,000 steps gained 0.013 dB where this said 0.02.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import vapoursynth as vs
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

import vs_gansr
from benchmarks.paths import CACHE
from benchmarks.quality import metrics
from benchmarks.quality.prepare import PREPARATIONS, Case, Footage, prepare
from benchmarks.quality.store import Store
from benchmarks.quality.temporal_mean import aligned

Plane = NDArray[np.float32]
"""(height, width), 8-bit code values."""
Matrix = NDArray[np.float64]
Planes = dict[int, Plane]
"""Neighbours of one frame by their distance to it, negative before it."""

REACH, COUNT = 2, 8
"""How far a neighbour may be, and how many frames of a case are looked at, from the first that has all of them."""
EDGE = 8
"""Samples left out at each side."""
STEP = 7
"""Of this many samples one is looked at; after the network, where there are more, of this many squared."""
WAYS = ("2 moved", "2 where they are", "2 moved, trusted by their match", "2 moved, with sub-pixel motion", "4 moved")
"""What is shown of how many neighbours."""
AFTER = ("2 outputs, trusted by their match", "4 outputs, trusted by their match")
"""The same of the network's outputs."""
ALL = (*WAYS, *AFTER)
"""Columns of the table."""
MATCHES = (4.0, 25.0, 200.0)
"""Mean squares of difference, in code values, within which a neighbour is trusted."""


def moved(clip: vs.VideoNode, distance: int) -> list[tuple[Plane, Plane]]:
    """Of every frame the ones `distance` before and after, luma, moved onto it by gansr.Align."""
    gray = clip.std.ShufflePlanes(0, vs.GRAY).std.SetFrameProps(_Matrix=1, _Range=1)
    frames = aligned(gray.resize.Point(format=vs.GRAYS), distance).frames(close=True)
    return [(255 * np.asarray(f[0]).copy(), 255 * np.asarray(f[2]).copy()) for f in frames]


def shown(way: str, frame: Plane, here: Planes, there: Planes) -> Matrix:
    """What the regression sees of a frame's neighbours, moved (`there`) or not (`here`): (samples, columns)."""
    distances = (-2, -1, 1, 2) if way.startswith("4") else (-1, 1)
    columns: list[Any] = []
    for distance in distances:
        plane = (here if way == WAYS[1] else there)[distance]
        difference = _window(plane - frame)
        columns.append(difference)
        if way == WAYS[2]:
            columns += trusted(difference)
        if way == WAYS[3]:
            x, y = (_inner(part).reshape(-1, 1)[::STEP] for part in _motion(frame, plane))
            columns += [difference * factor for factor in (x, y, x * x, y * y, x * y)]
    return np.concatenate(columns, 1)


def trusted(difference: Matrix) -> list[Matrix]:
    """The windows `difference`, (samples, 9), each as loud as it matches, once for each of MATCHES."""
    square = (difference**2).mean(1, keepdims=True)
    return [difference * np.exp(-square / match) for match in MATCHES]


def _inner(plane: Plane) -> Plane:
    return plane[EDGE:-EDGE, EDGE:-EDGE]


def _window(plane: Plane) -> Matrix:
    windows = sliding_window_view(plane[EDGE - 1 : 1 - EDGE, EDGE - 1 : 1 - EDGE], (3, 3))
    return windows.reshape(-1, 9)[::STEP].astype(np.float64)


def _motion(frame: Plane, plane: Plane, window: int = 11, least: float = 4.0) -> tuple[Plane, Plane]:
    """What is left of the motion, x and y in samples, at most 1, by least squares on gradients (Lucas and Kanade)."""
    down, right = np.gradient((frame + plane) / 2)
    change = plane - frame
    products = (right * right, down * down, right * down, right * change, down * change)
    xx, yy, xy, xt, yt = (uniform_filter(product, window) for product in products)
    xx, yy = xx + least, yy + least
    whole = xx * yy - xy * xy
    return np.clip((xy * yt - yy * xt) / whole, -1, 1), np.clip((xy * xt - xx * yt) / whole, -1, 1)


def lacking(case: Case, large: vs.VideoNode) -> Iterator[tuple[Matrix, Plane, Planes, Planes]]:
    """Of each frame looked at: reference minus output (`large`), (samples, factor^2), the frame, its neighbours as they
    are and moved. Raises ValueError for a case without a frame that has all its neighbours."""
    source, factor = case.load_source(), case.factor
    if case.frames <= 2 * REACH:
        raise ValueError(f"lacking: {case.clip} has {case.frames} frames; give a video of {2 * REACH + 1} or more")
    small = metrics.luma(source)
    both = {distance: moved(source, distance) for distance in (1, 2)}
    wanted, made = (metrics.luma(clip[REACH:-REACH][:COUNT]) for clip in (case.load_reference(), large))
    for place, error in enumerate(wanted - made):
        n = REACH + place
        height, width = small[n].shape
        folded = error.reshape(height, factor, width, factor).transpose(0, 2, 1, 3).reshape(height, width, -1)
        missing = _inner(folded).reshape(-1, factor * factor)[::STEP].astype(np.float64)
        there = {sign * far: both[far][n][sign > 0] for far in (1, 2) for sign in (-1, 1)}
        yield missing, small[n], {far: small[n + far] for far in there}, there


def after(case: Case, large: vs.VideoNode) -> Iterator[tuple[Matrix, dict[str, Matrix]]]:
    """Of each frame that `lacking` looks at: reference minus output, (samples, 1), and what is seen of the outputs for
    its neighbours, by way."""
    large = large[: COUNT + 2 * REACH]
    wanted, made = (metrics.luma(clip[: large.num_frames]) for clip in (case.load_reference(), large))
    both = {distance: moved(large, distance) for distance in (1, 2)}
    for n in range(REACH, len(made) - REACH):
        seen: dict[int, list[Matrix]] = {}
        for far, frames in both.items():
            windows = [_window(plane - made[n])[::STEP] for plane in frames[n]]
            seen[far] = [column for window in windows for column in (window, *trusted(window))]
        missing = _inner(wanted[n] - made[n]).reshape(-1, 1)[::STEP][::STEP].astype(np.float64)
        yield missing, {AFTER[0]: np.concatenate(seen[1], 1), AFTER[1]: np.concatenate(seen[1] + seen[2], 1)}


class Regression:
    """Least squares on two halves of the videos, each applied to the other."""

    def __init__(self) -> None:
        self._sums: dict[int, list[Any]] = {}

    def add(self, half: int, seen: Matrix, wanted: Matrix) -> None:
        """Counts (samples, columns) and (samples, outputs) to a half, 0 or 1."""
        new = [seen.T @ seen, seen.T @ wanted, float((wanted**2).sum())]
        old = self._sums.get(half)
        self._sums[half] = new if old is None else [a + b for a, b in zip(old, new, strict=True)]

    def gain(self) -> float:
        """dB by which `wanted` shrinks on the half that the weights were not learned on, mean of both."""
        found = []
        for half in (0, 1):
            seen, crossed, _ = self._sums[half]
            weights = np.linalg.solve(seen + 1e-4 * np.trace(seen) / len(seen) * np.eye(len(seen)), crossed)
            seen, crossed, whole = self._sums[1 - half]
            left = whole - 2 * (crossed * weights).sum() + (weights * (seen @ weights)).sum()
            found.append(10 * np.log10(whole / left))
        return float(np.mean(found))


Gains = dict[str, tuple[Regression, Regression]]
"""By way, regressions of the picture and of its change from frame to frame."""


def count(gains: Gains, half: int, frames: Iterable[tuple[Matrix, dict[str, Matrix]]]) -> None:
    """Counts neighbouring frames, of each what is lacking and what is seen by way, to a half."""
    before: tuple[Matrix, dict[str, Matrix]] | None = None
    for missing, seen in frames:
        for way, columns in seen.items():
            picture, change = gains[way]
            picture.add(half, columns, missing)
            if before is not None:
                change.add(half, columns - before[1][way], missing - before[0])
        before = missing, seen


def measure(cases: Sequence[Case], model: Path) -> dict[str, tuple[float, float]]:
    """By way, dB of luma and of luma's change from frame to frame (the temporal delta's own error) that can be had."""
    found: Gains = {way: (Regression(), Regression()) for way in ALL}
    for number, case in enumerate(cases):
        large = vs_gansr.upscale(case.load_source(), model=str(model), precision="fp32")
        count(found, number % 2, (
            (missing, {way: shown(way, frame, here, there) for way in WAYS})
            for missing, frame, here, there in lacking(case, large)
        ))  # fmt: skip
        count(found, number % 2, after(case, large))
    return {way: (picture.gain(), change.gain()) for way, (picture, change) in found.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a table of gains by condition."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.quality.neighbours", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="ONNX file of one frame, luma in and out")
    parser.add_argument("--videos", type=Path, nargs="+", required=True, help="at least two, halved before they count")
    parser.add_argument("--factor", type=int, default=2)
    args = parser.parse_args(argv)
    if len(args.videos) < 2:
        parser.error(f"--videos {args.videos[0]}: weights are learned on one half and tried on the other; name two")
    footage = [Footage(path, halved=True) for path in args.videos]
    print("| condition | " + " | ".join(f"{way}: picture | change" for way in ALL) + " |")
    print("|---|" + "---:|" * 2 * len(ALL))
    for name in ("A", "B"):
        cases = prepare(Store(CACHE), footage, PREPARATIONS[name], args.factor)
        for condition in sorted({case.condition for case in cases}):
            gains = measure([case for case in cases if case.condition == condition], args.model)
            columns = [f"{picture:+.3f} | {change:+.3f}" for picture, change in gains.values()]
            print(f"| {name}, {condition} | " + " | ".join(columns) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
