"""Owns how far a network in another precision lies from float32: found on one picture, once for a file's content."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort

from ...colour import pictures
from ...common.caching import LruCache
from ...common.decibels import psnr
from ...model.spec import Model
from .. import engines
from ..base import CPU, OPENVINO, WEBGPU, EngineKey, cpu_threads
from ..cache.remembered import Remembered
from ..openvino import library as openvino_library
from ..plugins import webgpu
from . import cpu_rules as rules

__all__ = ["ENOUGH", "computed_by", "decibels"]

ENOUGH = 50.0  # decibels: from here on `auto` takes another precision for float32
MOST = 1000  # networks remembered
SIDE = 192  # pixels of the picture, in both directions, unless the network wants others
IDENTICAL = 200.0  # decibels of what does not differ at all

remembered = Remembered("fidelity", 3, MOST)
_known: LruCache[str, float] = LruCache(MOST)


def decibels(model: Model, provider: str, precision: str, plain: Model, device_id: int = 0) -> float:
    """The peak signal-to-noise ratio of `model` on `provider` against `plain` in float32 on ONNX Runtime's CPU.

    On one made-up picture whose white is 1. Raises GansrError where either fails.
    """
    key = key_for(model, provider, precision, device_id)
    said = " ".join((computed_by(model, key), plain.spec.digest))

    def find() -> float:
        before = remembered.get(said).get("decibels")
        if before is not None:
            return before
        found = distance(picture_of(model, key), picture_of(plain, key_for(plain, CPU, "fp32")))
        remembered.put(said, {"decibels": found})
        return found

    return _known.get(said, find)


def computed_by(model: Model, key: EngineKey) -> str:
    """All that a network's numbers and speed depend on, in words for what is remembered."""
    made_by = f"{key.provider} {ort.__version__}"
    if key.provider == OPENVINO:
        made_by = f"OpenVINO {openvino_library.version()}"
    elif key.provider == WEBGPU:
        made_by += f" {webgpu.version()} {webgpu.identity(key.device_id)}"
    return " ".join((model.spec.digest, key.precision, made_by, *sorted(rules.features())))


def key_for(model: Model, provider: str, precision: str, device_id: int = 0) -> EngineKey:
    """The key for the picture."""
    rule = model.spec.size_rule
    width, height = rule.fixed or rule.padded(SIDE, SIDE)
    return EngineKey(model.spec.digest, provider, device_id, precision, width, height, 1, cpu_threads())


def distance(picture: np.ndarray, reference: np.ndarray) -> float:
    """The peak signal-to-noise ratio in decibels of a picture, white 1; 0 where they are not of one size."""
    if picture.shape != reference.shape:
        return 0.0
    error = float(np.mean((picture.astype(np.float64) - reference) ** 2))
    return psnr(error, most=IDENTICAL)


def picture_of(model: Model, key: EngineKey) -> np.ndarray:
    """What a network makes of the picture. Raises as engines.make and Engine.run do."""
    spec = model.spec
    [picture] = pictures.made_up(key.width, key.height, 1)
    if spec.channels == 1:
        picture = pictures.luma(picture)
    result = np.empty((spec.channels, key.height * spec.scale, key.width * spec.scale), np.float32)
    engine = engines.make(model, key)
    try:
        engine.run(list(picture) * spec.frames, list(result))
    finally:
        engine.close()
    return result
