"""Owns a network made ready for samples as frames store them, whichever runtime runs it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx

from ...model.rewrite import cpu_layout, ends
from ...model.rewrite.depth_to_space import Shuffle
from ...model.spec import ModelSpec
from ..base import FLOAT32, WEBGPU, EngineKey
from . import sessions

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
    shuffle: Shuffle | None = None
    """The depth-to-space that was taken out of its end."""
    cells: int = 0
    """Channels before that; 0 where nothing was taken out."""


def with_ends(proto: onnx.ModelProto, spec: ModelSpec, key: EngineKey, watch: bool = False) -> Prepared:
    """The network between samples as the key stores them, black at 0 and white at 1 where they are floats.

    It has a second output, the watch, with `watch` or where integers come out.
    """
    if key.provider == WEBGPU:  # a GPU without half floats fails over casting them; copying casts them, too
        key = replace(key, source=widened(key.source), target=widened(key.target))
    shape = (1, spec.inputs, key.height, key.width)
    watch = watch or key.target.is_integer
    with sessions.rewriting():
        if watch or key.source != FLOAT32:  # plain floats need no operators that old networks have not got
            proto = cpu_layout.modern(proto)
        wrapped = ends.wrap(proto, key.source, key.target, shape, spec.takes, spec.gives, key.clamp, watch)
    return Prepared(wrapped, key.source.dtype, key.target.dtype)


def widened(samples: ends.Samples) -> ends.Samples:
    """The samples in float32 where they are half floats."""
    return replace(samples, dtype=np.dtype(np.float32)) if samples.dtype == np.float16 else samples
