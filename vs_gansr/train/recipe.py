"""Owns what a recipe file may say: frozen settings, read from TOML and checked; it must not know how any is used."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class RecipeError(ValueError):
    """A recipe says something that cannot be done; the message names the key, its value and the remedy."""


@dataclass(frozen=True)
class DataConfig:
    """Which material is drawn from, and how often.

    `weights` pairs a glob on the file name with a factor, the first match counts, 1 where none matches and 0 leaves
    a file out. `exclude_licences` drops stills whose manifest licence contains one of the strings. `holdout` stills
    (every n-th of the sorted list) are never trained on: they measure the run, as do files, videos included, whose
    names match a glob of `held_out`. Lettering is drawn over `titles` of the
    clips. Videos are made `video_scale` times as large, drawn anew for each clip.
    """

    root: str = "../shared/data"
    weights: tuple[tuple[str, float], ...] = ()
    exclude_licences: tuple[str, ...] = ()
    video_share: float = 0.2
    holdout: int = 12
    held_out: tuple[str, ...] = ()
    titles: float = 0.0
    video_scale: tuple[float, float] = (0.5, 0.67)


@dataclass(frozen=True)
class DegradeConfig:
    """Chances and ranges of everything that stands between a sharp frame and the one a user has.

    `kernels` and `codecs` are (name, weight); ranges are inclusive (low, high). Noise and ringing are in 8-bit code
    values and unsharp amount, blur is a Gaussian's sigma in large-picture pixels. `soft_chance` of the clips are
    blurred by `soft_sigma` before all else, the reference with them: much real video is softer than its size allows,
    and a generator that never saw such sharpens what never was sharp. `camera_chance` of the clips are
    filmed, the reference with them: blurred by a lens, given a sensor's noise, sharpened as cameras do, encoded well.
    Such are a film's own frames; a still made smaller is not.
    """

    scale: int = 2
    kernels: tuple[tuple[str, float], ...] = (
        ("catrom", 0.42),
        ("area", 0.26),
        ("bilinear", 0.12),
        ("lanczos", 0.20),
    )
    codecs: tuple[tuple[str, float], ...] = (("h264", 0.54), ("h265", 0.33), ("mpeg2", 0.07), ("none", 0.06))
    h264_crf: tuple[float, float] = (15, 29)
    h265_crf: tuple[float, float] = (21, 31)
    mpeg2_q: tuple[float, float] = (2, 6)
    mpeg4_q: tuple[float, float] = (2, 8)
    soft_chance: float = 0.0
    soft_sigma: tuple[float, float] = (0.4, 1.3)
    camera_chance: float = 0.0
    camera_blur: tuple[float, float] = (0.3, 1.0)
    camera_noise: tuple[float, float] = (0.0, 2.0)
    camera_sharpening: tuple[float, float] = (0.0, 1.0)
    camera_crf: tuple[float, float] = (14, 22)
    blur_chance: float = 0.12
    blur_sigma: tuple[float, float] = (0.3, 0.8)
    noise_chance: float = 0.12
    noise_sigma: tuple[float, float] = (0.5, 2.5)
    ringing_chance: float = 0.06
    ringing_amount: tuple[float, float] = (0.2, 0.6)


@dataclass(frozen=True)
class PoolConfig:
    """Size of the pool of degraded clips: `clips` encodes of `length` frames of `field` (width, height), from each of
    which `crops` squares of `crop` large-picture pixels and `frames` neighbouring frames are kept. A place's chance
    to be kept is its detail to the power of `detail_power`."""

    clips: int = 700
    length: int = 9
    field: tuple[int, int] = (640, 384)
    crops: int = 6
    crop: int = 192
    frames: int = 3
    detail_power: float = 1.0
    seed: int = 1


@dataclass(frozen=True)
class GeneratorConfig:
    """A chain of `convolutions` 3x3 convolutions of `width` features; `slope` is where LeakyReLU's slope ends
    (0 = ReLU) after starting at `start_slope`.
    """

    scale: int = 2
    width: int = 32
    convolutions: int = 8
    slope: float = 0.0
    start_slope: float = 0.1


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Base feature count of the U-shaped discriminator; its deeper levels have 2 and 3 times as many."""

    width: int = 32


@dataclass(frozen=True)
class LossConfig:
    """Shares of the generator's gradient (they are normalised to 1; 0 leaves a loss out), per stage."""

    pixel: float = 1.0
    structure: float = 0.0
    gradient: float = 0.0
    frequency: float = 0.0
    temporal: float = 0.0
    adversarial: float = 0.0
    feature: float = 0.0


@dataclass(frozen=True)
class AdversaryConfig:
    """The discriminator's side of the game: learning rate, R1 + R2 weight, how the penalty is taken and how often."""

    rate: float = 4e-4
    penalty: str = "noise"
    penalty_weight: float = 0.02
    penalty_every: int = 4
    noise: float = 0.02


@dataclass(frozen=True)
class GuardConfig:
    """When a run is stopped: accuracy (moving mean) outside `accuracy` for `patience` logs, dead last hidden layer."""

    accuracy: tuple[float, float] = (0.505, 0.995)
    patience: int = 20
    alive: float = 0.02
    residual: float = 1e-4


@dataclass(frozen=True)
class RunConfig:
    """Length and pace. A recipe states `steps` (repeatable to the step) or `minutes` (as many steps as fit)."""

    steps: int = 0
    minutes: float = 0.0
    batch: int = 12
    crop: int = 96
    clip: int = 1
    rate: float = 4e-4
    warmup: int = 200
    adversarial_rate: float = 1.5e-4
    pixel_part: float = 0.4
    ema: float = 0.999
    seed: int = 7
    bf16: bool = True
    log_every: int = 20
    checkpoint_every: int = 400
    sample_every: int = 2000
    init: str = ""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a weight, apart from the material itself and the versions of the libraries."""

    name: str
    summary: str
    data: DataConfig = field(default_factory=DataConfig)
    degrade: DegradeConfig = field(default_factory=DegradeConfig)
    pool: PoolConfig = field(default_factory=PoolConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    pixel: LossConfig = field(default_factory=LossConfig)
    adversarial: LossConfig = field(default_factory=LossConfig)
    adversary: AdversaryConfig = field(default_factory=AdversaryConfig)
    guard: GuardConfig = field(default_factory=GuardConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def digest(self, *rooms: str) -> str:
        """Hash of the named rooms (all without names): 16 hex digits."""
        whole = dataclasses.asdict(self)
        part = {key: whole[key] for key in rooms} if rooms else whole
        return hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()[:16]


def _fill[T](kind: type[T], table: dict[str, Any], where: str) -> T:
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(table) - set(hints))
    if unknown:
        raise RecipeError(f"{where}: unknown {', '.join(unknown)}; it takes {', '.join(hints)}")
    values: dict[str, Any] = {}
    for key, value in table.items():
        hint = hints[key]
        if dataclasses.is_dataclass(hint):
            if not isinstance(value, dict):
                raise RecipeError(f"{where}.{key}: expected a table, got {value!r}")
            values[key] = _fill(typing.cast("type[Any]", hint), value, f"{where}.{key}")
            continue
        value = _freeze(value)
        expected = typing.get_origin(hint) or hint
        if expected is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
            raise RecipeError(f"{where}.{key}: expected {expected.__name__}, got {value!r}")
        values[key] = value
    try:
        return kind(**values)
    except TypeError as error:
        raise RecipeError(f"{where}: {error}") from None


def _freeze(value: Any) -> Any:
    return tuple(_freeze(item) for item in value) if isinstance(value, list) else value


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
    if recipe.generator.width % 16 or recipe.generator.convolutions < 2:
        raise RecipeError(
            "generator: width must be a multiple of 16 and convolutions at least 2, got "
            f"{recipe.generator.width} x {recipe.generator.convolutions}"
        )
    if run.crop > pool.crop or run.crop % (4 * scale) or pool.crop % scale:
        raise RecipeError(f"run.crop {run.crop} must be a multiple of {4 * scale} and at most pool.crop {pool.crop}")
    if run.batch % run.clip or run.clip > pool.frames:
        raise RecipeError(
            f"run.clip {run.clip} must divide run.batch {run.batch} and be at most pool.frames {pool.frames}"
        )
    if recipe.adversary.penalty not in ("noise", "exact"):
        raise RecipeError(f"adversary.penalty {recipe.adversary.penalty!r}: use 'noise' or 'exact'")
    losses = (*dataclasses.astuple(recipe.pixel), *dataclasses.astuple(recipe.adversarial))
    if min(losses) < 0:
        raise RecipeError(f"loss shares must not be negative: {losses}")
    if run.pixel_part < 1 and not recipe.adversarial.adversarial:
        raise RecipeError("adversarial.adversarial is 0: set run.pixel_part = 1 for a run without an adversary")
    return recipe


def load(path: str | Path) -> Recipe:
    """Read and check a recipe file.

    Raises:
        RecipeError: the file is missing, is not TOML or says something impossible.
    """
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"recipe {path}: {error}") from None
    return check(_fill(Recipe, table, str(path)))


def from_dict(table: dict[str, Any]) -> Recipe:
    """Inverse of `dataclasses.asdict`, for a recipe stored in a checkpoint."""
    return check(_fill(Recipe, json.loads(json.dumps(table)), "stored recipe"))
