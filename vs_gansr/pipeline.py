"""Owns the way from clip to clip: the only room that joins colour, planes, tiles, model and session.

The graph it builds, each box a filter, `select` and `network` asking Python for every frame:

    clip ── tag ─┬─ RemoveFrameProps ── resize to RGBS ── network ── select(resize back) ── CopyFrameProps ── out
                 └─────────────────────────────────────────────────────┴───────────────────────┘

`tag` completes what the frame does not say (the matrix); `network` runs the session; `select` picks, by each
frame's own tags, the conversion back; the properties of the input frame are then put back as they were.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import vapoursynth as vs

from . import colour, keepalive, model, planes, providers, session, tiles
from .colour import ColourKey, Format
from .errors import ArgumentError, GansrError, RenderError, one_line
from .session import EngineKey

__all__ = ["Settings", "build"]

log = logging.getLogger("vs_gansr")

type Frames = vs.VideoFrame | Sequence[vs.VideoFrame]
type FrameFunction = Callable[[int, Any], Any]

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
    network_model, provider, precision = choose(core, settings)
    first = first_frame(clip)
    check_first_frame(first)
    if network_model.spec.channels == 1 and source and source.family != colour.Family.GRAY:
        raise ArgumentError(
            f'model "{network_model.spec.name}" expects 1 channel, the clip is {source.name}; '
            "give it a Gray clip, or use an RGB model"
        )
    scale = network_model.spec.scale or 1

    tag = Tag(core)
    tagged = core.gansr.FrameFilter([clip], guarded(tag))
    working = vs.GRAYS if network_model.spec.channels == 1 else vs.RGBS
    drop = ["_FieldBased"]  # flagged later than frame 0: processed as the whole frame it is
    if source is None or source.family == colour.Family.GRAY:
        drop.append("_Matrix")  # Gray taken out of RGB keeps the tag "RGB", which no luma has
    rgb = untagged(tagged, source, drop).resize.Bicubic(format=working, **colour.CATMULL_ROM)
    probe_conversion(rgb)

    network = Network(core, network_model, provider, precision, settings)
    if clip.width and clip.height:
        network.prepare(clip.width, clip.height)
    large = core.gansr.FrameFilter([rgb], guarded(network), width=clip.width * scale, height=clip.height * scale)
    back = Back(large, target)
    out = core.gansr.FrameFilter(
        [tagged],
        guarded(back),
        width=clip.width * scale,
        height=clip.height * scale,
        format=target.id if target else 0,
    )
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
    except vs.Error:
        target = None
    if target is None:
        raise ArgumentError(f"format {wanted} is no video format; give a preset such as vs.YUV420P10")
    return target


def choose(core: vs.Core, settings: Settings) -> tuple[model.Model, str, str]:
    """Checks the settings and picks model, provider and precision, in the order they depend on each other."""
    if settings.precision not in session.PRECISIONS:
        raise ArgumentError(f'precision "{settings.precision}" is unknown; use one of: {", ".join(session.PRECISIONS)}')
    if settings.num_streams is not None and settings.num_streams < 1:
        raise ArgumentError(f"num_streams {settings.num_streams} must be at least 1")
    check_tiles(settings)
    name = settings.model if settings.model is not None else model.default_model()
    precision = settings.precision
    chosen = session.describe(model.load(name, precision))
    provider, passed = providers.pick(settings.provider, settings.device_id)
    if precision == "auto":
        precision = "fp16" if provider == providers.CUDA else chosen.spec.precision
    why = f" ({'; '.join(passed)})" if passed else ""
    say_once(
        core,
        vs.MESSAGE_TYPE_INFORMATION,
        f"Upscale: {chosen.spec.name} in {precision} on {providers.short_name(provider)}{why}",
    )
    return chosen, provider, precision


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
    """Completes the tags of a frame: an unset matrix is guessed by the frame's own size."""

    def __init__(self, core: vs.Core) -> None:
        self.core = core
        self.interlaced = False
        self.guessed: set[int] = set()

    def __call__(self, n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        if not self.interlaced and colour.is_interlaced(f.props):
            self.interlaced = True
            self.core.log_message(
                vs.MESSAGE_TYPE_WARNING,
                f"Upscale: frame {n} is flagged interlaced; such frames are upscaled as whole frames",
            )
        fmt = describe_format(f.format)
        if fmt is None or not colour.needs_matrix(fmt, f.props):
            return f
        guess = colour.guess_matrix(f.width, f.height)
        if guess not in self.guessed:
            self.guessed.add(guess)
            self.core.log_message(
                vs.MESSAGE_TYPE_WARNING,
                f"Upscale: frame {n} does not say its matrix; {colour.MATRIX_NAMES[guess]} is assumed "
                f"from {f.width}x{f.height} and written to the output; set _Matrix to choose yourself",
            )
        copy = f.copy()
        copy.props["_Matrix"] = guess
        return copy


class Network:
    """Runs the generator over frames of 32 bit float RGB (or Gray), any size."""

    MOST_SIZES = 4  # engines held at once for a clip whose size varies

    def __init__(self, core: vs.Core, network: model.Model, provider: str, precision: str, settings: Settings) -> None:
        self.core = core
        self.model = network
        self.provider = provider
        self.precision = precision
        self.settings = settings
        self.streams = settings.num_streams or 1
        self._leases: dict[tuple[int, int], keepalive.Lease[session.Engine]] = {}
        self._lock = threading.Lock()
        weakref.finalize(self, release_all, self._leases).atexit = False

    def prepare(self, width: int, height: int) -> None:
        """Makes the engine for a frame of width x height before the first one arrives."""
        self.engine(*self.tile_size(width, height))

    def __call__(self, n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        scale = self.model.spec.scale or 1
        out = self.core.create_video_frame(f.format, f.width * scale, f.height * scale)
        for name in ("_Matrix", "_Range", "_Transfer", "_Primaries"):
            if name in f.props:
                out.props[name] = f.props[name]
        self.render(f, out)
        return out

    def tile_size(self, width: int, height: int) -> tuple[int, int]:
        """The static size that pictures of width x height are run at, in input pixels."""
        spec = self.model.spec
        if spec.fixed:
            return spec.fixed
        w, h = self.settings.tilesize or (width, height)
        w, h = min(w, width), min(h, height)
        return -(-w // spec.multiple) * spec.multiple, -(-h // spec.multiple) * spec.multiple

    def overlap(self) -> tuple[int, int]:
        radius = self.model.spec.radius
        return self.settings.overlap or ((16, 16) if radius is None else (radius, radius))

    def engine(self, width: int, height: int) -> session.Engine:
        with self._lock:
            lease = self._leases.pop((width, height), None)
            if lease is None:
                threads = max(1, session.cpu_threads() // self.streams)
                key = EngineKey(
                    self.model.spec.digest,
                    self.provider,
                    self.settings.device_id,
                    self.precision,
                    width,
                    height,
                    self.streams,
                    threads,
                )
                lease = session.acquire(self.model, key)
            self._leases[width, height] = lease  # last used last
            while len(self._leases) > self.MOST_SIZES:
                self._leases.pop(next(iter(self._leases))).release()
            return lease.value

    def render(self, f: vs.VideoFrame, out: vs.VideoFrame) -> None:
        """Fills the planes of `out` from those of `f`, in one piece or in tiles."""
        spec = self.model.spec
        scale = spec.scale or 1
        size = self.tile_size(f.width, f.height)
        engine = self.engine(*size)
        picture = planes.views(f)
        result = planes.views(out)
        covered = (max(f.width, size[0]), max(f.height, size[1]))
        try:
            pieces = tiles.plan(*covered, size, self.overlap())
        except ValueError as error:
            raise RenderError(f"tiles of {size[0]}x{size[1]} do not work: {error}; give a larger tilesize") from error
        with engine.stream() as stream:
            for tile in pieces:
                planes.read(picture, tile, stream.input, spec.peak)
                stream.run()
                planes.write(stream.output, tile, scale, result, spec.peak)


def release_all(leases: dict[tuple[int, int], keepalive.Lease[session.Engine]]) -> None:
    for lease in leases.values():
        lease.release()
    leases.clear()


class Back:
    """Picks, for each frame, the clip that brings the network's output back into the frame's own colours."""

    MOST = 32  # conversions held; a clip has one, a spliced one a few

    def __init__(self, large: vs.VideoNode, target: Format | None) -> None:
        self.large = large
        self.target = target
        self._clips: dict[ColourKey, vs.VideoNode] = {}
        self._lock = threading.Lock()

    def __call__(self, n: int, f: vs.VideoFrame) -> vs.VideoNode:
        source = describe_format(f.format)
        if source is None:
            raise RenderError("the frame has no format")
        key = colour.way_back(source, self.target or source, f.props, f.width, f.height)
        with self._lock:
            clip = self._clips.pop(key, None) or self.convert(key)
            self._clips[key] = clip
            while len(self._clips) > self.MOST:
                self._clips.pop(next(iter(self._clips)))
            return clip

    def convert(self, key: ColourKey) -> vs.VideoNode:
        arguments: dict[str, Any] = {"format": key.format, "range": key.full_range, **colour.CATMULL_ROM}
        if key.matrix is not None:
            arguments["matrix"] = key.matrix
        if key.chroma_location is not None:
            arguments["chromaloc"] = key.chroma_location
        if key.dither:
            arguments["dither_type"] = "error_diffusion"
        return self.large.resize.Bicubic(**arguments)
