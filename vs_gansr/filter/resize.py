"""Owns the ways between a frame's own colours and the network's: which conversion, by each frame's own tags.

Everything here is made of core.resize and the shim's frame filter; knows no networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import vapoursynth as vs

from ..colour import tags
from ..colour.tags import ColourKey, Format
from ..common.caching import LruCache
from ..errors import RenderError
from .log import guarded

__all__ = ["Back", "Chroma", "Join", "blended", "conversion", "describe_format"]


def describe_format(fmt: vs.VideoFormat | None) -> Format | None:
    """VapourSynth's format as colour.py sees it; None where the clip's varies. Refuses by name."""
    if fmt is None or fmt.id == 0:
        return None
    described = Format(
        id=fmt.id,
        name=fmt.name,
        family=int(fmt.color_family),
        is_float=fmt.sample_type == vs.FLOAT,
        bits=fmt.bits_per_sample,
        subsampling_w=fmt.subsampling_w,
        subsampling_h=fmt.subsampling_h,
    )
    tags.check_format(described)
    return described


class Back:
    """Picks, for each frame, the clip that brings `clip` into the frame's own colours, or those of `target`.

    With `scale`, `clip` has the size of the frames still and is enlarged on the way.
    """

    MOST = 32  # conversions held; a clip has one, a spliced one a few

    def __init__(self, clip: vs.VideoNode, target: Format | None, scale: int | None = None) -> None:
        self.clip = clip
        self.target = target
        self.scale = scale
        self._clips: LruCache[tuple[object, ...], vs.VideoNode] = LruCache(self.MOST)

    def __call__(self, n: int, f: vs.VideoFrame) -> vs.VideoNode:
        source = describe_format(f.format)
        if source is None:
            raise RenderError("the frame has no format")
        key = tags.output_conversion(source, self.target or source, f.props, f.width, f.height)
        arguments: dict[str, Any] = dict(tags.CATMULL_ROM)
        if self.scale is not None:
            arguments |= {"width": f.width * self.scale, "height": f.height * self.scale}
        if self.scale is None or key.format != source.id:
            arguments |= conversion(key)
        return self._clips.get(tuple(arguments.items()), lambda: self.clip.resize.Bicubic(**arguments))


class Chroma:
    """Picks, for each YUV frame, the clip that is one of its chroma planes enlarged, at the frame's own siting.

    core.resize computes the same where it is given all planes, and the luma besides, which the network replaces.
    """

    def __init__(self, clip: vs.VideoNode, plane: int, scale: int) -> None:
        self._gray = clip.std.ShufflePlanes(plane, vs.GRAY).std.RemoveFrameProps(["_ChromaLocation", "_Matrix"])
        self._large = {"width": self._gray.width * scale, "height": self._gray.height * scale}
        self._ratio = 1 / scale - 1
        self._subsampling = clip.format.subsampling_w, clip.format.subsampling_h
        self._clips: dict[int, vs.VideoNode] = {}

    def __call__(self, n: int, f: vs.VideoFrame) -> vs.VideoNode:
        location = int(f.props.get("_ChromaLocation", vs.CHROMA_LEFT))
        found = self._clips.get(location)
        if found is None:
            left, top = (self._ratio * shift for shift in tags.chroma_shift(location, *self._subsampling))
            found = self._gray.resize.Bicubic(**self._large, src_left=left, src_top=top, **tags.CATMULL_ROM)
            self._clips[location] = found
        return found


def conversion(key: ColourKey) -> dict[str, Any]:
    """The arguments of core.resize for a way back."""
    arguments: dict[str, Any] = {"format": key.format, "range": key.full_range}
    if key.matrix is not None:
        arguments["matrix"] = key.matrix
    if key.chroma_location is not None:
        arguments["chromaloc"] = key.chroma_location
    if key.dither:
        arguments["dither_type"] = "error_diffusion"
    return arguments


def blended(plain: vs.VideoNode, network: vs.VideoNode, strength: float) -> vs.VideoNode:
    """`strength` of `network` and the rest of `plain`, in their own format; where that varies, frame by frame."""
    core = vs.core.core
    if plain.width and describe_format(plain.format):
        return core.std.Merge(plain, network, weight=strength)
    merged: LruCache[tuple[int, int, int], vs.VideoNode] = LruCache(Back.MOST)

    def same(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        return f

    def pick(n: int, f: vs.VideoFrame) -> vs.VideoNode:
        kind = (f.width, f.height, f.format.id)

        def merge() -> vs.VideoNode:
            said = dict(zip(("width", "height", "format"), kind, strict=True))
            ends = [core.gansr.FrameFilter([clip], guarded(same), **said) for clip in (plain, network)]
            return core.std.Merge(*ends, weight=strength)

        return merged.get(kind, merge)

    return core.gansr.FrameFilter([plain], guarded(pick))


class Join:
    """Makes a YUV frame of one whose chroma, format and properties it takes, and of another that is its luma."""

    def __init__(self, core: vs.Core) -> None:
        self.core = core
        """Makes the frames."""

    def __call__(self, n: int, f: Sequence[vs.VideoFrame]) -> vs.VideoFrame:
        chroma, luma = f
        out = self.core.create_video_frame(chroma.format, chroma.width, chroma.height)
        for i, frame in enumerate((luma, chroma, chroma)):
            np.copyto(np.asarray(out[i]), np.asarray(frame[i]))
        for name, value in chroma.props.items():
            out.props[name] = value
        return out
