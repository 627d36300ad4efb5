"""Owns which engine runs a key, and the one cache that all of them live in."""

from __future__ import annotations

from ..errors import GansrError, ModelError, ShortageError, one_line
from ..model.spec import Model
from . import memory
from .base import CUDA, Engine, EngineKey
from .cuda_engine import CudaEngine
from .onnxruntime_engine import OnnxRuntimeEngine
from .session_cache import Lease, SessionCache

__all__ = ["KEEP_BYTES", "KEEP_SECONDS", "acquire", "engines", "make"]

KEEP_SECONDS = 30.0
KEEP_BYTES = memory.COMFORTABLE  # what an engine takes at most unless told otherwise: it must be found again

engines: SessionCache[EngineKey, Engine] = SessionCache(KEEP_SECONDS, KEEP_BYTES)


def make(model: Model, key: EngineKey) -> Engine:
    """A new engine. Raises ModelError, ProviderError or ShortageError where there can be none."""
    try:
        return (CudaEngine if key.provider == CUDA else OnnxRuntimeEngine)(model, key)
    except GansrError:
        raise
    except MemoryError as error:
        raise ShortageError(f"no memory for pictures of {key.width}x{key.height}") from error
    except Exception as error:  # ONNX Runtime's binding raises types of its own
        raise ModelError(f"the network cannot be made ready: {one_line(error)}") from error


def acquire(model: Model, key: EngineKey) -> Lease[Engine]:
    """The engine for `key`, from the cache or new."""
    return engines.acquire(key, lambda: make(model, key))
