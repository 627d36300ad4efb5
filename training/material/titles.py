"""Draw lettering over a clip, like credits, captions and subtitles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .codec import Frames

_FINE = 4  # drawn so many times as large, then averaged down: smooth edges at any fraction of a pixel
_LETTERS = "eeeeetttaaaooiinnsshhrrdlcumwfgypbvkjxqzEETAAOINSHRDLCUMWFGYPBVKJXQZ0123456789.,:;!?&()'-"


def lettering(
    frames: Frames, rng: np.random.Generator, size: tuple[float, float] = (9, 44), backdrop: float = 0.4
) -> Frames:
    """Lines of made-up words over a clip of (n, height, width, 3) uint8: still, rolling upwards or crawling sideways.

    `size` is the range of the letters' height in pixels; with chance `backdrop` the picture behind goes to one colour,
    as behind credits. The same generator state draws the same.
    """
    count, height, width, _ = frames.shape
    letters = float(np.exp(rng.uniform(*np.log(size))))
    speed = rng.choice([0.0, 0.0, 0.5, 1.0, 1.7, 2.4, 3.0])
    down, along = (speed, 0.0) if rng.random() < 0.7 else (0.0, speed)
    room = (width + int(along * count) + 1, height + int(down * count) + 1)
    mask = _words(room, letters, rng)
    shade = _shade(rng)
    tint = np.clip(shade + rng.normal(0, 12, 3) * (rng.random() < 0.3), 0, 255).astype(np.float32)
    behind = frames.astype(np.float32)
    if rng.random() < backdrop:
        behind = np.full_like(behind, 255 - shade) * rng.uniform(0, 0.4)
    out = np.empty_like(frames)
    for n in range(count):
        box = (round(along * n * _FINE), round(down * n * _FINE))
        window = mask.crop((*box, box[0] + width * _FINE, box[1] + height * _FINE))
        cover = np.asarray(window.resize((width, height), Image.Resampling.BOX), np.float32)[..., None] / 255
        out[n] = np.clip(np.rint(behind[n] * (1 - cover) + tint * cover), 0, 255)
    return out


def cover(rng: np.random.Generator, side: int, size: tuple[float, float] = (12, 90)) -> NDArray[np.float32]:
    """Share of each pixel of a square of `side` that lines of made-up words cover, (side, side) in [0, 1].

    `size` is the range of the letters' height in pixels.
    """
    mask = _words((side, side), float(np.exp(rng.uniform(*np.log(size)))), rng)
    covered: NDArray[np.float32] = np.asarray(mask.resize((side, side), Image.Resampling.BOX), np.float32)
    return covered / np.float32(255)


def letter(places: Sequence[NDArray[np.uint8]], neutral: Sequence[int | None], rng: np.random.Generator) -> None:
    """Draw the same gray lettering, crisp, into pictures of one place at several sizes, (n, planes, side, side) each;
    2 of 5 times on one colour. `neutral` is the value of no colour in each, None where planes are R, G and B.

    The second is the largest; the others' letters are averages of its pixels.
    """
    side = places[1].shape[-1]
    covered, shade = cover(rng, side), _shade(rng)
    behind = (255 - shade) * rng.uniform(0, 0.4) if rng.random() < 0.4 else None
    for place, gray in zip(places, neutral, strict=True):
        small = place.shape[-1]
        share = covered.reshape(small, side // small, small, side // small).mean((1, 3))
        if behind is not None:
            place[...] = round(behind) if gray is None else gray
        place[...] = np.rint(place * (1 - share) + (shade if gray is None else gray) * share)


def _shade(rng: np.random.Generator) -> float:
    """Of letters, in code values: light for 17 of 20."""
    return float(255 * rng.uniform(0.55, 1) if rng.random() < 0.85 else 255 * rng.uniform(0, 0.2))


def _words(room: tuple[int, int], letters: float, rng: np.random.Generator) -> Image.Image:
    """A mask of `room` pixels, drawn `_FINE` times as large, full of words with letters so many pixels high."""
    mask = Image.new("L", (room[0] * _FINE, room[1] * _FINE))
    draw = ImageDraw.Draw(mask)
    font = ImageFont.load_default(letters * _FINE)
    centred, leading = rng.random() < 0.5, letters * rng.uniform(1.2, 2.2)
    y = float(rng.uniform(0, leading))
    while y < room[1]:
        text = " ".join(
            "".join(rng.choice(list(_LETTERS), size=rng.integers(1, 11))) for _ in range(rng.integers(2, 9))
        )
        start = room[0] / 2 if centred else float(rng.uniform(-2, 3)) * letters
        draw.text((start * _FINE, y * _FINE), text, fill=255, font=font, anchor="ma" if centred else "la")
        y += leading
    return mask
