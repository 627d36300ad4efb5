"""scripts/evaluate --blind and --tally: sheets that tell nothing, a key beside them, and ranks counted right."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.quality import blind, methods, prepare, ranking
from benchmarks.quality.store import Store
from benchmarks.sheets import crop, rgb

FIELD = [*methods.resizers(), *methods.masks()]


@pytest.fixture(scope="module")
def large(store: Store, tmp_path_factory: pytest.TempPathFactory) -> prepare.Case:
    """A still with a flat third, a third of lines and a third of grain, large enough for three crops."""
    picture = np.full((320, 576), 90.0)
    picture[:, 192:384] += 60 * (np.arange(192) // 12 % 2)
    picture += np.random.default_rng(0).normal(0, 1, picture.shape)
    picture[:, 384:] += np.random.default_rng(1).normal(0, 14, (320, 192))
    path = tmp_path_factory.mktemp("blind") / "thirds.png"
    Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).convert("RGB").save(path)
    return prepare.prepare(store, [prepare.Footage(path)], prepare.PREPARATIONS["A"], 2)[0]


def test_crops_show_texture_edges_and_flats(large: prepare.Case) -> None:
    found = {place.shows: place.box for place in blind.places(large)}
    assert list(found) == ["texture", "edges", "flats"]
    assert found["texture"][0] >= 376
    assert found["edges"][0] >= 160 and found["edges"][2] <= 416
    assert found["flats"][2] <= 208


def pictures(page: Path) -> list[dict[str, Image.Image]]:
    """The crops that a page shows, by label, sheet by sheet."""
    found = re.search(r"const SHEETS = (\[.*\]);", page.read_text())
    assert found
    decode = lambda url: Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))  # noqa: E731
    return [{name: decode(url) for name, url in sheet["crops"].items()} for sheet in json.loads(found[1])]


def test_sheets_tell_nothing_and_the_key_tells_all(large: prepare.Case, tmp_path: Path) -> None:
    page = blind.write(tmp_path / "out", [large], FIELD, seed=3)
    assert sorted(path.name for path in page.parent.iterdir()) == ["01.png", "02.png", "03.png", "index.html"]
    words = page.read_text().lower()
    assert not [method.name for method in FIELD if method.name.lower() in words] and "thirds" not in words
    assert "http" not in words  # nothing is fetched
    key = json.loads((tmp_path / "out-key.json").read_text())["sheets"]
    orders = [list(entry["methods"].values()) for entry in key.values()]
    assert all(sorted(order) == sorted(method.name for method in FIELD) for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    by_name = {method.name: method for method in FIELD}
    for entry, shown in zip(key.values(), pictures(page), strict=True):
        assert list(shown) == [*entry["methods"], "reference"]
        box = tuple(entry["box"])
        for letter, name in entry["methods"].items():
            whole = rgb(by_name[name].upscale(large.load_source(), 2), 0)
            assert np.array_equal(np.asarray(shown[letter]), np.asarray(whole.crop(box)))
        reference = rgb(large.load_reference(), 0)
        assert np.array_equal(np.asarray(shown["reference"]), np.asarray(reference.crop(box)))
    sheet = np.asarray(Image.open(page.with_name(f"{next(iter(key))}.png")))
    first = next(iter(key.values()))
    big = np.asarray(crop(rgb(by_name[first["methods"]["A"]].upscale(large.load_source(), 2), 0), first["box"], 576))
    assert (sheet[32 : 32 + big.shape[0], 6 : 6 + big.shape[1]] == big).all()


def test_another_time_another_order_and_no_key_is_lost(large: prepare.Case, tmp_path: Path) -> None:
    keys = []
    for name, seed in (("a", None), ("b", None), ("c", 1), ("d", 1)):
        blind.write(tmp_path / name, [large], FIELD, seed)
        keys.append((tmp_path / f"{name}-key.json").read_text())
    assert keys[0] != keys[1] and keys[2] == keys[3]
    with pytest.raises(FileExistsError, match="is there already"):
        blind.write(tmp_path / "a", [large], FIELD)
    with pytest.raises(ValueError, match="1 methods cannot be ranked"):
        blind.write(tmp_path / "e", [large], FIELD[:1])


def test_what_was_shown_is_not_shown_again(large: prepare.Case, tmp_path: Path) -> None:
    keys = [tmp_path / "a-key.json", tmp_path / "b-key.json"]
    blind.write(tmp_path / "a", [large], FIELD)
    blind.write(tmp_path / "b", [large], FIELD, shown=keys[:1])
    first, second = (blind.boxes([key])["thirds"] for key in keys)
    overlaps = [
        (a, b) for a in first for b in second if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
    ]  # fmt: skip
    assert len(first) == 3 and second and not overlaps
    (tmp_path / "none.json").write_text('{"sheets": {"01": {}}}')
    with pytest.raises(ValueError, match=r"none\.json is no key of sheets; name the -key\.json"):
        blind.write(tmp_path / "c", [large], FIELD, shown=[tmp_path / "none.json"])
    with pytest.raises(ValueError, match="a name of its own"):
        blind.write(tmp_path / "c", [large], [*FIELD, FIELD[0]])
    assert not (tmp_path / "c").exists()


def test_nothing_is_shown_as_what_it_is_not(store: Store, tmp_path: Path) -> None:
    Image.new("RGB", (320, 240), (90, 90, 90)).save(tmp_path / "even.png")
    case = prepare.prepare(store, [prepare.Footage(tmp_path / "even.png")], prepare.PREPARATIONS["S"], 2)[0]
    assert blind.places(case) == []


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key.json"
    sheets = {"01": {"methods": {"A": "x", "B": "y", "C": "z"}}, "02": {"methods": {"A": "z", "B": "x", "C": "y"}}}
    path.write_text(json.dumps({"sheets": sheets}))
    return path


def ranked(path: Path, **orders: str) -> Path:
    path.write_text(json.dumps({"sheets": {name.removeprefix("s"): order for name, order in orders.items()}}))
    return path


def test_ranks_are_counted(key: Path, tmp_path: Path) -> None:
    one = ranked(tmp_path / "1.json", s01="ACB", s02="BAC")  # x z y, x z y
    two = ranked(tmp_path / "2.json", s01="BAC")  # y x z
    text = ranking.tally(key, [one, two])
    assert text.splitlines()[0].startswith("| method, of 3 |")
    assert text.splitlines()[2:5] == [
        "| x | 1.33 | 1.0 2.0 | 0.71 | 4 | 2 | 0 |",
        "| y | 2.33 | 3.0 1.0 | 1.41 | 7 | 1 | 2 |",
        "| z | 2.33 | 2.0 3.0 | 0.71 | 7 | 0 | 1 |",
    ]
    assert "2 rankings, 3 sheets in all" in text
    assert "| x | 1.00 | 1.0 |  | 2 | 2 | 0 |" in ranking.tally(key, [one])


@pytest.mark.parametrize(
    ("orders", "words"),
    [({"s01": "AB"}, "sheet 01 is ranked 'AB'"), ({"s01": "AAB"}, "'AAB'"), ({"s09": "ABC"}, "09"), ({}, "no sheet")],
)
def test_a_ranking_that_does_not_fit_is_refused(key: Path, tmp_path: Path, orders: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ranking.tally(key, [ranked(tmp_path / "r.json", **orders)])


def test_a_key_alone_counts_nothing(key: Path) -> None:
    with pytest.raises(ValueError, match="name rankings"):
        ranking.tally(key, [])
