"""Build the filter graph of a clip.

Each name is a filter; the filters in small letters call Python for every frame:

    clip ── tag ─┬─ RemoveFrameProps ── upscaler ── Merge ── reuse ── Grain ── CopyFrameProps ── out
                 └─────────────────────────┴─────────┴────────┴────────┴────────────┘

`tag` sets an unset matrix and makes float samples finite. `upscaler` runs the network (network.py). If `strength` is
below 1, `Merge` blends the result with a plain resize; at 0 there is only the resize. `reuse` shows a neighbour again
where the source repeats a frame. `Grain` adds the source's grain if the user wants it. At the end the frame gets all
properties of the input frame.
"""

from __future__ import annotations

import threading

import vapoursynth as vs

from ..colour import tags
from ..colour.tags import Family, Format
from ..errors import ArgumentError
from . import computed, samples
from .choose import choose
from .duplicates import Reuse
from .log import FrameFunction, guarded, say_once
from .network import Upscaler, first_frame
from .resize import Back, blended, describe_format
from .settings import Settings, check
from .tag import Tag, untagged, with_props

__all__ = ["build"]


def build(clip: vs.VideoNode, settings: Settings) -> vs.VideoNode:
    """The upscaled clip. Raises GansrError for everything that can be known before the first frame."""
    core = vs.core.core
    source = describe_format(clip.format)
    target = target_format(core, source, settings.format)
    check(settings)
    chosen = choose(settings, (clip.width, clip.height)) if clip.width and clip.height else choose(settings)
    for warning in chosen.warnings:
        say_once(core, vs.MESSAGE_TYPE_WARNING, f"Upscale: {warning}")
    say_once(core, vs.MESSAGE_TYPE_INFORMATION, f"Upscale: {chosen.summary}")
    computed.tell(chosen.choice)
    spec = chosen.choice.model.spec
    check_first_frame(first_frame(clip))

    tagged = core.gansr.FrameFilter([clip], guarded(Tag(core)))
    plain = without_misleading_tags(tagged, source)
    wanted = {
        "width": clip.width * spec.scale,
        "height": clip.height * spec.scale,
        "format": target.id if target else 0,
    }
    if settings.strength:
        upscaler = Upscaler(core, chosen, target)
        if source or spec.channels == 3:
            out = upscaler.upscale(tagged, plain, source)
        else:
            out = core.gansr.FrameFilter([tagged], guarded(PerFormat(tagged, upscaler)), **wanted)
    if settings.strength < 1:
        resized = core.gansr.FrameFilter([tagged], guarded(Back(plain, target, spec.scale)), **wanted)
        out = blended(resized, out, settings.strength) if settings.strength else resized
    if settings.reuse and spec.frames == 1:
        # What a later frame may show again is kept, whatever the core thinks of this node's use.
        out.std.SetVideoCache(mode=1, fixedsize=1, maxsize=core.num_threads + 1)
        out = core.gansr.FrameFilter([tagged], guarded(Reuse(out)), **wanted)
    if settings.grain:
        out = grained(core, out, tagged, settings.grain)
    return with_props(out, tagged, source, target)


def grained(core: vs.Core, out: vs.VideoNode, clip: vs.VideoNode, amount: float) -> vs.VideoNode:
    """`out` with the grain of `clip`, whose enlargement it is. Raises ArgumentError where a format varies."""
    if describe_format(out.format) is None or describe_format(clip.format) is None:
        raise ArgumentError(f"grain {amount:g} needs a clip of one format; convert it first, or leave grain at 0")
    half = [each.format.sample_type == vs.FLOAT and each.format.bits_per_sample == 16 for each in (out, clip)]
    single, source = (
        each.resize.Point(format=each.format.replace(bits_per_sample=32).id) if is_half else each
        for each, is_half in zip((out, clip), half, strict=True)
    )
    made = core.gansr.Grain(single, source, amount)
    return made.resize.Point(format=out.format.id) if half[0] else made


def without_misleading_tags(clip: vs.VideoNode, source: Format | None) -> vs.VideoNode:
    """The clip without the properties that would mislead a conversion."""
    drop = ["_FieldBased"]  # flagged later than frame 0: processed as the whole frame it is
    if source is None or source.family == Family.GRAY:
        drop.append("_Matrix")  # Gray taken out of RGB keeps the tag "RGB", which no luma has
    return untagged(clip, source, drop)


class PerFormat:
    """Picks, for each frame of a clip whose format varies, the graph for its format; graphs are made on demand."""

    def __init__(self, tagged: vs.VideoNode, upscaler: Upscaler) -> None:
        self.tagged = tagged  # the clip, its tags complete
        self.upscaler = upscaler  # makes the graphs; all of them share its network
        self._clips: dict[int, vs.VideoNode] = {}
        self._lock = threading.Lock()

    def __call__(self, n: int, f: vs.VideoFrame) -> vs.VideoNode:
        source = describe_format(f.format)
        assert source is not None
        with self._lock:
            found = self._clips.get(source.id)
            if found is None:
                of_one = vs.core.core.gansr.FrameFilter(
                    [self.tagged], guarded(in_format(f.format)), width=0, height=0, format=source.id
                )
                plain = without_misleading_tags(of_one, source)
                found = self._clips[source.id] = self.upscaler.upscale(of_one, plain, source)
            return found


def in_format(fmt: vs.VideoFormat) -> FrameFunction:
    """Passes frames of this format on; replaces others, which are neighbours across a cut, by black frames."""

    def pick(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        if f.format.id == fmt.id:
            return f
        other = vs.core.core.create_video_frame(fmt, f.width, f.height)
        for plane in samples.views(other):
            plane[...] = 0
        other.props["_SceneChangePrev"] = other.props["_SceneChangeNext"] = 1
        return other

    return pick


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


def check_first_frame(frame: vs.VideoFrame) -> None:
    """Raises ArgumentError if frame 0 is interlaced or has a format that cannot be converted."""
    if tags.is_interlaced(frame.props):
        raise ArgumentError(
            f"the clip is interlaced (_FieldBased is {frame.props['_FieldBased']} on frame 0); "
            "deinterlace it first, or std.SetFieldBased(0) if it is progressive after all"
        )
    describe_format(frame.format)
