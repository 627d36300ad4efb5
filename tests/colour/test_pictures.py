"""The peak signal-to-noise ratio equals its formula; equal pictures get the maximum."""

from __future__ import annotations

import doctest

import pytest

from vs_gansr.colour import pictures


def test_the_formula_and_its_end() -> None:
    assert pictures.psnr(255**2 / 1000, peak=255) == pytest.approx(30)
    assert pictures.psnr(0.0) == pictures.psnr(1e-30) == 100
    assert pictures.psnr(0.0, most=200) == 200
    assert pictures.psnr(4.0) < 0


def test_the_example_in_the_docstring() -> None:
    assert doctest.testmod(pictures).failed == 0
    assert doctest.testmod(pictures).attempted == 1
