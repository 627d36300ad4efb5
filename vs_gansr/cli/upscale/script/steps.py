"""Find the VapourSynth calls that make the result's clip, or the part of it that is asked for, and write them down.

`build` applies the steps while it finds them, `text` writes the same steps down, so the printed script is what workers
run.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import vapoursynth as vs

from ...common import CommandError
from ...ffmpeg import ENCODERS
from ..job import UpscaleJob
from ..source import clip as clip_source
from ..source.media import Source
from ..source.times import NO_TIME, FrameTimes
from . import filters

__all__ = [
    "Graph", "Literal", "Step", "build", "chosen", "enlarged_plainly", "evaluate", "partial", "steady", "text", "timed",
    "wipe",
]  # fmt: skip

MOST_PASSES = 3
SWEEP = 4.0  # seconds that the wipe of --compare takes to the right and back
LINE = 2  # pixels of it
PLACED = ("device_id", "num_streams")  # arguments of Upscale that change no picture


class Literal(str):
    """Text that stands in the script as it is, such as `vs.YUV420P10`."""


@dataclass(frozen=True)
class Step:
    """One call `clip = core.<function>(clip, **arguments)`; a source takes no clip."""

    function: str
    arguments: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Target:
    """The output's bits per sample, chroma layout ("420") and dither type."""

    bits: int
    layout: str
    dither: str

    def preset(self, bits: int) -> Literal:
        """The format's name in a script, at `bits`."""
        return Literal(f"vs.YUV{self.layout}P{bits}")


@dataclass(frozen=True)
class Graph:
    """The clip, the steps that made it, and when its frames are shown.

    `plain` the clip as the network gets it, `prepared` the number of steps that made it · `decoded_size` width and
    height as the decoder gives them, `source_size` those of the upright picture without what its container crops ·
    `times` are the whole source's own at first, NO_TIME where it has none; `timed` makes them those of the clip's
    frames, which are made of the source's frames `span`, up to the second number · `notes` of the source that are
    worth telling.
    """

    clip: vs.VideoNode
    plain: vs.VideoNode
    steps: tuple[Step, ...]
    decoded_size: tuple[int, int]
    source_size: tuple[int, int]
    times: FrameTimes
    span: tuple[int, int] = (0, 0)
    notes: tuple[str, ...] = ()
    prepared: int = 0


class Assembly:
    """A clip in the making, and the steps that made it."""

    def __init__(self, core: vs.Core, clip: vs.VideoNode, steps: list[Step]) -> None:
        self.core = core
        self.clip = clip
        self.steps = steps

    def add(self, function: str, **arguments: Any) -> None:
        """Puts one call on the clip."""
        call = filters.used(self.core, function)
        given = {
            name: getattr(vs, value.removeprefix("vs.")) if isinstance(value, Literal) else value
            for name, value in arguments.items()
        }
        self.clip = call(self.clip, **given)
        self.steps.append(Step(function, tuple(arguments.items())))


def build(job: UpscaleJob, source: Source, whole: bool = True) -> Graph:
    """Opens the source and puts the job's steps on it. `whole` says whether the time of every frame matters.

    Raises CommandError for what the source or the job rules out, vapoursynth.Error for what VapourSynth does.
    """
    core = vs.core.core
    if not hasattr(core, "gansr"):
        raise CommandError("VapourSynth did not load core.gansr; `gansr doctor` says why")
    opened = clip_source.open_clip(job, source, whole and not partial(job))
    decoded = (opened.clip.width, opened.clip.height)
    made = Assembly(core, opened.clip, [Step(opened.function, opened.arguments)])
    for function, arguments in clip_source.preparations(source, opened.clip):
        made.add(function, **arguments)
    size = (made.clip.width, made.clip.height)
    if opened.times.constant:
        rate = 1 / opened.times.time_base
        made.add("std.AssumeFPS", fpsnum=rate.numerator, fpsden=rate.denominator)
    if tags := clip_source.tags(job):
        made.add("std.SetFrameProps", **tags)
    span = (0, len(opened.times.timestamps))
    if partial(job):
        stamps = steady(opened.times.timestamps, job.source)
        span = chosen(job, stamps, opened.times.time_base, source.origin)
        made.add("std.Trim", first=span[0], last=span[1] - 1)
    prepare(job, made)
    target = output_format(job, made.clip)
    plain, prepared = made.clip, len(made.steps)
    enlarge(job, made, target)
    if job.compare:
        made.clip = wipe(enlarged_plainly(plain, made.clip), made.clip)
    return Graph(made.clip, plain, tuple(made.steps), decoded, size, opened.times, span, opened.notes, prepared)


def enlarged_plainly(clip: vs.VideoNode, result: vs.VideoNode) -> vs.VideoNode:
    """`clip` at the size, and in the format, of `result`, by zimg alone."""
    matrix = {}
    if clip.format.color_family == vs.RGB:
        with result.get_frame(0) as first:
            matrix = {"matrix": int(first.props["_Matrix"])}
    return clip.resize.Spline36(width=result.width, height=result.height, format=result.format.id, **matrix)


def prepare(job: UpscaleJob, made: Assembly) -> None:
    """What comes before the network: fields, then noise. Raises CommandError for fields that nobody decided on."""
    with made.clip.get_frame(0) as first:
        field_based = int(first.props.get("_FieldBased", 0))
    if field_based in (1, 2) and not job.field:
        raise CommandError(
            f"{job.source} is interlaced ({'top' if field_based == 2 else 'bottom'} field first); say what it is: "
            "--field ivtc (film at 30 frames a second), deinterlace or bob (video), progressive (wrongly flagged)"
        )
    for function, arguments in [*filters.fields(job.field, field_based != 1), *filters.before(job.denoise)]:
        made.add(function, **arguments)


def enlarge(job: UpscaleJob, made: Assembly, target: Target) -> None:
    """The network, as often as the target needs, then zimg down to the target, bands and grain, the output's format.

    Raises CommandError for a size that cannot be reached.
    """
    last = filters.after(job.deband, job.grain)
    sized = bool(job.width or job.height)
    arguments = job.upscale_arguments()
    between = target.preset(16 if sized or last else target.bits)
    if job.as_is:
        if between != f"vs.{made.clip.format.name}":
            matrix = {"matrix": Literal("vs.MATRIX_BT709")} if made.clip.format.color_family == vs.RGB else {}
            made.add("resize.Spline36", format=between, dither_type=target.dither, **matrix)
    else:
        format = {} if between == f"vs.{made.clip.format.name}" else {"format": between}
        made.add("gansr.Upscale", **arguments, **format)
    width, height = target_size(job, made.clip, target) if sized else (made.clip.width, made.clip.height)
    passes = 1
    while not job.as_is and (made.clip.width < width or made.clip.height < height):
        if passes == MOST_PASSES:
            raise CommandError(
                f"{width}x{height} is out of reach: {MOST_PASSES} passes of the model make "
                f"{made.clip.width}x{made.clip.height} of this source; "
                "lower --width and --height"
            )
        if job.source_grain:
            raise CommandError(
                f"--source-grain {job.source_grain:g} works with one pass of the model only, and {width}x{height} "
                "needs more; lower --width and --height, or omit --source-grain"
            )
        made.add("gansr.Upscale", **arguments)
        passes += 1
    if last and sized:
        made.add("resize.Spline36", width=width, height=height)
    for function, given in last:
        made.add(function, **given)
    if sized or last:
        dither = "error_diffusion" if last and target.bits < 16 else target.dither
        size = {} if last else {"width": width, "height": height}
        made.add("resize.Spline36", **size, format=target.preset(target.bits), dither_type=dither)


def timed(job: UpscaleJob, graph: Graph) -> Graph:
    """The graph with the times of its own frames in place of the source's. Raises CommandError where the filters made
    more or fewer frames than they should."""
    first, last = graph.span
    stamps, base, end = graph.times.timestamps, graph.times.time_base, graph.times.end
    shown, divisor = filters.shown(stamps[first:last], job.field)
    if len(shown) != graph.clip.num_frames:
        raise CommandError(
            f"{job.source}: the filters of --field made {graph.clip.num_frames} frames where {len(shown)} were "
            "expected; try another --field"
        )
    if last < len(stamps):
        end = stamps[last] * base
    elif job.field in ("bob", "ivtc") and len(stamps) > 1:
        end = (2 * stamps[-1] - stamps[-2]) * base
    return replace(graph, times=FrameTimes(shown, base / divisor, end))


def output_format(job: UpscaleJob, clip: vs.VideoNode) -> Target:
    """The source's chroma layout, or the smallest that loses nothing of it (Gray becomes 4:2:0, RGB 4:4:4), at
    the source's depth as far as it is 8 or 10, above that at 10, unless the job says otherwise."""
    fmt = clip.format
    bits = job.depth or (8 if fmt.bits_per_sample <= 8 else 10)
    sampled = (min(fmt.subsampling_w, 1), min(fmt.subsampling_h, 1))
    own = {(1, 1): "420", (1, 0): "422"}.get(sampled, "444")
    layout = job.chroma or ("420" if fmt.color_family == vs.GRAY else own)
    encoder = ENCODERS[job.encoder]
    if layout not in encoder.layouts:
        raise CommandError(
            f"{job.encoder} does not encode {':'.join(layout)}, the source is {fmt.name}; "
            f"use --chroma {encoder.layouts[0]} or another --encoder"
        )
    fewer = fmt.sample_type == vs.FLOAT or fmt.bits_per_sample > bits
    return Target(bits, layout, "error_diffusion" if fewer else "none")


def target_size(job: UpscaleJob, clip: vs.VideoNode, target: Target) -> tuple[int, int]:
    """Width and height asked for; where only one is given, the other keeps the picture's shape."""
    mod_w = 2 if target.layout in ("420", "422") else 1
    mod_h = 2 if target.layout == "420" else 1
    if job.width % mod_w or job.height % mod_h:
        raise CommandError(
            f"{job.width or 'any'}x{job.height or 'any'} does not fit {':'.join(target.layout)} video; "
            "use even numbers, or --chroma 444"
        )
    width = job.width or max(1, round(job.height * clip.width / clip.height / mod_w)) * mod_w
    height = job.height or max(1, round(job.width * clip.height / clip.width / mod_h)) * mod_h
    return width, height


def partial(job: UpscaleJob) -> bool:
    """Whether only a part is asked for."""
    return job.start > 0 or job.end is not None or job.frames > 0 or job.test > 0


def chosen(job: UpscaleJob, stamps: Sequence[int], base: Fraction, origin: Fraction) -> tuple[int, int]:
    """First frame, and the one after the last, of the part asked for.

    `stamps` when each frame is shown, in units of `base` seconds; times asked for count from `origin` seconds.
    Raises CommandError where no frame is in it.
    """
    times = [time * base - origin for time in stamps]
    total = len(times)
    if job.test:
        pace = (times[-1] - times[0]) / (total - 1) if total > 1 else Fraction(1, 25)
        count = min(total, max(1, round(job.test / pace)))
        first = (total - count) // 2
        return first, first + count
    first = next((n for n, time in enumerate(times) if time >= job.start - 1e-4), total)
    last = total
    if job.end is not None:
        last = next((n for n, time in enumerate(times) if time >= job.end - 1e-4), total)
    if job.frames:
        last = min(last, first + job.frames)
    if first >= last:
        length = float(times[-1])
        raise CommandError(f"no frame lies in the part asked for; the source's last one is shown at {length:.2f} s")
    return first, last


def wipe(plain: vs.VideoNode, result: vs.VideoNode) -> vs.VideoNode:
    """`plain` left and `result` right of a line that goes from one side to the other and back, without end."""
    width = result.width
    fps = float(result.fps or 25)
    step = 1 << result.format.subsampling_w
    white = [1 << result.format.bits_per_sample - 1] * 3
    white[0] = 235 << result.format.bits_per_sample - 8
    bar = result.std.BlankClip(width=LINE, length=1, color=white, keep=True)

    def frame(n: int) -> vs.VideoNode:
        share = (n / fps / SWEEP) % 1.0
        place = round((width - LINE) * (1 - abs(2 * share - 1)) / step) * step
        parts = [plain.std.Crop(right=width - place)] if place else []
        parts.append(bar.std.Loop(result.num_frames))
        if place + LINE < width:
            parts.append(result.std.Crop(left=place + LINE))
        return vs.core.std.StackHorizontal(parts)

    wiped: vs.VideoNode = vs.core.std.FrameEval(result, frame, clip_src=[plain, result]).std.CopyFrameProps(result)
    return wiped


def steady(stamps: Sequence[int], name: str) -> tuple[int, ...]:
    """The timestamps, if every frame has one and each is later than the one before.

    Unknown ones are filled in where all known ones lie on one line: the rate is constant then. A time that two frames
    share, as those in one packet of a program stream do, is only the first one's. Raises CommandError otherwise,
    because sound and picture could drift apart.
    """
    if NO_TIME in stamps:
        first = {t: n for n, t in reversed(list(enumerate(stamps)))}
        known = [(n, t) for n, t in enumerate(stamps) if t != NO_TIME and first[t] == n]
        if len(known) < 2:
            raise CommandError(f"{name} carries no timestamps; give the frame rate, such as --fps 24000/1001")
        (n, t), (m, u) = known[0], known[-1]
        pace = Fraction(u - t, m - n)
        if pace.denominator != 1 or any(t + (k - n) * pace != stamp for k, stamp in known):
            raise CommandError(
                f"{name} has {len(stamps) - len(known)} of {len(stamps)} frames without a timestamp and a variable "
                "rate, so sound and picture could drift apart; repair its timestamps by remuxing it first"
            )
        stamps = [t + (k - n) * int(pace) for k in range(len(stamps))]
    for n in range(1, len(stamps)):
        if stamps[n] <= stamps[n - 1]:
            raise CommandError(
                f"{name}: frame {n} is not later than frame {n - 1} (timestamps {stamps[n]} and {stamps[n - 1]}), "
                "so sound and picture could drift apart; repair its timestamps by remuxing it first"
            )
    return tuple(stamps)


def text(steps: Sequence[Step], placed: bool = False, plain_at: int | None = None) -> str:
    """The steps as a script. On Windows it is ASCII: what a shell there writes to a file may be no UTF-8.

    With `placed` it is for `evaluate`: what differs from machine to machine are names that it finds. `plain_at` the
    number of steps after which the clip is kept as `plain`.
    """
    written = ascii if sys.platform == "win32" else repr
    lines = ["import vapoursynth as vs", "", "core = vs.core", ""]
    for number, step in enumerate(steps):
        given = {name: value if isinstance(value, Literal) else written(value) for name, value in step.arguments}
        if number == plain_at:
            lines.append("plain = clip")
        if placed and step.function.startswith("bs."):
            given |= {"source": "source"} | ({} if "cachemode" in given else {"cachepath": "index"})
        words = [] if step.function.startswith("bs.") else ["clip"]
        words += [f"{name}={value}" for name, value in given.items() if not (placed and name in PLACED)]
        words += ["**placement"] if placed and step.function == "gansr.Upscale" else []
        if step.function:
            lines.append(f"clip = core.{step.function}({', '.join(words)})")
    return "\n".join([*lines, "clip.set_output()", ""])


def evaluate(script: str, **names: Any) -> tuple[vs.VideoNode, vs.VideoNode]:
    """The clip of a script that `text` wrote, and its `plain`; `names` are what it leaves open: source, index and
    placement, or the clip that it begins with."""
    exec(compile(script, "script", "exec"), names)
    return names["clip"], names.get("plain", names["clip"])
