"""Generators with weights as training leaves them."""

from __future__ import annotations

import torch

from training.networks.generator import LumaGenerator
from training.recipe.config import GeneratorConfig


def shaken(config: GeneratorConfig, seed: int = 0) -> LumaGenerator:
    """A generator whose every parameter has moved away from its start."""
    torch.manual_seed(seed)
    generator = LumaGenerator(config)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return generator
