"""Open a source as a clip: a media file, a script (.vpy), numbered images."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import vapoursynth as vs

from ....errors import one_line
from ...common import CommandError
from ..job import NUMBERED, UpscaleJob
from . import media
from .index import forget, index_folder
from .media import Source
from .script_file import run_script
from .stream import UPRIGHT, look_at
from .times import NO_TIME, FrameTimes, frame_durations, frame_times, settled

__all__ = ["images", "open_clip", "open_media", "opening", "preparations", "tags"]


@dataclass(frozen=True)
class OpenedClip:
    """A clip, the call that made it ("" for a script's output) with its arguments, when its frames are shown, and notes
    that are worth telling."""

    clip: vs.VideoNode
    function: str
    arguments: tuple[tuple[str, Any], ...]
    times: FrameTimes
    notes: tuple[str, ...] = ()


def open_media(job: UpscaleJob) -> Source:
    """What the source holds besides its pictures. Raises CommandError where it cannot be read."""
    alone = Source()
    if job.is_numbered and (files := images(job.source)):
        import av

        looks = []
        for path in dict.fromkeys((files[0], files[len(files) // 2], files[-1])):
            with contextlib.suppress(av.error.FFmpegError, OSError):  # BestSource says why it cannot be read
                looks.append(look_at(str(path), 0, 0.0))
        if len({look.orientation for look in looks}) > 1:
            raise CommandError(f"{job.source}: the images are turned in different ways; turn them all upright first")
        names = frozenset(name for look in looks for name in look.names)
        alone = replace(alone, orientation=looks[0].orientation if looks else UPRIGHT, beside=names)
    if job.has_times:
        source = media.probe(job.source)
    elif job.tracks:
        beside = media.probe(job.tracks, picture=False)
        others = tuple(track for track in beside.others if track.kind != "video" or track.cover)
        # Where the script's first frame is.
        begin = beside.packets[0] * beside.time_base if beside.packets else beside.origin
        source = replace(
            alone, path=beside.path, video=beside.video, others=others, reached=beside.reached, ahead=begin,
            metadata=beside.metadata, timecode=beside.timecode,
        )  # fmt: skip
    else:
        source = alone
    if job.sar:
        source = replace(source, sar=Fraction(job.sar))
    return source


def open_clip(job: UpscaleJob, source: Source, whole: bool = True) -> OpenedClip:
    """Opens the source; `whole` says whether the time of every frame matters.

    Raises CommandError where that gives no clip of one size and format.
    """
    notes: list[str] = []
    times: FrameTimes | None = None
    function: str = ""
    arguments: tuple[tuple[str, Any], ...] = ()
    if job.is_script:
        output = run_script(job.source, job.arg)
        clip, notes = of_one_format(output.clip, job.source), left_out(output)
        if not job.fps and (times := frame_times(frame_durations(clip, whole), Fraction(clip.fps))):
            notes += [times.note] if times.note else []
    else:
        function, arguments, opened = open_file(job, source)
        clip = of_one_format(opened["clip"], job.source)
    if job.has_times:
        stamps = opened["timestamps"]
        found = settled(source, [stamps] if isinstance(stamps, int) else stamps)
        if job.fps and not source.bare and any(time != NO_TIME for time in found):
            raise CommandError(f"{job.source} has timestamps; omit --fps {job.fps}")
        if not job.fps and not source.rate_unknown:
            times = FrameTimes(found, Fraction(opened["timebasenum"], opened["timebaseden"]), constant=False)
    if not times:
        if not job.fps:
            raise CommandError(f"{job.source} has no frame rate; give --fps")
        times = FrameTimes(tuple(range(clip.num_frames)), 1 / Fraction(job.fps))
    return OpenedClip(clip, function, arguments, times, tuple(notes))


def left_out(output: vs.VideoOutputTuple) -> list[str]:
    """What of a script's outputs is not carried, in words."""
    notes = ["the script's alpha output (transparency) is not carried"] if output.alpha is not None else []
    sounds = [number for number, other in vs.get_outputs().items() if isinstance(other, vs.AudioNode)]
    if sounds:
        which = ", ".join(map(str, sounds))
        notes.append(f"the script's sound, output {which}, is not carried; write it to a file and give --tracks")
    return notes


def of_one_format(clip: vs.VideoNode, path: str) -> vs.VideoNode:
    """The clip. Raises CommandError where its size or format varies."""
    if clip.format is None or not clip.width:
        raise CommandError(f"{path} changes its size or format; cut it into parts of one format first")
    return clip


def turned_here(source: Source) -> bool:
    """Whether BestSource leaves it to us to turn the picture upright: it knows only what the container says, turns by
    quarters alone, and does so before anything is cropped."""
    return not source.turned_by_file or any(source.crop) or not source.orientation.is_square


def preparations(source: Source, clip: vs.VideoNode) -> list[tuple[str, dict[str, int]]]:
    """The calls that crop the decoded `clip` as its container says and turn it upright."""
    across, down = 1 << clip.format.subsampling_w, 1 << clip.format.subsampling_h
    steps = (down, down, across, across)
    sides = {
        name: side - side % step
        for name, side, step in zip(("top", "bottom", "left", "right"), source.crop, steps, strict=True)
        if side >= step
    }
    calls: list[tuple[str, dict[str, int]]] = [("std.Crop", sides)] if sides else []
    return calls + [(f"std.{name}", {}) for name in source.orientation.calls if turned_here(source)]


def open_file(job: UpscaleJob, source: Source) -> tuple[str, tuple[tuple[str, Any], ...], dict[str, Any]]:
    """BestSource's function, its arguments and what it gives for a file or numbered images."""
    core = vs.core.core
    if not hasattr(core, "bs"):
        raise CommandError('BestSource is not installed; run: pip install "vs-gansr[cli]"')
    arguments: list[tuple[str, Any]] = [("source", as_argument(escaped(job))), ("track", source.video.index)]
    if source.turned_by_file and turned_here(source):
        arguments.append(("apply_rotation", 0))
    if job.is_numbered:
        arguments += [("start_number", first_number(job.source)), ("cachemode", 0)]
    if job.accept_damage:  # with one thread the decoder gives what comes before the damage even of a file cut short
        arguments.append(("threads", 1))
    try:
        opened = opened_by_bestsource(job, arguments)
    except (vs.Error, OSError) as error:
        hint = "" if job.accept_damage else "; if it is damaged, go on with --accept-damage"
        if "Unsupported video format" in str(error):
            hint = "; convert it by a program that reads it, to FFV1 in .mkv for example"
        raise CommandError(f"{one_line(error)}{hint}") from error
    return "bs.VideoSource", tuple(arguments), opened


def opening(job: UpscaleJob) -> dict[str, Any]:
    """What a script of script.steps needs to open the source again: its clip, or its path and its index's folder."""
    if job.is_script:
        return {"clip": run_script(job.source, job.arg).clip}
    index = {} if job.is_numbered else {"index": as_argument(str(index_folder(job.source)))}
    return {"source": as_argument(escaped(job)), **index}


def opened_by_bestsource(job: UpscaleJob, arguments: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """What bs.VideoSource gives; with an index made anew where the one that is there is not of this file."""
    call = vs.core.core.bs.VideoSource
    if job.is_numbered:
        return dict(call(**dict(arguments), exporttimestamps=1))
    # By itself BestSource keeps its index of a long film in a folder in the middle of the user's home.
    folder = index_folder(job.source)
    own = {"exporttimestamps": 1, "cachepath": as_argument(str(folder))}
    opened = dict(call(**dict(arguments), **own))
    try:
        for number in (0, opened["clip"].num_frames - 1):
            opened["clip"].get_frame(number).close()
    except vs.Error:
        if not folder.exists():
            raise
        forget(folder)
        opened = dict(call(**dict(arguments), **own))
    return opened


def escaped(job: UpscaleJob) -> str:
    """The source's path as FFmpeg takes it, to which each % in a pattern of numbered images means something."""
    path = Path(job.source)
    return str(Path(str(path.parent).replace("%", "%%")) / path.name) if job.is_numbered else job.source


def as_argument(path: str) -> str | bytes:
    """`path` as VapourSynth takes it: in bytes where its name is not UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path)
    return path


def first_number(pattern: str) -> int:
    """The number of the first image. Raises CommandError where there is none, or one is missing in between."""
    path = Path(pattern)
    numbers = numbers_of(path)
    if not numbers:
        raise CommandError(f"no file matches {pattern}")
    missing = next((a + 1 for a, b in pairwise(numbers) if b != a + 1), None)
    if missing is not None:
        raise CommandError(f"{path.parent / (filled(path.name, missing))} is missing in the sequence")
    return numbers[0]


def images(pattern: str) -> list[Path]:
    """The numbered images that `pattern` means, in order."""
    path = Path(pattern)
    return [path.with_name(filled(path.name, number)) for number in numbers_of(path)]


def numbers_of(path: Path) -> list[int]:
    """The numbers of the images that are called like `path`, rising."""
    place = NUMBERED.search(path.name)
    assert place
    before, after = (part.replace("%%", "%") for part in (path.name[: place.start()], path.name[place.end() :]))
    like = re.compile(rf"{re.escape(before)}(\d+){re.escape(after)}")
    names = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
    found = (like.fullmatch(name) for name in names)
    return sorted(int(match[1]) for match in found if match and filled(path.name, int(match[1])) == match[0])


def filled(name: str, number: int) -> str:
    """The name of the image of this number. Raises CommandError for a name with another % in it."""
    try:
        return name % number
    except (TypeError, ValueError) as error:
        raise CommandError(f"{name} has a % that is not the image's number; write it as %%") from error


def tags(job: UpscaleJob) -> dict[str, int]:
    """The frame properties that the user gives the source."""
    given = {"_Matrix": job.matrix, "_Primaries": job.primaries, "_Transfer": job.transfer, "_Range": job.range}
    return {name: value for name, value in given.items() if value is not None}
