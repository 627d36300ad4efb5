"""Tell programs in this process what computes their clips: model, precision and provider, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..engine.base import Choice

__all__ = ["Computed", "listen", "tell"]


@dataclass(frozen=True)
class Computed:
    """What computes a clip from now on, in words that plan.json keeps."""

    model: str  # the network's name
    precision: str  # `fp32`, `fp16`, `bf16` or `int8`
    provider: str  # the provider's name
    device_id: int  # which of its devices
    tier: str  # which of the provider's ways to run a network
    on_processors: bool  # True if the device is the machine's processors
    replaced: bool = False  # True if it replaces another one, which has failed

    def __str__(self) -> str:
        return f"then on {self.provider}" if self.replaced else f"{self.model} in {self.precision} on {self.provider}"


_listeners: list[Callable[[Computed], None]] = []


def listen(function: Callable[[Computed], None]) -> None:
    """Calls `function`, in any thread, whenever a clip is made or goes on with something else."""
    _listeners.append(function)


def tell(choice: Choice, replaced: bool = False) -> None:
    """Tells all listeners of a choice."""
    key = choice.key
    here = key.provider.processor(key.device_id)
    now = Computed(choice.model.spec.name, key.precision, key.provider.name, key.device_id, key.tier, here, replaced)
    for function in list(_listeners):
        function(now)
