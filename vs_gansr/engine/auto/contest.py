"""Owns what WebGPU's GPUs are good for: whether one is quicker than the processors for a network, by a short trial.

Both compute small pictures first, where a GPU that is none (software stands in for it) gives itself away at once.
Findings are kept in the user's cache folder.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

import numpy as np
import onnxruntime as ort

from ...colour import pictures
from ...common.caching import LruCache
from .. import engines
from ..base import WEBGPU, cpu_threads
from ..cache.remembered import Remembered
from ..plugins import webgpu
from ..tiled.recovery import Choice
from . import fidelity, providers

__all__ = ["half", "speedup"]

SIDES = (64, 256)  # pixels of the pictures, in both directions, unless the network wants others
HOPELESS = 20.0  # times as long for the smallest picture, where a GPU's fixed costs weigh most
RUNS = 5  # of which the median counts, after one that makes everything ready
MOST = 1000  # networks remembered

remembered = Remembered("contests", 1, MOST)
_known: LruCache[str, float] = LruCache(MOST)


def speedup(gpu: Choice, processor: Choice) -> float:
    """How many times as quick as on the processors the network is on the GPU. Raises GansrError where either fails."""
    parts = [fidelity.computed_by(choice.model, choice.key) for choice in (gpu, processor)]
    key = " / ".join([*parts, f"{cpu_threads()} processors"])

    def find() -> float:
        before = remembered.get(key).get("speedup")
        if before is not None:
            return before
        found = measured(gpu, processor)
        remembered.put(key, {"speedup": found})
        return found

    return _known.get(key, find)


def half(device_id: int) -> bool:
    """True if WebGPU's device computes in half precision. Raises ProviderError where there is no such device."""
    key = f"half {webgpu.version()} {ort.__version__} {webgpu.identity(device_id)}"
    before = remembered.get(key).get("half")
    if before is None:
        before = float(providers.half_trouble(WEBGPU, device_id) is None)
        remembered.put(key, {"half": before})
    return bool(before)


def measured(gpu: Choice, processor: Choice) -> float:
    """The same by a trial."""
    factor = 0.0
    for side in SIDES:
        theirs, ours = (seconds(choice, side) for choice in (processor, gpu))
        factor = theirs / ours
        if factor * HOPELESS < 1:
            break
    return factor


def seconds(choice: Choice, side: int) -> float:
    """How long a picture takes that is alone. Raises as engines.make and Engine.run do."""
    spec = choice.model.spec
    width, height = spec.size_rule.fixed or spec.size_rule.padded(side, side)
    [picture] = pictures.made_up(width, height, 1)
    if spec.channels == 1:
        picture = pictures.luma(picture)
    key = replace(choice.key, width=width, height=height, streams=1, alone=0, threads=cpu_threads())
    result = np.empty((spec.channels, height * spec.scale, width * spec.scale), np.float32)
    engine = engines.make(choice.model, key)
    try:
        took = []
        for _ in range(1 + RUNS):
            begin = time.perf_counter()
            engine.run(list(picture) * spec.frames, list(result))
            took.append(time.perf_counter() - begin)
            if sum(took[1:]) > 1.0:  # whoever is that slow needs no better clock
                break
        return statistics.median(took[1:])
    finally:
        engine.close()
