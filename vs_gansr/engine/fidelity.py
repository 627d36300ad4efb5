"""Owns how far a network in another precision lies from float32: found on one picture, once for a file's content."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort

from ..common.caching import LruCache
from ..common.decibels import psnr
from ..model.spec import Model
from . import engines, openvino_library, pictures, rules
from .base import CPU, OPENVINO, EngineKey, cpu_threads
from .remembered import Remembered

__all__ = ["ENOUGH", "decibels"]

ENOUGH = 50.0  # decibels: from here on `auto` takes another precision for float32
MOST = 1000  # networks remembered
SIDE = 192  # pixels of the picture, in both directions, unless the network wants others
IDENTICAL = 200.0  # decibels of what does not differ at all

remembered = Remembered("fidelity", 1, MOST)
_known: LruCache[str, float] = LruCache(MOST)


def decibels(model: Model, provider: str, precision: str, plain: Model) -> float:
    """The peak signal-to-noise ratio of `model` on `provider` against `plain` in float32 on ONNX Runtime's CPU.

    On one made-up picture whose white is 1. Raises GansrError where either fails.
    """
    made_by = f"OpenVINO {openvino_library.version()}" if provider == OPENVINO else f"{provider} {ort.__version__}"
    parts = (model.spec.digest, plain.spec.digest, precision, made_by, *sorted(rules.features()))
    key = " ".join(parts)

    def find() -> float:
        before = remembered.get(key).get("decibels")
        if before is not None:
            return before
        found = distance(picture_of(model, provider, precision), picture_of(plain, CPU, "fp32"))
        remembered.put(key, {"decibels": found})
        return found

    return _known.get(key, find)


def distance(picture: np.ndarray, reference: np.ndarray) -> float:
    """The peak signal-to-noise ratio in decibels of a picture, white 1; 0 where they are not of one size."""
    if picture.shape != reference.shape:
        return 0.0
    error = float(np.mean((picture.astype(np.float64) - reference) ** 2))
    return psnr(error, most=IDENTICAL)


def picture_of(model: Model, provider: str, precision: str) -> np.ndarray:
    """What a network makes of the picture. Raises as engines.make and Engine.run do."""
    spec = model.spec
    width, height = spec.size_rule.fixed or spec.size_rule.padded(SIDE, SIDE)
    [picture] = pictures.made_up(width, height, 1)
    if spec.channels == 1:
        picture = pictures.luma(picture)
    key = EngineKey(spec.digest, provider, 0, precision, width, height, 1, cpu_threads())
    result = np.empty((spec.channels, height * spec.scale, width * spec.scale), np.float32)
    engine = engines.make(model, key)
    try:
        engine.run(list(picture) * spec.frames, list(result))
    finally:
        engine.close()
    return result
