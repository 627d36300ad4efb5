"""Owns a network made ready for samples as frames store them, whichever runtime runs it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx

from ..model.rewrite import cpu_layout, ends
from ..model.rewrite.depth_to_space import Shuffle
from ..model.spec import ModelSpec
from . import sessions
from .base import FLOAT32, WEBGPU, EngineKey

__all__ = ["Prepared", "with_ends"]


@dataclass(frozen=True)
class Prepared:
    """A network ready to become sessions."""

    proto: onnx.ModelProto
    """Of static shape, in the precision asked for, between the ends of its key."""
    takes: np.dtype[Any]
    """What its input holds."""
    gives: np.dtype[Any]
    """What its output holds."""
    peak: float
    """The value that stands for white in both, where the graph does not see to it."""
    shuffle: Shuffle | None = None
    """The depth-to-space that was taken out of its end."""
    cells: int = 0
    """Channels before that; 0 where nothing was taken out."""


def with_ends(proto: onnx.ModelProto, spec: ModelSpec, key: EngineKey) -> Prepared:
    """The network between samples as the key stores them; as it is where they are plain floats."""
    if key.provider == WEBGPU:  # a GPU without half floats fails over casting them; copying casts them, too
        key = replace(key, source=widened(key.source), target=widened(key.target))
    if key.source == key.target == FLOAT32:
        kind: np.dtype[Any] = np.dtype(np.float16 if spec.half_input else np.float32)
        return Prepared(proto, kind, kind, spec.peak)
    shape = (1, spec.inputs, key.height, key.width)
    with sessions.rewriting():
        wrapped = ends.wrap(cpu_layout.modern(proto), key.source, key.target, shape, spec.peak, watch=True)
    return Prepared(wrapped, key.source.dtype, key.target.dtype, 1.0)


def widened(samples: ends.Samples) -> ends.Samples:
    """The samples in float32 where they are half floats."""
    return replace(samples, dtype=np.dtype(np.float32)) if samples.dtype == np.float16 else samples
