"""Make engines and keep them in the one cache that all clips share."""

from __future__ import annotations

from ..errors import GansrError, ModelError, ShortageError, one_line
from ..model.spec import Model
from . import memory
from .base import Engine, EngineKey
from .session_cache import Lease, SessionCache

__all__ = ["KEEP_BYTES", "KEEP_SECONDS", "acquire", "engines", "make"]

KEEP_SECONDS = 30.0
KEEP_BYTES = memory.COMFORTABLE  # what an engine takes at most unless told otherwise: it must be found again
PATIENCE = 5.0  # seconds to wait for pictures that dropped engines still compute

engines: SessionCache[EngineKey, Engine] = SessionCache(KEEP_SECONDS, KEEP_BYTES)


def make(model: Model, key: EngineKey) -> Engine:
    """A new engine. Raises ModelError, ProviderError or ShortageError."""
    try:
        return key.provider.make(model, key)
    except GansrError:
        raise
    except Exception as error:  # ONNX Runtime's binding raises types of its own
        if memory.is_shortage(error):
            raise ShortageError(
                f"too little {memory.named(key, error)} to load the network: {one_line(error)}"
            ) from error
        raise ModelError(f'"{model.spec.name}" cannot be loaded on {key.provider.name}: {one_line(error)}') from error


def acquire(model: Model, key: EngineKey) -> Lease[Engine]:
    """The engine for `key`, from the cache or new. Raises as `make` does.

    If memory is short, engines without a holder are closed first; then it waits for dropped engines to finish their
    pictures.
    """

    def make_room() -> Engine:
        while True:
            try:
                return make(model, key)
            except ShortageError:
                if not engines.clear() and not engines.wait_for_forgotten(PATIENCE):
                    raise

    return engines.acquire(key, make_room)
