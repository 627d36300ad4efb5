"""Owns the way from clip to clip: what the filters are and how they hang together.

The graph it builds, each box a filter; those with small letters ask Python for every frame:

    clip ── tag ─┬─ RemoveFrameProps ── resize to RGBS ── network ── back ── Merge ── reuse ── CopyFrameProps ── out
                 └──────────────────────────────────────────────────────┴──────┴────────┴───────────┘

`tag` completes what the frame does not say (the matrix) and makes float samples finite; `network` runs the
generator; `back` picks, by each frame's own tags, the conversion back; where `strength` is below 1 the result is
merged with a plain resize (at 0 there is only that); `reuse` shows a neighbour again where the source repeats it;
the properties of the input frame are then put back as they were.
"""

from __future__ import annotations

from functools import partial

import vapoursynth as vs

from ..colour import tags
from ..colour.tags import Family, Format
from ..engine.recovery import Recovery
from ..errors import ArgumentError, one_line
from .choose import Chosen, choose
from .duplicates import Reuse
from .log import guarded, say_once, warn
from .render import NetworkFilter
from .resize import Back, blended, describe_format, with_chroma, with_luma
from .settings import Settings, check
from .tag import Tag, untagged, with_props

__all__ = ["build"]


def build(clip: vs.VideoNode, settings: Settings) -> vs.VideoNode:
    """The upscaled clip. Raises GansrError, at once, for whatever can be known before the first frame."""
    core = vs.core.core
    source = describe_format(clip.format)
    target = target_format(core, source, settings.format)
    check(settings)
    chosen = choose(settings)
    say_once(core, vs.MESSAGE_TYPE_INFORMATION, f"Upscale: {chosen.summary}")
    spec = chosen.choice.model.spec
    first = first_frame(clip)
    check_first_frame(first)
    if spec.channels == 1 and source is None:
        raise ArgumentError(
            f'model "{spec.name}" takes luma only and the format of the clip varies; '
            "give it a clip of one format, or use an RGB model"
        )
    scale = spec.scale
    around = spec.frames // 2

    tagged = core.gansr.FrameFilter([clip], guarded(Tag(core)))
    drop = ["_FieldBased"]  # flagged later than frame 0: processed as the whole frame it is
    if source is None or source.family == Family.GRAY:
        drop.append("_Matrix")  # Gray taken out of RGB keeps the tag "RGB", which no luma has
    plain = untagged(tagged, source, drop)
    large = {"width": clip.width * scale, "height": clip.height * scale}
    wanted = {**large, "format": target.id if target else 0}
    if settings.strength == 0:
        back = Back(plain, target, scale)
    else:
        back = Back(network(clip, tagged, plain, target, chosen), target)
    out = core.gansr.FrameFilter([tagged], guarded(back), **wanted)
    if 0 < settings.strength < 1:
        resized = core.gansr.FrameFilter([tagged], guarded(Back(plain, target, scale)), **wanted)
        out = blended(resized, out, settings.strength)
    if settings.reuse and not around:  # else equal frames do not mean equal results
        # What a later frame may show again is kept, whatever the core thinks of this node's use.
        out.std.SetVideoCache(mode=1, fixedsize=1, maxsize=core.num_threads + 1)
        out = core.gansr.FrameFilter([tagged], guarded(Reuse(out)), **wanted)
    return with_props(out, tagged, source, target)


def network(
    clip: vs.VideoNode, tagged: vs.VideoNode, plain: vs.VideoNode, target: Format | None, chosen: Chosen
) -> vs.VideoNode:
    """`plain` through the network: RGB, Gray, or what its luma is joined to."""
    core = vs.core.core
    source = describe_format(clip.format)
    spec = chosen.choice.model.spec
    scale = spec.scale
    luma = spec.channels == 1 and source is not None and source.family != Family.GRAY
    whole = with_luma(plain, source, target) if luma else plain
    picture = whole.resize.Bicubic(format=vs.GRAYS if spec.channels == 1 else vs.RGBS, **tags.CATMULL_ROM)
    probe_conversion(picture)
    computing = Recovery(chosen.choice, chosen.limits, partial(warn, core), chosen.fallback)
    if clip.width and clip.height:
        computing.prepare(clip.width, clip.height)
    result = core.gansr.FrameFilter(
        [picture],
        guarded(NetworkFilter(core, computing, scale)),
        width=clip.width * scale,
        height=clip.height * scale,
        before=spec.frames // 2,
        after=spec.frames // 2,
    )
    return with_chroma(result, tagged, whole, target, scale) if luma else result


def target_format(core: vs.Core, source: Format | None, wanted: int | None) -> Format | None:
    """The output's format: `wanted` (a preset id) or the clip's own."""
    if wanted is None:
        return source
    try:
        target = describe_format(core.get_video_format(wanted))
    except (vs.Error, OverflowError):
        target = None
    if target is None:
        raise ArgumentError(f"format {wanted} is no video format; give a preset such as vs.YUV420P10")
    return target


def first_frame(clip: vs.VideoNode) -> vs.VideoFrame:
    try:
        return clip.get_frame(0)
    except vs.Error as error:
        raise ArgumentError(f"the clip's first frame cannot be had: {one_line(error)}") from error


def check_first_frame(frame: vs.VideoFrame) -> None:
    if tags.is_interlaced(frame.props):
        raise ArgumentError(
            f"the clip is interlaced (_FieldBased is {frame.props['_FieldBased']} on frame 0); "
            "deinterlace it first, or std.SetFieldBased(0) if it is progressive after all"
        )
    describe_format(frame.format)


def probe_conversion(rgb: vs.VideoNode) -> None:
    """Converts frame 0, so that colours nobody can convert are refused before the encode starts."""
    try:
        rgb.get_frame(0).close()
    except vs.Error as error:
        raise ArgumentError(
            f"the clip's colours cannot be converted to RGB ({one_line(error)}); "
            "correct its _Matrix, _Transfer and _Primaries with std.SetFrameProps"
        ) from error
