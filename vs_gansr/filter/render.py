"""Owns running the generator over frames: tiles, memory, and what to do when a provider fails; knows no formats.

A frame is lost only if everything below fails. Memory that runs out: again with all of the session's given back,
then with smaller tiles, for this frame and all that follow. Values that are not finite: the frame again in float32,
and after OVERFLOWS such frames all of them. Any other failure: again, in the end with a new session.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace

import vapoursynth as vs

from ..engine import cuda_driver, malloc_trim, memory, planes, providers, session, session_cache, tiles
from ..engine.session import EngineKey
from ..engine.tiles import Tile
from ..errors import ArgumentError, RenderError, ShortageError, one_line
from ..model.spec import Model
from . import temporal

__all__ = ["Limits", "Network"]

OVERLAP = 16  # pixels, for networks whose radius is not known
TRIES = 4  # at one tile, before its session is held to be broken
SESSIONS = 3  # at one frame, before it is given up
PAUSE = 0.1  # seconds before a new session, for whatever else needs to recover
OVERFLOWS = 3  # frames that half precision could not hold, until it is given up

KEPT_PROPS = ("_Matrix", "_Range", "_Transfer", "_Primaries")  # what the conversion back needs to know of RGB

type Size = tuple[int, int]


@dataclass(frozen=True)
class Limits:
    """What the user asked of tiles and memory: `tile` and `overlap` (w, h) in pixels, `mebibytes`."""

    tile: Size | None = None
    overlap: Size | None = None
    mebibytes: int | None = None


@dataclass(frozen=True)
class Layout:
    """How a picture of one size is run: the static `size` of the engine and the tiles; `ramps` where they fade."""

    size: Size
    tiles: tuple[Tile, ...]
    ramps: tuple[tuple[planes.Ramp, planes.Ramp], ...] | None = None


class Network:
    """Turns frames of 32 bit float RGB (or Gray) of any size into frames `scale` times larger.

    Called with a frame, in the middle of its neighbours where the model takes several.
    """

    MOST_SIZES = 4  # engines held at once for a clip whose size varies

    def __init__(self, core: vs.Core, model: Model, key: EngineKey, limits: Limits) -> None:
        self.core = core
        self.model = model
        self.key = key  # its size stands for any
        self.limits = limits
        self.budget = memory.budget(limits.mebibytes, 1 if key.alone else key.streams, self.device_memory())
        self.overflows = 0
        self._pixels: int | None = None  # the most that a tile may have since memory ran out
        self._layouts: dict[Size, Layout] = {}
        self._leases: dict[EngineKey, session_cache.Lease[session.Engine]] = {}
        self._said: set[str] = set()
        self._lock = threading.RLock()
        weakref.finalize(self, release_all, self._leases).atexit = False

    def prepare(self, width: int, height: int) -> None:
        """Makes the engine for frames of width x height before the first one arrives."""
        while True:
            layout = self.layout(width, height)
            try:
                self.engine(self.sized(layout.size, self.key.precision))
                return
            except ShortageError as error:
                self.shrink((width, height), layout, error)

    def __call__(self, n: int, f: vs.VideoFrame | Sequence[vs.VideoFrame]) -> vs.VideoFrame:
        seen = temporal.window([f] if isinstance(f, vs.VideoFrame) else f)
        picture = seen[len(seen) // 2]
        scale = self.model.spec.scale
        out = self.core.create_video_frame(picture.format, picture.width * scale, picture.height * scale)
        for name in KEPT_PROPS:
            if name in picture.props:
                out.props[name] = picture.props[name]
        self.render(n, [plane for frame in seen for plane in planes.views(frame)], planes.views(out))
        malloc_trim.breathe()
        return out

    # ---- One frame

    def render(self, n: int, picture: list[planes.Plane], result: list[planes.Plane]) -> None:
        """Fills `result` from `picture`, the planes of all frames seen. Raises RenderError where nothing helps."""
        height, width = picture[0].shape
        precision = self.key.precision
        short: set[Size] = set()
        broken = 0
        while True:
            layout = self.layout(width, height)
            key = self.sized(layout.size, precision)
            try:
                try:
                    self.compute(n, layout, key, picture, result)
                    return
                except OverflowError:
                    precision = self.leave_half(n)
                except ShortageError as error:
                    self.drop(key)  # and with it the memory it holds, which may be enough
                    if layout.size in short:
                        self.shrink((width, height), layout, error)
                    short.add(layout.size)
            except RenderError:
                broken += 1
                if broken == SESSIONS:
                    raise
                self.drop(key)
                time.sleep(PAUSE)

    def compute(
        self, n: int, layout: Layout, key: EngineKey, picture: list[planes.Plane], result: list[planes.Plane]
    ) -> None:
        """Runs all tiles. Raises OverflowError at the first that half precision cannot hold, else as `run` does."""
        spec = self.model.spec
        scale = spec.scale
        if layout.ramps:
            planes.clear(result)
        engine = self.engine(key)
        with engine.stream() as stream:
            for i, tile in enumerate(layout.tiles):
                planes.read(picture, tile, stream.input, spec.peak)
                self.run(n, stream, key.precision)
                if layout.ramps:
                    planes.add(stream.output, tile, scale, result, layout.ramps[i], spec.peak, engine.shuffle)
                else:
                    planes.write(stream.output, tile, scale, result, spec.peak, engine.shuffle)

    def run(self, n: int, stream: session.Stream, precision: str) -> None:
        """Computes one tile, several times if need be. Raises ShortageError, OverflowError or RenderError."""
        for left in reversed(range(TRIES)):
            try:
                stream.run()
                if stream.finite():
                    return
                if precision == "fp16":
                    raise OverflowError
                raise RenderError("the network gives values that are not finite, in float32, for this picture")
            except RenderError as error:
                short = isinstance(error, ShortageError)
                if not left or (short and left < TRIES - 1):
                    raise
                if not short:
                    self.say(f"Upscale: frame {n}: {one_line(error)}; trying again", str(error))

    def leave_half(self, n: int) -> str:
        """Notes that half precision could not hold frame n; the precision to compute it again in."""
        with self._lock:
            self.overflows += 1
            self.say(f"Upscale: frame {n} overflows half precision and is computed again in float32")
            if self.overflows >= OVERFLOWS and self.key.precision == "fp16":
                self.key = replace(self.key, precision="fp32")
                self._layouts.clear()
                self.say(f"Upscale: after {self.overflows} such frames float32 is used from here on")
            return "fp32"

    # ---- Tiles and memory

    def layout(self, width: int, height: int) -> Layout:
        """How a picture of width x height is run now; the answer changes when memory runs out."""
        with self._lock:
            found = self._layouts.pop((width, height), None) or self.lay_out(width, height)
            self._layouts[width, height] = found
            while len(self._layouts) > 8 * self.MOST_SIZES:
                self._layouts.pop(next(iter(self._layouts)))
            return found

    def lay_out(self, width: int, height: int) -> Layout:
        spec = self.model.spec
        rule = spec.size_rule
        covered = rule.padded(width, height)
        if rule.fixed:
            size = rule.fixed
            device = self.device_memory()
            free = memory.available() if device is None else device
            if self.need(*size) > free:
                raise ShortageError(
                    f'model "{spec.name}" takes {size[0]}x{size[1]} pictures only, which need about '
                    f"{self.need(*size) // memory.MIB} MiB, and {free // memory.MIB} MiB are free"
                )
        else:
            size = self.tile_size(covered)
        overlap = self.overlap(rule.fixed)
        try:
            pieces = tiles.plan(*covered, size, overlap, rule.multiple)
        except ValueError as error:
            raise ArgumentError(
                f"tilesize {list(size)} with overlap {list(overlap)} cannot cover {width}x{height} ({error}); "
                "give a larger tilesize or a smaller overlap"
            ) from error
        if len(pieces) == 1 or not any(overlap) or (spec.radius is not None and min(overlap) >= spec.radius):
            return Layout(size, tuple(pieces))
        scale = spec.scale
        columns, rows = ({t.x: None for t in pieces}, {t.y: None for t in pieces})
        across = dict(zip(columns, tiles.ramps(list(columns), scale), strict=True))
        down = dict(zip(rows, tiles.ramps(list(rows), scale), strict=True))
        return Layout(size, tuple(pieces), tuple((across[t.x], down[t.y]) for t in pieces))

    def overlap(self, fixed: Size | None = None) -> Size:
        """The margin (w, h) on each side of a tile."""
        if self.limits.overlap:
            return self.limits.overlap
        radius = self.model.spec.radius
        x = y = OVERLAP if radius is None else radius
        if fixed:  # a network too small for the margin it should have fades over what there is
            x, y = min(x, (fixed[0] - 1) // 2), min(y, (fixed[1] - 1) // 2)
        return x, y

    def tile_size(self, covered: Size) -> Size:
        """The (w, h) of tiles for a picture of `covered`: as asked for if that fits, else as few as fit."""
        rule = self.model.spec.size_rule
        step = rule.multiple
        overlap = self.overlap()
        asked = self.limits.tile or covered
        sides, smallest = [], []
        for length, side, margin in zip(covered, asked, overlap, strict=True):
            useful = min(length, rule.side(2 * margin + step))  # keeps one step of itself
            rounded = min(length, rule.side(side))
            sides.append(max(rounded, useful) if side > 2 * margin else rounded)
            smallest.append(useful)
        if self.fits(*sides):
            return sides[0], sides[1]
        found = tiles.fit(*covered, overlap, step, rule.least, self.fits)
        if found:
            return found
        raise ShortageError(
            f"memory {self.budget // memory.MIB} MiB is too little: a tile of {smallest[0]}x{smallest[1]} takes about "
            f"{-(-self.need(*smallest) // memory.MIB)} MiB; give more memory, fewer num_streams or a smaller overlap"
        )

    def fits(self, width: int, height: int) -> bool:
        """True if tiles of this size stay within the memory allowed."""
        if self._pixels is not None and width * height > self._pixels:
            return False
        return self.need(width, height) <= self.budget

    def device_memory(self) -> int | None:
        """Bytes free on a device with memory of its own, None where pictures live in the machine's."""
        return cuda_driver.device(self.key.device_id).memory()[0] if self.key.provider == providers.CUDA else None

    def need(self, width: int, height: int) -> int:
        return session.need(self.model.spec, self.sized((width, height), self.key.precision))

    def shrink(self, picture: Size, layout: Layout, error: ShortageError) -> None:
        """Makes tiles smaller than those of `layout`; raises ShortageError where they cannot be."""
        with self._lock:
            pixels = layout.size[0] * layout.size[1]
            if self._pixels is not None and pixels > self._pixels:
                return  # another frame has done it
            before, self._pixels = self._pixels, pixels // 2
            self._layouts.clear()
            words = f"out of memory with tiles of {layout.size[0]}x{layout.size[1]} ({one_line(error, 120)})"
            try:
                if self.layout(*picture).size == layout.size:  # a network of a fixed size
                    raise error
            except ShortageError:
                self._pixels = before
                self._layouts.clear()
                raise ShortageError(f"{words}, and smaller ones cannot be; free some memory") from error
            self.say(f"Upscale: {words}; going on with smaller ones", "out of memory")

    # ---- Engines

    def sized(self, size: Size, precision: str) -> EngineKey:
        return replace(self.key, width=size[0], height=size[1], precision=precision)

    def engine(self, key: EngineKey) -> session.Engine:
        with self._lock:
            lease = self._leases.pop(key, None) or session.acquire(self.model, key)
            self._leases[key] = lease  # last used last
            while len(self._leases) > self.MOST_SIZES:
                self._leases.pop(next(iter(self._leases))).release()
            return lease.value

    def drop(self, key: EngineKey) -> None:
        """Lets go of an engine for good, so that its memory returns, or a sound one takes its place."""
        with self._lock:
            lease = self._leases.pop(key, None)
            session.sessions.forget(key)
        if lease:
            lease.release()

    def say(self, message: str, once: str | None = None) -> None:
        """Warns through the core's log; of all messages with the same `once` only the first."""
        with self._lock:
            if (once or message) in self._said:
                return
            self._said.add(once or message)
        self.core.log_message(vs.MESSAGE_TYPE_WARNING, message)


def release_all(leases: dict[EngineKey, session_cache.Lease[session.Engine]]) -> None:
    for lease in leases.values():
        lease.release()
    leases.clear()
