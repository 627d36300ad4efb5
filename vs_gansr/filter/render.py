"""Owns the network as a filter: frames in, `scale` times larger frames out; knows no colours and no engines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import vapoursynth as vs

from ..colour import tags
from ..colour.pictures import cells
from ..common import process
from ..engine import planes
from ..engine.tiled.recovery import Recovery, Stored
from ..model.rewrite.ends import Samples
from . import temporal

__all__ = ["Filter420", "NetworkFilter", "samples_of"]

KEPT_PROPS = ("_Matrix", "_Range", "_Transfer", "_Primaries")  # what the conversion back needs to know


class NetworkFilter:
    """Turns frames of any size into frames `scale` times larger: RGB of 32 bit float, or the first plane of others.

    Called with a frame, in the middle of its neighbours where the network takes several.
    """

    def __init__(self, core: vs.Core, network: Recovery, scale: int, target: vs.VideoFormat, count: int) -> None:
        self.core = core
        """Makes the frames."""
        self.network = network
        """Computes them."""
        self.scale = scale
        """Output over input size."""
        self.target = target
        """What comes out: RGBS, or Gray of any depth, in the range that the frame has."""
        self.count = count
        """Planes of each frame that the network sees, from the first."""

    def __call__(self, n: int, f: vs.VideoFrame | Sequence[vs.VideoFrame]) -> vs.VideoFrame:
        seen = temporal.window([f] if isinstance(f, vs.VideoFrame) else f)
        picture = seen[len(seen) // 2]
        out = self.core.create_video_frame(self.target, picture.width * self.scale, picture.height * self.scale)
        for name in KEPT_PROPS:
            if name in picture.props:
                out.props[name] = picture.props[name]
        self.network.render(
            n,
            [plane for frame in seen for plane in planes.views(frame)[: self.count]],
            planes.views(out),
            self.stored(picture),
        )
        process.trim()
        return out

    def stored(self, frame: vs.VideoFrame) -> Stored:
        """How the frame stores what the network sees, and how the result is to store what it gives."""
        return samples_of(frame.format, frame.props), samples_of(self.target, frame.props)


def samples_of(fmt: vs.VideoFormat, props: Mapping[str, Any]) -> Samples:
    """How a frame of this format stores its first plane."""
    if fmt.sample_type == vs.FLOAT:
        return Samples(np.dtype(np.float16 if fmt.bits_per_sample == 16 else np.float32))
    return Samples.integer(fmt.bits_per_sample, bool(tags.full_range(int(fmt.color_family), props)))


class Filter420(NetworkFilter):
    """Turns YUV 4:2:0 frames with left-sited chroma into frames `scale` times larger, all planes by the network."""

    def __call__(self, n: int, f: vs.VideoFrame | Sequence[vs.VideoFrame]) -> vs.VideoFrame:
        assert isinstance(f, vs.VideoFrame)
        out = self.core.create_video_frame(self.target, f.width * self.scale, f.height * self.scale)
        for name in (*KEPT_PROPS, "_ChromaLocation"):
            if name in f.props:
                out.props[name] = f.props[name]
        y, u, v = planes.views(f)
        seen = [np.ascontiguousarray(each) for each in cells(y, 2)]
        large, *chroma = planes.views(out)
        targets = [*cells(large, 2 * self.scale), *(each for plane in chroma for each in cells(plane, self.scale))]
        made = np.empty((len(targets), *u.shape), large.dtype)
        self.network.render(n, [*seen, u, v], list(made), self.stored(f))
        for target, plane in zip(targets, made, strict=True):
            target[...] = plane
        process.trim()
        return out

    def stored(self, frame: vs.VideoFrame) -> Stored:
        """How the frame stores what the network sees, and how the result is to store what it gives."""
        source, target = super().stored(frame)
        full = bool(tags.full_range(int(vs.YUV), frame.props))
        return with_chroma(source, frame.format, full), with_chroma(target, self.target, full)


def with_chroma(samples: Samples, fmt: vs.VideoFormat, full_range: bool) -> Samples:
    """The samples of YUV's luma with those of its chroma, no colour being 0.5."""
    if fmt.sample_type == vs.FLOAT:
        return replace(samples, chroma=(1.0, -0.5))
    peak, middle = float((1 << fmt.bits_per_sample) - 1), float(1 << (fmt.bits_per_sample - 1))
    span = peak if full_range else float(224 << (fmt.bits_per_sample - 8))
    return replace(samples, chroma=(span, middle - span / 2))
