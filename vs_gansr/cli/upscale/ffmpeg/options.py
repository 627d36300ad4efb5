"""Read what a user adds to the encoder's command line: the encoder's parameters and ffmpeg's own options.

Options that would silently replace one of ours are refused by name, filters are chained behind ours, and a moment
of grey is encoded before anything else, so that what the encoder does not know is an error and no silence.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from ...common import CommandError
from ...ffmpeg import ENCODERS, Ffmpeg, cause
from ..job.job import UpscaleJob
from .params import check_params, refuse_metadata_filter

__all__ = ["ExtraOptions", "check", "divide", "try_encoder"]

SCRIPT = "put it into a script and give the .vpy as source"
INSTEAD = {  # options of ffmpeg's that replace what must hold, and what to use
    "-c": "use --encoder",
    "-codec": "use --encoder",
    "-vcodec": "use --encoder",
    "-crf": "use --crf",
    "-preset": "use --preset",
    "-pix_fmt": "use --depth and --chroma",
    "-s": "use --width and --height",
    "-aspect": "use --sar",
    "-colorspace": "use --matrix",
    "-color_primaries": "use --primaries",
    "-color_trc": "use --transfer",
    "-color_range": "use --range",
    "-chroma_sample_location": "it is the source's",
    "-r": "every frame keeps its own time",
    "-vsync": "every frame keeps its own time",
    "-field_order": "frames are progressive; --field says what to make of the source's",
    "-top": "frames are progressive; --field says what to make of the source's",
    "-fps_mode": "every frame keeps its own time",
    "-enc_time_base": "every frame keeps its own time",
    "-ss": "use --start",
    "-t": "use --end or --frames",
    "-to": "use --end or --frames",
    "-frames": "use --frames",
    "-vframes": "use --frames",
    "-map": "use --drop",
    "-vn": "there would be no picture",
    "-an": "use --drop sound",
    "-sn": "use --drop subtitles",
    "-f": "the output's ending says it",
    "-i": "no other input can be added",
    "-filter_complex": SCRIPT,
    "-lavfi": SCRIPT,
}
FILTERS = ("-vf", "-filter")
BITSTREAM_FILTERS = ("-bsf", "-vbsf")
UNKNOWN = (  # what the encoders, through ffmpeg, say of a parameter that they do not take
    (re.compile(r"Unknown option: ([^.\s]+)"), "does not know the parameter"),
    (re.compile(r"Error parsing option '?([^\s':=]+)\s*[:=]"), "does not know the parameter, or not with this value,"),
    (re.compile(r"Invalid value for ([^:\s]+): "), "does not take this value of the parameter"),
)


@dataclass(frozen=True)
class ExtraOptions:
    """The options behind `--`, divided: `params` for the encoder ("a=b:c=d" each), `filters` and `bitstream_filters`
    that go behind ours, and the `rest` for ffmpeg as they are."""

    params: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    bitstream_filters: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()


def divide(job: UpscaleJob) -> ExtraOptions:
    """The job's own parameters and extra options. Raises CommandError for options that would replace ours."""
    params, filters, bitstream, rest = [job.params], [], [], []
    words = iter(job.extra)
    for place, word in enumerate(words):
        name, _, stream = word.partition(":")
        picture = stream == "" or stream.split(":")[0] in ("v", "V", "0")
        if place == 0 and not word.startswith("-"):
            raise CommandError(
                f'the options behind -- begin with "{word}", which is not an option; '
                "ffmpeg would treat it as an output file"
            )
        if name in (ENCODERS[job.encoder].params, f"-{job.encoder}opts") and picture:
            params.append(next(words, ""))
            check_params(word, params[-1])
        elif name in FILTERS and picture:
            filters.append(next(words, ""))
        elif name in BITSTREAM_FILTERS and picture:
            bitstream.append(next(words, ""))
            refuse_metadata_filter(word, bitstream[-1])
        elif name in INSTEAD and picture:
            raise CommandError(f"{word} would replace an option that gansr sets: {INSTEAD[name]}")
        else:
            rest.append(word)
    return ExtraOptions(*(tuple(filter(None, words)) for words in (params, filters, bitstream, rest)))


def check(job: UpscaleJob) -> None:
    """Raises CommandError for a preset that the encoder does not have, and for options that would replace ours."""
    divide(job)
    check_params("--params", job.params)
    known = ENCODERS[job.encoder].presets
    if job.preset is not None and job.preset not in known:
        raise CommandError(f'{job.encoder} has no preset "{job.preset}"; it has: {", ".join(known)}')


def trial(job: UpscaleJob, ffmpeg: Ffmpeg, path: str) -> list[str]:
    """A command that encodes a moment of grey with the user's options into `path`."""
    encoder, options = ENCODERS[job.encoder], divide(job)
    words = [ffmpeg.path, "-hide_banner", "-v", "warning", "-nostdin", "-y", "-f", "lavfi"]
    words += ["-i", "color=gray:size=256x144:rate=25", "-frames:v", "2", "-pix_fmt", "yuv420p"]
    words += ["-c:v", encoder.library, "-preset", job.preset or encoder.preset]
    words += ["-crf", f"{encoder.crf if job.crf is None else job.crf:g}"]
    own = ["log-level=error"] if job.encoder == "x265" else []
    if joined := ":".join([*own, *options.params]):
        words += [encoder.params, joined]
    for name, chained in (("-vf", options.filters), ("-bsf:v", options.bitstream_filters)):
        words += [name, ",".join(chained)] if chained else []
    return [*words, *options.rest, "-f", "matroska", f"file:{path}"]


def try_encoder(job: UpscaleJob, ffmpeg: Ffmpeg, path: str) -> None:
    """Raises CommandError where the encoder does not take the job's settings, naming the parameter at fault.

    Writes `path`.
    """
    done = subprocess.run(
        trial(job, ffmpeg, path), stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
    )
    lines = done.stderr.splitlines()
    if reason := refusal(lines):
        raise CommandError(f"{job.encoder} {reason}; look it up in the encoder's manual")
    if done.returncode:
        raise CommandError(f"{job.encoder} does not start: {translated(lines) or f'exit code {done.returncode}'}")


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
