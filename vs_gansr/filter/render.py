"""Run a network on frames: take their planes, have them computed, and return frames `scale` times as large."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import vapoursynth as vs

from ..colour import tags
from ..common import process
from ..engine.base import Stored
from ..engine.tiled.recovery import Recovery
from ..model.rewrite.ends import Samples
from . import samples
from .overdue import Overdue

__all__ = ["Filter420", "NetworkFilter", "samples_of"]

integers = cache(Samples.integer)  # asked for with every frame
KEPT_PROPS = ("_Matrix", "_Range", "_Transfer", "_Primaries")  # what conversions of the result depend on


class NetworkFilter:
    """Returns frames `scale` times as large: RGB in 32 bit floats, or Gray from the first plane of other formats.

    It is called with a frame, or with a frame amid its neighbours if the network takes several.
    """

    def __init__(
        self,
        core: vs.Core,
        network: Recovery,
        scale: int,
        target: vs.VideoFormat,
        count: int,
        overdue: Overdue | None = None,
    ) -> None:
        self.core = core  # makes the frames
        self.network = network  # computes them
        self.scale = scale  # output over input size
        self.target = target  # the output's format: RGBS, or Gray of any depth, in the range of the frame
        self.count = count  # planes of each frame that the network sees, from the first
        self.under_way = overdue.frame if overdue else nullcontext
        """Covers the time in which the network computes a frame."""

    def __call__(self, n: int, f: vs.VideoFrame | Sequence[vs.VideoFrame]) -> vs.VideoFrame:
        seen = window([f] if isinstance(f, vs.VideoFrame) else f)
        picture = seen[len(seen) // 2]
        out = self.frame_like(picture)
        seen_planes = [plane for frame in seen for plane in samples.views(frame)[: self.count]]
        with self.under_way():
            self.network.render(n, seen_planes, samples.views(out), self.stored(picture))
        return out

    def frame_like(self, frame: vs.VideoFrame, *more: str) -> vs.VideoFrame:
        """A new frame for the result of `frame`, with those of its properties that conversions need and `more`."""
        out = self.core.create_video_frame(self.target, frame.width * self.scale, frame.height * self.scale)
        said, copy = frame.props, out.props
        for name in (*KEPT_PROPS, *more):
            if name in said:
                copy[name] = said[name]
        process.trim(out.width * out.height * self.target.bytes_per_sample * self.target.num_planes)
        return out

    def stored(self, frame: vs.VideoFrame) -> Stored:
        """How the frame stores what the network sees, and how the result is to store what it gives."""
        return samples_of(frame.format, frame.props), samples_of(self.target, frame.props)


def samples_of(fmt: vs.VideoFormat, props: Mapping[str, Any]) -> Samples:
    """How a frame of this format stores its first plane."""
    if fmt.sample_type == vs.FLOAT:
        return Samples(np.dtype(np.float16 if fmt.bits_per_sample == 16 else np.float32))
    return integers(fmt.bits_per_sample, bool(tags.full_range(int(fmt.color_family), props)))


class Filter420(NetworkFilter):
    """Turns YUV 4:2:0 frames with left-sited chroma into frames `scale` times larger, all planes by the network."""

    def __call__(self, n: int, f: vs.VideoFrame | Sequence[vs.VideoFrame]) -> vs.VideoFrame:
        assert isinstance(f, vs.VideoFrame)
        out = self.frame_like(f, "_ChromaLocation")
        y, u, v = samples.views(f)
        seen = np.empty((6, *u.shape), y.dtype)
        samples.split(y, seen[:4])
        seen[4], seen[5] = u, v
        luma, *chroma = samples.views(out)
        made = np.empty((6 * self.scale**2, *u.shape), luma.dtype)
        with self.under_way():
            self.network.render(n, list(seen), list(made), self.stored(f))
        for plane, part in zip((luma, *chroma), np.split(made, [4 * self.scale**2, 5 * self.scale**2]), strict=True):
            samples.join(part, plane)
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


def window(frames: Sequence[vs.VideoFrame]) -> list[vs.VideoFrame]:
    """`frames`, an odd number in order of time, with those beyond a change of scene replaced.

    Going outwards from the middle, the last frame of its scene is repeated: for three frames the middle one. A
    scene changes where `_SceneChangePrev` of a frame or `_SceneChangeNext` of the one before is set, and where size
    or format change. At the clip's ends the frames are repeated already.
    """
    seen = list(frames)
    middle = len(seen) // 2
    for i in range(middle - 1, -1, -1):
        if divided(seen[i], seen[i + 1]):
            seen[: i + 1] = [seen[i + 1]] * (i + 1)
            break
    for i in range(middle + 1, len(seen)):
        if divided(seen[i - 1], seen[i]):
            seen[i:] = [seen[i - 1]] * (len(seen) - i)
            break
    return seen


def divided(before: vs.VideoFrame, after: vs.VideoFrame) -> bool:
    """True if a scene ends between two frames that follow each other."""
    if before is after:
        return False
    if (before.width, before.height, before.format.id) != (after.width, after.height, after.format.id):
        return True
    return bool(before.props.get("_SceneChangeNext") or after.props.get("_SceneChangePrev"))
