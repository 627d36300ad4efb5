"""Convert between a frame's colours and the network's with core.resize, as each frame's own properties say."""

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

__all__ = ["Back", "Join", "WithChroma", "blended", "conversion", "describe_format"]


def describe_format(fmt: vs.VideoFormat | None) -> Format | None:
    """A VapourSynth format as colour/tags describes it; None for a clip whose format varies.

    Raises ArgumentError for a format that cannot be upscaled.
    """
    if fmt is None or fmt.id == 0:
        return None
    if fmt.id in _described:
        return _described[fmt.id]
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
    _described[fmt.id] = described
    return described


_described: dict[int, Format] = {}  # frames ask again and again


class Back:
    """Picks, for each frame, a clip that converts `clip` to the frame's format and colours, or to the format `target`.

    With `scale`, `clip` has the size of the frames and is enlarged by the same call.
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
            raise RenderError("a filter before Upscale returned a frame without a format")
        key = tags.output_conversion(source, self.target or source, f.props, f.width, f.height)
        arguments: dict[str, Any] = dict(tags.CATMULL_ROM)
        if self.scale is not None:
            arguments |= {"width": f.width * self.scale, "height": f.height * self.scale}
        if self.scale is None or key.format != source.id:
            arguments |= conversion(key)
        return self._clips.get(tuple(arguments.items()), lambda: self.clip.resize.Bicubic(**arguments))


class WithChroma:
    """Picks, for each frame of the YUV clip `clip`, a clip that joins `luma` with its chroma, enlarged `scale` times.

    The chroma planes are enlarged at the frame's own siting, to the same bits as core.resize gives for whole frames. No
    plane is copied.
    """

    def __init__(self, clip: vs.VideoNode, luma: vs.VideoNode, scale: int) -> None:
        self._luma = luma
        self._planes = [
            clip.std.ShufflePlanes(plane, vs.GRAY).std.RemoveFrameProps(["_ChromaLocation", "_Matrix"])
            for plane in (1, 2)
        ]
        self._large = {"width": self._planes[0].width * scale, "height": self._planes[0].height * scale}
        self._ratio = 1 / scale - 1
        self._subsampling = clip.format.subsampling_w, clip.format.subsampling_h
        self._clips: dict[int, vs.VideoNode] = {}

    def __call__(self, n: int, f: vs.VideoFrame) -> vs.VideoNode:
        location = int(f.props.get("_ChromaLocation", vs.CHROMA_LEFT))
        found = self._clips.get(location)
        if found is None:
            left, top = (self._ratio * shift for shift in tags.chroma_shift(location, *self._subsampling))
            place = {"src_left": left, "src_top": top}
            chroma = [plane.resize.Bicubic(**self._large, **place, **tags.CATMULL_ROM) for plane in self._planes]
            found = vs.core.std.ShufflePlanes([self._luma, *chroma], [0, 0, 0], vs.YUV)
            self._clips[location] = found
        return found


def conversion(key: ColourKey) -> dict[str, Any]:
    """The arguments of core.resize for the conversion `key`."""
    arguments: dict[str, Any] = {"format": key.format, "range": key.full_range}
    if key.matrix is not None:
        arguments["matrix"] = key.matrix
    if key.chroma_location is not None:
        arguments["chromaloc"] = key.chroma_location
    if key.dither:
        arguments["dither_type"] = "error_diffusion"
    return arguments


def blended(plain: vs.VideoNode, network: vs.VideoNode, strength: float) -> vs.VideoNode:
    """`network`, weighted by `strength`, merged with `plain`, weighted by the rest; formats and sizes may vary."""
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
    """Joins two frames: the first gives chroma, format and properties, the second the luma."""

    def __init__(self, core: vs.Core) -> None:
        self.core = core  # makes the frames

    def __call__(self, n: int, f: Sequence[vs.VideoFrame]) -> vs.VideoFrame:
        chroma, luma = f
        out = self.core.create_video_frame(chroma.format, chroma.width, chroma.height)
        for i, frame in enumerate((luma, chroma, chroma)):
            np.copyto(np.asarray(out[i]), np.asarray(frame[i]))
        for name, value in chroma.props.items():
            out.props[name] = value
        return out
