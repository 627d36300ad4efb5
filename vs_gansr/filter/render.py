"""Owns the network as a filter: frames in, `scale` times larger frames out; knows no colours and no engines."""

from __future__ import annotations

from collections.abc import Sequence

import vapoursynth as vs

from ..engine import malloc_trim, planes
from ..engine.recovery import Recovery
from . import temporal

__all__ = ["NetworkFilter"]

KEPT_PROPS = ("_Matrix", "_Range", "_Transfer", "_Primaries")  # what the conversion back needs to know of RGB


class NetworkFilter:
    """Turns frames of 32 bit float RGB (or Gray) of any size into frames `scale` times larger.

    Called with a frame, in the middle of its neighbours where the network takes several.
    """

    def __init__(self, core: vs.Core, network: Recovery, scale: int) -> None:
        self.core = core
        """Makes the frames."""
        self.network = network
        """Computes them."""
        self.scale = scale
        """Output over input size."""

    def __call__(self, n: int, f: vs.VideoFrame | Sequence[vs.VideoFrame]) -> vs.VideoFrame:
        seen = temporal.window([f] if isinstance(f, vs.VideoFrame) else f)
        picture = seen[len(seen) // 2]
        out = self.core.create_video_frame(picture.format, picture.width * self.scale, picture.height * self.scale)
        for name in KEPT_PROPS:
            if name in picture.props:
                out.props[name] = picture.props[name]
        self.network.render(n, [plane for frame in seen for plane in planes.views(frame)], planes.views(out))
        malloc_trim.breathe()
        return out
