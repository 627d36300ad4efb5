"""Recipes: the shipped ones are right, and every mistake is named with its remedy."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from paths import ROOT

from vs_gansr.train import recipe
from vs_gansr.train.recipe import Recipe, RecipeError, RunConfig

SHIPPED = sorted((ROOT / "scripts" / "recipes").glob("*.toml"))
MINIMAL = 'name = "x"\nsummary = "y"\n'


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_recipes_are_right(path: Path) -> None:
    read = recipe.load(path)
    assert read.name == path.stem
    assert read.summary
    assert recipe.from_dict(json.loads(json.dumps(dataclasses.asdict(read)))) == read


def test_there_are_recipes() -> None:
    assert "fast-2x" in [path.stem for path in SHIPPED]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[run]\nsteps = 5\ntypo = 1", r"\.run: unknown typo; it takes steps"),
        ("[run]\nsteps = 'five'", r"\.run\.steps: expected int, got 'five'"),
        ("[run]\nsteps = true", r"\.run\.steps: expected int, got True"),
        ("run = 3", r"\.run: expected a table, got 3"),
        ("", "give steps or minutes"),
        ("[run]\nsteps = 1\nminutes = 1", "give steps or minutes, not steps=1"),
        ("[run]\nsteps = 1\n[generator]\nwidth = 20", "multiple of 16.*20 x 8"),
        ("[run]\nsteps = 1\n[generator]\nscale = 4", r"degrade\.scale 2 and generator\.scale 4"),
        ("[run]\nsteps = 1\ncrop = 100", "run.crop 100 must be a multiple of 8"),
        ("[run]\nsteps = 1\nclip = 5", r"run\.clip 5 must divide run\.batch 12"),
        ("[run]\nsteps = 1\n[adversary]\npenalty = 'r1'", "use 'noise' or 'exact'"),
        ("[run]\nsteps = 1\n[pixel]\npixel = -1", "must not be negative"),
        ("[run]\nsteps = 1", "set run.pixel_part = 1"),
        ("[run\n", "recipe .*x.toml"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(MINIMAL + text)
    with pytest.raises(RecipeError, match=words):
        recipe.load(path)


def test_missing_name_and_file(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("[run]\nsteps = 1")
    with pytest.raises(RecipeError, match="name"):
        recipe.load(tmp_path / "x.toml")
    with pytest.raises(RecipeError, match=r"none\.toml"):
        recipe.load(tmp_path / "none.toml")


def test_digests_tell_rooms_apart() -> None:
    base = Recipe("a", "b", run=RunConfig(steps=1, pixel_part=1.0))
    longer = dataclasses.replace(base, run=RunConfig(steps=2, pixel_part=1.0))
    assert base.digest("data", "pool") == longer.digest("data", "pool")
    assert base.digest() != longer.digest()
