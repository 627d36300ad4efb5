"""Damaged models and random arguments, each in its own process: the short form of scripts/soak hostile."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path

import networks
import numpy as np
import onnx
import pytest
from soak import hostile, mutate


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks and limits memory")
def test_damaged_models_and_random_arguments() -> None:
    assert hostile.main(models=150, arguments=60)


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.parametrize(
    ("harm", "outcome"),
    [
        (lambda: "fine", "fine"),
        (lambda: "Upscale: no", "refused"),
        (lambda: 1 // 0, "another error"),
        (lambda: os.kill(os.getpid(), 11), "SIGSEGV"),
        (lambda: ctypes.string_at(0), "SIGSEGV"),
        (lambda: os.write(1, b"x") and "fine", "printed to stdout"),
        (lambda: bytes(8 << 30) and "fine", "another error"),
    ],
    ids=["fine", "refused", "raises", "dies", "reads at 0", "prints", "takes 8 GiB"],
)
def test_the_battery_sees_harm(harm, outcome: str) -> None:
    """A test of the test above."""
    assert hostile.attempt(harm)[0] == outcome


def test_the_battery_sees_hangs() -> None:
    assert hostile.attempt(lambda: time.sleep(30) or "fine", 0.5)[0] == "hang"


def test_at_least_half_of_the_damage_is_structural(tmp_path: Path) -> None:
    data = networks.compact(tmp_path / "m.onnx", 8, 3).read_bytes()
    seen = set()
    for n in range(300):
        what, damaged = mutate.mutated(data, np.random.default_rng(n), structural=n % 3 > 0)
        seen |= set(what.split(" + "))
        assert damaged != data or not what or n % 3
        if n % 3:
            onnx.load_model_from_string(damaged)  # well-formed, whatever it means
    assert {f.__name__ for f in (*mutate.STRUCTURE, *mutate.BYTES)} <= seen | {""}
