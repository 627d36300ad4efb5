"""What neighbours tell is found where they tell something, and not where they tell nothing."""

from __future__ import annotations

from pathlib import Path

import networks
import numpy as np
import pytest
import rings
import vapoursynth as vs

from benchmarks.quality import media, neighbours, prepare
from benchmarks.quality.neighbours import AFTER, WAYS, Regression
from benchmarks.quality.store import Store


@pytest.mark.parametrize(("told", "least", "most"), [(1.0, 2.8, 3.2), (0.0, -0.1, 0.01)])
def test_gain_is_what_can_be_foretold_of_other_videos(told: float, least: float, most: float) -> None:
    chance = np.random.default_rng(1)
    regression = Regression()
    for half in (0, 1, 0, 1):
        seen = chance.normal(size=(2000, 9))
        regression.add(half, seen, told * seen[:, :4] + chance.normal(size=(2000, 4)))
    assert least < regression.gain() < most


def test_every_way_is_measured_on_pictures(store: Store, tmp_path: Path) -> None:
    media.encode(rings.moving(length=7), tmp_path / "seven.mkv")
    case = prepare.prepare(store, [prepare.Footage(tmp_path / "seven.mkv")], prepare.PREPARATIONS["A"], 2)[1]
    file = networks.point(tmp_path / "one.onnx", channels=1)
    gains = neighbours.measure([case, case], file)
    assert list(gains) == [*WAYS, *AFTER]
    assert all(np.isfinite(each).all() for each in gains.values())


def test_outputs_whose_neighbours_hold_what_is_missing(store: Store, tmp_path: Path) -> None:
    """Each output is the reference with noise of its own: the mean of three has a third of its energy, 4.8 dB less."""
    media.encode(rings.moving(length=1) * 9, tmp_path / "still.mkv")
    case = prepare.prepare(store, [prepare.Footage(tmp_path / "still.mkv")], prepare.PREPARATIONS["A"], 2)[0]
    reference = case.load_reference()

    def noisy(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        frame = f.copy()
        plane = np.asarray(frame[0])
        plane[:] = np.clip(plane + np.random.default_rng(n).normal(0, 3, plane.shape), 0, 255)
        return frame

    large = reference.std.ModifyFrame(reference, noisy)
    gains: neighbours.Gains = {way: (Regression(), Regression()) for way in AFTER}
    for half in (0, 1):
        neighbours.count(gains, half, neighbours.after(case, large))
    two, four = (gains[way][0].gain() for way in AFTER)
    assert 3.5 < two < 5.2 and 5 < four < 7.3


def test_what_does_not_match_is_not_trusted() -> None:
    near, far = np.full((1, 9), 0.1), np.full((1, 9), 100.0)
    assert all(np.allclose(heard, near, rtol=0.01) for heard in neighbours.trusted(near))
    assert all((abs(heard) < 1e-9).all() for heard in neighbours.trusted(far))


def test_the_motion_that_is_left_is_found() -> None:
    y, x = np.mgrid[:64, :64].astype(np.float32)
    wave = [(128 + 60 * np.sin((x - s) / 5) + 60 * np.cos((y - s / 2) / 7)).astype(np.float32) for s in (0.0, 0.4)]
    right, down = neighbours._motion(*wave)
    assert np.median(right) == pytest.approx(0.4, abs=0.05) and np.median(down) == pytest.approx(0.2, abs=0.05)
