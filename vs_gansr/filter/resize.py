"""Owns the ways between a frame's own colours and the network's: which conversion, by each frame's own tags.

Everything here is made of core.resize and the shim's frame filter; knows no networks.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import vapoursynth as vs

from ..colour import tags
from ..colour.tags import ColourKey, Family, Format
from ..errors import RenderError
from .log import guarded

__all__ = ["Back", "Join", "blended", "conversion", "describe_format", "with_chroma", "with_luma"]


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
        self._clips: dict[tuple[object, ...], vs.VideoNode] = {}
        self._lock = threading.Lock()

    def __call__(self, n: int, f: vs.VideoFrame) -> vs.VideoNode:
        source = describe_format(f.format)
        if source is None:
            raise RenderError("the frame has no format")
        key = tags.way_back(source, self.target or source, f.props, f.width, f.height)
        arguments: dict[str, Any] = dict(tags.CATMULL_ROM)
        if self.scale is not None:
            arguments |= {"width": f.width * self.scale, "height": f.height * self.scale}
        if self.scale is None or key.format != source.id:
            arguments |= conversion(key)
        found = tuple(arguments.items())
        with self._lock:
            clip = self._clips.pop(found, None) or self.clip.resize.Bicubic(**arguments)
            self._clips[found] = clip
            while len(self._clips) > self.MOST:
                self._clips.pop(next(iter(self._clips)))
            return clip


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
    merged: dict[tuple[int, int, int], vs.VideoNode] = {}
    lock = threading.Lock()

    def same(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        return f

    def pick(n: int, f: vs.VideoFrame) -> vs.VideoNode:
        kind = (f.width, f.height, f.format.id)
        with lock:
            if kind not in merged:
                while len(merged) >= Back.MOST:
                    merged.pop(next(iter(merged)))
                said = dict(zip(("width", "height", "format"), kind, strict=True))
                ends = [core.gansr.FrameFilter([clip], guarded(same), **said) for clip in (plain, network)]
                merged[kind] = core.std.Merge(*ends, weight=strength)
            return merged[kind]

    return core.gansr.FrameFilter([plain], guarded(pick))


class Join:
    """Makes a YUV frame of one whose chroma, format and properties it takes, and of another that is its luma."""

    def __init__(self, core: vs.Core) -> None:
        self.core = core

    def __call__(self, n: int, f: Sequence[vs.VideoFrame]) -> vs.VideoFrame:
        chroma, luma = f
        out = self.core.create_video_frame(chroma.format, chroma.width, chroma.height)
        for i, frame in enumerate((luma, chroma, chroma)):
            np.copyto(np.asarray(out[i]), np.asarray(frame[i]))
        for name, value in chroma.props.items():
            out.props[name] = value
        return out


def with_luma(clip: vs.VideoNode, source: Format | None, target: Format | None) -> vs.VideoNode:
    """`clip`, YUV or RGB, as YUV: as it is where the result will be of its family, else at full chroma size."""
    if source and target and source.family == Family.YUV and target.family != Family.RGB:
        return clip
    matrix = {}
    if source and source.family == Family.RGB:  # the one that a result in YUV has
        matrix = {"matrix": tags.guess_matrix(clip.width, clip.height)}
    return clip.resize.Bicubic(format=vs.YUV444PS, **tags.CATMULL_ROM, **matrix)


def with_chroma(
    luma: vs.VideoNode, tagged: vs.VideoNode, whole: vs.VideoNode, target: Format | None, scale: int
) -> vs.VideoNode:
    """The network's `luma` with the chroma of `whole`, enlarged by zimg at its siting.

    In the format of `target` where `whole` is of its family, so that chroma is resampled only once.
    """
    core = vs.core.core
    size = {"width": luma.width, "height": luma.height}
    final = target if target and whole.format.id != vs.YUV444PS else None
    if target and target.family == Family.GRAY:
        return luma
    if final:
        gray = core.query_video_format(vs.GRAY, vs.FLOAT if final.is_float else vs.INTEGER, final.bits)
        luma = core.gansr.FrameFilter([tagged], guarded(Back(luma, describe_format(gray))), **size, format=gray.id)
    format = final.id if final else vs.YUV444PS
    chroma = core.gansr.FrameFilter(
        [tagged if final else whole], guarded(Back(whole, final, scale)), **size, format=format
    )
    return core.gansr.FrameFilter([chroma, luma], guarded(Join(core)))
