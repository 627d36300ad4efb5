"""Plan the tiles in which a picture is computed, within the memory that is allowed."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

from ...common.caching import LruCache
from ...errors import ArgumentError, ShortageError, one_line
from ...model.spec import Model
from .. import engines, memory
from ..base import EngineKey
from ..planes import Ramp
from . import tiles
from .tiles import Tile

__all__ = ["Layout", "Limits", "TilePlanner"]

OVERLAP = 16  # pixels, for networks whose radius is not known
MOST_LAYOUTS = 32  # remembered, for a clip whose size varies

type Size = tuple[int, int]


@dataclass(frozen=True)
class Limits:
    """The user's arguments about tiles and memory."""

    tile: Size | None = None
    """(width, height) of a tile in input pixels, overlap included; None: the whole picture if it fits."""
    overlap: Size | None = None
    """(width, height) of a tile's margin on each side, in input pixels; None: as the network needs it."""
    mebibytes: int | None = None  # what the network may take; None: half of what is free


@dataclass(frozen=True)
class Layout:
    """The tiles of a picture."""

    size: Size  # (width, height) of the engine
    covered: Size  # (width, height) that the tiles cover: the picture's, or more where the network takes no such size
    tiles: tuple[Tile, ...]  # row by row
    ramps: tuple[tuple[Ramp, Ramp], ...] | None = None
    """Weights (columns, rows) of each tile where they fade into each other; None where they leave no trace."""


class TilePlanner:
    """Plans tiles for pictures of any size, for one network; the plans change when memory runs out. Thread-safe."""

    def __init__(self, model: Model, key: EngineKey, limits: Limits) -> None:
        self.model = model  # the network
        self.spec = model.spec  # what is known of it
        self.key = key  # where it runs; its size stands for any
        self.limits = limits  # what the user asked for
        self.budget = memory.budget(limits.mebibytes, 1 if key.alone else key.streams, self.device_memory())
        """Bytes that the network may take with all its streams."""
        self._pixels: int | None = None  # the most that a tile may have since memory ran out
        self._layouts: LruCache[Size, Layout] = LruCache(MOST_LAYOUTS)
        self._lock = threading.RLock()

    def layout(self, width: int, height: int) -> Layout:
        """The tiles of a picture of width x height.

        Raises ShortageError if no tile fits the memory, ArgumentError if the user's tiles cannot cover the picture.
        """
        with self._lock:
            return self._layouts.get((width, height), lambda: self._lay_out(width, height))

    def compute_in(self, precision: str) -> None:
        """Plans for another precision from now on."""
        with self._lock:
            self.key = replace(self.key, precision=precision)
            self._layouts.clear()

    def shrink(self, picture: Size, layout: Layout, error: ShortageError) -> str:
        """Makes tiles smaller than those of `layout`, after `error` with the size `picture`; returns a warning.

        The warning is "" if another frame has done it already. Raises ShortageError if smaller tiles cannot be.
        """
        with self._lock:
            pixels = layout.size[0] * layout.size[1]
            if self._pixels is not None and pixels > self._pixels:
                return ""
            before, self._pixels = self._pixels, pixels // 2
            self._layouts.clear()
            kind = memory.named(self.key, error)
            words = f"out of {kind} with tiles of {layout.size[0]}x{layout.size[1]} ({one_line(error, 120)})"
            try:
                if self.layout(*picture).size == layout.size:  # a network of a fixed size
                    raise error
            except ShortageError:
                self._pixels = before
                self._layouts.clear()
                raise ShortageError(f"{words}, smaller tiles fail too; free memory or set num_streams=1") from error
            return f"{words}; continuing with smaller ones"

    def _lay_out(self, width: int, height: int) -> Layout:
        rule = self.spec.size_rule
        covered = rule.padded(width, height)
        size = rule.fixed or self._tile_size(covered)
        if rule.fixed:
            self._check_fixed(rule.fixed)
        overlap = self._overlap(rule.fixed)
        try:
            pieces = tiles.plan(*covered, size, overlap, rule.multiple)
        except ValueError as error:
            remedy = "give a smaller overlap" if rule.fixed else "give a larger tilesize or a smaller overlap"
            raise ArgumentError(
                f"tilesize {list(size)} is too small: each side must be at least twice the overlap {list(overlap)} "
                f"plus {rule.multiple}, in pixels; {remedy}"
            ) from error
        if len(pieces) == 1 or not any(overlap) or (self.spec.radius is not None and min(overlap) >= self.spec.radius):
            return Layout(size, covered, tuple(pieces))
        return Layout(size, covered, tuple(pieces), faded(pieces, self.spec.growth))

    def _check_fixed(self, size: Size) -> None:
        """Raises ShortageError if a network of one size does not fit the free memory."""
        device = self.device_memory()
        free = memory.available() if device is None else device
        kind = "system memory" if device is None else f"memory of {self.key.provider.name} device {self.key.device_id}"
        if self.need(*size) > free:
            raise ShortageError(
                f'model "{self.spec.name}" takes {size[0]}x{size[1]} pictures only, which need about '
                f"{self.need(*size) // memory.MIB} MiB; {free // memory.MIB} MiB of {kind} are "
                "free; free more, or use another model or provider"
            )

    def _overlap(self, fixed: Size | None = None) -> Size:
        """The margin (w, h) on each side of a tile."""
        if self.limits.overlap:
            return self.limits.overlap
        radius = self.spec.radius
        x = y = OVERLAP if radius is None else radius
        if fixed:  # a network too small for the margin it should have fades over what there is
            x, y = min(x, (fixed[0] - 1) // 2), min(y, (fixed[1] - 1) // 2)
        return x, y

    def _tile_size(self, covered: Size) -> Size:
        """The (w, h) of tiles for a picture of the size `covered`: the user's if they fit, else the fewest that fit."""
        rule = self.spec.size_rule
        step = rule.multiple
        overlap = self._overlap()
        asked = self.limits.tile or covered
        sides, smallest = [], []
        for length, side, margin in zip(covered, asked, overlap, strict=True):
            useful = min(length, rule.side(2 * margin + step))  # keeps one step of itself
            rounded = min(length, rule.side(side))
            sides.append(max(rounded, useful) if side > 2 * margin else rounded)
            smallest.append(useful)
        if self._fits(*sides):
            return sides[0], sides[1]
        found = tiles.fit(*covered, overlap, step, rule.least, self._fits)
        if found:
            return found
        raise ShortageError(
            f"memory {self.budget // memory.MIB} MiB is too little: a tile of {smallest[0]}x{smallest[1]} takes about "
            f"{-(-self.need(*smallest) // memory.MIB)} MiB; give more memory, fewer num_streams or a smaller overlap"
        )

    def _fits(self, width: int, height: int) -> bool:
        """True if tiles of this size stay within the memory allowed."""
        if self._pixels is not None and width * height > self._pixels:
            return False
        return self.need(width, height) <= self.budget

    def device_memory(self) -> int | None:
        """Bytes available on a device with its own memory, counting idle engines as free; None on others."""
        place = (self.key.provider, self.key.device_id)
        found = self.key.provider.memory(self.key.device_id)
        if found is None:
            return None
        idle = sum(size for key, size in engines.engines.idle().items() if (key.provider, key.device_id) == place)
        return min(found[0] + idle, found[1])

    def need(self, width: int, height: int) -> int:
        """Bytes that an engine for pictures of `width` x `height` pixels takes."""
        return memory.need(self.spec, replace(self.key, width=width, height=height))


def faded(pieces: list[Tile], scale: int) -> tuple[tuple[Ramp, Ramp], ...]:
    """Weights (columns, rows) for each of the tiles `pieces`, at the output's size, `scale` times theirs."""
    columns, rows = ({t.x: None for t in pieces}, {t.y: None for t in pieces})
    across = dict(zip(columns, tiles.ramps(list(columns), scale), strict=True))
    down = dict(zip(rows, tiles.ramps(list(rows), scale), strict=True))
    return tuple((across[t.x], down[t.y]) for t in pieces)
