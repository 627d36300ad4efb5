"""Make references and low-resolution inputs from source material.

The reference is the source scaled with Catmull-Rom to at most 1280 wide (to half, where it shows its codec) and cropped
to multiples of 8; the input is the reference shrunk, encoded and decoded. Both are kept as Matroska files in the store.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import vapoursynth as vs

from benchmarks.quality import media, worn
from benchmarks.quality.store import Store, content, source

core = vs.core

FIRST_FRAME = 30
FRAMES = 24
MAX_WIDTH = 1280
BLOCK = 8
GRAIN = (2.5, 1.5, 1.5)
"""Standard deviation in 8-bit code values per plane, preparation C."""

KINDS = {
    "credits": "lettering",
    **dict.fromkeys(("bbb_meadow", "pan_bluefin"), "drawn"),
    **dict.fromkeys(("blocks", "juggle", "ski"), "filmed"),
    **dict.fromkeys(("ducks", "red_tree_street", "selfie", "facade_hlg10", "coffee"), "filmed"),
}
"""What the evaluation clips show; anything else is "other"."""

Shrink = Callable[[vs.VideoNode, int], vs.VideoNode]


@dataclass(frozen=True)
class Preparation:
    """One way a low-resolution file comes to be."""

    name: str
    """A letter or a word."""
    summary: str
    """What it does, for headings."""
    shrink: Shrink
    """(reference, factor) to the small clip."""
    conditions: tuple[tuple[str, tuple[str, ...]], ...]
    """Name and ffmpeg's codec options of every way it is encoded."""


@dataclass(frozen=True)
class Footage:
    """A file that references are made of."""

    path: Path
    halved: bool = False
    """Whether the reference is at most half its size: a camera's lossy file has no true detail at its own."""


@dataclass(frozen=True)
class Case:
    """One clip under one condition: what is upscaled, and what the result is compared with."""

    clip: str
    """The source file's name without its ending."""
    preparation: str
    """Name of the preparation."""
    condition: str
    """How the input was encoded."""
    factor: int
    """How much smaller the input is: 2 or 4."""
    frames: int
    """How many of the files' first frames count."""
    reference: Path
    """Matroska file."""
    source: Path
    """Matroska file, 1/factor of the reference's size."""

    def load_reference(self) -> vs.VideoNode:
        """What a result is compared with."""
        return media.load(self.reference)[: self.frames]

    def load_source(self) -> vs.VideoNode:
        """What is upscaled."""
        return media.load(self.source)[: self.frames]

    @property
    def key(self) -> tuple[object, ...]:
        """All that a result for this case depends on, apart from the method."""
        return (content(self.source), content(self.reference), self.factor, self.frames)


def excerpt(clip: vs.VideoNode) -> vs.VideoNode:
    """Up to 24 frames from frame 30, from the start of a clip too short for that."""
    start = FIRST_FRAME if clip.num_frames > FIRST_FRAME else 0
    return clip[start : start + FRAMES]


def reference(clip: vs.VideoNode, halved: bool = False) -> vs.VideoNode:
    """Up to 24 frames from frame 30 (from the start of a clip too short for that), at most 1280 and half as wide.

    YUV420P8, BT.709 limited, both sides multiples of 8. Raises ValueError for a clip smaller than 16 pixels.
    """
    width = min(MAX_WIDTH, clip.width // (2 if halved else 1)) // 2 * 2
    height = max(round(clip.height * width / clip.width / 2) * 2, 2)
    clip = excerpt(clip).resize.Bicubic(
        width, height, format=vs.YUV420P8, matrix=1, range=0, chromaloc=0, **media.CATMULL_ROM
    )
    cropped = (width // BLOCK * BLOCK, height // BLOCK * BLOCK)
    if min(cropped) < 2 * BLOCK:
        raise ValueError(f"reference: {clip.width}x{clip.height} is too small, needs {2 * BLOCK} pixels each way")
    return media.tagged(clip.std.CropAbs(*cropped))


def shrink_catmull_rom(clip: vs.VideoNode, factor: int) -> vs.VideoNode:
    """Catmull-Rom, as zimg widens it for shrinking."""
    return clip.resize.Bicubic(clip.width // factor, clip.height // factor, **media.CATMULL_ROM)


def shrink_and_wear(wear: Callable[[vs.VideoNode], vs.VideoNode], clip: vs.VideoNode, factor: int) -> vs.VideoNode:
    """Catmull-Rom, then one of `worn`."""
    return wear(shrink_catmull_rom(clip, factor))


def shrink_area(clip: vs.VideoNode, factor: int) -> vs.VideoNode:
    """The mean of factor x factor pixels, taken at full chroma size so that chroma stays where it belongs."""
    clip = clip.resize.Bicubic(format=vs.YUV444PS, **media.CATMULL_ROM)
    for _ in range(factor.bit_length() - 1):
        clip = clip.std.Convolution([0, 0, 0, 0, 1, 1, 0, 1, 1])
        # pixel (2x, 2y) now holds the mean of its 2x2 block; the half-pixel shift makes Point take that one
        clip = clip.resize.Point(clip.width // 2, clip.height // 2, src_left=-0.5, src_top=-0.5)
    return clip.resize.Bicubic(format=vs.YUV420P8, chromaloc=0, **media.CATMULL_ROM)


def shrink_mitchell_grainy(clip: vs.VideoNode, factor: int) -> vs.VideoNode:
    """Mitchell-Netravali, then grain: Gaussian noise seeded by the frame number, blurred to grains' size."""
    third = 1 / 3
    clip = clip.resize.Bicubic(clip.width // factor, clip.height // factor, filter_param_a=third, filter_param_b=third)

    def add_grain(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        random = np.random.default_rng(n)
        frame = f.copy()
        for plane, sigma in enumerate(GRAIN):
            pixels = np.asarray(frame[plane])
            grain = random.normal(0.0, sigma / 0.375, pixels.shape)  # what blurring twice by 1 2 1 leaves of it
            for axis in (0, 1):
                grain = (np.roll(grain, 1, axis) + 2 * grain + np.roll(grain, -1, axis)) / 4
            pixels[:] = np.clip(np.rint(pixels + grain), 16, 235 if plane == 0 else 240)
        return frame

    return clip.std.ModifyFrame(clip, add_grain)


def _x264(crf: int) -> tuple[str, ...]:
    # the number of threads is part of what x264 writes
    return ("-c:v", "libx264", "-preset", "medium", "-crf", str(crf), "-threads", "2")


_X265 = (
    "-c:v",
    "libx265",
    "-preset",
    "medium",
    "-crf",
    "28",
    "-x265-params",
    "pools=2:frame-threads=1:log-level=error",
)
_MPEG2 = ("-c:v", "mpeg2video", "-q:v", "6", "-g", "15", "-bf", "2", "-threads", "1")
_MPEG4 = ("-c:v", "mpeg4", "-q:v", "4", "-g", "250", "-bf", "2", "-threads", "1")

PREPARATIONS = {
    preparation.name: preparation
    for preparation in (
        Preparation("A", "Catmull-Rom, x264 medium CRF 18 and 26", shrink_catmull_rom,
                    (("crf18", _x264(18)), ("crf26", _x264(26)))),
        Preparation("B", "area averaging, x265 medium CRF 28", shrink_area, (("crf28", _X265),)),
        # Neither this filter nor grain nor this codec is among what training draws from.
        Preparation("C", "Mitchell-Netravali, grain of standard deviation 2.5, MPEG-4 ASP at quantiser 4",
                    shrink_mitchell_grainy, (("mpeg4", _MPEG4),)),
        # Real footage: softer than its grid, sharpened, deinterlaced badly; the reference stays crisp.
        Preparation("soft", "Catmull-Rom, reduced to 0.75 of that and enlarged again, x264 medium CRF 20",
                    partial(shrink_and_wear, worn.soft), (("crf20", _x264(20)),)),
        Preparation("halo", "Catmull-Rom, squeezed to 0.8 of the width, sharpened by [-0.3, 1.6, -0.3] along both "
                    "axes, widened again, x264 medium CRF 23", partial(shrink_and_wear, worn.halo),
                    (("crf23", _x264(23)),)),
        Preparation("dvd", "Catmull-Rom, squeezed to 0.85 of the width, sharpened by [-0.15, 1.3, -0.15] along both "
                    "axes, widened again, MPEG-2 at quantiser 6", partial(shrink_and_wear, worn.dvd),
                    (("mpeg2", _MPEG2),)),
        Preparation("bob", "Catmull-Rom, every other line made of its neighbours, x264 medium CRF 20",
                    partial(shrink_and_wear, worn.bob), (("crf20", _x264(20)),)),
        # For sheets: what people look at.
        Preparation("S", "Catmull-Rom, x264 medium CRF 22", shrink_catmull_rom, (("crf22", _x264(22)),)),
    )
}  # fmt: skip


def preparations(names: str) -> list[Preparation]:
    """Those of a list such as "A,B". Raises ValueError for one that there is not."""
    listed = names.split(",")
    if unknown := [name for name in listed if name not in PREPARATIONS]:
        raise ValueError(f"--preparations {','.join(unknown)} is unknown; use some of {','.join(PREPARATIONS)}")
    return [PREPARATIONS[name] for name in listed]


def material(place: Path, halved: bool = False) -> list[Footage]:
    """The videos and pictures of a folder by name, or a single file. Raises FileNotFoundError when there are none."""
    known = media.PICTURES | {".mp4", ".mkv", ".mov", ".webm", ".avi", ".m2ts", ".ts", ".y4m", ".264"}
    found = [place] if place.is_file() else sorted(path for path in place.glob("*") if path.suffix.lower() in known)
    if not found:
        raise FileNotFoundError(f"material: no video or picture in {place}; name a folder that has some, or a file")
    return [Footage(path, halved) for path in found]


def prepare(
    store: Store, footage: Sequence[Footage], preparation: Preparation, factor: int, frames: int | None = None
) -> list[Case]:
    """Reference and inputs of all footage under every condition, made where the store lacks them.

    `frames` limits the cases to the first so many; the files are the same either way.
    """
    code = source(sys.modules[__name__], media, worn)
    cases = []
    for piece in footage:
        file = piece.path
        target = store.path("references", ".mkv", content(file), piece.halved, code)
        if not target.exists():
            with store.writing(target) as scratch:
                media.encode(reference(media.read(file), piece.halved), scratch)
        whole = media.load(target)
        for condition, codec in preparation.conditions:
            small = store.path("sources", ".mkv", content(target), code, preparation.name, factor, codec)
            if not small.exists():
                with store.writing(small) as scratch:
                    media.encode(preparation.shrink(whole, factor), scratch, codec)
            decoded = media.load(small)
            if decoded.num_frames != whole.num_frames:
                raise RuntimeError(
                    f"prepare: {file.name} {condition} decodes to {decoded.num_frames} frames of {whole.num_frames}"
                )
            length = min(frames or whole.num_frames, whole.num_frames)
            cases.append(Case(file.stem, preparation.name, condition, factor, length, target, small))
    return cases
