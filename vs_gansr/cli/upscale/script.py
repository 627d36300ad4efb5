"""Owns the VapourSynth side of `gansr upscale`: which calls make the clip, done or printed as a .vpy.

Source, network (as often as the target needs), zimg down to the target, each a Step. `build` applies the steps
while it finds them, `text` writes the same steps down, so the printed script is what runs.

Depth: the network's result is rounded to the output's depth; where the source has more bits than the output,
error diffusion hides the steps. Between the network and zimg there are 16 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import vapoursynth as vs

from ..common import CommandError
from .job import ENCODERS, UpscaleJob

__all__ = ["NO_TIME", "Graph", "Literal", "Step", "build", "steady", "text"]

MOST_PASSES = 3
NO_TIME = -(1 << 63)  # BestSource's sign for a frame without a timestamp


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
    """The clip, the steps that made it, and when each frame is shown: `timestamps` times `time_base` seconds.

    `source_size` is the decoded width and height; `timestamps` are the source's own, NO_TIME where it has none.
    """

    clip: vs.VideoNode
    steps: tuple[Step, ...]
    source_size: tuple[int, int]
    timestamps: tuple[int, ...]
    time_base: Fraction


def build(job: UpscaleJob, track: int) -> Graph:
    """Opens track number `track` of the source and puts the job's steps on it.

    Raises CommandError for what the source or the job rules out, vapoursynth.Error for what VapourSynth does.
    """
    core = vs.core.core
    if not hasattr(core, "bs"):
        raise CommandError('BestSource is not installed; run: pip install "vs-gansr[cli]"')
    if not hasattr(core, "gansr"):
        raise CommandError("VapourSynth did not load core.gansr; `gansr doctor` says why")
    source = Step("bs.VideoSource", (("source", job.source), ("track", track)))
    opened = core.bs.VideoSource(**dict(source.arguments), exporttimestamps=1)
    clip: vs.VideoNode = opened["clip"]
    if clip.format is None or not clip.width:
        raise CommandError(f"{job.source} changes its size or format on the way; cut it into parts of one format first")
    size = (clip.width, clip.height)
    stamps = opened["timestamps"]
    timestamps = (stamps,) if isinstance(stamps, int) else tuple(stamps)

    target = output_format(job, clip)
    steps = [source, *network_steps(job, clip, target)]
    clip = apply(core, clip, steps[1])
    if job.width or job.height:
        width, height = target_size(job, clip, target)
        while clip.width < width or clip.height < height:
            if len(steps) > MOST_PASSES:
                raise CommandError(
                    f"{width}x{height} is out of reach: {MOST_PASSES} passes of the model make "
                    f"{clip.width}x{clip.height} of {size[0]}x{size[1]}; ask for less"
                )
            steps.append(Step("gansr.Upscale", tuple(job.upscale_arguments().items())))
            clip = apply(core, clip, steps[-1])
        arguments = {"width": width, "height": height, "format": target.preset(target.bits)}
        steps.append(Step("resize.Spline36", (*arguments.items(), ("dither_type", target.dither))))
        clip = apply(core, clip, steps[-1])
    time_base = Fraction(opened["timebasenum"], opened["timebaseden"])
    return Graph(clip, tuple(steps), size, timestamps, time_base)


def network_steps(job: UpscaleJob, clip: vs.VideoNode, target: Target) -> list[Step]:
    """The first pass of the network, into the output's format or, where zimg follows, into 16 bit."""
    arguments = job.upscale_arguments()
    preset = target.preset(16 if job.width or job.height else target.bits)
    if preset != f"vs.{clip.format.name}":
        arguments["format"] = preset
    return [Step("gansr.Upscale", tuple(arguments.items()))]


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


def steady(stamps: Sequence[int], name: str) -> tuple[int, ...]:
    """The timestamps, if every frame has one and each is later than the one before.

    Unknown ones are filled in where all known ones lie on one line, as AVI's do: the rate is constant then.
    Raises CommandError otherwise, because sound and picture could drift apart.
    """
    known = [(n, t) for n, t in enumerate(stamps) if t != NO_TIME]
    if len(known) < len(stamps):
        if len(known) < 2:
            raise CommandError(
                f"{name} carries no timestamps; give it a frame rate by putting it into a container first, "
                f'as in: ffmpeg -framerate 25 -i "{name}" -c copy out.mkv'
            )
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


def apply(core: vs.Core, clip: vs.VideoNode, step: Step) -> vs.VideoNode:
    """What `step` makes of `clip`."""
    plugin, function = step.function.split(".")
    arguments = {
        name: getattr(vs, value.removeprefix("vs.")) if isinstance(value, Literal) else value
        for name, value in step.arguments
    }
    result: vs.VideoNode = getattr(getattr(core, plugin), function)(clip, **arguments)
    return result


def text(steps: tuple[Step, ...]) -> str:
    """The steps as a VapourSynth script."""
    lines = ["import vapoursynth as vs", "", "core = vs.core", ""]
    for step in steps:
        words = [] if step.function.startswith("bs.") else ["clip"]
        for name, value in step.arguments:
            words.append(f"{name}={value if isinstance(value, Literal) else repr(value)}")
        lines.append(f"clip = core.{step.function}({', '.join(words)})")
    return "\n".join([*lines, "clip.set_output()", ""])
