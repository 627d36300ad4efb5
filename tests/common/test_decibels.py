"""The peak signal-to-noise ratio equals its formula; equal pictures get the maximum."""

from __future__ import annotations

import doctest

import pytest

from vs_gansr.common import decibels


def test_the_formula_and_its_end() -> None:
    assert decibels.psnr(255**2 / 1000, peak=255) == pytest.approx(30)
    assert decibels.psnr(0.0) == decibels.psnr(1e-30) == 100
    assert decibels.psnr(0.0, most=200) == 200
    assert decibels.psnr(4.0) < 0


def test_the_example_in_the_docstring() -> None:
    assert doctest.testmod(decibels).failed == 0
    assert doctest.testmod(decibels).attempted == 1
