"""Owns which model, provider and precision the settings amount to, and what takes over where a GPU fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..engine import memory, probe, providers
from ..engine.base import CPU, CUDA, EngineKey, cpu_threads
from ..engine.layout import Limits
from ..engine.recovery import Choice
from ..model import library
from .settings import Settings

__all__ = ["Chosen", "choose"]


@dataclass(frozen=True)
class Chosen:
    """What the settings amount to."""

    choice: Choice
    """The model, where and how it runs."""
    fallback: Callable[[], Choice] | None
    """What to go on with where that is beyond help; None where the provider was named."""
    limits: Limits
    """Tiles and memory."""
    summary: str
    """The choice in words, with what was passed over and why."""


def choose(settings: Settings) -> Chosen:
    """Picks provider, precision and model, in the order they depend on each other. Raises GansrError."""
    provider, passed = providers.pick(settings.provider, settings.device_id)
    choice = choice_on(provider, settings)
    why = f" ({'; '.join(passed)})" if passed else ""
    named = settings.provider.lower() != "auto"
    return Chosen(
        choice=choice,
        fallback=None if named or provider == CPU else lambda: choice_on(CPU, replace(settings, device_id=0)),
        limits=Limits(settings.tilesize, settings.overlap, settings.memory),
        summary=f"{choice.model.spec.name} in {choice.key.precision} on {providers.short_name(provider)}{why}",
    )


def choice_on(provider: str, settings: Settings) -> Choice:
    """The model and how it runs on `provider`. Raises ModelError."""
    name = settings.model if settings.model is not None else library.default_model()
    precision = settings.precision
    if precision == "auto" and provider == CPU and providers.fast_int8() and library.has_twin(name):
        precision = "int8"
    model = probe.describe(library.load(name, precision))
    if precision == "auto":
        precision = "fp16" if provider == CUDA else model.spec.precision
    processors = cpu_threads()
    # Two at once need more memory, so smaller tiles: not for networks that look further than a tile's margin.
    pairs = settings.num_streams is None and model.spec.radius is not None
    paired = pairs and provider == CPU and processors > 1
    streams = settings.num_streams or 1 + (paired or provider == CUDA)
    key = EngineKey(
        digest=model.spec.digest,
        provider=provider,
        device_id=settings.device_id,
        precision=precision,
        width=0,
        height=0,
        streams=streams,
        threads=-(-processors // streams),
        alone=processors if paired else 0,
        limit=(settings.memory or 0) * memory.MIB // streams if provider == CUDA else 0,
    )
    return Choice(model, key)
