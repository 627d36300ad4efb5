"""Make the plan of a film: open its source, build the script, try encoder and container, find the chunks.

The fingerprint names all that must be equal in every chunk: what the film is made of, and what it is made with.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Sequence
from dataclasses import fields, replace
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ....engine.auto.cpu_rules import fast_int8
from ....filter.computed import Computed
from ....model import library
from ... import ffmpeg
from ...common import CommandError
from ..ffmpeg import command as ffmpeg_command
from ..ffmpeg import options, trials
from ..ffmpeg.command import Picture
from ..job import UpscaleJob
from ..script import filters
from ..script.steps import Graph, build, partial, steady, text, timed
from ..source import clip as clip_source
from ..source import media, notes
from ..source.media import Source
from ..source.times import NO_TIME, later
from .file import digest
from .messages import MakePlan, Noted, Placement, Stage, Tell
from .plan import Fingerprint, Plan, pace, scene_changes, spans
from .render import OpenFilm, engine_of, placed

__all__ = ["make_plan", "of_job", "of_machine", "picture_of", "remarks"]

# Properties by which BestSource and scripts hand over side data.
BESIDE = {"DolbyVisionRPU": "DOVI_RPU_BUFFER", "HDR10Plus": "DYNAMIC_HDR_PLUS", "ICCProfile": "ICC_PROFILE"}
SCRIPT_STAGE = "reading how long each frame of the script is shown (--fps saves that)"

# Options that say where the work is done, or follow from everything else.
ELSEWHERE = {"source", "output", "ffmpeg", "device_id", "num_streams", "frame_threads"}
PACKAGES = ("vs-gansr", "vapoursynth", "vapoursynth-bestsource", "onnxruntime", "onnxruntime-gpu", "openvino")


def make_plan(order: MakePlan, placement: Placement, tell: Tell) -> OpenFilm:
    """Does everything before the first frame and writes the plan; returns the film that it opened for that.

    Raises CommandError, or what VapourSynth does, for what cannot be.
    """
    job = order.job
    engine = engine_of()
    tool = ffmpeg.choose(job.encoder, job.ffmpeg)
    tell(Stage("reading"))
    source = clip_source.open_media(job)
    carried = ffmpeg_command.carry(job, source)
    trials.try_encoder(job, tool, order.scratch)
    trials.try_container(job, tool, source, carried, order.scratch)
    tell(Stage(SCRIPT_STAGE if job.is_script else "indexing"))
    graph, harm = whole(job, source, build(placed(job, placement), source))
    source, graph = cut(job, source, graph)
    with graph.clip.get_frame(0) as first:
        props = dict(first.props)
    if not job.sar and not job.has_times:  # a script's or images' first frame says the shape of its pixels
        source = replace(source, sar=notes.fraction_of(props, "_SAR") or source.sar)
    picture = picture_of(source, graph, props)
    trials.try_size(job, tool, picture.width, picture.height, picture.pixel_format)
    for note in [
        *filters.named(step.function for step in graph.steps),
        *carried.notes,
        *graph.notes,
        *remarks(job, source, graph, props),
        *([harm] if harm else []),
    ]:
        tell(Noted(note))
    stamps, base = graph.times.timestamps, graph.times.time_base
    length = round(job.chunk * pace(stamps, base))
    cuts = scene_changes(source, stamps) if base == source.time_base else []
    made = spans(len(stamps), max(length, 1) if job.chunk else 0, cuts)
    if len(made) > 1:
        options.refuse_in_chunks(job, options.divide(job).params)
        tell(Stage("reading the source's content"))
    plan = Plan(
        job=job,
        source=replace(source, packets=(), keys=(), hollow=frozenset()),
        carried=carried,
        script=text(graph.steps, placed=True, plain_at=graph.prepared if job.compare else None),
        picture=picture,
        timestamps=stamps,
        time_base=base,
        rate=Fraction(graph.clip.fps or pace(stamps, base)),
        spans=made,
        encoder=tuple(ffmpeg_command.chunk_command(job, tool.hdr, picture)),
        engine=tuple(engine),
        ffmpeg=tool.version,
        fingerprint=of_job(job) if len(made) > 1 else {},
    )
    plan.save(Path(order.path))
    return OpenFilm(plan, graph.clip, engine, tool)


def whole(job: UpscaleJob, source: Source, graph: Graph) -> tuple[Graph, str | None]:
    """The graph with a time for every frame, and what damage was accepted.

    Raises CommandError for damage that is not, and for times that run wild: frames out of order may be either.
    """
    wild = None
    try:
        graph = replace(graph, times=replace(graph.times, timestamps=steady(graph.times.timestamps, job.source)))
        times = list(graph.times.timestamps)
    except CommandError as error:
        wild = error
        times = sorted(time for time in graph.times.timestamps if time != NO_TIME)
    retimed = source.bare and job.fps is not None  # the times of its packets follow from another rate
    harm = None if retimed else media.damage(source, times)
    if harm and not job.accept_damage:
        raise CommandError(f"{job.source} is damaged: {harm}; repair it, or go on with --accept-damage")
    if wild:
        raise wild
    return graph, harm


def cut(job: UpscaleJob, source: Source, graph: Graph) -> tuple[Source, Graph]:
    """Source and graph with their times as the part asked for and the filters make them."""
    stamps, base, (first, last) = graph.times.timestamps, graph.times.time_base, graph.span
    if source.timecode and source.packets:
        ratio = {"bob": Fraction(2), "ivtc": Fraction(4, 5)}.get(job.field, Fraction(1))
        source = replace(source, timecode=later(source.timecode, first, pace(stamps, base), ratio))
    if partial(job):
        begin = stamps[first] * base if first else source.origin
        over = max(source.origin + source.reached, (stamps[-1] + 1) * base)
        after = stamps[last] * base if last < len(stamps) else over
        source = replace(source, origin=begin, section=(begin, after - begin))
    return source, timed(job, graph)


def picture_of(source: Source, graph: Graph, props: dict[str, Any]) -> Picture:
    """What the encoder must know of `graph`'s pictures."""
    clip, stamps, base = graph.clip, graph.times.timestamps, graph.times.time_base
    sar, (width, height) = source.sar, graph.source_size
    if source.orientation.degrees in (90, 270):  # width and height change places
        sar = 1 / sar
    shape = Fraction(width, height) / Fraction(clip.width, clip.height)
    if abs(shape * clip.width - clip.width) >= 2:  # more than rounding to whole pixels: both sides were asked for
        sar = (sar * shape).limit_denominator(1 << 15)
    start, last = (stamps[n] * base - source.origin for n in (0, -1))
    length = source.last * source.time_base
    if graph.times.end is not None:
        length = graph.times.end - stamps[-1] * base
    elif not length or source.packets[-1] * source.time_base != stamps[-1] * base:
        length = (stamps[-1] - stamps[-2]) * base if len(stamps) > 1 else Fraction(1, 25)
    fmt = clip.format
    layout = {(1, 1): "420", (1, 0): "422"}.get((fmt.subsampling_w, fmt.subsampling_h), "444")
    pixel_format = f"yuv{layout}p{'10le' if fmt.bits_per_sample == 10 else ''}"
    return Picture(clip.width, clip.height, pixel_format, sar, kept(props), start, last, last + length)


def remarks(job: UpscaleJob, source: Source, graph: Graph, props: Any) -> list[str]:
    """What is done to the picture before the network, and what is not carried of it, in words."""
    said = []
    if source.packets and sorted(graph.decoded_size) != sorted(source.size):
        (w, h), (a, b) = source.size, graph.decoded_size
        said.append(f"VapourSynth needs sides that the chroma subsampling divides: {w}x{h} is cut to {a}x{b}")
    if any(source.crop):
        (w, h), (a, b) = graph.decoded_size, graph.source_size
        sides = "{} above, {} below, {} left and {} right".format(*source.crop)
        said.append(f"the container crops the picture by {sides}: {w}x{h} becomes {a}x{b}")
    if not source.orientation.is_square:
        right, left = source.orientation.degrees, 360 - source.orientation.degrees
        turn = f"{right} degrees to the right" if right < 180 else f"{left} degrees to the left"
        said.append(f"the source is to be turned by {turn}, which is not done: the picture is as it is coded")
    if len(source.shapes) > 1 and not job.sar:
        (_, first), (time, other) = source.shapes[:2]
        was, now = (f"{shape.numerator}:{shape.denominator}" for shape in (first, other))
        place = "an unknown time" if time is None else f"{float(time * source.time_base - source.origin):.2f} s"
        said.append(notes.changed("sample aspect ratio", was, now, place))
    if "_Alpha" in props or source.tag("alpha_mode") == "1":
        said.append("the source's alpha plane (transparency) is not carried")
    names = {*source.beside, *(name for prop, name in BESIDE.items() if prop in props)}
    if source.tag("alpha_mode") == "1":
        names.discard("matroska_block_additional")
    if source.tag("stereo_mode") and ffmpeg_command.container(job.output, job.encoder) == "matroska":
        names -= {"STEREO3D", "stereo_3d"}
    return said + notes.of_side_data(names)


def kept(props: dict[str, Any]) -> dict[str, Any]:
    """The properties that are numbers or lists of numbers."""
    lists = {name: list(value) if isinstance(value, (list, tuple)) else [value] for name, value in props.items()}
    numbers = {name for name, values in lists.items() if all(isinstance(value, (int, float)) for value in values)}
    return {name: lists[name] if isinstance(props[name], (list, tuple)) else props[name] for name in sorted(numbers)}


def of_job(job: UpscaleJob) -> Fingerprint:
    """The fingerprint of a film's options and content, whoever renders it. Reads the source whole."""
    options = {field.name: getattr(job, field.name) for field in fields(job) if field.name not in ELSEWHERE}
    found = {option(name): show(value) for name, value in options.items()}
    found["source content"] = source_content(job)
    if job.tracks:
        found["content of --tracks"] = digest(Path(job.tracks))
    return found


def of_machine(plan: Plan, engine: Sequence[Computed], tool: ffmpeg.Ffmpeg) -> Fingerprint:
    """The fingerprint of what renders a film here, by `engine` and `tool`: model, provider, encoder, packages."""
    found = {
        "engine": "; ".join(map(str, engine)) or "none",
        "model content": "unset" if plan.job.as_is else model_content(plan.job),
        "ffmpeg's version": tool.version,
        "encoder's version": ffmpeg.encoder_version(tool, plan.job.encoder),
        "kind of CPU": kind_of_cpu(engine),
    }
    used = [package for space, package in filters.PACKAGES.items() if f"core.{space}." in plan.script]
    for name in (*PACKAGES, *used):
        try:
            found[f"version of {name}"] = version(name)
        except PackageNotFoundError:
            continue
    return found


def option(name: str) -> str:
    """A field of the job as the command line calls it."""
    return "options after --" if name == "extra" else f"--{name.replace('_', '-')}"


def show(value: object) -> str:
    """A value as a message shows it, in the same letters whatever encoding the system has for names."""
    text = " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str("" if value is None else value)
    return os.fsencode(text).decode("utf-8", "backslashreplace") or "unset"


def kind_of_cpu(engine: Sequence[Computed]) -> str:
    """The CPU's architecture and, if it computes with weights of 8 bits, how it sums their products: older processors
    round the sums."""
    int8 = any(computed.precision == "int8" and computed.on_processors for computed in engine)
    sums = f", sums of 8-bit products of {32 if fast_int8() else 16} bits" if int8 else ""
    return f"{platform.machine()}{sums}"


def source_content(job: UpscaleJob) -> str:
    """SHA-256 of the source's file; of numbered images' names and files; of a script alone, not of what it opens."""
    if not job.is_numbered:
        return digest(Path(job.source))
    each = [f"{path.name} {digest(path)}" for path in clip_source.images(job.source)]
    return hashlib.sha256("\n".join(each).encode()).hexdigest()


def model_content(job: UpscaleJob) -> str:
    """SHA-256 of the model's file, of its int8 variant where there is one, and of what `texture` mixes in."""
    used = [library.find(job.model or library.default_model())]
    if job.texture not in (None, 1):
        used.append(library.faithful(job.model or library.default_model()))
    variants = [file for path in used for file in (path, *sorted(path.parent.glob(f"{path.stem}*int8*.onnx")))]
    return " ".join(dict.fromkeys(digest(file) for file in variants))
