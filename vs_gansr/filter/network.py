"""Build the part of the graph that runs the network: which planes it sees, and where the other planes come from.

    RGB network    tagged ── resize to RGBS ── network
    luma network   tagged ─┬─ network, on the first plane as it is stored ─┬─ Join
                           └─ resize: each chroma plane, at its siting ────┘
    4:2:0 network  tagged ── network, on all planes of 4:2:0 as they are stored; of other layouts its luma is taken

A luma network sees RGB clips as YUV 4:4:4, in the matrix that their size suggests; likewise where the output is RGB. If
the depth is reduced, zimg dithers the network's luma; otherwise the luma is rounded at the end of the network.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import vapoursynth as vs

from ..colour import tags
from ..colour.tags import Family, Format
from ..engine.tiled.recovery import Recovery
from ..engine.tiled.tile_planner import Limits
from ..errors import ArgumentError, one_line
from . import computed, samples
from .choose import Chosen
from .log import guarded, warn
from .overdue import Overdue
from .render import Filter420, NetworkFilter
from .resize import Back, Join, WithChroma, describe_format

__all__ = ["Upscaler"]


class Upscaler:
    """Builds the graphs that run one network on one clip: one, or one for each format if the clip's format varies."""

    def __init__(self, core: vs.Core, chosen: Chosen, target: Format | None) -> None:
        self.core = core  # makes the filters
        self.spec = chosen.choice.model.spec  # the network's
        self.target = target  # the output's format; None: each frame's own
        changed = partial(computed.tell, replaced=True)
        limits = on_grid(chosen.limits, self.spec.grid)
        self.network = Recovery(chosen.choice, limits, partial(warn, core), chosen.fallbacks, changed)
        """Computes the frames, for all graphs."""
        key = chosen.choice.key
        self._overdue = None
        if not key.provider.processor(key.device_id):
            self._overdue = Overdue(key.provider.patience, partial(stopped, core, weakref.ref(self.network)))

    def upscale(self, tagged: vs.VideoNode, plain: vs.VideoNode, source: Format | None) -> vs.VideoNode:
        """The clip at `scale` times its size, in the output's format.

        `tagged` is the clip with complete properties, `plain` the same without those that would mislead a conversion.
        `source` is its format, None if that varies. Raises ArgumentError for colours that cannot be converted.
        """
        if self.spec.channels == 3:
            rgb = plain.resize.Bicubic(format=vs.RGBS, **tags.CATMULL_ROM)
            probe_conversion(rgb)
            return self._back(tagged, self._filter(rgb, vs.RGBS), self.target)
        assert source is not None
        target = self.target or source
        if Family.RGB in (source.family, target.family) or (source.family, target.family) == (Family.GRAY, Family.YUV):
            return self._back(tagged, self._by_yuv444(plain, source), target)
        if self.spec.grid > 1 and target.family == Family.YUV and is_420(source) and is_420(target):
            return self._with_siting(tagged, plain, self._all_planes(tagged, plain, source, target), source, target)
        luma = self._luma(tagged, plain, source, target)
        if target.family == Family.GRAY:
            return luma
        return self._beside(tagged, plain, luma, source, target)

    def _beside(
        self, tagged: vs.VideoNode, plain: vs.VideoNode, luma: vs.VideoNode, source: Format, target: Format
    ) -> vs.VideoNode:
        """`luma` beside the enlarged chroma."""
        if target == source and tagged.width and tagged.height:
            joined = WithChroma(plain, luma, self.spec.scale)
            return self.core.gansr.FrameFilter([tagged], guarded(joined), **self._size(tagged), format=target.id)
        chroma = self._sized(tagged, Back(plain, target, self.spec.scale), target.id)
        return self._sized(chroma, Join(self.core), target.id, luma)

    def _all_planes(self, tagged: vs.VideoNode, plain: vs.VideoNode, source: Format, target: Format) -> vs.VideoNode:
        """YUV 4:2:0 through a network of 4:2:0, in the target's depth."""
        if not tags.needs_dither(source, target):
            return self._filter(plain, target.id)
        return self._sized(tagged, Back(self._filter(plain, vs.YUV420PS), target), target.id)

    def _with_siting(
        self, tagged: vs.VideoNode, plain: vs.VideoNode, large: vs.VideoNode, source: Format, target: Format
    ) -> vs.VideoNode:
        """`large`, with the resize's chroma in frames whose chroma is not left-sited, as the network takes it to be."""
        constant = large.width and large.height  # else Join takes the first plane
        luma = self.core.std.ShufflePlanes(large, 0, vs.GRAY) if constant else large
        resized = self._beside(tagged, plain, luma, source, target)
        return self.core.gansr.FrameFilter(
            [tagged], guarded(BySiting(large, resized)), **self._size(tagged), format=target.id
        )

    def _luma(self, tagged: vs.VideoNode, plain: vs.VideoNode, source: Format, target: Format) -> vs.VideoNode:
        """The first plane of YUV or Gray through the network, as Gray of the target's depth."""
        gray = self.core.query_video_format(vs.GRAY, vs.FLOAT if target.is_float else vs.INTEGER, target.bits)
        if not tags.needs_dither(source, target):
            return self._filter(plain, gray.id)
        return self._sized(tagged, Back(self._filter(plain, vs.GRAYS), describe_format(gray)), gray.id)

    def _by_yuv444(self, plain: vs.VideoNode, source: Format) -> vs.VideoNode:
        """The clip as YUV 4:4:4 in floats, its luma through the network."""
        matrix = {"matrix": tags.guess_matrix(plain.width, plain.height)} if source.family != Family.YUV else {}
        whole = plain.resize.Bicubic(format=vs.YUV444PS, **tags.CATMULL_ROM, **matrix)
        probe_conversion(whole)
        chroma = self._sized(whole, Back(whole, None, self.spec.scale), vs.YUV444PS)
        return self._sized(chroma, Join(self.core), vs.YUV444PS, self._filter(whole, vs.GRAYS))

    def _filter(self, clip: vs.VideoNode, target: int) -> vs.VideoNode:
        """`clip` through the network: all planes into RGBS or YUV 4:2:0, or the first one into Gray."""
        fmt = self.core.get_video_format(target)
        if self.spec.grid > 1:
            return self._filter_420(clip, fmt)
        around = self.spec.frames // 2
        computing = NetworkFilter(self.core, self.network, self.spec.scale, fmt, self.spec.channels, self._overdue)
        if clip.width and clip.height:
            with first_frame(clip) as frame:
                self.network.prepare(clip.width, clip.height, computing.stored(frame))
        return self.core.gansr.FrameFilter(
            [clip], guarded(computing), **self._size(clip), format=target, before=around, after=around
        )

    def _filter_420(self, clip: vs.VideoNode, fmt: vs.VideoFormat) -> vs.VideoNode:
        """`clip`, YUV or Gray, through a network of 4:2:0, into 4:2:0 or Gray of the depth of `fmt`."""
        own = own_420(self.core, fmt)
        size = self._size(clip)
        seen = as_420(self.core, clip)
        computing = Filter420(self.core, self.network, self.spec.scale, own, 3, self._overdue)
        if seen.width and seen.height:
            with first_frame(seen) as frame:
                self.network.prepare(seen.width // 2, seen.height // 2, computing.stored(frame))
        out = self.core.gansr.FrameFilter([seen], guarded(computing), **self._size(seen), format=own.id)
        if not (clip.width and clip.height) and fmt.color_family == vs.GRAY:
            cut = guarded(FirstPlane(self.core, fmt, self.spec.scale))
            return self.core.gansr.FrameFilter([clip, out], cut, **size, format=fmt.id)
        if fmt.color_family == vs.GRAY:
            out = self.core.std.ShufflePlanes(out, 0, vs.GRAY)
        return out.std.CropAbs(**size) if (out.width, out.height) != tuple(size.values()) else out

    def _back(self, tagged: vs.VideoNode, large: vs.VideoNode, target: Format | None) -> vs.VideoNode:
        """`large`, RGB or YUV in floats, in the colours of each frame or of the target."""
        return self._sized(tagged, Back(large, target), target.id if target else 0)

    def _sized(self, clip: vs.VideoNode, function: Back | Join, format: int, *more: vs.VideoNode) -> vs.VideoNode:
        """A filter whose frames are of the output's size."""
        large = self._size(clip) if isinstance(function, Back) else {}
        return self.core.gansr.FrameFilter([clip, *more], guarded(function), **large, format=format)

    def _size(self, clip: vs.VideoNode) -> dict[str, int]:
        return {"width": clip.width * self.spec.scale, "height": clip.height * self.spec.scale}


def stopped(core: vs.Core, network: weakref.ref[Recovery], seconds: float) -> None:
    """Warns that a GPU has computed a frame for so many seconds, and notes that its GPU trial failed."""
    recovery = network()
    if recovery is None or recovery.choice.key.provider.processor(recovery.choice.key.device_id):
        return
    name = recovery.choice.key.provider.name
    recovery.choice.wrong(f"it stopped answering: no frame was done in {seconds:.0f} s")
    warn(
        core,
        f"{name} seems to have stopped: no frame was done in {seconds:.0f} s. If none comes, start the program "
        'again: provider="auto" then uses another tier (docs/cuda.md) or the CPU. GANSR_GPU=off in the environment '
        "avoids GPUs",
    )


class BySiting:
    """Picks `left` for frames whose chroma is left-sited or whose siting is unset, `other` for all others."""

    def __init__(self, left: vs.VideoNode, other: vs.VideoNode) -> None:
        self.left = left
        self.other = other

    def __call__(self, n: int, f: vs.VideoFrame) -> vs.VideoNode:
        return self.left if f.props.get("_ChromaLocation", vs.CHROMA_LEFT) == vs.CHROMA_LEFT else self.other


def is_420(fmt: Format) -> bool:
    """True for YUV 4:2:0."""
    return fmt.family == Family.YUV and (fmt.subsampling_w, fmt.subsampling_h) == (1, 1)


class FirstPlane:
    """Called with a source frame and an enlarged one: returns the first plane of the enlarged one as Gray, cropped to
    `scale` times the source's size."""

    def __init__(self, core: vs.Core, target: vs.VideoFormat, scale: int) -> None:
        self.core = core
        self.target = target
        self.scale = scale

    def __call__(self, n: int, f: Sequence[vs.VideoFrame]) -> vs.VideoFrame:
        source, large = f
        width, height = source.width * self.scale, source.height * self.scale
        out = self.core.create_video_frame(self.target, width, height)
        out.props.update(large.props)
        samples.views(out)[0][...] = samples.views(large)[0][:height, :width]
        return out


class Even:
    """Returns frames with even sides: an odd frame's last column or row comes twice. Gray becomes 4:2:0."""

    def __init__(self, core: vs.Core) -> None:
        self.core = core

    def __call__(self, n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        across, down = f.width % 2, f.height % 2
        gray = f.format.color_family == vs.GRAY
        if not (across or down or gray):
            return f
        fmt = own_420(self.core, f.format) if gray else f.format
        out = self.core.create_video_frame(fmt, f.width + across, f.height + down)
        out.props.update(f.props)
        for plane, taken in zip(samples.views(out), samples.views(f), strict=False):
            missing = [(0, large - small) for large, small in zip(plane.shape, taken.shape, strict=True)]
            plane[...] = np.pad(taken, missing, mode="edge")
        for plane in samples.views(out)[1:] if gray else ():
            plane[...] = 0 if fmt.sample_type == vs.FLOAT else 1 << (fmt.bits_per_sample - 1)
        return out


def own_420(core: vs.Core, fmt: vs.VideoFormat) -> vs.VideoFormat:
    """YUV 4:2:0 of the depth of `fmt`."""
    return core.query_video_format(vs.YUV, fmt.sample_type, fmt.bits_per_sample, 1, 1)


def as_420(core: vs.Core, clip: vs.VideoNode) -> vs.VideoNode:
    """YUV or Gray as left-sited YUV 4:2:0 of its own depth; odd sides gain a column or row, the last one again."""
    fmt, own = clip.format, own_420(core, clip.format)
    if fmt.id == own.id:
        return clip
    gray = fmt.color_family == vs.GRAY
    constant = clip.width and clip.height
    if gray or not constant or clip.width % 2 or clip.height % 2:
        size = {"width": clip.width + clip.width % 2, "height": clip.height + clip.height % 2}
        clip = core.gansr.FrameFilter([clip], guarded(Even(core)), **size, format=own.id if gray else fmt.id)
    return clip if gray else clip.resize.Bicubic(format=own.id, **tags.CATMULL_ROM)


def on_grid(limits: Limits, grid: int) -> Limits:
    """The user's tile size and overlap, converted from luma samples to positions of the network's grid."""

    def places(size: tuple[int, int] | None) -> tuple[int, int] | None:
        return None if size is None else (-(-size[0] // grid), -(-size[1] // grid))

    return replace(limits, tile=places(limits.tile), overlap=places(limits.overlap))


def first_frame(clip: vs.VideoNode) -> vs.VideoFrame:
    """Frame 0. Raises ArgumentError if the clip cannot give it."""
    try:
        return clip.get_frame(0)
    except vs.Error as error:
        raise ArgumentError(f"the clip does not give its first frame: {one_line(error)}") from error


def probe_conversion(clip: vs.VideoNode) -> None:
    """Converts frame 0. Raises ArgumentError for colours that core.resize cannot convert, before an encode starts."""
    try:
        clip.get_frame(0).close()
    except vs.Error as error:
        raise ArgumentError(
            f"the clip's colours cannot be converted to RGB ({one_line(error)}); "
            "correct its _Matrix, _Transfer and _Primaries with std.SetFrameProps"
        ) from error
