"""A film of three chunks, and whether an encode of it is whole."""

from __future__ import annotations

from pathlib import Path

import footage
from encodes import LOSSLESS, frame_hashes

__all__ = ["FRAMES", "SLOW_FRAMES", "is_whole", "slow_words", "source", "words"]

FRAMES = 60
SLOW_FRAMES = 300


def source(folder: Path, name: str = "in.mp4") -> Path:
    """The film, in `folder`, with sound."""
    return footage.plain(folder / name, frames=FRAMES)


def words(path: Path, output: Path, model: Path) -> list[str]:
    """The command line that encodes it in three chunks, without loss."""
    return ["upscale", str(path), str(output), "--model", str(model), "--chunk", "0.8", *LOSSLESS]


def slow_words(folder: Path, model: Path) -> list[str]:
    """The command line for a longer and larger one, whose chunks take long enough for something to happen meanwhile."""
    source = footage.plain(folder / "in.mp4", frames=SLOW_FRAMES, size="192x128")
    return ["upscale", str(source), str(folder / "out.mkv"), "--model", str(model), "--chunk", "4", *LOSSLESS]


def is_whole(output: Path) -> bool:
    """Whether all frames are there, each another one, the sound too, and nothing is left beside it."""
    found = footage.facts(output)
    left = [path.name for path in output.parent.iterdir() if ".gansr" in path.name]
    assert not left, left
    return found.kinds == ["video", "audio"] and len(set(frame_hashes(output))) == FRAMES
