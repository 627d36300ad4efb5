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

__all__ = ["FLOAT32", "PLAIN", "PRECISIONS", "Choice", "Engine", "EngineKey", "Provider", "Stored", "cpu_threads"]

type Stored = tuple[Samples, Samples]  # how the planes of a picture and of its result store their samples

FLOAT32 = Samples.float32()  # black at 0, white at 1
PLAIN: Stored = (FLOAT32, FLOAT32)
PRECISIONS = ("auto", "fp32", "fp16", "bf16", "int8")


class Provider(ABC):
    """A runtime on one kind of device. Any thread may call the methods; the first call may be slow."""

    name = ""  # as people write it: `CPU`, `CUDA`
    meant_for = ""  # the devices it computes on, for people who have not installed it
    install = ""  # the command that installs it
    repair = ""  # the remedy if it fails although it is installed and there is hardware
    platforms: tuple[str, ...] = ("linux", "win32", "darwin")  # where it can be installed, as `sys.platform` names them
    everywhere = False  # True if every installation has it: nothing has to be asked before it is used
    automatic = False  # True if `auto` may use one of its devices after a GPU trial
    streams = 1  # pictures computed at once by default, on devices that are not CPUs
    patience = 180.0  # seconds until a GPU trial is ended
    samples: frozenset[np.dtype[Any]] = frozenset(map(np.dtype, (np.uint8, np.uint16, np.float16, np.float32)))
    """Types of samples that its graphs read and write; samples of other types travel as float32."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.name == getattr(other, "name", None)

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def names(self) -> tuple[str, ...]:
        """All names that users may write."""
        return (self.name,)

    @property
    def lock(self) -> AbstractContextManager[object]:
        """The lock to hold while a session of the provider is made, run or closed."""
        return nullcontext()

    @abstractmethod
    def installed(self) -> bool:
        """True if its software is installed, with or without a device."""

    def devices(self) -> list[str]:
        """Descriptions of its devices, in the order of `device_id`; empty if there are none or none can be listed."""
        return []

    @abstractmethod
    def trouble(self, device_id: int) -> str | None:
        """Why it cannot run on the device, in one line with the remedy; None if it can."""

    def processor(self, device_id: int) -> bool:
        """True if the device is the CPU, for which rules decide; other devices need a GPU trial."""
        return False

    @abstractmethod
    def precisions(self, device_id: int) -> tuple[str, ...]:
        """The precisions that the device computes in: of `fp32`, `fp16`, `bf16` and `int8`, the default first."""

    def widens_half(self, device_id: int) -> bool:
        """True if the device computes float16 networks in float32: only their weights are halved."""
        return False

    def memory(self, device_id: int) -> tuple[int, int] | None:
        """Free and total bytes of a device with its own memory; None for devices that use the machine's memory."""
        return None

    def note_loss(self, device_id: int, reason: str) -> None:  # noqa: B027 - most have nothing to note
        """Notes that the device is lost for this process."""

    @abstractmethod
    def identity(self, device_id: int) -> str:
        """The device and the versions of all software that results and speed depend on, as stable text."""

    def tiers(self) -> Mapping[str, Hashable]:
        """The tiers by name, the safest first, each with its EngineKey.options."""
        return {"plain": None}

    @abstractmethod
    def make(self, model: Model, key: EngineKey) -> Engine:
        """A new engine. Raises GansrError, or the runtime's own exceptions."""


@dataclass(frozen=True)
class EngineKey:
    """Everything an engine depends on; callers with equal keys share an engine."""

    digest: str  # SHA-256 of the network's file
    provider: Provider  # where it runs
    device_id: int  # which of the provider's devices, from 0
    precision: str  # `fp32`, `fp16`, `bf16` or `int8`; what the network computes in, not what its planes hold
    width: int  # columns of the input planes; 0 where a key stands for any size
    height: int  # rows of the input planes; 0 where a key stands for any size
    streams: int  # how many pictures may be computed at once
    threads: int  # processors for each of the streams
    alone: int = 0  # threads of the stream for pictures that come alone; 0: no such stream
    limit: int = 0  # bytes of device memory for each stream; 0: as many as there are
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
    check: Callable[..., None] | None = None  # compares some results with the CPU's, see auto/sampling
    wrong: Callable[[str], None] = lambda reason: None  # rewrites the verdict of the GPU trial


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
        """Bytes that it keeps, approximately."""

    def close(self) -> None:
        """Frees everything; no run may be under way. Never raises."""


def cpu_threads() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
