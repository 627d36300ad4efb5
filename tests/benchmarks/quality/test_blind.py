"""scripts/evaluate --blind, --native, --tally: sheets hide the methods, a key names them, and ranks are counted."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import random
import re
from pathlib import Path

import networks
import numpy as np
import pytest
import rings
import vapoursynth as vs
from PIL import Image

from benchmarks.quality import blind, media, methods, metrics, prepare, ranking, scenes
from benchmarks.quality.store import Store
from benchmarks.sheets import GAP, LABEL, rgb

FIELD = [*methods.resizers(), *methods.masks()]


CROP = (160, 120)


@pytest.fixture(scope="module")
def thirds(tmp_path_factory: pytest.TempPathFactory) -> prepare.Footage:
    """A clip of three frames that slides, with a flat third, one of lines and one of grain, large enough for crops."""
    picture = np.full((560, 800), 90.0)
    picture[:, 264:528] += 60 * (np.arange(264) // 12 % 2)
    picture += np.random.default_rng(0).normal(0, 1, picture.shape)
    picture[:, 528:] += np.random.default_rng(1).normal(0, 14, (560, 272))
    still = media.from_rgb(np.clip(picture, 0, 255).astype(np.uint8)[..., None].repeat(3, 2))
    slides = [still.std.CropRel(left=2 * n, right=4 - 2 * n) for n in range(3)]
    path = tmp_path_factory.mktemp("blind") / "thirds.mkv"
    clip = slides[0] + slides[1] + slides[2]
    media.encode(clip.resize.Bicubic(format=vs.YUV420P8, matrix=1, range=0, chromaloc=0), path)
    return prepare.Footage(path)


@pytest.fixture(scope="module")
def large(store: Store, thirds: prepare.Footage) -> scenes.Scene:
    """It with its reference."""
    return scenes.of_cases(prepare.prepare(store, [thirds], prepare.PREPARATIONS["A"], 2))[0]


@pytest.fixture(scope="module")
def native(thirds: prepare.Footage) -> scenes.Scene:
    """It at its own size."""
    return scenes.native(thirds, 2)


@pytest.mark.parametrize(("kind", "scale"), [("large", 1), ("native", 2)])
def test_crops_show_texture_edges_and_flats(kind: str, scale: int, request: pytest.FixtureRequest) -> None:
    found = {place.shows: place.box for place in blind.places(request.getfixturevalue(kind), CROP)}
    assert list(found) == ["texture", "edges", "flats"]
    assert found["texture"][0] >= scale * 512
    assert found["edges"][0] >= scale * 232 and found["edges"][2] <= scale * 560
    assert found["flats"][2] <= scale * 280


def pictures(page: Path) -> list[dict[str, Image.Image]]:
    """The crops that a page shows, by label, sheet by sheet."""
    found = re.search(r"const SHEETS = (\[.*\]);", page.read_text())
    assert found
    decode = lambda url: Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))  # noqa: E731
    return [{name: decode(url) for name, url in sheet["crops"].items()} for sheet in json.loads(found[1])]


@pytest.mark.parametrize("kind", ["large", "native"])
def test_sheets_tell_nothing_and_the_key_tells_all(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    scene: scenes.Scene = request.getfixturevalue(kind)
    page = blind.write(tmp_path / "out", [scene], FIELD, seed=3)
    assert sorted(path.name for path in page.parent.iterdir()) == ["01.png", "02.png", "03.png", "index.html"]
    words = page.read_text().lower()
    assert not [method.name for method in FIELD if method.name.lower() in words] and "thirds" not in words
    assert "http" not in words  # nothing is fetched
    key = json.loads((tmp_path / "out-key.json").read_text())["sheets"]
    orders = [list(entry["methods"].values()) for entry in key.values()]
    assert all(sorted(order) == sorted(method.name for method in FIELD) for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    reference = [] if scene.reference is None else ["reference"]
    clips = {method.name: method.upscale(scene.source, 2) for method in FIELD} | {"reference": scene.reference}
    how = blind.layout(len(FIELD) + len(reference), 2)
    for (number, entry), shown in zip(key.items(), pictures(page), strict=True):
        assert list(shown) == [*entry["methods"], *reference]
        for label, picture in shown.items():
            name = entry["methods"].get(label, "reference")
            frames = [rgb(clips[name], n).crop(entry["box"]) for n in (1, 2)]
            assert np.asarray(frames[0]).shape == (how.crop[1], how.crop[0], 3)
            size = round(how.crop[0] * how.zoom), round(how.crop[1] * how.zoom)
            one, two = (np.asarray(frame.resize(size, Image.Resampling.BICUBIC)) for frame in frames)
            assert not np.array_equal(one, two)
            seen = np.asarray(picture)
            assert np.array_equal(seen[: size[1], : size[0]], one)
            assert np.array_equal(seen[-size[1] :, -size[0] :], two), (label, seen.shape)
        page_of = np.asarray(Image.open(page.with_name(f"{number}.png")))
        first = np.asarray(shown["A"])
        assert (page_of[GAP + LABEL :, GAP:][: first.shape[0], : first.shape[1]] == first).all()
        assert page_of.shape[0] <= 1200 and page_of.shape[1] <= 1600 and page_of[GAP : GAP + LABEL].min() < 100


@pytest.mark.parametrize(("tiles", "crop"), [(2, 240), (7, 240), (8, 240), (10, 200), (15, 160), (27, 112)])
@pytest.mark.parametrize("frames", [1, 2])
def test_sheets_of_any_number_of_methods_are_small_enough(tiles: int, crop: int, frames: int) -> None:
    how = blind.layout(tiles, frames)
    assert 1.5 <= how.zoom <= 3 and how.crop[0] >= crop and how.crop[1] == how.crop[0] * 3 // 4
    crops = [Image.new("RGB", how.crop)] * frames
    drawn = blind.sheet([blind.Tile("A", how.joined(crops))] * tiles, how.columns)
    assert drawn.width <= 1600 and drawn.height <= 1200
    with pytest.raises(ValueError, match="90 pictures do not fit on 1600x1200 pixels; name fewer methods"):
        blind.layout(90, 2)


def test_another_time_another_order_and_no_key_is_lost(large: scenes.Scene, tmp_path: Path) -> None:
    keys = []
    for name, seed in (("a", None), ("b", None), ("c", 1), ("d", 1)):
        blind.write(tmp_path / name, [large], FIELD, seed, most=2)
        keys.append((tmp_path / f"{name}-key.json").read_text())
    assert keys[0] != keys[1] and keys[2] == keys[3]
    with pytest.raises(FileExistsError, match="is there already"):
        blind.write(tmp_path / "a", [large], FIELD)
    with pytest.raises(ValueError, match="1 methods cannot be ranked"):
        blind.write(tmp_path / "e", [large], FIELD[:1])


@pytest.mark.parametrize("kind", ["large", "native"])
def test_what_was_shown_is_not_shown_again(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    scene: scenes.Scene = request.getfixturevalue(kind)
    keys = [tmp_path / "a-key.json", tmp_path / "b-key.json"]
    blind.write(tmp_path / "a", [scene], FIELD)
    blind.write(tmp_path / "b", [scene], FIELD, shown=keys[:1])
    first, second = (blind.boxes([key])["thirds", "native 2x" if kind == "native" else ""] for key in keys)
    overlaps = [
        (a, b) for a in first for b in second if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
    ]  # fmt: skip
    assert len(first) == 3 and second and not overlaps
    (tmp_path / "none.json").write_text('{"sheets": {"01": {}}}')
    with pytest.raises(ValueError, match=r"none\.json is not a key of blind sheets; name the -key\.json"):
        blind.write(tmp_path / "c", [scene], FIELD, shown=[tmp_path / "none.json"])
    with pytest.raises(ValueError, match="a name of its own"):
        blind.write(tmp_path / "c", [scene], [*FIELD, FIELD[0]])
    assert not (tmp_path / "c").exists()


def test_a_few_sheets_are_of_as_many_clips_as_there_can_be(native: scenes.Scene) -> None:
    others = [dataclasses.replace(native, clip=name) for name in "abc"]
    found = [blind.places(scene, CROP) for scene in others]
    for most, clips in ((2, 2), (3, 3), (5, 3), (None, 3)):
        picked = blind.pick(found, most, random.Random(most))
        assert len(picked) == (most or 9) and len({place.scene.clip for place in picked}) == clips
        assert len({(place.scene.clip, place.box) for place in picked}) == len(picked)
        assert most != 5 or max(sum(place.scene.clip == name for place in picked) for name in "abc") == 2


def test_methods_see_enough_around_a_crop(thirds: prepare.Footage, tmp_path: Path) -> None:
    """A network that looks 16 pixels around gives in a crop what it gives there in the whole picture."""
    scene = scenes.native(thirds, 2)
    method = methods.ours("wide", networks.compact(tmp_path / "wide.onnx", 4, 16, skip=True))
    whole = method.upscale(scene.source, 2)
    for box in ((0, 0, 160, 120), (704, 304, 864, 424), (1424, 1000, 1584, 1120)):
        for n, crop in zip(scene.frames, scene.crops(box, method), strict=True):
            error = np.abs(np.asarray(crop).astype(int) - np.asarray(rgb(whole, n).crop(box)))
            assert error.max() <= 1, (box, n)


def test_footage_is_shown_at_its_own_size(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (91, 131, 3), np.uint8)).save(tmp_path / "odd.png")
    still = scenes.native(prepare.Footage(tmp_path / "odd.png", halved=True), 4)
    assert (still.source.width, still.source.height, still.frames, still.condition) == (130, 90, (0,), "native 4x")
    media.encode(rings.moving(130, 90, 50), tmp_path / "film.mkv")
    film = scenes.native(prepare.Footage(tmp_path / "film.mkv"), 2)
    assert film.frames == (10, 11) and (film.large.width, film.large.height) == (260, 180)
    kept = media.load(tmp_path / "film.mkv")[30:]
    assert all(np.array_equal(metrics.plane_of(film.source, n), metrics.plane_of(kept, n)) for n in range(3))
    Image.new("RGB", (40, 12)).save(tmp_path / "small.png")
    with pytest.raises(ValueError, match=r"small\.png is 40x12; 16 pixels each way are needed"):
        scenes.native(prepare.Footage(tmp_path / "small.png"), 2)


def test_nothing_is_shown_as_what_it_is_not(tmp_path: Path) -> None:
    Image.new("RGB", (320, 240), (90, 90, 90)).save(tmp_path / "even.png")
    even = scenes.native(prepare.Footage(tmp_path / "even.png"), 2)
    assert blind.places(even, CROP) == []
    with pytest.raises(ValueError, match="no crop is left to show"):
        blind.write(tmp_path / "out", [even], FIELD)
    assert not (tmp_path / "out").exists()


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
