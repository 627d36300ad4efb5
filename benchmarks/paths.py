"""Paths of the checkout, of the material beside it, and of the folder where results are kept."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The checkout."""

SHARED = ROOT.parent / "shared"
"""Material beside the checkout: clips, stills, other people's networks. May be missing."""

CLIPS = SHARED / "data" / "eval" / "clips"
"""The evaluation clips that every figure so far was taken on."""

FILMED = SHARED / "data" / "eval" / "filmed"
"""More of them, all filmed; lossy files, to be halved before use."""

HELD_OUT = tuple(SHARED / "data" / "train" / file for file in ("video-more/facade_hlg10.mp4", "video/coffee.mp4"))
"""Videos beside the training material that every recipe holds out of training; lossy files, to be halved before use."""

STILLS = SHARED / "data" / "eval" / "stills"
"""Evaluation stills, lossless."""

ANCHORS = SHARED / "anchors"
"""Other people's networks to compare with."""

RECIPES = ROOT / "training" / "recipes"
"""One TOML file for each model that is trained here."""

CACHE = ROOT / ".cache" / "evaluate"
"""Where the evaluation keeps what it computed, keyed by content."""
