"""Owns the way from clip to clip: the only room that joins colour, planes, tiles, model and session.

The graph it builds, each box a filter; those with small letters ask Python for every frame:

    clip ── tag ─┬─ RemoveFrameProps ── resize to RGBS ── network ── back ── reuse ── CopyFrameProps ── out
                 └──────────────────────────────────────────────────────┴───────┴───────────┘

`tag` completes what the frame does not say (the matrix) and makes float samples finite; `network` runs the
generator, blended with a plain resize where `strength` is below 1 (at 0 there is only the resize); `back` picks, by
each frame's own tags, the conversion back; `reuse` shows the frame before again where the source repeats it; the
properties of the input frame are then put back as they were.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import vapoursynth as vs

from . import colour, graphway, memory, model, planes, providers, session
from .colour import ColourKey, Format
from .cuda import Switches
from .errors import ArgumentError, GansrError, RenderError, one_line
from .network import Limits, Network
from .reuse import Reuse
from .session import EngineKey

__all__ = ["Settings", "build"]

log = logging.getLogger("vs_gansr")

type Frames = vs.VideoFrame | Sequence[vs.VideoFrame]
type FrameFunction = Callable[[int, Any], Any]

MOST_STREAMS = 64
COLOUR_PROPS = ("_Matrix", "_Range", "_ColorRange", "_ChromaLocation")


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
    if spec.channels == 1 and source and source.family != colour.Family.GRAY:
        raise ArgumentError(
            f'model "{spec.name}" expects 1 channel, the clip is {source.name}; '
            "give it a Gray clip, or use an RGB model"
        )
    scale = spec.scale or 1

    tagged = core.gansr.FrameFilter([clip], guarded(Tag(core)))
    drop = ["_FieldBased"]  # flagged later than frame 0: processed as the whole frame it is
    if source is None or source.family == colour.Family.GRAY:
        drop.append("_Matrix")  # Gray taken out of RGB keeps the tag "RGB", which no luma has
    plain = untagged(tagged, source, drop)
    large = {"width": clip.width * scale, "height": clip.height * scale}
    wanted = {**large, "format": target.id if target else 0}
    back: Back | graphway.GraphWay
    if settings.strength == 0:
        back = Back(plain, target, scale)
    else:
        working = vs.GRAYS if spec.channels == 1 else vs.RGBS
        rgb = plain.resize.Bicubic(format=working, **colour.CATMULL_ROM)
        probe_conversion(rgb)
        network = Network(core, chosen.model, chosen.key, chosen.limits)
        inputs = [rgb]
        if settings.strength < 1:
            inputs.append(core.gansr.FrameFilter([rgb], guarded(Back(rgb, None, scale)), **large))
        back = Back(core.gansr.FrameFilter(inputs, guarded(network), **large), target)
        prepared = False
        if graphway.wanted(chosen.key.provider) and settings.tilesize is None and settings.strength == 1:
            back = graphway.GraphWay(core, graph_plan(chosen, settings, target), describe_format, back)
            prepared = back.prepare(tagged.get_frame(0))
        if not prepared and clip.width and clip.height:
            network.prepare(clip.width, clip.height)
    out = core.gansr.FrameFilter([tagged], guarded(back), **wanted)
    if settings.reuse:
        # What a later frame may show again is kept, whatever the core thinks of this node's use.
        out.std.SetVideoCache(mode=1, fixedsize=1, maxsize=core.num_threads + 1)
        out = core.gansr.FrameFilter([tagged], guarded(Reuse(out)), **wanted)
    return with_props(out, tagged, source, target)


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
    colour.check_format(described)
    return described


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

    model: model.Model
    key: EngineKey
    limits: Limits


def choose(core: vs.Core, settings: Settings) -> Chosen:
    """Checks the settings and picks model, provider and precision, in the order they depend on each other."""
    if settings.precision not in session.PRECISIONS:
        raise ArgumentError(f'precision "{settings.precision}" is unknown; use one of: {", ".join(session.PRECISIONS)}')
    check_numbers(settings)
    check_tiles(settings)
    name = settings.model if settings.model is not None else model.default_model()
    provider, passed = providers.pick(settings.provider, settings.device_id)
    precision = settings.precision
    if precision == "auto" and provider == providers.CPU and providers.fast_int8() and model.has_twin(name):
        precision = "int8"
    network = session.describe(model.load(name, precision))
    if precision == "auto":
        precision = "fp16" if provider == providers.CUDA else network.spec.precision
    why = f" ({'; '.join(passed)})" if passed else ""
    say_once(
        core,
        vs.MESSAGE_TYPE_INFORMATION,
        f"Upscale: {network.spec.name} in {precision} on {providers.short_name(provider)}{why}",
    )
    streams = settings.num_streams or 1
    key = EngineKey(
        digest=network.spec.digest,
        provider=provider,
        device_id=settings.device_id,
        precision=precision,
        width=0,
        height=0,
        streams=streams,
        threads=max(1, session.cpu_threads() // streams),
    )
    return Chosen(network, key, Limits(settings.tilesize, settings.overlap, settings.memory, settings.strength))


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
    if colour.is_interlaced(frame.props):
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


def with_props(out: vs.VideoNode, tagged: vs.VideoNode, source: Format | None, target: Format | None) -> vs.VideoNode:
    """Every property of the input, and the colour tags of the conversion where the family changed."""
    carried = out.std.CopyFrameProps(tagged)
    if source is not None and target is not None and source.family == target.family:
        return carried
    if source is None and target is None:
        return carried
    return carried.std.CopyFrameProps(out, props=list(COLOUR_PROPS))


def guarded(function: FrameFunction) -> FrameFunction:
    """`function` with its exceptions as one line of text, which the frame filter makes the frame's error."""

    def call(n: int, f: Frames) -> Any:
        try:
            return function(n, f)
        except GansrError as error:
            return f"Upscale: frame {n}: {one_line(error)}"
        except Exception as error:
            log.exception("frame %d", n)
            return f"Upscale: frame {n}: {type(error).__name__}: {one_line(error)}"

    return call


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
        untagged = colour.needs_matrix(fmt, f.props)
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
        if not self.interlaced and colour.is_interlaced(f.props):
            self.interlaced = True
            self.core.log_message(
                vs.MESSAGE_TYPE_WARNING,
                f"Upscale: frame {n} is flagged interlaced; such frames are upscaled as whole frames",
            )

    def guess(self, n: int, f: vs.VideoFrame) -> int:
        guess = colour.guess_matrix(f.width, f.height)
        if guess not in self.guessed:
            self.guessed.add(guess)
            self.core.log_message(
                vs.MESSAGE_TYPE_WARNING,
                f"Upscale: frame {n} does not say its matrix; {colour.MATRIX_NAMES[guess]} is assumed "
                f"from {f.width}x{f.height} and written to the output; set _Matrix to choose yourself",
            )
        return guess


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
        key = colour.way_back(source, self.target or source, f.props, f.width, f.height)
        arguments: dict[str, Any] = dict(colour.CATMULL_ROM)
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
