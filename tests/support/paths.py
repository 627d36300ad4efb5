"""Paths for tests that start programs or read files of the checkout."""

from __future__ import annotations

from pathlib import Path

__all__ = ["NATIVE", "ROOT", "SHARED", "SUPPORT"]

SUPPORT = Path(__file__).resolve().parent  # helpers that tests import, on Python's path
ROOT = SUPPORT.parents[1]  # the checkout
NATIVE = SUPPORT / "native"  # C sources that tests compile
SHARED = ROOT.parent / "shared"  # material, where the checkout has it beside it
