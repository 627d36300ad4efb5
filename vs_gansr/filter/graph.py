"""Owns the way from clip to clip: the only room that joins colour, planes, tiles, model and session.

The graph it builds, each box a filter; those with small letters ask Python for every frame:

    clip ── tag ─┬─ RemoveFrameProps ── resize to RGBS ── network ── back ── Merge ── reuse ── CopyFrameProps ── out
                 └──────────────────────────────────────────────────────┴──────┴────────┴───────────┘

`tag` completes what the frame does not say (the matrix) and makes float samples finite; `network` runs the
generator; `back` picks, by each frame's own tags, the conversion back; where `strength` is below 1 the result is
merged with a plain resize (at 0 there is only that); `reuse` shows a neighbour again where the source repeats it;
the properties of the input frame are then put back as they were.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import vapoursynth as vs

from ..colour import tags
from ..colour.tags import Family, Format
from ..engine import memory, planes, probe, providers, session
from ..engine.cuda_driver import Switches
from ..engine.session import EngineKey
from ..errors import ArgumentError, one_line
from ..model import library
from . import graphway
from .duplicates import Reuse
from .render import Limits, Network
from .resize import Back, Join, blended, describe_format, guarded

__all__ = ["Settings", "build"]

MOST_STREAMS = 64
COLOUR_PROPS = ("_Matrix", "_Range", "_ChromaLocation")


@dataclass(frozen=True)
class Settings:
    """The arguments of Upscale besides the clip, as the user gave them; see the README's table."""

    model: str | None = None
    provider: str = "auto"
    device_id: int = 0
    precision: str = "auto"
    num_streams: int | None = None
    tilesize: tuple[int, int] | None = None
    overlap: tuple[int, int] | None = None
    memory: int | None = None
    strength: float = 1.0
    reuse: int = 1
    format: int | None = None


def build(clip: vs.VideoNode, settings: Settings) -> vs.VideoNode:
    """The upscaled clip. Raises GansrError, at once, for whatever can be known before the first frame."""
    core = vs.core.core
    source = describe_format(clip.format)
    target = target_format(core, source, settings.format)
    chosen = choose(core, settings)
    spec = chosen.model.spec
    first = first_frame(clip)
    check_first_frame(first)
    if spec.channels == 1 and source is None:
        raise ArgumentError(
            f'model "{spec.name}" takes luma only and the format of the clip varies; '
            "give it a clip of one format, or use an RGB model"
        )
    scale = spec.scale or 1
    around = spec.frames // 2

    tagged = core.gansr.FrameFilter([clip], guarded(Tag(core)))
    drop = ["_FieldBased"]  # flagged later than frame 0: processed as the whole frame it is
    if source is None or source.family == Family.GRAY:
        drop.append("_Matrix")  # Gray taken out of RGB keeps the tag "RGB", which no luma has
    plain = untagged(tagged, source, drop)
    large = {"width": clip.width * scale, "height": clip.height * scale}
    wanted = {**large, "format": target.id if target else 0}
    luma = spec.channels == 1 and source is not None and source.family != Family.GRAY
    back: Back | graphway.GraphWay
    if settings.strength == 0:
        back = Back(plain, target, scale)
    else:
        whole = with_luma(plain, source, target) if luma else plain
        working = vs.GRAYS if spec.channels == 1 else vs.RGBS
        picture = whole.resize.Bicubic(format=working, **tags.CATMULL_ROM)
        probe_conversion(picture)
        network = Network(core, chosen.model, chosen.key, chosen.limits)
        result = core.gansr.FrameFilter([picture], guarded(network), **large, before=around, after=around)
        if luma:
            result = with_chroma(result, tagged, whole, target, scale)
        back = Back(result, target)
        prepared = False
        if graphway.wanted(chosen.key.provider) and settings.tilesize is None:
            back = graphway.GraphWay(core, graph_plan(chosen, settings, target), describe_format, back)
            prepared = back.prepare(tagged.get_frame(0))
        if not prepared and clip.width and clip.height:
            network.prepare(clip.width, clip.height)
    out = core.gansr.FrameFilter([tagged], guarded(back), **wanted)
    if 0 < settings.strength < 1:
        resized = core.gansr.FrameFilter([tagged], guarded(Back(plain, target, scale)), **wanted)
        out = blended(resized, out, settings.strength)
    if settings.reuse and not around:  # else equal frames do not mean equal results
        # What a later frame may show again is kept, whatever the core thinks of this node's use.
        out.std.SetVideoCache(mode=1, fixedsize=1, maxsize=core.num_threads + 1)
        out = core.gansr.FrameFilter([tagged], guarded(Reuse(out)), **wanted)
    return with_props(out, tagged, source, target)


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


@dataclass(frozen=True)
class Chosen:
    """What the settings amount to: the model, where and how it runs, and what it may take."""

    model: library.Model
    key: EngineKey
    limits: Limits


def choose(core: vs.Core, settings: Settings) -> Chosen:
    """Checks the settings and picks model, provider and precision, in the order they depend on each other."""
    if settings.precision not in session.PRECISIONS:
        raise ArgumentError(f'precision "{settings.precision}" is unknown; use one of: {", ".join(session.PRECISIONS)}')
    check_numbers(settings)
    check_tiles(settings)
    name = settings.model if settings.model is not None else library.default_model()
    provider, passed = providers.pick(settings.provider, settings.device_id)
    precision = settings.precision
    if precision == "auto" and provider == providers.CPU and providers.fast_int8() and library.has_twin(name):
        precision = "int8"
    network = probe.describe(library.load(name, precision))
    if precision == "auto":
        precision = "fp16" if provider == providers.CUDA else network.spec.precision
    why = f" ({'; '.join(passed)})" if passed else ""
    say_once(
        core,
        vs.MESSAGE_TYPE_INFORMATION,
        f"Upscale: {network.spec.name} in {precision} on {providers.short_name(provider)}{why}",
    )
    processors = session.cpu_threads()
    # Two at once need more memory, so smaller tiles: not for networks that look further than a tile's margin.
    exact = network.spec.radius is not None
    paired = settings.num_streams is None and provider == providers.CPU and processors > 1 and exact
    streams = settings.num_streams or 1 + paired
    key = EngineKey(
        digest=network.spec.digest,
        provider=provider,
        device_id=settings.device_id,
        precision=precision,
        width=0,
        height=0,
        streams=streams,
        threads=-(-processors // streams),
        alone=processors if paired else 0,
    )
    return Chosen(network, key, Limits(settings.tilesize, settings.overlap, settings.memory))


def graph_plan(chosen: Chosen, settings: Settings, target: Format | None) -> graphway.Plan:
    """The same for frames whose colour stays in the graph; each stream has memory of its own there."""
    key = chosen.key
    switches = Switches(streams=settings.num_streams or Switches().streams)
    return graphway.Plan(
        model=chosen.model,
        provider=key.provider,
        device_id=key.device_id,
        precision=key.precision,
        target=target,
        limit=(settings.memory or 0) * memory.MIB // switches.streams,
        switches=switches,
    )


def check_numbers(settings: Settings) -> None:
    if settings.num_streams is not None and not 1 <= settings.num_streams <= MOST_STREAMS:
        raise ArgumentError(f"num_streams {settings.num_streams} must be at least 1 and at most {MOST_STREAMS}")
    if settings.memory is not None and settings.memory < 1:
        raise ArgumentError(f"memory {settings.memory} must be at least 1 (MiB)")
    if not 0 <= settings.strength <= 1:
        raise ArgumentError(f"strength {settings.strength} must be from 0 (plain resize) to 1 (the network)")
    if settings.reuse not in (0, 1):
        raise ArgumentError(f"reuse {settings.reuse} must be 0 or 1")


def check_tiles(settings: Settings) -> None:
    for label, pair in (("tilesize", settings.tilesize), ("overlap", settings.overlap)):
        if pair is not None and min(pair) < (1 if label == "tilesize" else 0):
            raise ArgumentError(f"{label} {list(pair)} must not be negative{' or 0' * (label == 'tilesize')}")
    if settings.tilesize and settings.overlap:
        for side, margin in zip(settings.tilesize, settings.overlap, strict=True):
            if side <= 2 * margin:
                raise ArgumentError(
                    f"tilesize {list(settings.tilesize)} must exceed twice the overlap {list(settings.overlap)}"
                )


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


def untagged(clip: vs.VideoNode, source: Format | None, drop: list[str]) -> vs.VideoNode:
    """`clip` without the properties that would mislead the conversion."""
    if source is None:  # YUV frames of a varying clip need their matrix
        keep_matrix = clip.std.RemoveFrameProps([p for p in drop if p != "_Matrix"])
        gray = clip.std.RemoveFrameProps(drop)

        def by_family(n: int, f: vs.VideoFrame) -> vs.VideoNode:
            return gray if f.format.color_family == vs.GRAY else keep_matrix

        return vs.core.gansr.FrameFilter([clip], guarded(by_family))
    return clip.std.RemoveFrameProps(drop)


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


def with_props(out: vs.VideoNode, tagged: vs.VideoNode, source: Format | None, target: Format | None) -> vs.VideoNode:
    """Every property of the input, and the colour tags of the conversion where the family changed."""
    carried = out.std.CopyFrameProps(tagged)
    if source is not None and target is not None and source.family == target.family:
        return carried
    if source is None and target is None:
        return carried
    return carried.std.CopyFrameProps(out, props=list(COLOUR_PROPS))


_said: set[str] = set()


def say_once(core: vs.Core, kind: vs.MessageType, message: str) -> None:
    """Logs through the core, each message once per process: previews evaluate the same script again and again."""
    if message not in _said:
        _said.add(message)
        core.log_message(kind, message)


class Tag:
    """Makes a frame fit to be converted: guesses an unset matrix by the frame's size, makes all samples finite."""

    def __init__(self, core: vs.Core) -> None:
        self.core = core
        self.interlaced = False
        self.damaged = False
        self.guessed: set[int] = set()

    def __call__(self, n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        self.note_interlaced(n, f)
        fmt = describe_format(f.format)
        if fmt is None:
            return f
        damaged = [i for i in range(f.format.num_planes) if fmt.is_float and not planes.finite(np.asarray(f[i]))]
        untagged = tags.needs_matrix(fmt, f.props)
        if not damaged and not untagged:
            return f
        copy = f.copy()
        if untagged:
            copy.props["_Matrix"] = self.guess(n, f)
        for i in damaged:
            planes.tame(np.asarray(copy[i]))
        if damaged and not self.damaged:
            self.damaged = True
            self.core.log_message(
                vs.MESSAGE_TYPE_WARNING,
                f"Upscale: frame {n} holds NaN, infinity or numbers beyond half floats; in such frames NaN counts as "
                f"0 and the others as {planes.HALF_MAX:.0f} with their sign",
            )
        return copy

    def note_interlaced(self, n: int, f: vs.VideoFrame) -> None:
        if not self.interlaced and tags.is_interlaced(f.props):
            self.interlaced = True
            self.core.log_message(
                vs.MESSAGE_TYPE_WARNING,
                f"Upscale: frame {n} is flagged interlaced; such frames are upscaled as whole frames",
            )

    def guess(self, n: int, f: vs.VideoFrame) -> int:
        primaries = int(f.props.get("_Primaries", tags.MATRIX_UNSPECIFIED))
        guess = tags.guess_matrix(f.width, f.height, primaries)
        if guess not in self.guessed:
            self.guessed.add(guess)
            told = primaries in tags.MATRIX_OF_PRIMARIES
            reason = f"its primaries ({primaries})" if told else f"{f.width}x{f.height}"
            self.core.log_message(
                vs.MESSAGE_TYPE_WARNING,
                f"Upscale: frame {n} does not say its matrix; {tags.MATRIX_NAMES[guess]} is assumed "
                f"from {reason} and written to the output; set _Matrix to choose yourself",
            )
        return guess
