"""Train on ten drawn pictures for a few steps: pool, both networks, resume and export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from .export.export import ExportedModel, export
from .loop.trainer import CHECKPOINT, Trainer
from .material import pool
from .recipe import Recipe, check
from .recipe.config import DataConfig, DiscriminatorConfig, GeneratorConfig, LossConfig, PoolConfig, RunConfig
from .records.run_log import LOG, read


def pictures(folder: Path, count: int = 10) -> None:
    """Draw `count` small pictures (waves, grain, discs, lettering) into `folder`/train, the same ones every time."""
    target = folder / "train"
    target.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[:144, :208].astype(np.float32)
    for index in range(count):
        rng = np.random.default_rng(index)
        phase = rng.uniform(0.02, 0.4, (3, 2))
        waves = np.stack([np.sin(x * a + y * b + index) for a, b in phase], -1)
        grain = rng.normal(0, 12, (144, 208, 1))
        image = Image.fromarray(np.clip(128 + 70 * waves + grain, 0, 255).astype(np.uint8))
        draw = ImageDraw.Draw(image)
        for _ in range(12):
            cx, cy, r = rng.integers(0, 208), rng.integers(0, 144), rng.integers(3, 20)
            fill = tuple(int(v) for v in rng.integers(0, 256, 3))
            draw.ellipse((int(cx - r), int(cy - r), int(cx + r), int(cy + r)), fill=fill, outline=(0, 0, 0))
        draw.text((10, 60), f"picture {index}: Quick brown fox", fill=(255, 255, 255))
        image.save(target / f"drawn-{index}.png")


def recipe(folder: Path, steps: int = 10) -> Recipe:
    """A recipe small enough for seconds that goes through both stages."""
    return check(
        Recipe(
            name="smoke",
            summary="smoke run, of no use as a model",
            data=DataConfig(root=str(folder), holdout=5),
            pool=PoolConfig(clips=5, length=4, field=(128, 96), crops=2, crop=64, frames=2),
            generator=GeneratorConfig(width=16, convolutions=3),
            discriminator=DiscriminatorConfig(width=8),
            pixel=LossConfig(pixel=0.8, gradient=0.1, frequency=0.1),
            adversarial=LossConfig(pixel=0.6, frequency=0.1, temporal=0.1, adversarial=0.15, feature=0.05),
            run=RunConfig(
                steps=steps,
                batch=4,
                crop=32,
                clip=2,
                warmup=1,
                pixel_part=0.4,
                log_every=1,
                checkpoint_every=2,
                sample_every=0,
                bf16=False,
            ),
        )
    )


def losses_logged(folder: Path) -> list[dict[str, float]]:
    """The log's training rows without the clock."""
    timed = ("elapsed", "seconds_per_step")
    return [{k: v for k, v in row.items() if k not in timed} for row in read(folder / LOG) if "rate" in row]


def run(folder: Path, device: str, say: Callable[[str], None]) -> ExportedModel:
    """Train both networks on `device` for a few steps, break off, resume, compare with an unbroken run, export, verify.

    Everything lies in `folder`; `say` takes lines for a person to read.

    Raises:
        RuntimeError: the resumed run's numbers differ from the unbroken one's, or any part's own error.
    """
    pictures(folder)
    settings = recipe(folder)
    base = folder / "pool"
    training = pool.load(pool.build(settings, False, base, workers=1, say=say))
    held_out = pool.load(pool.build(settings, True, base, workers=1, say=say))
    whole, broken = folder / "whole", folder / "broken"
    Trainer(settings, whole, training, held_out, device, say).train()
    Trainer(settings, broken, training, held_out, device, say).train(stop_at=5)
    Trainer(settings, broken, training, held_out, device, say).train()
    if losses_logged(whole) != losses_logged(broken):
        raise RuntimeError(f"smoke: the resumed run's numbers differ from the unbroken run's, see {folder}")
    made = export(broken / CHECKPOINT, folder / "smoke.onnx", "smoke run")
    say(f"smoke: {settings.run.steps} steps, resumed exactly, exported, {made.difference:.1e} from PyTorch")
    return made
