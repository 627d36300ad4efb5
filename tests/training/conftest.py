"""Fixtures of the trainer's tests: ten drawn pictures and their pools, made once, and a trainer on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace

from training import smoke
from training.loop.trainer import Trainer
from training.material import pool
from training.recipe import Recipe
from training.recipe.config import RunConfig

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train/ pictures and pool/, as the smoke run makes them."""
    folder = tmp_path_factory.mktemp("material")
    smoke.pictures(folder)
    recipe = smoke.recipe(folder)
    for held_out in (False, True):
        pool.build(recipe, held_out, folder / "pool", workers=1)
    return folder


@pytest.fixture
def small_recipe(material: Path) -> Recipe:
    return smoke.recipe(material)


@pytest.fixture
def ready(material: Path, small_recipe: Recipe) -> pool.Pool:
    return pool.load(pool.folder(small_recipe, False, material / "pool"))


@pytest.fixture
def trainer(material: Path, tmp_path: Path, ready: pool.Pool) -> Callable[..., Trainer]:
    """`trainer(recipe, name, **run)`: a trainer in tmp_path/name with settings of [run] replaced."""
    held_out = pool.load(pool.folder(smoke.recipe(material), True, material / "pool"))

    def make(recipe: Recipe, name: str = "run", **run: object) -> Trainer:
        changed: RunConfig = replace(recipe.run, **run)
        return Trainer(replace(recipe, run=changed), tmp_path / name, ready, held_out)

    return make
