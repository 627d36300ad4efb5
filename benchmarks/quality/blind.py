"""Shows methods to people who do not know which is which.

Sheets of 300 % crops, methods in random order, the reference last, and one page to rank them in; the key lies beside
the folder, not in it. `ranking` counts what people prefer.
"""

from __future__ import annotations

import base64
import io
import json
import random
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.quality import texture
from benchmarks.quality.methods import Method
from benchmarks.quality.metrics import luma
from benchmarks.quality.prepare import Case
from benchmarks.sheets import Box, Tile, crop, rgb, richest, sheet, slopes

CROP = (160, 120)
"""Width and height of a crop in pixels of the reference."""
COLUMNS = 3
REFERENCE = "reference"
PAGE = Path(__file__).with_name("blind.html")
"""The page, with PLACE where the crops go."""
PLACE = "/*SHEETS*/[]"


@dataclass(frozen=True)
class Place:
    """What one sheet shows."""

    case: Case
    shows: str
    """What there is most of: texture, edges or flats."""
    box: Box


def places(case: Case, taken: Sequence[Box] = ()) -> list[Place]:
    """The windows of the middle frame's reference with most texture, most edges, and most that is smooth but not
    empty, none of which overlaps one of `taken`; fewer where the picture has no room for three."""
    plane = luma(case.load_reference()[case.frames // 2])[0]
    found = texture.regions(plane)
    smooth = found.flat & (texture.fine(plane) ** 2 > 0.01)
    weights = {"texture": found.texture.astype(np.float32), "edges": found.edge * slopes(plane), "flats": smooth * 1.0}
    chosen: list[Place] = []
    for shows, weight in weights.items():
        box = richest(weight, CROP, [*taken, *(place.box for place in chosen)])
        if box is not None and weight[box[1] : box[3], box[0] : box[2]].any():
            chosen.append(Place(case, shows, box))
    return chosen


def write(
    folder: Path,
    cases: Sequence[Case],
    methods: Sequence[Method],
    seed: int | None = None,
    shown: Sequence[Path] = (),
) -> Path:
    """Write `folder`/index.html, a PNG for each sheet and, beside the folder, its key; the page's path.

    Sheets and the methods on them are in random order, another each time unless `seed` is given. Crops in the keys
    `shown` are not shown again. Raises ValueError for fewer than two methods, more than there are letters, two of one
    name or a file that is no key, and FileExistsError where the key is there already: people may have its sheets.
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
    folder.mkdir(parents=True, exist_ok=True)
    found = [pair for case in cases for pair in crops_of(case, places(case, taken.get(case.clip, [])), methods)]
    order.shuffle(found)
    keys: dict[str, Any] = {}
    sheets = []
    for number, (place, named) in enumerate(found, 1):
        shuffled = order.sample(list(methods), len(methods))
        letters = dict(zip(string.ascii_uppercase, shuffled, strict=False))
        crops = [named[name] for name in [*(method.name for method in shuffled), REFERENCE]]
        name = f"{number:02}"
        labels = [*letters, REFERENCE]
        tiles = [Tile(label, enlarged) for label, (_, enlarged) in zip(labels, crops, strict=True)]
        sheet(tiles, COLUMNS).save(folder / f"{name}.png")
        sheets.append(
            {"name": name, "crops": {label: _url(small) for label, (small, _) in zip(labels, crops, strict=True)}}
        )
        keys[name] = {
            "clip": place.case.clip, "condition": f"{place.case.preparation} {place.case.condition}",
            "shows": place.shows, "box": place.box, "methods": {at: method.name for at, method in letters.items()},
        }  # fmt: skip
    page = folder / "index.html"
    page.write_text(PAGE.read_text(encoding="utf-8").replace(PLACE, json.dumps(sheets)), encoding="utf-8")
    key.write_text(json.dumps({"sheets": keys}, indent=1) + "\n")
    return page


def key_of(folder: Path) -> Path:
    """Where the key to a folder's sheets is."""
    return folder.with_name(f"{folder.name}-key.json")


def boxes(keys: Sequence[Path]) -> dict[str, list[Box]]:
    """What the sheets of `keys` show, by clip. Raises ValueError for a file that is none."""
    found: dict[str, list[Box]] = {}
    for key in keys:
        try:
            for entry in json.loads(key.read_text())["sheets"].values():
                left, top, right, bottom = (int(side) for side in entry["box"])
                found.setdefault(entry["clip"], []).append((left, top, right, bottom))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"blind: {key} is no key of sheets; name the -key.json beside their folder") from error
    return found


Crop = tuple[Image.Image, Image.Image]
"""As it is and enlarged."""


def crops_of(case: Case, shown: Sequence[Place], methods: Sequence[Method]) -> list[tuple[Place, dict[str, Crop]]]:
    """Each of the places `shown` of a case with the crops of every method's middle frame, by name, and of the
    reference's; each frame is made once."""
    if not shown:
        return []
    middle, source, reference = case.frames // 2, case.load_source(), case.load_reference()
    found: list[tuple[Place, dict[str, Crop]]] = [(place, {}) for place in shown]
    for name, clip in [
        *((method.name, method.upscale(source, case.factor)) for method in methods),
        (REFERENCE, reference),
    ]:
        frame = rgb(clip, middle)
        for place, crops in found:
            crops[name] = frame.crop(place.box), crop(frame, place.box, reference.width)
    return found


def _url(picture: Image.Image) -> str:
    data = io.BytesIO()
    picture.save(data, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()
