"""Run a network over pictures of any size, and recover from failures.

If memory runs out, the engine is freed and the picture is computed again, then with smaller tiles, as are all later
pictures. If values are not finite, the picture is computed in float32, and after OVERFLOWS such pictures all are. After
any other failure the picture is computed again, then with a new engine, and at last by the next fallback.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from ...errors import DeviceLostError, GansrError, NotFiniteError, RenderError, ShortageError, one_line
from .. import engines, planes
from ..base import FLOAT32, PLAIN, Choice, Engine, EngineKey, Stored
from ..planes import Plane
from ..session_cache import Lease
from .tile_planner import Layout, Limits, TilePlanner

__all__ = ["Recovery"]

TRIES = 4  # runs of one tile, after which its engine counts as broken
SESSIONS = 3  # engines tried for one picture, after which the fallback takes over
PAUSE = 0.1  # seconds before a new engine is made
OVERFLOWS = 3  # pictures that overflowed half precision, after which float32 is used
MOST_SIZES = 4  # engines kept for a clip whose size varies


class Recovery:
    """Runs one network over a clip's pictures, from any thread."""

    def __init__(
        self,
        choice: Choice,
        limits: Limits,
        say: Callable[[str], None],
        fallbacks: Sequence[Callable[[], Choice]] = (),
        changed: Callable[[Choice], None] = lambda choice: None,
    ) -> None:
        """`fallbacks` return the choices that replace a failed one, in this order; `changed` gets each one used, `say`
        gets warnings.
        """
        self.limits = limits  # what the user asked of tiles and memory
        self.overflows = 0  # pictures so far that half precision could not hold
        self._fallbacks = list(fallbacks)
        self._changed = changed
        self._say = say
        self._said: set[str] = set()
        self._leases: dict[EngineKey, Lease[Engine]] = {}
        self._lock = threading.RLock()
        weakref.finalize(self, abandon_all, self._leases).atexit = False
        self._take(choice)

    def _take(self, choice: Choice) -> None:
        self.planner = TilePlanner(choice.model, choice.key, self.limits)  # of the current choice
        self.choice = choice

    def prepare(self, width: int, height: int, stored: Stored = PLAIN) -> None:
        """Makes the engine for pictures of width x height before the first one arrives."""
        while True:
            planner = self.planner
            try:
                layout = planner.layout(width, height)
                try:
                    with self._engine(planner, sized(planner.key, layout, planner.key.precision, stored)):
                        return
                except ShortageError as error:
                    self.say(planner.shrink((width, height), layout, error), "out of memory")
            except GansrError as error:
                self._next(planner, error)

    def render(self, n: int, picture: Sequence[Plane], result: Sequence[Plane], stored: Stored = PLAIN) -> None:
        """Fills `result`, frame n, from `picture`, the planes of all frames seen.

        Both as Engine.run has them, at any size; `stored` says how. Raises RenderError where nothing helps.
        """
        while True:
            with self._lock:
                planner, check = self.planner, self.choice.check
            try:
                self._render(n, planner, picture, result, stored)
                if check:
                    check(n, picture, result, stored)
                return
            except GansrError as error:
                self._next(planner, error)

    def _render(
        self, n: int, planner: TilePlanner, picture: Sequence[Plane], result: Sequence[Plane], stored: Stored
    ) -> None:
        """`render` for one choice."""
        height, width = picture[0].shape
        precision = planner.key.precision
        short: set[tuple[int, int]] = set()
        broken = 0
        while True:
            layout = planner.layout(width, height)
            key = sized(planner.key, layout, precision, stored)
            engine: Engine | None = None
            try:
                with self._engine(planner, key) as engine:
                    self._compute(n, layout, engine, planner.spec.growth, picture, result, stored)
                return
            except ShortageError as error:
                self._drop(key, engine)  # and with it the memory it holds, which may be enough
                if layout.size in short:
                    self.say(planner.shrink((width, height), layout, error), "out of memory")
                short.add(layout.size)
            except DeviceLostError:
                raise
            except RenderError as error:
                if isinstance(error, NotFiniteError) and precision == "fp16":
                    precision = self._leave_half(n, planner)
                    continue
                broken += 1
                if broken == SESSIONS:
                    raise
                self._drop(key, engine)
                time.sleep(PAUSE)

    def _compute(
        self,
        n: int,
        layout: Layout,
        engine: Engine,
        scale: int,
        picture: Sequence[Plane],
        result: Sequence[Plane],
        stored: Stored,
    ) -> None:
        """Computes all tiles. Raises as Engine.run does."""
        seen = planes.padded(picture, *layout.covered)
        sums = [np.zeros(plane.shape, np.float32) for plane in result] if layout.ramps else []
        for i, tile in enumerate(layout.tiles):
            x, y = tile.x, tile.y
            part = [plane[y.start : y.start + y.size, x.start : x.start + x.size] for plane in seen]
            if layout.ramps:
                whole = [np.empty((scale * y.size, scale * x.size), np.float32) for _ in result]
                self._run(n, engine, part, whole, (0, 0))
                for plane, computed in zip(sums, whole, strict=True):
                    there = plane[scale * y.start : scale * (y.start + y.size), scale * x.start :]
                    planes.add(computed, there[:, : scale * x.size], *layout.ramps[i])
            else:
                rows, columns = slice(scale * y.keep, scale * y.keep_end), slice(scale * x.keep, scale * x.keep_end)
                kept = [plane[rows, columns] for plane in result]
                self._run(n, engine, part, kept, (x.keep - x.start, y.keep - y.start))
        for number, (values, plane) in enumerate(zip(sums, result, strict=bool(sums))):
            planes.quantise(values, plane, stored[1].of(number, len(result)))

    def _run(
        self, n: int, engine: Engine, part: Sequence[Plane], kept: Sequence[Plane], offset: tuple[int, int]
    ) -> None:
        """Computes one tile, in up to TRIES runs. Raises as Engine.run does."""
        for left in reversed(range(TRIES)):
            try:
                engine.run(part, kept, offset)
                return
            except RenderError as error:
                short = isinstance(error, ShortageError)
                overflow = isinstance(error, NotFiniteError) and engine.key.precision == "fp16"
                if not left or overflow or isinstance(error, DeviceLostError) or (short and left < TRIES - 1):
                    raise
                if not short:
                    self.say(f"frame {n}: {one_line(error)}; trying again", str(error))

    def _leave_half(self, n: int, planner: TilePlanner) -> str:
        """Counts frame n, which overflowed half precision; returns the precision to compute it in again."""
        halves: list[Lease[Engine]] = []
        with self._lock:
            self.overflows += 1
            self.say(f"frame {n} overflows half precision and is computed again in float32")
            if self.overflows >= OVERFLOWS and planner.key.precision == "fp16":
                planner.compute_in("fp32")
                halves = [self._leases.pop(key) for key in list(self._leases) if key.precision == "fp16"]
                self.say(
                    f"{self.overflows} frames overflowed half precision; all further frames are computed in float32"
                )
        for lease in halves:
            lease.release()
        return "fp32"

    def _next(self, failed: TilePlanner, error: GansrError) -> None:
        """Replaces the failed choice by the next fallback. Raises `error` if there is none."""
        with self._lock:
            if self.planner is not failed:
                return
            while True:
                if not self._fallbacks:
                    raise error
                choice = self._fallbacks.pop(0)()
                try:
                    self._take(choice)
                    break
                except GansrError as later:  # of the same device, which is lost
                    self.say(f"{choice.key.provider.name} fails, too ({one_line(later, 200)})")
            before, after = failed.key, choice.key
            where = f"{after.provider.name}{f' ({after.tier})' if after.provider == before.provider else ''}"
            self.say(f"{before.provider.name} fails ({one_line(error, 200)}); continuing with {where}")
            self._changed(choice)
            leases = list(self._leases.values())
            self._leases.clear()
        for lease in leases:
            lease.release()

    @contextmanager
    def _engine(self, planner: TilePlanner, key: EngineKey) -> Iterator[Engine]:
        """Lends the engine for `key`, and keeps it for the clip."""
        with self._lock:
            kept = self._leases.get(key)
            lease = kept.again() if kept and not kept.forgotten else None
        if lease is None:
            lease = engines.acquire(planner.model, key)
            self._keep(planner, key, lease)
        try:
            yield lease.value
        finally:
            lease.release()

    def _keep(self, planner: TilePlanner, key: EngineKey, lease: Lease[Engine]) -> None:
        """Keeps a new engine after the picture, and drops the oldest one beyond MOST_SIZES.

        An engine that the next picture will not use is not kept: a failed one, or one in another precision.
        """
        with self._lock:
            surplus = [self._leases.pop(key)] if key in self._leases else []
            if planner is self.planner and key.precision == planner.key.precision and not lease.forgotten:
                self._leases[key] = lease.again()
            while len(self._leases) > MOST_SIZES:
                surplus.append(self._leases.pop(next(iter(self._leases))))
        for old in surplus:
            old.release()

    def _drop(self, key: EngineKey, engine: Engine | None) -> None:
        """Removes a broken engine from the cache, so that its memory is freed and a new one can be made."""
        if engine is None:  # it was never made
            return
        engines.engines.forget(key, engine)  # first: nobody keeps it from here on
        with self._lock:
            kept = self._leases.get(key)
            if kept and kept.value is engine:
                del self._leases[key]
        if kept and kept.value is engine:
            kept.release()

    def say(self, message: str, once: str = "") -> None:
        """Logs a warning once. Messages with the same `once` count as one; an empty message logs nothing."""
        with self._lock:
            if not message or (once or message) in self._said:
                return
            self._said.add(once or message)
        self._say(message)


def sized(key: EngineKey, layout: Layout, precision: str, stored: Stored) -> EngineKey:
    """The engine's key for a layout; tiles that are blended are computed as floats."""
    source, target = stored
    return replace(
        key,
        width=layout.size[0],
        height=layout.size[1],
        precision=precision,
        source=source,
        target=FLOAT32 if layout.ramps else target,
    )


def abandon_all(leases: dict[EngineKey, Lease[Engine]]) -> None:
    """Gives all leases back in another thread."""
    for lease in leases.values():
        lease.abandon()
    leases.clear()
