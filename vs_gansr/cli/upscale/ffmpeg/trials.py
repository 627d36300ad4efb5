"""Try the encoder and the container on a moment, before anything is rendered.

What the encoder does not know, and what the container does not hold, is an error then and no silence.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from ...common import CommandError
from ...ffmpeg import ENCODERS, Ffmpeg, cause
from ..job import UpscaleJob
from ..source.media import Source
from .command import Carried, container, track_options
from .options import codec_options, divide
from .process import how

__all__ = ["refusal", "translated", "try_container", "try_encoder", "try_size"]

USUAL = (128, 8192)  # sides that every encoder takes
LONGEST = 65535  # the longest side that encoders and containers count to
THIN = 256  # the other side of a picture that one side is tried with
PATIENCE = 120  # seconds for a few frames; x265 3.5 hangs for ever on 28 to 31 lines, and crashes on fewer
SMALL = 1 << 20  # pixels of a picture that is tried as it is
UNKNOWN = (  # what the encoders, through ffmpeg, say of a parameter that they do not take
    (re.compile(r"Unknown option: ([^.\s]+)"), "does not know the parameter"),
    (re.compile(r"Error parsing option '?([^\s':=]+)\s*[:=]"), "does not know the parameter, or not with this value,"),
    (re.compile(r"Invalid value for ([^:\s]+): "), "does not take this value of the parameter"),
)


def run(words: Sequence[str], patience: float | None = None) -> tuple[int, list[str]]:
    """The exit code of an ffmpeg, and what it says. Raises subprocess.TimeoutExpired after `patience` seconds."""
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=patience
    )
    return done.returncode, done.stderr.splitlines()


def grey(
    job: UpscaleJob, ffmpeg: Ffmpeg, level: str, size: str, frames: int, form: str, preset: str = "", own: bool = True
) -> list[str]:
    """The beginning of a command that encodes grey pictures, with the user's `own` parameters and, unless another is
    given, the user's preset."""
    encoder = ENCODERS[job.encoder]
    words = [ffmpeg.path, "-hide_banner", "-v", level, "-nostdin", "-y", "-f", "lavfi"]
    words += ["-i", f"color=gray:size={size}:rate=25", "-frames:v", str(frames), "-pix_fmt", form]
    words += ["-c:v", encoder.library, "-preset", preset or job.preset or encoder.preset]
    params = ["log-level=error"] if job.encoder == "x265" else []
    params += divide(job).params if own else ()
    return [*words, encoder.params, ":".join(params)] if params else words


def try_encoder(job: UpscaleJob, ffmpeg: Ffmpeg, path: str) -> None:
    """Raises CommandError where the encoder does not take the job's settings, naming the parameter at fault.

    Writes `path`.
    """
    options = divide(job)
    words = grey(job, ffmpeg, "warning", "256x144", 2, "yuv420p")
    words += ["-crf", f"{ENCODERS[job.encoder].crf if job.crf is None else job.crf:g}"]
    for name, chained in (("-vf", options.filters), ("-bsf:v", options.bitstream_filters)):
        words += [name, ",".join(chained)] if chained else []
    code, lines = run([*words, *options.rest, "-f", "matroska", f"file:{path}"])
    if reason := refusal(lines):
        raise CommandError(f"{job.encoder} {reason}; look it up in the encoder's manual")
    if code:
        raise CommandError(f"{job.encoder} does not start: {translated(lines) or f'exit code {code}'}")


def refusal(lines: Iterable[str]) -> str:
    """Which parameter the encoder does not take, "" if it takes all."""
    said: dict[str, list[str]] = {}
    for line in lines:
        for pattern, words in UNKNOWN:
            if match := pattern.search(line):
                said.setdefault(words, []).append(f'"{match[1]}"')
    return "; ".join(f"{words} {', '.join(dict.fromkeys(names))}" for words, names in said.items())


def translated(lines: Iterable[str]) -> str:
    """The first cause in the words of whoever chose the options."""
    lines = list(lines)
    for line in lines:
        if match := re.search(r"Error setting preset/tune \S+/(\S+?)\.?$", line):
            return f'it has no tune "{match[1]}"'
        if match := re.search(r"Value (\S+) for parameter '(\S+)' out of range (\[.*\])", line):
            return f"{match[2]} {float(match[1]):g} is out of range {match[3]}"
        if match := re.match(r"(?:x265|Svt)\s?\[error\]:\s*(.*)", line):
            return match[1]
    return cause(lines)


def try_size(job: UpscaleJob, ffmpeg: Ffmpeg, width: int, height: int, pixel_format: str) -> None:
    """Raises CommandError where the encoder does not take `width` x `height` pixels, with its reason and a way out.

    A small picture is tried with the user's settings. Of a large one each side is tried alone, so that trying costs no
    memory; whether FFmpeg holds a picture that large it says itself.
    """
    if USUAL[0] <= min(width, height) and max(width, height) <= USUAL[1]:
        return
    reason = too_many_pixels(width, height, pixel_format)
    if not reason and width * height <= SMALL:
        reason = not_encoded(grey(job, ffmpeg, "error", f"{width}x{height}", 8, pixel_format))
    elif not reason:
        presets = ENCODERS[job.encoder].presets
        fastest = presets[-1] if job.encoder == "svt-av1" else presets[0]
        for size in (f"{width}x{THIN}", f"{THIN}x{height}"):
            reason = reason or not_encoded(grey(job, ffmpeg, "error", size, 1, pixel_format, fastest, own=False))
    if reason:
        side = "less" if max(width, height) > USUAL[1] else "more"
        raise CommandError(
            f"{job.encoder} does not encode pictures of {width}x{height} pixels ({reason}); ask for {side} with "
            "--height or --width, or take another --encoder"
        )


def too_many_pixels(width: int, height: int, pixel_format: str) -> str:
    """Why there is no picture of this size in FFmpeg; empty where there is."""
    import av

    if max(width, height) > LONGEST:
        return f"no side may be longer than {LONGEST}"
    try:
        av.VideoFrame(width, height, pixel_format)
    except (ValueError, MemoryError, av.error.FFmpegError):
        return "FFmpeg holds no picture that large"
    return ""


def not_encoded(words: Sequence[str]) -> str:
    """Why the pictures of a command of `grey` are not encoded; empty where they are."""
    try:
        code, lines = run([*words, "-f", "null", "-"], PATIENCE)
    except subprocess.TimeoutExpired:
        return f"it was not done with a few frames after {PATIENCE} s"
    return cause(lines) or how(code) if code else ""


def try_container(job: UpscaleJob, ffmpeg: Ffmpeg, source: Source, carried: Carried, path: str) -> None:
    """Raises CommandError where the output's container does not take a moment of the tracks that are carried.

    Writes `path`.
    """

    def refused(tracks: Carried) -> str:
        words = [ffmpeg.path, "-hide_banner", "-v", "error", "-nostdin", "-y", "-i", f"file:{source.path}", "-t", "0.1"]
        for place, (track, codec) in enumerate(tracks.tracks):
            words += track_options(place, 0, track, codec)
        words += codec_options(divide(job).rest)
        code, lines = run([*words, "-f", container(job.output, job.encoder), f"file:{path}"])
        return (cause(lines) or f"ffmpeg exits with {code}") if code else ""

    if not carried.tracks or not (reason := refused(carried)):
        return
    culprits = [track for track, codec in carried.tracks if refused(replace(carried, tracks=((track, codec),)))]
    named = ", ".join(map(str, culprits or [track for track, _ in carried.tracks]))
    better = "write .mkv" if Path(job.output).suffix.lower() != ".mkv" else "take another container"
    raise CommandError(
        f"{job.output} cannot hold {named}: {reason}; {better}, leave it out with --drop, "
        "or give it another codec behind --, as in: -- -c:a aac"
    )
