"""Owns which planes of a clip go through the network and what becomes of the others; runs nothing itself.

    RGB network    tagged ── resize to RGBS ── network
    luma network   tagged ─┬─ network, on the first plane as it is stored ─┬─ Join
                           └─ resize: each chroma plane, at its siting ────┘

Where a luma network wants its three frames aligned, Align (native/align.c) goes before it: three planes in one frame.

RGB clips go through a luma network as YUV 4:4:4 of the matrix that their size suggests; so do clips whose result is
RGB. Where the depth is reduced the network's luma is dithered by zimg, else it is rounded as it leaves the network.
"""

from __future__ import annotations

from functools import partial

import vapoursynth as vs

from ..colour import tags
from ..colour.tags import Family, Format
from ..engine.tiled.recovery import Recovery
from ..errors import ArgumentError, one_line
from . import computed
from .choose import Chosen
from .log import guarded, warn
from .render import NetworkFilter
from .resize import Back, Chroma, Join, describe_format

__all__ = ["Upscaler"]


class Upscaler:
    """Puts one network into the graphs of one clip, several where its format varies."""

    def __init__(self, core: vs.Core, chosen: Chosen, target: Format | None) -> None:
        self.core = core
        """Makes the filters."""
        self.spec = chosen.choice.model.spec
        """The network's."""
        self.target = target
        """The output's format; None: each frame's own."""
        changed = partial(computed.tell, replaced=True)
        self.network = Recovery(chosen.choice, chosen.limits, partial(warn, core), chosen.fallbacks, changed)
        """Computes the frames, for all graphs."""

    def upscale(self, tagged: vs.VideoNode, plain: vs.VideoNode, source: Format | None) -> vs.VideoNode:
        """The clip at `scale` times its size, in the format wanted.

        `tagged` is the clip with complete tags, `plain` the same without those that would mislead a conversion,
        `source` its format, None where that varies. Raises ArgumentError for colours that cannot be converted.
        """
        if self.spec.channels == 3:
            rgb = plain.resize.Bicubic(format=vs.RGBS, **tags.CATMULL_ROM)
            probe_conversion(rgb)
            return self._back(tagged, self._filter(rgb, vs.RGBS), self.target)
        assert source is not None
        target = self.target or source
        if Family.RGB in (source.family, target.family) or (source.family, target.family) == (Family.GRAY, Family.YUV):
            return self._back(tagged, self._by_yuv444(plain, source), target)
        luma = self._luma(tagged, plain, source, target)
        if target.family == Family.GRAY:
            return luma
        if target == source and tagged.width and tagged.height:
            return self._with_chroma(tagged, plain, luma)
        chroma = self._sized(tagged, Back(plain, target, self.spec.scale), target.id)
        return self._sized(chroma, Join(self.core), target.id, luma)

    def _luma(self, tagged: vs.VideoNode, plain: vs.VideoNode, source: Format, target: Format) -> vs.VideoNode:
        """The first plane of YUV or Gray through the network, as Gray of the target's depth."""
        gray = self.core.query_video_format(vs.GRAY, vs.FLOAT if target.is_float else vs.INTEGER, target.bits)
        if not tags.needs_dither(source, target):
            return self._filter(plain, gray.id)
        return self._sized(tagged, Back(self._filter(plain, vs.GRAYS), describe_format(gray)), gray.id)

    def _with_chroma(self, tagged: vs.VideoNode, plain: vs.VideoNode, luma: vs.VideoNode) -> vs.VideoNode:
        """`luma` beside the enlarged chroma of a clip of constant size; no plane is copied for that."""
        fmt, scale = tagged.format, self.spec.scale
        size = {"width": scale * (tagged.width >> fmt.subsampling_w), "format": luma.format.id}
        size["height"] = scale * (tagged.height >> fmt.subsampling_h)
        planes = [
            self.core.gansr.FrameFilter([tagged], guarded(Chroma(plain, plane, scale)), **size) for plane in (1, 2)
        ]
        return self.core.std.ShufflePlanes([luma, *planes], [0, 0, 0], vs.YUV)

    def _by_yuv444(self, plain: vs.VideoNode, source: Format) -> vs.VideoNode:
        """The clip as YUV 4:4:4 in floats, its luma through the network."""
        matrix = {"matrix": tags.guess_matrix(plain.width, plain.height)} if source.family != Family.YUV else {}
        whole = plain.resize.Bicubic(format=vs.YUV444PS, **tags.CATMULL_ROM, **matrix)
        probe_conversion(whole)
        chroma = self._sized(whole, Back(whole, None, self.spec.scale), vs.YUV444PS)
        return self._sized(chroma, Join(self.core), vs.YUV444PS, self._filter(whole, vs.GRAYS))

    def _filter(self, clip: vs.VideoNode, target: int) -> vs.VideoNode:
        """`clip` through the network: all planes into RGBS, or the first one into Gray."""
        fmt = self.core.get_video_format(target)
        around = 0 if self.spec.aligned else self.spec.frames // 2
        count = self.spec.frames if self.spec.aligned else self.spec.channels
        computing = NetworkFilter(self.core, self.network, self.spec.scale, fmt, count)
        if clip.width and clip.height:
            with first_frame(clip) as frame:
                self.network.prepare(clip.width, clip.height, computing.stored(frame))
        seen = clip.gansr.Align() if self.spec.aligned else clip
        return self.core.gansr.FrameFilter(
            [seen], guarded(computing), **self._size(clip), format=target, before=around, after=around
        )

    def _back(self, tagged: vs.VideoNode, large: vs.VideoNode, target: Format | None) -> vs.VideoNode:
        """`large`, RGB or YUV in floats, in the colours of each frame or of the target."""
        return self._sized(tagged, Back(large, target), target.id if target else 0)

    def _sized(self, clip: vs.VideoNode, function: Back | Join, format: int, *more: vs.VideoNode) -> vs.VideoNode:
        """A filter whose frames are of the output's size."""
        large = self._size(clip) if isinstance(function, Back) else {}
        return self.core.gansr.FrameFilter([clip, *more], guarded(function), **large, format=format)

    def _size(self, clip: vs.VideoNode) -> dict[str, int]:
        return {"width": clip.width * self.spec.scale, "height": clip.height * self.spec.scale}


def first_frame(clip: vs.VideoNode) -> vs.VideoFrame:
    """Frame 0. Raises ArgumentError where there is none to be had."""
    try:
        return clip.get_frame(0)
    except vs.Error as error:
        raise ArgumentError(f"the clip's first frame cannot be had: {one_line(error)}") from error


def probe_conversion(clip: vs.VideoNode) -> None:
    """Converts frame 0, so that colours nobody can convert are refused before the encode starts."""
    try:
        clip.get_frame(0).close()
    except vs.Error as error:
        raise ArgumentError(
            f"the clip's colours cannot be converted to RGB ({one_line(error)}); "
            "correct its _Matrix, _Transfer and _Primaries with std.SetFrameProps"
        ) from error
