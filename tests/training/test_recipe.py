"""Recipes: the shipped ones are right, and every mistake is named with its remedy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace
from paths import ROOT

from training import command, recipe
from training.recipe import Recipe, RecipeError
from training.recipe.config import RunConfig

SHIPPED = sorted((ROOT / "training" / "recipes").rglob("*.toml"))
MINIMAL = 'name = "x"\nsummary = "y"\n'


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_recipes_are_right(path: Path) -> None:
    read = recipe.load(path)
    assert read.name == path.stem
    assert read.summary
    assert recipe.from_dict(json.loads(json.dumps(read.builtins()))) == read


def test_the_reference_is_generated_anew(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--reference"]) == 0
    said = capsys.readouterr().out
    assert said == (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8"), "run scripts/train --reference"
    assert "| `length` | integer, at least 1 | `9` | Frames of each clip. |" in said


def test_stored_recipes_may_hold_removed_settings_that_did_nothing() -> None:
    read = recipe.load(recipe.find("general-2x"))
    stored = read.builtins()
    stored["generator"] |= {"frames": 1, "grain": False}
    stored["bands"] |= {"low_sigma": 0.0, "low_where": "everywhere"}
    assert recipe.from_dict(stored) == read
    stored["generator"]["grain"] = True
    with pytest.raises(RecipeError, match=r"generator\.grain = True was removed; .* tag experiments-2026-11"):
        recipe.from_dict(stored)


def test_there_are_recipes() -> None:
    assert "fast-2x" in [path.stem for path in SHIPPED]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[run]\nsteps = 5\ntypo = 1", r"x\.toml: run: .*unknown field `typo`; it takes steps, minutes, "),
        ("nonsense = 1", r"x\.toml: .*unknown field `nonsense`; it takes name, summary, data"),
        ("[run]\nsteps = 'five'", r"run\.steps: expected `int`, got `str`, got 'five'"),
        ("[run]\nsteps = true", r"run\.steps: expected `int`, got `bool`, got True"),
        ("[run]\nsteps = -1", r"run\.steps: expected `int` >= 0, got -1"),
        ("run = 3", r"run: expected `object`, got `int`, got 3"),
        ("[degrade]\ncodecs = [1, 2, 3]", r"degrade\.codecs\[0\]: expected `array`, got `int`, got 1"),
        ("[degrade]\ncodecs = [['h266', 1]]", r"degrade\.codecs\[0\]\[0\]: .*'h266'; use one of 'h264', 'h265'"),
        ("[degrade]\ncodecs = [['h264', 0]]", r"degrade\.codecs \[\['h264', 0.0\]\]: give one a weight above 0"),
        ("[degrade]\nh264_crf = ['low']", r"degrade\.h264_crf: .* length 2, got 1, got \['low'\]"),
        ("[degrade]\nh264_crf = ['low', 3]", r"degrade\.h264_crf\[0\]: expected `float`, got `str`, got 'low'"),
        ("[degrade]\nh264_crf = [28, 15]", r"degrade\.h264_crf \[28.0, 15.0\]: the least comes first"),
        ("[data]\nvideo_scale = [0.5]", r"data\.video_scale: .* length 2, got 1, got \[0.5\]"),
        ("[data]\nvideo_scale = [0, 0.5]", r"data\.video_scale \[0.0, 0.5\]: must be above 0"),
        ("[data]\nvideo_share = 1.5", r"data\.video_share: expected `float` <= 1.0, got 1.5"),
        ("[data]\nvideo_share = nan", r"data\.video_share: .*got nan"),
        ("[data]\nweights = [['*', 1, 2]]", r"data\.weights\[0\]: .* length 2, got 3, got \['\*', 1, 2\]"),
        ("[pool]\nframes = 10", r"pool\.frames 10 must be at most pool\.length 9"),
        (
            "[run]\nsteps = 1\npixel_part = 1.0\ncrop = 8\n[pixel]\nsliced_flat = 1",
            r"bands\.levels 2 with bands\.patch 7 and run\.crop 8: the crop must be .* at least 14",
        ),
        ("", "give steps or minutes"),
        ("[run]\nsteps = 1\npixel_part = 1\n[ship]\npart = 0.5", "ship.part 0.5 with ship.twin ''"),
        ("[run]\nsteps = 1\nminutes = 1", "give steps or minutes, not steps=1"),
        ("[run]\nsteps = 1\n[generator]\nwidth = 20", r"generator\.width: .*multiple of 16, got 20"),
        ("[run]\nsteps = 1\n[generator]\nscale = 4", r"degrade\.scale 2 and generator\.scale 4"),
        ("[run]\nsteps = 1\ncrop = 100", "run.crop 100 must be a multiple of 8"),
        ("[run]\nsteps = 1\nclip = 5", r"run\.clip 5 must divide run\.batch 12"),
        ("[run]\nsteps = 1\n[adversary]\npenalty = 'r1'", r"adversary\.penalty: .*'r1'; use one of 'exact', 'noise'"),
        ("[run]\nsteps = 1\n[pixel]\npixel = -1", r"pixel\.pixel: expected `float` >= 0.0, got -1"),
        ("[run]\nsteps = 1", "set run.pixel_part = 1"),
        ("[run\n", "recipe .*x.toml"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "x.toml"
    other = "" if "[run" in text or "run =" in text or not text else "\n[run]\nsteps = 1\npixel_part = 1.0\n"
    path.write_text(MINIMAL + text + other)
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
    longer = replace(base, run=RunConfig(steps=2, pixel_part=1.0))
    assert base.digest("data", "pool") == longer.digest("data", "pool")
    assert base.digest() != longer.digest()
