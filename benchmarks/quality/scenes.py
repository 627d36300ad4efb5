"""Gives what blind sheets are cut from: a case with its reference, or footage at its own size without one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import vapoursynth as vs
from PIL import Image

from benchmarks.quality import media, methods
from benchmarks.quality.methods import Method
from benchmarks.quality.prepare import Case, Footage, excerpt
from benchmarks.sheets import Box, rgb

MARGIN = 64
"""Pixels of the source around a crop that methods see: more than networks look at, but for those whose context is the
whole picture."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A clip whose crops are shown."""

    clip: str
    """The source file's name without its ending."""
    condition: str
    """Preparation and condition of a case, or "native" and the factor."""
    factor: int
    """How much methods enlarge: 2 or 4."""
    source: vs.VideoNode
    """What is upscaled, YUV420P8 with all tags."""
    reference: vs.VideoNode | None
    """What the result should be, `factor` times as large; None where nobody knows."""

    @property
    def frames(self) -> tuple[int, ...]:
        """Numbers of the frames that are shown: the middle one and the one after it, where there is one."""
        middle = self.source.num_frames // 2
        return tuple(n for n in (middle, middle + 1) if n < self.source.num_frames)

    @property
    def large(self) -> vs.VideoNode:
        """Where crops are chosen: the reference, or where there is none the source enlarged with Lanczos."""
        return self.reference or methods.lanczos(self.source, self.factor)

    def crops(self, box: Box, method: Method | None) -> list[Image.Image]:
        """What `method` makes of `box`, in pixels of the large picture, in each of `frames`; of None the reference's.

        The method upscales the part of the source that is within MARGIN of the box.
        """
        if method is None:
            assert self.reference is not None
            return [rgb(self.reference, n).crop(box) for n in self.frames]
        left, width = _around(box[0], box[2], self.factor, self.source.width)
        top, height = _around(box[1], box[3], self.factor, self.source.height)
        part = self.source.std.CropAbs(width, height, left, top)
        large = method.upscale(part, self.factor)
        x, y = left * self.factor, top * self.factor
        return [rgb(large, n).crop((box[0] - x, box[1] - y, box[2] - x, box[3] - y)) for n in self.frames]


def of_cases(cases: Sequence[Case]) -> list[Scene]:
    """The cases with their references."""
    return [
        Scene(case.clip, f"{case.preparation} {case.condition}", case.factor, case.load_source(), case.load_reference())
        for case in cases
    ]


def native(footage: Footage, factor: int) -> Scene:
    """A file's frames at their own size, YUV420P8, BT.709 limited; an odd last column or row is cut off.

    They are the frames that references are made of. Raises ValueError for a clip smaller than 16 pixels.
    """
    clip = excerpt(media.read(footage.path))
    if min(clip.width, clip.height) < 16:
        raise ValueError(f"native: {footage.path} is {clip.width}x{clip.height}; 16 pixels each way are needed")
    even = clip.width // 2 * 2, clip.height // 2 * 2
    if even != (clip.width, clip.height):
        clip = clip.std.CropAbs(*even)
    clip = clip.resize.Bicubic(format=vs.YUV420P8, matrix=1, range=0, chromaloc=0, **media.CATMULL_ROM)
    return Scene(footage.path.stem, f"native {factor}x", factor, media.tagged(clip), None)


def _around(first: int, end: int, factor: int, length: int) -> tuple[int, int]:
    """Where the part begins and how long it is, in pixels of the source, both even; the same length everywhere."""
    size = min(length, -(-(end - first) // (2 * factor)) * 2 + 2 * MARGIN)
    return max(0, min(first // factor - MARGIN, length - size)) // 2 * 2, size
