"""Compute learning rates, slope and the adversary's ramp from a run's progress."""

from __future__ import annotations

import math

from ..recipe import Recipe


class Schedule:
    """Learning rates, slope and the adversary's say of one recipe."""

    recipe: Recipe
    """Whose run it is."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def progress(self, step: int, elapsed: float) -> float:
        """How much of the run is done after `step` steps and `elapsed` seconds of training, 0 to 1."""
        run = self.recipe.run
        return min(1.0, step / run.steps if run.steps else elapsed / (60 * run.minutes))

    def plays(self, progress: float) -> bool:
        """Whether the adversarial stage has begun at `progress` (0 to 1)."""
        return self.recipe.run.pixel_part < 1 and progress >= self.recipe.run.pixel_part

    def rates(self, progress: float, step: int, adversarial: bool) -> tuple[float, float]:
        """Learning rates (generator, discriminator) at `progress` (0 to 1): a cosine in each stage, ending near zero.

        `adversarial`: whether that stage has begun; `step` counts the warm-up.
        """
        run = self.recipe.run
        if not adversarial:
            last = 0.02 if run.pixel_part >= 1 else 0.2
            rate = run.rate * (last + (1 - last) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress / run.pixel_part))))
            return rate * min(1.0, (step + 1) / run.warmup), 0.0
        inside = max(0.0, progress - run.pixel_part) / max(1e-9, 1 - run.pixel_part)
        fall = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * inside))
        return run.adversarial_rate * fall, self.recipe.adversary.rate * max(fall, 0.1)

    def slope(self, progress: float) -> float:
        """LeakyReLU's slope at `progress` (0 to 1): falls to its end value over most of the pixel-loss stage."""
        config = self.recipe.generator
        part = min(1.0, progress / (0.8 * max(self.recipe.run.pixel_part, 0.02)))
        return config.slope + (config.start_slope - config.slope) * (1 - part)

    def ramp(self, played: int) -> float:
        """The discriminator's say, 0 to 1, after it was in the game for `played` steps.

        It has a head start, then its say grows: a new one's judgement is noise.
        """
        warmup = self.recipe.run.warmup
        return min(1.0, max(0.0, (played - warmup) / (2 * warmup)))
