"""Draw dead leaves pictures: overlapping shapes of every size, with the edge and scale statistics of photographs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

_FINE = 2  # drawn so many times as large, then averaged: smooth edges at any fraction of a pixel


def leaves(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """A picture of `width` x `height` pixels, RGB: ellipses, polygons and strokes of radii after 1 / r^2.

    Each is flat, shaded or textured. A. Lee, D. Mumford and J. Huang, IJCV 41 (2001). The same state of `rng` draws
    the same picture.
    """
    w, h = width * _FINE, height * _FINE
    picture = Image.new("RGB", (w, h), _colour(rng))
    draw = ImageDraw.Draw(picture)
    least, most = 4.0 * _FINE, 0.4 * min(w, h)
    # inverse of the distribution of 1 / r^2 between both bounds
    share = rng.random(int(0.0009 * w * h))
    radii = 1 / (share / least + (1 - share) / most)
    for radius in radii:
        x, y = rng.uniform(0, w), rng.uniform(0, h)
        outline = _outline(rng, x, y, float(radius))
        if radius > 24 and rng.random() < 0.45:
            _textured(rng, picture, outline)
        else:
            draw.polygon(outline, fill=_colour(rng))
        if rng.random() < 0.06:
            end = (x + rng.normal(0, 3 * radius), y + rng.normal(0, 3 * radius))
            draw.line([(x, y), end], fill=_colour(rng), width=int(rng.integers(1, 4)) * _FINE)
    return picture.resize((width, height), Image.Resampling.BOX)


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    """Mostly muted: a luma, and a little of a hue."""
    gray, hue = rng.uniform(8, 247), rng.normal(0, rng.choice([8.0, 20.0, 60.0]), 3)
    red, green, blue = (int(v) for v in np.clip(gray + hue - hue.mean(), 0, 255))
    return red, green, blue


def _outline(rng: np.random.Generator, x: float, y: float, radius: float) -> list[tuple[float, float]]:
    """An ellipse, a triangle, a quadrangle or a crumpled round, turned at random."""
    kind, turn, flat = rng.random(), rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 1)
    corners = 28 if kind < 0.5 else int(rng.integers(3, 6)) if kind < 0.85 else 18
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    reach = radius * (1 + rng.uniform(-0.3, 0.3, corners) * (kind >= 0.5))
    a, b = reach * np.cos(angles), flat * reach * np.sin(angles)
    cos, sin = np.cos(turn), np.sin(turn)
    return [(float(x + cos * p - sin * q), float(y + sin * p + cos * q)) for p, q in zip(a, b, strict=True)]


def _textured(rng: np.random.Generator, picture: Image.Image, outline: list[tuple[float, float]]) -> None:
    """Fill `outline` with a gradient, a grating or noise of one colour's shades."""
    left, top = (int(min(each[axis] for each in outline)) for axis in (0, 1))
    right, bottom = (int(max(each[axis] for each in outline)) + 1 for axis in (0, 1))
    size = (max(1, right - left), max(1, bottom - top))
    y, x = np.mgrid[: size[1], : size[0]].astype(np.float32)
    kind, depth = rng.random(), rng.uniform(6, 60)
    turn = rng.uniform(0, np.pi)
    along = np.cos(turn) * x + np.sin(turn) * y
    wave: NDArray[np.float32]
    if kind < 0.35:
        wave = (along / max(1.0, float(np.abs(along).max()))).astype(np.float32)
    elif kind < 0.65:
        wave = np.sin(along * np.float32(rng.uniform(0.15, 1.4))).astype(np.float32)
    else:
        grains = rng.normal(0, 0.6, (size[1] // _FINE + 1, size[0] // _FINE + 1)).astype(np.float32)
        wave = grains.repeat(_FINE, 0).repeat(_FINE, 1)[: size[1], : size[0]]
    shades = np.array(_colour(rng), np.float32) + depth * wave[..., None]
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).polygon([(px - left, py - top) for px, py in outline], fill=255)
    picture.paste(Image.fromarray(np.clip(shades, 0, 255).astype(np.uint8)), (left, top), mask)
