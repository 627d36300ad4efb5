"""Draw the demo's film: a camera move over photographs, drawings and print.

The photographs lie inside the scikit-image wheel: coffee, chelsea and camera are CC0 (Rachel Michetti,
Stéfan van der Walt, Lav Varshney), astronaut (NASA) and rocket (SpaceX) are in the public domain. Everything else is
drawn here.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from importlib.resources import files

from PIL import Image, ImageDraw, ImageFont

FRAMES = 96
FPS = 24
SIZE = (960, 540)
"""Width and height of the film's frames; the clip to be upscaled is half of it each way."""

CANVAS = (2060, 860)
SPOTS = ((18, 196, 640), (44, 1285, 130), (52, 1010, 640), (86, 1760, 190))
"""(frame, x, y): moments and points of the canvas worth a close look: small print, a face, line art, fur."""

_SUPER = 3  # drawings are made this much larger and then reduced
_INK = (28, 26, 34)


def canvas() -> Image.Image:
    """The whole page the camera moves over, RGB, CANVAS pixels."""
    page = Image.new("RGB", CANVAS, (214, 205, 190))
    pen = ImageDraw.Draw(page)
    for y in range(0, CANVAS[1], 20):  # ruled paper
        pen.line((0, y, CANVAS[0], y), fill=(196, 190, 180))
    _hang(page, _photograph("coffee.png"), (40, 40))
    _hang(page, _photograph("rocket.jpg").crop((0, 0, 440, 427)), (680, 30))
    _hang(page, _photograph("astronaut.png").crop((60, 0, 440, 420)), (1160, 40))
    _hang(page, _photograph("camera.png").crop((90, 60, 470, 390)), (1160, 500))
    _hang(page, _photograph("chelsea.png"), (1580, 60))
    _hang(page, _print(580, 360), (50, 470))
    _hang(page, _harbour(440, 350), (690, 485))
    _hang(page, _chart(440, 400), (1585, 410))
    return page


def frames() -> Iterator[Image.Image]:
    """FRAMES pictures of SIZE, RGB: the camera goes from left to right, drawing nearer, never on whole pixels."""
    page = canvas()
    for n in range(FRAMES):
        yield page.resize(SIZE, Image.Resampling.LANCZOS, box=_view(n))


def spots() -> list[tuple[int, float, float]]:
    """SPOTS as (frame, x, y) in pixels of that frame."""
    found = []
    for n, x, y in SPOTS:
        left, top, right, _ = _view(n)
        scale = SIZE[0] / (right - left)
        found.append((n, (x - left) * scale, (y - top) * scale))
    return found


def _view(n: int) -> tuple[float, float, float, float]:
    """The camera's box on the canvas in frame n."""
    t = n / (FRAMES - 1)
    width = 1240 - 150 * t
    height = width * SIZE[1] / SIZE[0]
    left = 20.3 + (CANVAS[0] - width - 40.3) * t
    top = (CANVAS[1] - height) * (0.5 + 0.42 * math.sin(2 * math.pi * t))
    return left, top, left + width, top + height


def _photograph(name: str) -> Image.Image:
    with (files("skimage.data") / name).open("rb") as stream:
        return Image.open(stream).convert("RGB")


def _hang(page: Image.Image, picture: Image.Image, at: tuple[int, int]) -> None:
    """Lays `picture` on the page with a white border and a shadow."""
    x, y = at
    w, h = picture.size
    pen = ImageDraw.Draw(page)
    pen.rectangle((x - 4, y - 4, x + w + 14, y + h + 14), fill=(172, 162, 148))
    pen.rectangle((x - 10, y - 10, x + w + 9, y + h + 9), fill=(246, 244, 238))
    page.paste(picture, at)


def _print(w: int, h: int) -> Image.Image:
    """Text in sizes from headline to small print."""
    sheet = Image.new("RGB", (w, h), (250, 248, 240))
    pen = ImageDraw.Draw(sheet)
    pen.text((18, 8), "The Harbour Gazette", fill=_INK, font=ImageFont.load_default(46))
    pen.line((18, 68, w - 18, 68), fill=_INK, width=3)
    lines = (
        (28, "Small ship, large lens: 480 lines of fog"),
        (20, "The keeper counted 1,536 gulls before noon, 7 of them twice."),
        (17, "Ropes, masts and rigging drew fine black lines on a grey morning sky."),
        (15, "Wind WNW 5-6, gusts of 38 knots; tide 04:17 and 16:52; lantern lit at 17:05 sharp."),
        (13, "Lost: one brass sextant, engraved. Found: spectacles, a kettle (green), a letter without address."),
        (11, "Printed on rag paper with iron type. Letters this small are the first thing a codec throws away."),
    )
    y = 80
    for size, text in lines:
        pen.text((18, y), text, fill=_INK, font=ImageFont.load_default(size))
        y += round(size * 1.55)
    colours = ((176, 42, 42), (208, 124, 34), (58, 120, 66), (38, 88, 150), (96, 56, 126))
    for i, colour in enumerate(colours):
        pen.rectangle((18 + 62 * i, h - 56, 70 + 62 * i, h - 18), fill=colour)
        pen.text((26 + 62 * i, h - 49), f"No{i + 1}", fill=(255, 255, 255), font=ImageFont.load_default(18))
    for i in range(48):  # a grating that grows finer
        x = w - 200 + i * (6 - i / 16) * 0.8
        pen.line((x, h - 56, x, h - 18), fill=_INK)
    return sheet


def _harbour(w: int, h: int) -> Image.Image:
    """A flat-coloured drawing with black outlines and hatching."""
    s = _SUPER
    sheet = Image.new("RGB", (w * s, h * s), (152, 200, 226))
    pen = ImageDraw.Draw(sheet)
    draw = random.Random(7)

    def shape(points: list[tuple[float, float]], fill: tuple[int, int, int], width: float = 2) -> None:
        scaled = [(x * s, y * s) for x, y in points]
        pen.polygon(scaled, fill=fill)
        pen.line([*scaled, scaled[0]], fill=_INK, width=round(width * s), joint="curve")

    pen.ellipse((30 * s, 24 * s, 96 * s, 90 * s), fill=(250, 214, 90), outline=_INK, width=2 * s)
    for i in range(16):
        a = math.tau * i / 16
        ray = [63 + 40 * math.cos(a), 57 + 40 * math.sin(a), 63 + 52 * math.cos(a), 57 + 52 * math.sin(a)]
        pen.line([v * s for v in ray], fill=_INK, width=2 * s)
    shape([(0, 210), *((x, 196 - 46 * math.sin(x / 62) ** 2) for x in range(0, w + 1, 8)), (w, 210)], (112, 148, 96))
    for _ in range(170):  # hatching on the hills
        x, y = draw.uniform(4, w - 4), draw.uniform(176, 204)
        pen.line((x * s, y * s, (x + 5) * s, (y - 9) * s), fill=(60, 84, 56), width=round(0.8 * s))
    shape([(0, 206), (w, 206), (w, h), (0, h)], (58, 112, 150))
    for row in range(9):  # waves
        y = 222 + row * 15
        wave = [(x * s, (y + 3 * math.sin(x / (7 + row) + row * 1.7)) * s) for x in range(0, w + 1, 2)]
        pen.line(wave, fill=(196, 224, 236), width=round((0.8 + row * 0.12) * s))
    for band in range(6):  # lighthouse
        low, high = 240 - band * 28, 212 - band * 28
        inset = band * 2.4
        colour = (206, 60, 50) if band % 2 else (244, 240, 230)
        shape([(330 + inset, low), (390 - inset, low), (387.6 - inset, high), (332.4 + inset, high)], colour)
    shape([(338, 72), (382, 72), (376, 48), (344, 48)], (250, 226, 120))
    shape([(336, 48), (384, 48), (360, 26)], (60, 62, 74))
    shape([(296, 262), (312, 240), (408, 240), (428, 262)], (110, 96, 84))
    shape([(96, 262), (230, 258), (208, 292), (122, 294)], (140, 84, 52), 2.5)  # boat
    pen.line((164 * s, 258 * s, 158 * s, 110 * s), fill=_INK, width=3 * s)
    shape([(154, 120), (152, 248), (88, 246)], (246, 240, 224))
    shape([(166, 130), (168, 248), (232, 240)], (222, 96, 66))
    for i in range(7):  # rigging
        pen.line((158 * s, 112 * s, (100 + i * 21) * s, 258 * s), fill=_INK, width=round(0.7 * s))
    for x, y, size in ((208, 60, 15), (252, 96, 11), (180, 32, 8), (286, 44, 12)):  # gulls
        for side in (-1, 1):
            box = [(x if side > 0 else x - 2 * size), y - size / 2, (x + 2 * size if side > 0 else x), y + size]
            pen.arc([v * s for v in box], 190, 350, fill=_INK, width=round(1.6 * s))
    return sheet.resize((w, h), Image.Resampling.LANCZOS)


def _chart(w: int, h: int) -> Image.Image:
    """A test chart: a star of converging lines, rings and a spirograph."""
    s = _SUPER
    sheet = Image.new("RGB", (w * s, h * s), (236, 238, 240))
    pen = ImageDraw.Draw(sheet)
    for i in range(36):
        a = math.tau * i / 36
        wedge = [(120, 120), *((120 + 104 * math.cos(a + d), 120 + 104 * math.sin(a + d)) for d in (0, math.tau / 72))]
        pen.polygon([(x * s, y * s) for x, y in wedge], fill=_INK)
    for i in range(1, 20):
        r = 0.25 * i * i + 2.2 * i
        if r < 106:
            pen.ellipse([v * s for v in (330 - r, 120 - r, 330 + r, 120 + r)], outline=(150, 36, 52), width=2 * s)
    curve = []
    for i in range(2400):
        a = math.tau * i / 160
        curve.append(((w / 2 + 138 * math.cos(a) + 58 * math.cos(a * 3.2)) * s, (318 + 46 * math.sin(a * 1.8)) * s))
    pen.line(curve, fill=(30, 70, 140), width=round(1.2 * s), joint="curve")
    return sheet.resize((w, h), Image.Resampling.LANCZOS)
