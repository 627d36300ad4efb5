"""Make degraded clips ahead, keep them memory-mapped on disk, and draw batches from them."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vs_gansr.colour.tags import BT709_LUMA

from ..recipe import Recipe
from ..recipe.config import PoolConfig
from . import codec, data, degrade, titles
from .codec import Frames
from .wear import WORN

PLANES = ("high", "low", "high_chroma", "low_chroma")
"""The pool's files, without their ending: the attributes of `Pool` of these names."""


@dataclass(frozen=True)
class Pool:
    """Pairs of short clips, memory-mapped."""

    high: Frames
    """References: (entries, frames, crop, crop, 3) uint8 RGB."""
    low: Frames
    """Inputs: (entries, frames, crop / scale, crop / scale, 3) uint8 RGB."""
    high_chroma: Frames
    """The references' chroma in 4:2:0: (entries, frames, crop / 2, crop / 2, 2) uint8, U and V, left-sited."""
    low_chroma: Frames
    """The inputs' chroma as decoded: (entries, frames, crop / scale / 2, crop / scale / 2, 2) uint8."""
    labels: list[str]
    """Where each entry comes from and what became of it."""
    facts: dict[str, str | int | float]
    """Its pool.json: entries, bytes, seconds it took, files and the list's hash."""

    def __len__(self) -> int:
        return len(self.high)

    @cached_property
    def entries(self) -> tuple[list[int], list[int]]:
        """Entries whose inputs were only shrunk and encoded, and those that were worn before."""
        kinds: tuple[list[int], list[int]] = ([], [])
        for entry, label in enumerate(self.labels):
            kinds[label.partition(": ")[2].startswith(WORN)].append(entry)
        return kinds

    def batch(
        self,
        seed: int,
        step: int,
        batch: int,
        crop: int,
        clip: int,
        colour: bool = False,
        worn: float = -1,
        flat: float = 0.0,
        letters: float = 0.0,
    ) -> list[Frames]:
        """Batch number `step`: a pure function of its arguments, so a resumed run needs no saved position.

        Returns [low, high]: (batch, 3, crop / scale, crop / scale) and (batch, 3, crop, crop), contiguous; with
        `colour` also the chroma of both, [..., low_chroma, high_chroma], of 2 planes and half the size. `clip`
        neighbouring frames of one place follow each other; flips and transposition are drawn per place, with `colour`
        only those that leave chroma where it lies. `worn` is the chance that a place's input was worn, -1 as
        often as in the pool. With the chance `flat` a place is of one colour, with the chance `letters`
        lettering is drawn over it, as crisp in the input as its grid allows.
        """
        rng = np.random.default_rng([seed, step])
        scale = self.high.shape[2] // self.low.shape[2]
        small, grid = crop // scale, 2 if colour else 1
        sources = [(self.low, small, 1), (self.high, crop, scale)]
        if colour:
            sources += [(self.low_chroma, small // 2, 1), (self.high_chroma, crop // 2, scale)]
        made = [np.empty((batch, source.shape[-1], side, side), np.uint8) for source, side, _ in sources]
        for place in range(batch // clip):
            entries: Sequence[int] = range(len(self.high)) if worn < 0 else self.entries[rng.random() < worn]
            entry = entries[int(rng.integers(len(entries)))]
            first = int(rng.integers(self.high.shape[1] - clip + 1))
            y, x = (grid * int(v) for v in rng.integers((self.low.shape[2] - small) // grid + 1, size=2))
            turn = rng.integers(2, size=3) * ([0, 1, 0] if colour else 1)
            shade = _shade(rng) if flat and rng.random() < flat else None
            for n in range(clip):
                for number, (source, side, times) in enumerate(sources):
                    top, left = (at * times // (1 + number // 2) for at in (y, x))
                    part = source[entry, first + n, top : top + side, left : left + side]
                    if shade is not None:
                        part = np.full_like(part, shade[:3] if number < 2 else shade[3:])
                    made[number][place * clip + n] = _turn(part, turn)
            if letters and rng.random() < letters:
                frames = slice(place * clip, (place + 1) * clip)
                titles.letter([each[frames] for each in made], (None, None, 128, 128)[: len(made)], rng)
        return made

    def telling(self, count: int) -> list[int]:
        """Entries to look at: the `count` most detailed, each from another file; fewer where files are fewer."""
        frame = self.high.shape[1] // 2
        best: dict[str, tuple[float, int]] = {}
        for index, label in enumerate(self.labels):
            score = float(data.activity(np.asarray(self.high[index, frame])).mean())
            name = label.split(":")[0]
            best[name] = max(best.get(name, (0.0, index)), (score, index))
        return [index for _, index in sorted(best.values(), reverse=True)[:count]]


def _shade(rng: np.random.Generator) -> NDArray[np.uint8]:
    """One colour, every other time a corner of the cube: R, G, B, and U and V of BT.709 in limited range."""
    rgb = rng.integers(256, size=3) if rng.random() < 0.5 else 255 * rng.integers(2, size=3)
    luma = float(np.dot(BT709_LUMA, rgb))
    chroma = [128 + 224 / 255 * (rgb[plane] - luma) / (2 - 2 * BT709_LUMA[plane]) for plane in (2, 0)]
    return np.round([*rgb, *chroma]).astype(np.uint8)


def _turn(picture: Frames, turn: NDArray[np.int64]) -> Frames:
    picture = picture.transpose((2, 1, 0) if turn[0] else (2, 0, 1))
    if turn[1]:
        picture = picture[:, ::-1]
    return picture[:, :, ::-1] if turn[2] else picture


def folder(recipe: Recipe, held_out: bool = False, base: str | Path = ".pool") -> Path:
    """Where this recipe's pool lives below `base`: recipes with the same data, degradation and pool settings share one.

    `held_out`: the one that only measures.
    """
    return Path(base) / (recipe.digest("data", "degrade", "wear", "pool") + ("-held-out" if held_out else ""))


def complete(path: Path) -> bool:
    """Whether a pool is there, whole."""
    return (path / "pool.json").is_file()


def cut(planes: Sequence[Frames], rng: np.random.Generator, config: PoolConfig) -> list[Frames]:
    """`config.crops` squares of `config.frames` neighbouring frames from clips of one picture in several sizes, the
    detailed ones likelier.

    `planes` begin with the reference, (n, height, width, 3); the others, (n, height / k, width / k, channels), are cut
    at the same places, which lie on the coarsest one's grid. Returns (crops, frames, crop / k, crop / k, channels)
    for each.
    """
    crops, crop, frames = config.crops, config.crop, config.frames
    high = planes[0]
    length, height, width = high.shape[:3]
    ratios = [height // each.shape[1] for each in planes]
    grid = max(ratios)
    activity = data.activity(high[length // 2])
    places, scores = [], []
    for _ in range(4 * crops):
        y, x = (grid * int(rng.integers((side - crop) // grid + 1)) for side in (height, width))
        places.append((y, x))
        scores.append(float(activity[y : y + crop, x : x + crop].mean()))
    cuts: list[list[Frames]] = [[] for _ in planes]
    for _ in range(crops):
        chosen = data.pick(rng, scores, config.detail_power)
        (y, x), first = places.pop(chosen), int(rng.integers(length - frames + 1))
        scores.pop(chosen)
        for parts, each, k in zip(cuts, planes, ratios, strict=True):
            parts.append(each[first : first + frames, y // k : (y + crop) // k, x // k : (x + crop) // k])
    return [np.stack(parts) for parts in cuts]


def make(recipe: Recipe, files: list[data.TrainingFile], index: int, held_out: bool) -> tuple[list[Frames], str]:
    """Clip number `index` of the pool, from `files`: crops as `cut` returns them, one of `PLANES` each, and a label.

    `held_out` only decides the draws.
    """
    config = recipe.pool
    rng = np.random.default_rng([config.seed, index, int(held_out)])
    sharp, source = data.clip(recipe.data, files, rng, config)
    also = ""
    # Drawn only where asked for: a recipe without them makes the pool it always made.
    if recipe.degrade.soft_chance:
        sharp, softness = degrade.soften(sharp, rng, recipe.degrade)
        also += f", softened by {softness:.1f}" if softness else ""
    if recipe.degrade.camera_chance:
        sharp, shot = degrade.film(sharp, rng, recipe.degrade)
        also += f", filmed ({shot})" if shot else ""
    if recipe.data.titles and rng.random() < recipe.data.titles:
        sharp = titles.lettering(sharp, rng)
        also += ", titles"
    fate = degrade.draw(rng, recipe.degrade, recipe.wear)
    low = degrade.encoded(sharp, fate, rng, recipe.degrade.scale)
    planes = [sharp, codec.to_rgb(low), codec.chroma_of(codec.to_yuv420(sharp)), codec.chroma_of(low)]
    return cut(planes, rng, config), f"{source}: {fate}{also}"


def build(
    recipe: Recipe,
    held_out: bool = False,
    base: str | Path = ".pool",
    workers: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Make the pool unless it is there; returns its folder (see `folder`), which appears only when it is complete.

    `workers` processes make it, as many as there are CPUs where None; `say` takes lines for a person to read.

    Raises:
        RecipeError: no material; ValueError: a clip could not be encoded.
    """
    target = folder(recipe, held_out, base)
    if complete(target):
        return target
    started = time.monotonic()
    config, scale = recipe.pool, recipe.degrade.scale
    listed = data.sources(recipe.data)
    files = [source for source in listed if source.held_out == held_out]
    clips = max(8, config.clips // 40) if held_out else config.clips
    part = target.with_name(target.name + f".part{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    shape = (clips * config.crops, config.frames)
    sides = {"high": 1, "low": scale, "high_chroma": 2, "low_chroma": 2 * scale}
    planes = [
        np.lib.format.open_memmap(part / f"{name}.npy", "w+", np.uint8, (*shape, side, side, 2 if "_" in name else 3))
        for name in PLANES
        for side in [config.crop // sides[name]]
    ]
    labels = [""] * shape[0]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers or os.cpu_count(), mp_context=context) as executor:
        jobs = {executor.submit(make, recipe, files, index, held_out): index for index in range(clips)}
        for done, job in enumerate(as_completed(jobs), 1):
            place = slice(jobs[job] * config.crops, (jobs[job] + 1) * config.crops)
            made, label = job.result()
            for target_plane, crops in zip(planes, made, strict=True):
                target_plane[place] = crops
            labels[place] = [label] * config.crops
            if done % 20 == 0 or done == clips:
                rate = done / (time.monotonic() - started)
                say(f"pool: {done}/{clips} clips, {(clips - done) / rate:.0f} s left")
    for plane in planes:
        plane.flush()
    facts = {
        "entries": shape[0],
        "bytes": sum(plane.nbytes for plane in planes),
        "seconds": round(time.monotonic() - started, 1),
        "data_sha256": data.list_digest(listed),
        "files": len(files),
    }
    (part / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
    (part / "data.list").write_text("".join(f"{s.sha256}  {s.name}\n" for s in listed), encoding="utf-8")
    (part / "recipe.json").write_text(json.dumps(recipe.builtins(), indent=1), encoding="utf-8")
    (part / "pool.json").write_text(json.dumps(facts), encoding="utf-8")
    part.replace(target)
    return target


def load(path: Path) -> Pool:
    """Open a pool made by `build`.

    Raises:
        ValueError: the folder holds no complete pool.
    """
    if not complete(path):
        raise ValueError(f"pool.load: {path} holds no complete pool; make it with scripts/train RECIPE --pool-only")
    return Pool(
        **{name: np.load(path / f"{name}.npy", mmap_mode="r") for name in PLANES},
        labels=json.loads((path / "labels.json").read_text(encoding="utf-8")),
        facts=json.loads((path / "pool.json").read_text(encoding="utf-8")),
    )
