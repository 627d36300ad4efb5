"""Read what a user adds to the encoder's command line: the encoder's parameters and ffmpeg's own options.

Options that would silently replace one of ours are refused by name, filters are chained behind ours.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...common import CommandError
from ...ffmpeg import ENCODERS
from ..job.job import UpscaleJob
from .params import FIELDS, RATE, check_params, refuse_metadata_filter

__all__ = ["ExtraOptions", "check", "divide"]

# Options of ffmpeg's that replace what must hold, by what to use instead.
INSTEAD = {
    name: reason
    for reason, names in {
        "use --encoder": "-c -codec -vcodec",
        "use --crf": "-crf",
        "use --preset": "-preset",
        "use --depth and --chroma": "-pix_fmt",
        "use --width and --height": "-s",
        "use --sar": "-aspect",
        "use --matrix": "-colorspace",
        "use --primaries": "-color_primaries",
        "use --transfer": "-color_trc",
        "use --range": "-color_range",
        "it is the source's": "-chroma_sample_location",
        RATE: "-r -vsync -fps_mode -enc_time_base",
        FIELDS: "-field_order -top",
        "use --start": "-ss",
        "use --end or --frames": "-t -to",
        "use --frames": "-frames -vframes",
        "use --drop": "-map",
        "there would be no picture": "-vn",
        "use --drop sound": "-an",
        "use --drop subtitles": "-sn",
        "the output's ending says it": "-f",
        "no other input can be added": "-i",
        "put it into a script and give the .vpy as source": "-filter_complex -lavfi",
    }.items()
    for name in names.split()
}
FILTERS = ("-vf", "-filter")
BITSTREAM_FILTERS = ("-bsf", "-vbsf")


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
