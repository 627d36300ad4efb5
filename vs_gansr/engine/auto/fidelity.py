"""Find how far a network in another precision lies from float32 on the processors, on one made-up picture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...colour import pictures
from ...colour.pictures import psnr
from ...common.caching import LruCache
from ...model.spec import Model, ModelSpec
from ..base import Engine, EngineKey, Provider, cpu_threads
from ..disk import Remembered
from ..planes import Plane
from . import cpu_rules
from .registry import CPU

__all__ = ["ENOUGH", "computed_by", "decibels", "picture_for", "run"]

ENOUGH = 50.0  # decibels: from here on another precision, or another device, is taken for float32
MOST = 1000  # networks remembered
SIDE = 192  # pixels of the picture, in both directions, unless the network wants others
IDENTICAL = 200.0  # decibels of what does not differ at all

remembered = Remembered("fidelity", 4, MOST)
_known: LruCache[str, float] = LruCache(MOST)


def decibels(model: Model, provider: Provider, precision: str, plain: Model) -> float:
    """The peak signal-to-noise ratio of `model` on the provider's device 0 against `plain` in float32 on the CPU.

    On one made-up picture whose white is 1. Raises GansrError where either fails.
    """
    key = key_for(model, provider, precision)
    said = " ".join((computed_by(model, key), plain.spec.digest))

    def find() -> float:
        before = remembered.get(said).get("decibels")
        if before is not None:
            return float(before)
        found = distance(run_once(model, key), run_once(plain, key_for(plain, CPU, "fp32")))
        remembered.put(said, {"decibels": found})
        return found

    return _known.get(said, find)


def computed_by(model: Model, key: EngineKey) -> str:
    """The key, as text, under which results are stored: network, precision, tier, device, versions, CPU features."""
    where = key.provider.identity(key.device_id)
    return " ".join((model.spec.digest, key.precision, key.tier, where, *sorted(cpu_rules.features())))


def key_for(model: Model, provider: Provider, precision: str) -> EngineKey:
    """The EngineKey for the test picture, on the provider's device 0, with one stream."""
    rule = model.spec.size_rule
    width, height = rule.fixed or rule.padded(SIDE, SIDE)
    return EngineKey(model.spec.digest, provider, 0, precision, width, height, 1, cpu_threads())


def distance(picture: npt.NDArray[np.float32], reference: npt.NDArray[np.float32]) -> float:
    """The peak signal-to-noise ratio in decibels of a picture, white 1; 0 where they are not of one size."""
    if picture.shape != reference.shape:
        return 0.0
    return psnr(float(np.mean((picture.astype(np.float64) - reference) ** 2)), most=IDENTICAL)


def picture_for(spec: ModelSpec, width: int, height: int, seed: int = 0) -> list[npt.NDArray[np.float32]]:
    """Planes for the network: a made-up picture of this size, once for each frame that it sees."""
    [picture] = pictures.synthetic(spec.grid * width, spec.grid * height, 1, seed)
    if spec.grid > 1:
        return pictures.yuv420(picture)
    return list(pictures.luma(picture) if spec.channels == 1 else picture) * spec.frames


def run(model: Model, engine: Engine, seed: int = 0, picture: list[Plane] | None = None) -> npt.NDArray[np.float32]:
    """What an engine makes of `picture`, or of the made-up one `seed`: (C, H, W). Raises as Engine.run does."""
    spec, key = model.spec, engine.key
    result = np.empty((spec.outputs, key.height * spec.growth, key.width * spec.growth), np.float32)
    engine.run(picture or picture_for(spec, key.width, key.height, seed), list(result))
    return result


def run_once(model: Model, key: EngineKey) -> npt.NDArray[np.float32]:
    """What a new engine makes of the picture. Raises as Provider.make and Engine.run do."""
    engine = key.provider.make(model, key)
    try:
        return run(model, engine)
    finally:
        engine.close()
