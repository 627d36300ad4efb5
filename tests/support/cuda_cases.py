"""What the tests of the CUDA engine share: a size, pictures, what becomes of them, and the ways to see a hang."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnxruntime as ort

from vs_gansr.engine.base import Choice, Engine, EngineKey, Provider
from vs_gansr.engine.cuda.provider import FAST, CudaOptions
from vs_gansr.engine.planes import Plane
from vs_gansr.engine.tiled.recovery import Recovery
from vs_gansr.engine.tiled.tile_planner import Limits
from vs_gansr.model.spec import Model

WIDTH, HEIGHT, SCALE = 32, 16, 2


def key_of(
    model: Model, provider: Provider, precision: str = "fp32", streams: int = 2, options: CudaOptions | None = FAST
) -> EngineKey:
    return EngineKey(model.spec.digest, provider, 0, precision, WIDTH, HEIGHT, streams, 1, options=options)


def picture(seed: int = 0) -> list[Plane]:
    """Planes with rows further apart than they are long, as VapourSynth has them."""
    rng = np.random.default_rng(seed)
    return [rng.random((HEIGHT, WIDTH + 16), np.float32)[:, :WIDTH] for _ in range(3)]


def blank() -> list[Plane]:
    return [np.full((SCALE * HEIGHT, SCALE * WIDTH), 7, np.float32) for _ in range(3)]


def expected(model: Model, planes: list[Plane]) -> list[Plane]:
    """The network in a plain session, in float32, nothing bound."""
    session = ort.InferenceSession(model.data, providers=["CPUExecutionProvider"])
    [result] = session.run(None, {model.spec.input: np.stack(planes)[None]})
    return list(result[0])


def check(got: list[Plane], want: list[Plane], most: float = 1e-4) -> None:
    for a, b in zip(got, want, strict=True):
        assert np.abs(a - b).max() <= most


def check_engine(engine: Engine, model: Model, most: float = 1e-4) -> None:
    """Computes a picture right."""
    out = blank()
    engine.run(picture(), out)
    check(out, expected(model, picture()), most)


def in_time[R](step: Callable[[], R], seconds: float = 60) -> R:
    """Returns or raises what the step does; fails if it takes too long."""
    got: list[R] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            got.append(step())
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it hangs"
    if raised:
        raise raised[0]
    return got[0]


def in_background(step: Callable[[], object]) -> threading.Thread:
    """The thread that takes the step."""
    thread = threading.Thread(target=step, daemon=True)
    thread.start()
    return thread


def recovering(model: Model, key: EngineKey, said: list[str], *fallbacks: Callable[[], Choice]) -> Recovery:
    """The network on pictures of any size, with what it says."""
    return Recovery(Choice(model, replace(key, width=0, height=0)), Limits(), said.append, fallbacks)


def broken(error: BaseException) -> Callable[..., Any]:
    """A function that only raises."""

    def fail(*_: Any) -> Any:
        raise error

    return fail
