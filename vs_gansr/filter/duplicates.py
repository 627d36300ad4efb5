"""Find frames that equal their neighbour, so that the neighbour's result is shown again."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import vapoursynth as vs

from . import samples

__all__ = ["Reuse", "same"]

COLOUR_PROPS = ("_Matrix", "_Range", "_ChromaLocation", "_Transfer", "_Primaries", "_FieldBased")


class Reuse:
    """Picks, for frame n of the source, which frame of `clip` to show: its own, or that of an equal neighbour.

    Equal frames give equal results, so the picture is the same in any order of requests. Which frames were requested
    before decides only which of the equal results is shown, and so how many are computed. The filter does not request
    the neighbour: if the neighbour cannot be read, frame n still can.
    """

    KEPT_BYTES = 256 << 20  # of recent source frames, though never fewer than LEAST of them
    LEAST = 3

    def __init__(self, clip: vs.VideoNode) -> None:
        self.clip = clip
        self.most = max(16, 4 * vs.core.num_threads)  # neighbours are requested about as far apart as there are threads
        self._recent: dict[int, tuple[vs.VideoFrame, int]] = {}  # number -> source frame, and the frame shown for it
        self._lock = threading.Lock()

    def __call__(self, n: int, f: vs.VideoFrame) -> dict[str, Any]:
        return {"val": self.clip, "frame": self.shown(n, f)}

    def shown(self, n: int, frame: vs.VideoFrame) -> int:
        """The number of the frame to show for n, whose source is `frame`."""
        with self._lock:
            shown = n
            for near in (n, n - 1, n + 1):
                before, number = self._recent.get(near, (None, n))
                if before and same(before, frame):
                    shown = number
                    break
            self._recent.pop(n, None)
            self._recent[n] = frame, shown  # the most recent one is last
            most = min(self.most, max(self.LEAST, self.KEPT_BYTES // size(frame)))
            while len(self._recent) > most:
                self._recent.pop(next(iter(self._recent)))
            return shown


def size(frame: vs.VideoFrame) -> int:
    """Bytes of a frame's planes."""
    return sum(np.asarray(frame[i]).nbytes for i in range(frame.format.num_planes))


def same(a: vs.VideoFrame, b: vs.VideoFrame) -> bool:
    """True if two frames have the same format, size, colour properties and sample bits."""
    if (a.format.id, a.width, a.height) != (b.format.id, b.width, b.height) or tags(a) != tags(b):
        return False
    return all(shared(a, b, i) or samples.equal(np.asarray(a[i]), np.asarray(b[i])) for i in range(a.format.num_planes))


def tags(frame: vs.VideoFrame) -> dict[str, Any]:
    """The colour properties a frame has."""
    return {name: frame.props[name] for name in COLOUR_PROPS if name in frame.props}


def shared(a: vs.VideoFrame, b: vs.VideoFrame, plane: int) -> bool:
    """True if the two frames share the memory of a plane, as those of a repeating source do."""
    return bool(a.get_read_ptr(plane).value == b.get_read_ptr(plane).value)
