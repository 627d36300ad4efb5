"""Define what an engine is, the key it is made for, and the provider that makes it."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..model.rewrite.ends import Samples
from ..model.spec import Model
from .planes import Plane

__all__ = ["FLOAT32", "PRECISIONS", "Choice", "Engine", "EngineKey", "Provider", "cpu_threads"]

FLOAT32 = Samples.float32()  # black at 0, white at 1
PRECISIONS = ("auto", "fp32", "fp16", "bf16", "int8")


class Provider(ABC):
    """A runtime on one kind of device. The methods are called from any thread; the first call may be slow."""

    name = ""  # as people write it: `CPU`, `CUDA`
    meant_for = ""  # what it computes on, for people who have not got it
    install = ""  # the command that installs it
    repair = ""  # what helps where it fails although it is installed and there is hardware, besides installing it again
    platforms: tuple[str, ...] = ("linux", "win32", "darwin")  # where it can be installed, as `sys.platform` names them
    everywhere = False  # True if every installation has it: nothing has to be asked before it is used
    automatic = False  # True if `auto` may take one of its devices, once that has proven itself
    streams = 1  # pictures that are computed at once unless asked otherwise, on devices that are no processors
    patience = 180.0  # seconds that a device has for its proof
    samples: frozenset[np.dtype[Any]] = frozenset(map(np.dtype, (np.uint8, np.uint16, np.float16, np.float32)))
    """Types of samples that its graphs can take and give; others travel as float32."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.name == getattr(other, "name", None)

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def names(self) -> tuple[str, ...]:
        """All names that people may write."""
        return (self.name,)

    @property
    def lock(self) -> AbstractContextManager[object]:
        """What to hold while something of the provider is made, run or closed."""
        return nullcontext()

    @abstractmethod
    def installed(self) -> bool:
        """True if its software is here, whatever devices there are."""

    def devices(self) -> list[str]:
        """Its devices in words, in the order that `device_id` counts them; empty if none, or if they cannot be told."""
        return []

    @abstractmethod
    def trouble(self, device_id: int) -> str | None:
        """Why it cannot run on the device, in one line with the remedy; None if it runs."""

    def hardware(self) -> bool:
        """True if there is hardware for it, so that it is worth a warning that it cannot run."""
        return bool(self.devices())

    def processor(self, device_id: int) -> bool:
        """True if the device is the machine's processors, for which rules decide; others have to prove themselves."""
        return False

    @abstractmethod
    def precisions(self, device_id: int) -> tuple[str, ...]:
        """What networks can be computed in there: of `fp32`, `fp16`, `bf16` and `int8`, the usual one first."""

    def widens_half(self, device_id: int) -> bool:
        """True if half floats are computed in float32 there: the weights are halved, the arithmetic is not."""
        return False

    def memory(self, device_id: int) -> tuple[int, int] | None:
        """Free and total bytes of a device with memory of its own; None where pictures live in the machine's."""
        return None

    def note_loss(self, device_id: int, reason: str) -> None:  # noqa: B027 - most have nothing to note
        """Is told that the device computes nothing more in this process."""

    @abstractmethod
    def identity(self, device_id: int) -> str:
        """Device and versions of all software that its numbers and its speed depend on, in words that stay the same."""

    def tiers(self) -> Mapping[str, Hashable]:
        """Ways to run a network by name, the safest first, each with the options for EngineKey."""
        return {"plain": None}

    def describe(self, device_id: int) -> str:
        """What is worth knowing of a device that works, for `gansr doctor`; "" if nothing is."""
        return ""

    @abstractmethod
    def make(self, model: Model, key: EngineKey) -> Engine:
        """A new engine. Raises GansrError, or what the runtime raises, where there can be none."""


@dataclass(frozen=True)
class EngineKey:
    """What decides whether an engine can be shared: the network's content, where and how it runs."""

    digest: str  # SHA-256 of the network's file
    provider: Provider  # where it runs
    device_id: int  # which of the provider's devices, from 0
    precision: str  # `fp32`, `fp16`, `bf16` or `int8`; what the network computes in, not what its planes hold
    width: int  # columns of the input planes; 0 where a key stands for any size
    height: int  # rows of the input planes; 0 where a key stands for any size
    streams: int  # how many pictures may be computed at once
    threads: int  # processors for each of the streams
    alone: int = 0
    """Processors for a picture while there is no other, on a stream of its own; 0: no such stream."""
    limit: int = 0
    """Bytes of device memory for each stream; 0: as many as there are."""
    source: Samples = FLOAT32  # how the input planes store their samples
    target: Samples = FLOAT32  # how the output planes store theirs
    clamp: bool = False  # whether values below black and above white are kept from the network
    options: Hashable = None  # one of the provider's tiers

    @property
    def tier(self) -> str:
        """The name of that tier."""
        return next(name for name, options in self.provider.tiers().items() if options == self.options)


@dataclass(frozen=True)
class Choice:
    """A model and where it runs."""

    model: Model  # the network; a fallback is the same one, perhaps in another precision
    key: EngineKey  # where and how; its size stands for any
    check: Callable[..., None] | None = None
    """Compares results with the processors' now and then, see auto/sampling; None where nothing is compared."""


class Engine(Protocol):
    """One network at one size on one device; called from any thread, `key.streams` pictures at once."""

    key: EngineKey  # what it was made for

    def run(self, inputs: Sequence[Plane], outputs: Sequence[Plane], offset: tuple[int, int] = (0, 0)) -> None:
        """Computes `outputs` from `inputs`.

        `inputs` are planes of `key.height` x `key.width` as `key.source` stores them: the channels of all frames that
        the network sees, in order. `outputs` are the planes of one frame as `key.target` stores them, `scale` times
        as large, or any part of that: the one that begins at `offset`, (x, y) in input pixels. Rows may lie further
        apart than they are long. Raises ShortageError where memory runs out, NotFiniteError where the network gives
        numbers that are not finite, DeviceLostError where its device is gone, RenderError for whatever else fails.
        """

    def size(self) -> int:
        """Bytes it keeps, roughly."""

    def close(self) -> None:
        """Gives everything back; nothing may be running. Never raises."""


def cpu_threads() -> int:
    """Processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
