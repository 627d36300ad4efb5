"""Cut crops out of images and videos, to verify and calibrate a network on.

A crop is a float32 array (3, height, width), RGB in [0, 1].
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...colour.pictures import Picture
from ...errors import ArgumentError, one_line

__all__ = ["crops", "files", "photographs", "read"]

IMAGES = frozenset({".png", ".webp", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
MOST_FILES = 64
PER_VIDEO = 8
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")  # free for any use


def crops(paths: Sequence[Path], width: int, height: int, count: int) -> list[Picture]:
    """Return `count` crops of width x height from the files and folders `paths`, spread over all of them.

    The same arguments give the same crops. Pictures smaller than a crop are extended by mirroring. Raises
    ArgumentError for a path that cannot be read as an image or a video.
    """
    pictures = [picture for path in spread(files(paths)) for picture in read(path)]
    rng = np.random.default_rng(0)
    return [cut(pictures[i * len(pictures) // count % len(pictures)], width, height, rng) for i in range(count)]


def photographs() -> tuple[Path, ...]:
    """Return the photographs that scikit-image contains. Raises ArgumentError where it is not installed."""
    package = importlib.util.find_spec("skimage")
    found = [Path(folder) / "data" / name for folder in (package and package.submodule_search_locations) or ()
             for name in PHOTOGRAPHS]  # fmt: skip
    if not found or not all(path.is_file() for path in found):
        raise ArgumentError('real pictures are needed: add --frames, or pip install "vs-gansr[convert]"')
    return tuple(found)


def files(paths: Sequence[Path]) -> list[Path]:
    """Return `paths` with each folder replaced by the images directly in it. Raises ArgumentError where there are
    none.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGES)
            if not inside:
                raise ArgumentError(f'folder "{path}" contains no images ({", ".join(sorted(IMAGES))})')
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise ArgumentError(f'"{path}" does not exist; give images, videos or folders of images')
    if not found:
        raise ArgumentError("no pictures were given; give images, videos or folders of images")
    return found


def spread(found: list[Path]) -> list[Path]:
    """Return at most MOST_FILES of the files, evenly chosen."""
    n = min(len(found), MOST_FILES)
    return [found[i * len(found) // n] for i in range(n)]


def read(path: Path) -> Iterator[Picture]:
    """Yield the picture in an image file, or PER_VIDEO frames of a video."""
    if path.suffix.lower() in IMAGES:
        yield image(path)
    else:
        yield from video(path)


def image(path: Path) -> Picture:
    """Return an image file as RGB."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ArgumentError(f'reading "{path.name}" needs Pillow: pip install "vs-gansr[convert]"') from error
    try:
        with Image.open(path) as opened:
            pixels = np.asarray(opened.convert("RGB"), np.float32) / 255
    except OSError as error:
        raise ArgumentError(f'"{path}" cannot be read as an image: {one_line(error)}') from error
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def video(path: Path) -> Iterator[Picture]:
    """Yield frames of a video as RGB, read with BestSource."""
    import vapoursynth as vs

    core: Any = vs.core.core
    if not hasattr(core, "bs"):
        raise ArgumentError(f'reading "{path.name}" needs BestSource: pip install vapoursynth-bestsource')
    try:
        clip = core.bs.VideoSource(str(path), cachemode=0, showprogress=False)
        unknown = clip.format.color_family == vs.YUV and clip.get_frame(0).props.get("_Matrix", 2) == 2
        clip = clip.resize.Bicubic(format=vs.RGBS, **({"matrix_in": 1} if unknown else {}))
        n = min(PER_VIDEO, clip.num_frames)
        for i in range(n):
            with clip.get_frame((2 * i + 1) * clip.num_frames // (2 * n)) as frame:
                yield np.clip(np.stack([np.asarray(frame[k]) for k in range(3)]), 0, 1)
    except vs.Error as error:
        raise ArgumentError(f'"{path}" cannot be read as a video: {one_line(error)}') from error


def cut(picture: Picture, width: int, height: int, rng: np.random.Generator) -> Picture:
    """Return a crop of `picture` with detail: of four random positions, the one with the largest differences."""
    short = [max(0, want - have) for want, have in zip((height, width), picture.shape[1:], strict=True)]
    if any(short):
        picture = np.pad(picture, ((0, 0), (0, short[0]), (0, short[1])), "symmetric")
    places = []
    for _ in range(4):
        y = int(rng.integers(picture.shape[1] - height + 1))
        x = int(rng.integers(picture.shape[2] - width + 1))
        places.append(picture[:, y : y + height, x : x + width])
    return np.ascontiguousarray(max(places, key=lambda p: float(np.abs(np.diff(p)).mean())))
