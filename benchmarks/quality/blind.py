"""Shows methods to people who do not know which is which.

Sheets of enlarged crops of two neighbouring frames, methods in random order, the reference last where there is one, and
one page to rank them in; the key lies beside the folder, not in it. `ranking` counts what people prefer.
"""

from __future__ import annotations

import base64
import io
import json
import random
import string
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.quality import texture
from benchmarks.quality.methods import Method
from benchmarks.quality.metrics import luma
from benchmarks.quality.scenes import Scene
from benchmarks.quality.score import say
from benchmarks.sheets import PAPER, Box, Tile, richest, sheet, sheet_size, slopes

MOST = (1600, 1200)
"""Width and height that a sheet has at the most: what looks at it may make a larger one smaller."""
CROPS = ((240, 180), (200, 150), (160, 120), (128, 96), (112, 84))
"""Width and height of a crop in pixels of the enlarged picture, the preferred first."""
ZOOMS = (3.0, 2.5, 2.0, 1.5)
"""How much larger such a pixel is shown, the preferred first."""
BETWEEN = 2
"""Pixels of paper between two frames."""
REFERENCE = "reference"
PAGE = Path(__file__).with_name("blind.html")
"""The page, with PLACE where the crops go."""
PLACE = "/*SHEETS*/[]"


@dataclass(frozen=True)
class Layout:
    """How a sheet is laid out."""

    crop: tuple[int, int]
    """Width and height of a crop in pixels of the enlarged picture."""
    zoom: float
    """How much larger such a pixel is shown."""
    columns: int
    """Methods in a row."""
    stacked: bool
    """Whether the second frame is below the first, not beside it."""

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height of a crop on the sheet."""
        return round(self.crop[0] * self.zoom), round(self.crop[1] * self.zoom)

    def tile(self, frames: int) -> tuple[int, int]:
        """Width and height of so many frames together."""
        width, height = self.shown
        more = frames - 1
        return (
            (width, height + more * (height + BETWEEN)) if self.stacked else (width + more * (width + BETWEEN), height)
        )

    def joined(self, crops: Sequence[Image.Image]) -> Image.Image:
        """The frames of one method, enlarged with Catmull-Rom, together."""
        page = Image.new("RGB", self.tile(len(crops)), PAPER)
        width, height = self.shown
        for n, crop in enumerate(crops):
            at = (0, n * (height + BETWEEN)) if self.stacked else (n * (width + BETWEEN), 0)
            page.paste(crop.resize(self.enlarged(crop), Image.Resampling.BICUBIC), at)
        return page

    def enlarged(self, crop: Image.Image) -> tuple[int, int]:
        """Width and height of a crop that may be smaller than `crop`, as a small picture's is."""
        return round(crop.width * self.zoom), round(crop.height * self.zoom)


def layout(tiles: int, frames: int) -> Layout:
    """The one with the largest crop, and then the largest zoom, whose sheet of so many tiles is within MOST."""
    for crop in CROPS:
        for zoom in ZOOMS:
            for stacked in (False, True):
                for columns in range(1, tiles + 1):
                    found = Layout(crop, zoom, columns, stacked)
                    width, height = sheet_size(found.tile(frames), tiles, columns)
                    if width <= MOST[0] and height <= MOST[1]:
                        return found
    raise ValueError(f"layout: {tiles} pictures do not fit on {MOST[0]}x{MOST[1]} pixels; name fewer methods")


@dataclass(frozen=True)
class Place:
    """What one sheet shows."""

    scene: Scene
    shows: str
    """What there is most of: texture, edges or flats."""
    box: Box


def places(scene: Scene, crop: tuple[int, int], taken: Sequence[Box] = ()) -> list[Place]:
    """The windows of a scene's middle frame with most texture, most edges, and most that is smooth but not empty, none
    of which overlaps one of `taken`; fewer where the picture has no room for three."""
    plane = luma(scene.large[scene.frames[0]])[0]
    found = texture.regions(plane)
    smooth = found.flat & (texture.fine(plane) ** 2 > 0.01)
    weights = {"texture": found.texture.astype(np.float32), "edges": found.edge * slopes(plane), "flats": smooth * 1.0}
    chosen: list[Place] = []
    for shows, weight in weights.items():
        box = richest(weight, crop, [*taken, *(place.box for place in chosen)])
        if box is not None and weight[box[1] : box[3], box[0] : box[2]].any():
            chosen.append(Place(scene, shows, box))
    return chosen


def write(
    folder: Path,
    scenes: Sequence[Scene],
    methods: Sequence[Method],
    seed: int | None = None,
    shown: Sequence[Path] = (),
    most: int | None = None,
) -> Path:
    """Write `folder`/index.html, a PNG for each sheet and, beside the folder, its key; the page's path.

    Sheets and the methods on them are in random order, another each time unless `seed` is given. Crops in the keys
    `shown` are not shown again. There are at most `most` sheets, of as many clips as there can be.

    Raises ValueError for fewer than two methods, more than there are letters, two of one name, a file that is no key or
    nothing left to show, and FileExistsError where the key is there already: people may have its sheets.
    """
    names = [method.name for method in methods]
    if not 2 <= len(methods) <= len(string.ascii_uppercase):
        raise ValueError(f"blind: {len(methods)} methods cannot be ranked; name 2 to {len(string.ascii_uppercase)}")
    if len({*names, REFERENCE}) <= len(names):
        raise ValueError(f"blind: methods named {', '.join(names)}; give each a name of its own, none {REFERENCE!r}")
    key = key_of(folder)
    if key.exists():
        raise FileExistsError(f"blind: {key} is there already; name another folder or remove it")
    taken = boxes(shown)
    order = random.Random(seed)
    layouts = {scene: layout(len(methods) + (scene.reference is not None), len(scene.frames)) for scene in scenes}
    found = [places(scene, layouts[scene].crop, taken.get(_seen(scene.clip, scene.condition), [])) for scene in scenes]
    picked = pick(found, most, order)
    if not picked:
        raise ValueError("blind: no crop is left to show; name other clips or fewer keys for --unlike")
    folder.mkdir(parents=True, exist_ok=True)
    keys: dict[str, Any] = {}
    sheets = []
    for number, (place, crops) in enumerate(crops_of(picked, methods), 1):
        shuffled = order.sample(names, len(names))
        letters = dict(zip(string.ascii_uppercase, shuffled, strict=False))
        how, labels = layouts[place.scene], letters | ({REFERENCE: REFERENCE} if REFERENCE in crops else {})
        tiles = [Tile(label, how.joined(crops[name])) for label, name in labels.items()]
        name = f"{number:02}"
        sheet(tiles, how.columns).save(folder / f"{name}.png")
        sheets.append({"name": name, "crops": {tile.label: _url(tile.picture) for tile in tiles}})
        keys[name] = {
            "clip": place.scene.clip, "condition": place.scene.condition, "shows": place.shows, "box": place.box,
            "methods": letters,
        }  # fmt: skip
    page = folder / "index.html"
    page.write_text(PAGE.read_text(encoding="utf-8").replace(PLACE, json.dumps(sheets)), encoding="utf-8")
    key.write_text(json.dumps({"sheets": keys}, indent=1) + "\n")
    return page


def pick(found: Sequence[Sequence[Place]], most: int | None, order: random.Random) -> list[Place]:
    """Of the places of each scene at most so many in random order: a second of a scene where all others have one."""
    scenes = [order.sample(places, len(places)) for places in found]
    order.shuffle(scenes)
    picked = [place for turn in zip_longest(*scenes) for place in turn if place is not None][:most]
    order.shuffle(picked)
    return picked


def key_of(folder: Path) -> Path:
    """Where the key to a folder's sheets is."""
    return folder.with_name(f"{folder.name}-key.json")


def boxes(keys: Sequence[Path]) -> dict[tuple[str, str], list[Box]]:
    """What the sheets of `keys` show, by clip and the grid that boxes count in. Raises ValueError for a file that is
    no key."""
    found: dict[tuple[str, str], list[Box]] = {}
    for key in keys:
        try:
            for entry in json.loads(key.read_text())["sheets"].values():
                left, top, right, bottom = (int(side) for side in entry["box"])
                found.setdefault(_seen(entry["clip"], entry["condition"]), []).append((left, top, right, bottom))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"blind: {key} is not a key of blind sheets; name the -key.json beside their folder"
            ) from error
    return found


def crops_of(shown: Sequence[Place], methods: Sequence[Method]) -> list[tuple[Place, dict[str, list[Image.Image]]]]:
    """Each of the places `shown` with the crops of every method by name, and of the reference where there is one, a
    picture for each of the scene's frames. One method after another, so that its engine is made once."""
    found: list[tuple[Place, dict[str, list[Image.Image]]]] = [(place, {}) for place in shown]
    for method in methods:
        for place, crops in found:
            crops[method.name] = place.scene.crops(place.box, method)
        say(f"{method.name}: {len(found)} crops")
    for place, crops in found:
        if place.scene.reference is not None:
            crops[REFERENCE] = place.scene.crops(place.box, None)
    return found


def _seen(clip: str, condition: str) -> tuple[str, str]:
    """Boxes of cases count in pixels of one reference whatever the preparation, those of native footage in others."""
    return clip, condition if condition.startswith("native") else ""


def _url(picture: Image.Image) -> str:
    data = io.BytesIO()
    picture.save(data, "WebP", lossless=True, method=0)
    return "data:image/webp;base64," + base64.b64encode(data.getvalue()).decode()
