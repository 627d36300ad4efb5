"""A film that is encoded in three chunks, and a check that an encode of it is complete."""

from __future__ import annotations

from pathlib import Path

import footage
from encodes import LOSSLESS, frame_hashes

__all__ = ["FRAMES", "SLOW_FRAMES", "is_whole", "slow_words", "source", "words"]

FRAMES = 60
SLOW_FRAMES = 300


def source(folder: Path, name: str = "in.mp4") -> Path:
    """Makes the film, with sound, in `folder`."""
    return footage.plain(folder / name, frames=FRAMES)


def words(path: Path, output: Path, model: Path) -> list[str]:
    """The words of a command that encodes the film in three chunks, without loss."""
    return ["upscale", str(path), str(output), "--model", str(model), "--chunk", "0.8", *LOSSLESS]


def slow_words(folder: Path, model: Path) -> list[str]:
    """The words for a longer and larger film, made in `folder`: tests can act while a chunk is encoded."""
    source = footage.plain(folder / "in.mp4", frames=SLOW_FRAMES, size="192x128")
    return ["upscale", str(source), str(folder / "out.mkv"), "--model", str(model), "--chunk", "4", *LOSSLESS]


def is_whole(output: Path) -> bool:
    """True if `output` has its sound and every frame, all different; no file of gansr's may lie beside it."""
    found = footage.facts(output)
    left = [path.name for path in output.parent.iterdir() if ".gansr" in path.name]
    assert not left, left
    return found.kinds == ["video", "audio"] and len(set(frame_hashes(output))) == FRAMES
