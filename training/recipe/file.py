"""Read a recipe from TOML and check it as a whole."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import msgspec.inspect
from msgspec import Struct, field
from msgspec.structs import astuple, fields

from .config import (
    AdversaryConfig,
    AimConfig,
    BandConfig,
    DataConfig,
    DegradeConfig,
    DiscriminatorConfig,
    GeneratorConfig,
    GuardConfig,
    LossConfig,
    PoolConfig,
    ProjectedConfig,
    Range,
    RunConfig,
    Share,
    ShipConfig,
    WearConfig,
)

_REMOVED: dict[tuple[str, str], Any] = {
    ("generator", "frames"): 1,
    ("generator", "grain"): False,
    ("bands", "low_sigma"): 0.0,
    ("bands", "low_where"): "everywhere",
}
"""Settings that checkpoints may still hold, with the value at which each did nothing."""


class RecipeError(ValueError):
    """A recipe says something that cannot be done; the message names the key, its value and the remedy."""


class Recipe(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that decides a weight, apart from the material itself and the versions of the libraries."""

    name: str
    """The model's, and of the run's folder."""
    summary: str
    """One line for the card."""
    data: DataConfig = field(default_factory=DataConfig)
    """Material."""
    degrade: DegradeConfig = field(default_factory=DegradeConfig)
    """How the inputs are made of it."""
    wear: WearConfig = field(default_factory=WearConfig)
    """What happened to the inputs before their last encode."""
    pool: PoolConfig = field(default_factory=PoolConfig)
    """How much of it is made ahead."""
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    """The network that ships."""
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    """The network that judges."""
    pixel: LossConfig = field(default_factory=LossConfig)
    """Losses of the pixel-loss stage."""
    adversarial: LossConfig = field(default_factory=LossConfig)
    """Shares of the losses in the adversarial stage."""
    bands: BandConfig = field(default_factory=BandConfig)
    """How the sliced losses compare fine detail."""
    aim: AimConfig = field(default_factory=AimConfig)
    """What aligned losses ask for in texture and on flats."""
    adversary: AdversaryConfig = field(default_factory=AdversaryConfig)
    """How the discriminator learns."""
    projected: ProjectedConfig = field(default_factory=ProjectedConfig)
    """The pretrained network that judges, and how its heads learn."""
    guard: GuardConfig = field(default_factory=GuardConfig)
    """When the run is given up."""
    run: RunConfig = field(default_factory=RunConfig)
    """Length and pace."""
    ship: ShipConfig = field(default_factory=ShipConfig)
    """What of the trained weights is exported."""

    def builtins(self) -> dict[str, Any]:
        """As tables, lists, strings and numbers, as `from_dict` reads them."""
        tables: dict[str, Any] = json.loads(msgspec.json.encode(self))
        return tables

    def digest(self, *rooms: str) -> str:
        """Hash of the named rooms (all without names): 16 hex digits."""
        whole = self.builtins()
        part = {key: whole[key] for key in rooms} if rooms else whole
        return hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()[:16]


def check(recipe: Recipe) -> Recipe:
    """Return the recipe if its parts agree.

    Raises:
        RecipeError: naming the values that do not and what to change.
    """
    run, pool, scale = recipe.run, recipe.pool, recipe.generator.scale
    if bool(run.steps) == bool(run.minutes):
        raise RecipeError(f"run: give steps or minutes, not steps={run.steps} and minutes={run.minutes}")
    if recipe.degrade.scale != scale:
        raise RecipeError(f"degrade.scale {recipe.degrade.scale} and generator.scale {scale}: make them equal")
    if run.crop > pool.crop or run.crop % (4 * scale) or pool.crop % scale:
        raise RecipeError(f"run.crop {run.crop} must be a multiple of {4 * scale} and at most pool.crop {pool.crop}")
    if pool.frames > pool.length:
        raise RecipeError(f"pool.frames {pool.frames} must be at most pool.length {pool.length}")
    if run.batch % run.clip or run.clip > pool.frames:
        raise RecipeError(
            f"run.clip {run.clip} must divide run.batch {run.batch} and be at most pool.frames {pool.frames}"
        )
    if recipe.generator.colour and recipe.generator.phases != 2:
        raise RecipeError(f"generator.colour with generator.phases {recipe.generator.phases}: set phases = 2")
    if (recipe.pixel.shift or recipe.adversarial.shift) and recipe.generator.phases != 2:
        raise RecipeError(
            f"pixel.shift or adversarial.shift with generator.phases {recipe.generator.phases}: "
            "its output moves with its input; set both to 0"
        )
    if (recipe.pixel.chroma or recipe.adversarial.chroma) and not recipe.generator.colour:
        raise RecipeError(
            "pixel.chroma or adversarial.chroma without generator.colour: set colour = true, or both to 0"
        )
    if run.pixel_part < 1 and not recipe.adversarial.adversarial + recipe.adversarial.projected:
        raise RecipeError(
            "adversarial.adversarial and adversarial.projected are 0: set run.pixel_part = 1 for a run without a judge"
        )
    if recipe.pixel.adversarial + recipe.pixel.feature + recipe.pixel.projected:
        raise RecipeError("pixel.adversarial, feature and projected must be 0: no judge learns in the pixel-loss stage")
    if (recipe.ship.part < 1) != bool(recipe.ship.twin):
        raise RecipeError(
            f"ship.part {recipe.ship.part:g} with ship.twin {recipe.ship.twin!r}: give both, a part below 1, or neither"
        )
    _check_bands(recipe)
    _check_ranges(recipe)
    return recipe


def _check_bands(recipe: Recipe) -> None:
    bands, crop = recipe.bands, recipe.run.crop
    sliced = any(
        stage.sliced_texture + stage.sliced_edge + stage.sliced_flat for stage in (recipe.pixel, recipe.adversarial)
    )
    if sliced and (crop % 2**bands.levels or crop >> bands.levels - 1 < bands.patch):
        raise RecipeError(
            f"bands.levels {bands.levels} with bands.patch {bands.patch} and run.crop {crop}: the crop must be a "
            f"multiple of {2**bands.levels} and at least {bands.patch << bands.levels - 1}"
        )


def _check_ranges(recipe: Recipe) -> None:
    for name, room in zip((each.name for each in fields(recipe)), astuple(recipe), strict=True):
        for each in fields(room) if isinstance(room, Struct) else ():
            value = getattr(room, each.name)
            if each.type in (Range, tuple[Share, Share]) and value[0] > value[1]:
                raise RecipeError(f"{name}.{each.name} {list(value)}: the least comes first, then the most")
    if recipe.data.video_scale[0] <= 0:
        raise RecipeError(f"data.video_scale {list(recipe.data.video_scale)}: must be above 0")
    for name, table in (("kernels", recipe.degrade.kernels), ("codecs", recipe.degrade.codecs)):
        if not sum(weight for _, weight in table):
            raise RecipeError(f"degrade.{name} {[list(pair) for pair in table]}: give one a weight above 0")


def _convert(table: dict[str, Any], where: str) -> Recipe:
    try:
        return check(msgspec.convert(table, Recipe))
    except msgspec.ValidationError as error:
        said, _, place = str(error).partition(" - at `$")
        key = place.rstrip("`").removeprefix(".")
        value, kind = _at(table, re.findall(r"[^.\[\]]+", key))
        said = said[0].lower() + said[1:]
        if isinstance(kind, msgspec.inspect.StructType) and isinstance(value, dict):
            said += f"; it takes {', '.join(each.name for each in kind.fields)}"
        elif key:
            said += f", got {value!r}"
        if isinstance(kind, msgspec.inspect.LiteralType):
            said += f"; use one of {', '.join(map(repr, kind.values))}"
        raise RecipeError(f"{where}: {key + ': ' if key else ''}{said}") from None
    except RecipeError as error:
        raise RecipeError(f"{where}: {error}") from None


def _at(value: Any, path: list[str]) -> tuple[Any, msgspec.inspect.Type]:
    """The value at `path` of a recipe's tables, and what should be there."""
    kind = msgspec.inspect.type_info(Recipe)
    for step in path:
        value = value[int(step) if isinstance(value, list | tuple) else step]
        if isinstance(kind, msgspec.inspect.StructType):
            kind = next(each.type for each in kind.fields if each.name == step)
        elif isinstance(kind, msgspec.inspect.TupleType):
            kind = kind.item_types[int(step)]
        elif isinstance(kind, msgspec.inspect.VarTupleType):
            kind = kind.item_type
    return value, kind


def find(name: str) -> Path:
    """The path of a recipe: `name` itself if it ends in .toml, training/recipes/`name`.toml otherwise."""
    path = Path(name)
    return path if path.suffix == ".toml" else Path(__file__).parents[1] / "recipes" / f"{name}.toml"


def load(path: str | Path) -> Recipe:
    """Read and check a recipe file.

    Raises:
        RecipeError: the file is missing, is not TOML or says something impossible.
    """
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"recipe {path}: {error}") from None
    return _convert(table, f"recipe {path}")


def from_dict(table: dict[str, Any]) -> Recipe:
    """Inverse of `Recipe.builtins`, for a recipe stored in a checkpoint, older ones included.

    Raises:
        RecipeError: what was stored is no recipe of this version, or uses a setting that was removed.
    """
    kept = {room: dict(keys) if isinstance(keys, dict) else keys for room, keys in table.items()}
    for (room, key), unused in _REMOVED.items():
        value = kept[room].pop(key, unused) if isinstance(kept.get(room), dict) else unused
        if value != unused:
            raise RecipeError(
                f"stored recipe: {room}.{key} = {value!r} was removed; the code that reads it is at the tag "
                "experiments-2026-11"
            )
    return _convert(kept, "stored recipe")
