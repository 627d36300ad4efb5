"""A synthetic provider whose device computes on the CPU and damages the result in one way, also in a child process."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from vs_gansr.engine.base import Engine, EngineKey, Provider
from vs_gansr.engine.onnxruntime.engine import OnnxRuntimeEngine
from vs_gansr.engine.onnxruntime.provider import CPU
from vs_gansr.engine.planes import Plane
from vs_gansr.errors import DeviceLostError, NotFiniteError, ShortageError
from vs_gansr.model.spec import Model

CARDS: Mapping[str, str | None] = {"made up": None}


class FaultyGpu(Provider):
    """`fault` is what it does wrong, in every tier but that called `fast`, which it has with `both`.

    `cards` names its devices, each with why it cannot be used, None if it can.
    """

    name = "Faulty"
    automatic = True
    streams = 2
    patience = 90.0

    def __init__(self, fault: str = "", both: bool = False, cards: Mapping[str, str | None] = CARDS) -> None:
        self.fault = fault
        self.both = both
        self.cards = dict(cards)

    def installed(self) -> bool:
        return True

    def devices(self) -> list[str]:
        return list(self.cards)

    def trouble(self, device_id: int) -> str | None:
        return [*self.cards.values(), "no such device"][min(device_id, len(self.cards))]

    def precisions(self, device_id: int) -> tuple[str, ...]:
        return "fp16", "fp32"

    def identity(self, device_id: int) -> str:
        return "Faulty 1"

    def tiers(self) -> Mapping[str, Hashable]:
        return {"plain": None, "fast": "sound"} if self.both else {"plain": None}

    def make(self, model: Model, key: EngineKey) -> Engine:
        return FaultyEngine(model, key, "" if key.options == "sound" else self.fault)


class FaultyEngine:
    """An engine on the CPU that spoils what it computes."""

    def __init__(self, model: Model, key: EngineKey, fault: str) -> None:
        self.key = key
        self.fault = fault
        self._real = OnnxRuntimeEngine(model, replace(key, provider=CPU, options=None, device_id=0))
        self._count = itertools.count()
        self._before: list[Plane] | None = None
        if fault == "crash":
            os.abort()
        if fault == "hang":
            time.sleep(600)

    def run(self, inputs: Sequence[Plane], outputs: Sequence[Plane], offset: tuple[int, int] = (0, 0)) -> None:
        n, fault = next(self._count), self.fault
        if fault == "out of memory":
            raise ShortageError("no memory on the made-up GPU")
        if fault == "lost":
            raise DeviceLostError("the made-up GPU fell off the bus")
        if fault == "nan":
            raise NotFiniteError("not finite")
        if fault == "crash on the way" and n > 8 and sys.argv[0].endswith("worker.py"):
            os.abort()
        if fault in ("slow", "stuck"):
            time.sleep(0.5 if fault == "slow" else 3)
        self._real.run(inputs, outputs, offset)
        height, width = outputs[0].shape
        if fault == "wrong block":
            outputs[0][: height // 2, : width // 2] = 0
        if fault == "tiny block":
            outputs[0][:32, :32] += np.asarray(0.02, outputs[0].dtype) if outputs[0].dtype.kind == "f" else 5
        if fault == "all wrong" or (fault == "one in 20" and n % 20 == 19):
            outputs[0][...] = 0
        if fault in ("stale", "swapped") and (fault == "stale" or n % 2):
            now = [plane.copy() for plane in outputs]
            if self._before is not None and self._before[0].shape == outputs[0].shape:
                for plane, old in zip(outputs, self._before, strict=True):
                    plane[...] = old
            self._before = now

    def size(self) -> int:
        return 1

    def close(self) -> None:
        self._real.close()
