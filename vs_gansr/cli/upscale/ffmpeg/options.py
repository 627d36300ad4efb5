"""Read what a user adds to the encoder's command line: the encoder's parameters and ffmpeg's own options.

What would silently replace one of our options, or contradict what gansr says of the picture, is refused by name;
filters are chained behind ours. For a film in chunks the options are divided between chunks and the joined file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ...common import CommandError
from ...ffmpeg import ENCODERS
from ..job import UpscaleJob

__all__ = [
    "check", "codec_of", "codec_options", "divide", "file_options", "parsed", "picture_options",
    "refuse_in_chunks",
]  # fmt: skip

# What must not be replaced or contradicted, by what to use instead: options of ffmpeg's (with a dash), parameters of
# x265, x264 and SVT-AV1, and names that FFmpeg's filters of bitstream metadata (h264_metadata and the like) have.
INSTEAD = {
    name: reason
    for reason, names in {
        "use --encoder": "-c -codec -vcodec",
        "use --crf": "-crf crf",
        "use --chunk 0 --params bitrate=N (svt-av1: rc=1:tbr=N), in kbit/s": "-b -vb",
        "use --preset": "-preset preset",
        "use --depth and --chroma": "-pix_fmt",
        "use --depth": "output-depth input-depth encoder-bit-depth",
        "use --chroma": "input-csp output-csp encoder-color-format colorspace",
        "use --width and --height": "-s input-res width height conformance-window-offsets crop-rect display-window "
        "crop_left crop_right crop_top crop_bottom",
        "use --sar": "-aspect sar sample_aspect_ratio",
        "use --matrix": "-colorspace colormatrix matrix-coefficients matrix_coefficients",
        "use --primaries": "-color_primaries colorprim color-primaries colour_primaries color_primaries",
        "use --transfer": "-color_trc transfer transfer-characteristics transfer_characteristics",
        "use --range": "-color_range range fullrange color-range video_full_range_flag color_range",
        "taken from the source": "-chroma_sample_location chromaloc chroma-sample-position chroma_sample_loc_type "
        "chroma_sample_position",
        "every frame keeps its own time": "-r -vsync -fps_mode -enc_time_base fps fps-num fps-denom timebase force-cfr "
        "pulldown tick_rate num_ticks_poc_diff_one fixed_frame_rate_flag",
        "frames are progressive; use --field for an interlaced source": "-field_order -top interlace interlaced "
        "tff bff field fake-interlaced nointerlaced",
        "turn the source upright first": "display_orientation rotate",
        "use --start": "-ss",
        "use --end or --frames": "-t -to",
        "use --frames": "-frames -vframes",
        "use --drop": "-map",
        "there would be no picture": "-vn",
        "use --drop sound": "-an",
        "use --drop subtitles": "-sn",
        "the container follows from the output's suffix": "-f",
        "no other input can be added": "-i",
        "put it into a script and give the .vpy as source": "-filter_complex -lavfi",
    }.items()
    for name in names.split()
}
# A second pass fails: x264 and x265 do not accept what a first one of gansr's own wrote.
TWO_PASSES = {"-pass", "-passlogfile", "pass", "passes", "stats", "slow-firstpass", "multi-pass-opt-analysis",
              "multi-pass-opt-distortion"}  # fmt: skip
FILTERS = ("-vf", "-filter")
BITSTREAM_FILTERS = ("-bsf", "-vbsf")
# Options of ffmpeg's that concern the file or other tracks than the picture, by their names without specifier.
FILE = {
    "-metadata", "-map", "-map_metadata", "-map_chapters", "-disposition", "-movflags", "-brand", "-attach", "-tag",
    "-program", "-timecode", "-write_tmcd", "-default_mode", "-cues_to_front", "-reserve_index_space", "-live",
    "-cluster_size_limit", "-cluster_time_limit", "-shortest", "-max_interleave_delta", "-muxdelay", "-muxpreload",
    "-acodec", "-scodec", "-ar", "-ac", "-af", "-aq", "-ab", "-an", "-sn", "-dn", "-bitexact", "-fflags",
    "-video_track_timescale", "-write_crc32", "-flipped_raw_rgb", "-strict",
}  # fmt: skip
# What counts frames or bits over the whole film, and means something else in a chunk.
WHOLE = {"-maxrate", "-bufsize", "-ss", "-t", "-to", "-frames",
         "-vframes", "-fs", "-force_key_frames", "-r", "-qp_file"}  # fmt: skip
WHOLE_PARAMS = {"bitrate", "zones", "zonefile", "qpfile", "analysis-save", "analysis-load", "analysis-reuse-file",
                "tbr", "rc", "vbv-bufsize", "vbv-maxrate", "frames", "seek", "csv", "recon"}  # fmt: skip
OF_SOUND = {"-acodec", "-scodec", "-ar", "-ac", "-af", "-aq", "-ab", "-strict"}
PICTURE_TRACKS = {"", "0", "v", "v:0", "V", "V:0"}


def parsed(text: str) -> list[tuple[str, str | None]]:
    """Names and values of `a=b:c=d`; None for a name without a value. A colon behind a backslash parts nothing."""
    found = []
    for word in re.split(r"(?<!\\):", text):
        name, sign, value = word.partition("=")
        if name.strip():
            found.append((name.strip(), value if sign else None))
    return found


def check_params(option: str, text: str) -> None:
    """Raises CommandError for parameters without a value and for those that contradict gansr; `option` gave them."""
    pairs = parsed(text)
    for (before, value), (name, given) in zip([("", None), *pairs], pairs, strict=False):
        if given is None and value is not None and re.fullmatch(r"[-+.\d]+", name):
            raise CommandError(
                f'{option}: "{name}" after the colon has no value; if it belongs to {before}, use a comma: '
                f"{before}={value},{name}"
            )
        if given is None and "'" not in text:  # else a colon may be part of a value
            raise CommandError(f'{option}: "{name}" has no value; write {name}=1, or what its value is')
        refuse_contradiction(option, name)


def refuse_contradiction(option: str, name: str) -> None:
    """Raises CommandError where a parameter, or an argument of a filter of bitstream metadata, contradicts gansr."""
    known = name.lower().replace("_", "-")
    refuse_two_passes(option, known)
    for word in (name, known, known.removeprefix("no-")):
        if word in INSTEAD:
            raise CommandError(f"{option}: {name} is not allowed, because gansr sets it: {INSTEAD[word]}")


def refuse_two_passes(option: str, name: str) -> None:
    """Raises CommandError for a parameter, or an option of ffmpeg's, that asks for one of two passes."""
    if name in TWO_PASSES:
        raise CommandError(
            f"{option}: remove {name.lstrip('-')}, because gansr encodes in one pass; use --crf, or a bitrate "
            "(--chunk 0 --params bitrate=N)"
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
        refuse_two_passes("--", name)
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
            for kind, _, given in (chain.partition("=") for chain in bitstream[-1].split(",")):
                for option, _ in parsed(given) if kind.strip().endswith("_metadata") else ():
                    refuse_contradiction(word, option)
        elif name in INSTEAD and picture:
            raise CommandError(f"{word} is not allowed, because gansr sets it: {INSTEAD[name]}")
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


def grouped(words: Sequence[str]) -> list[list[str]]:
    """Each option with its values; a negative number is a value."""
    groups: list[list[str]] = []
    for word in words:
        if not groups or (re.match(r"-[A-Za-z/]", word) and len(word) > 1):
            groups.append([word])
        else:
            groups[-1].append(word)
    return groups


def of_file(group: Sequence[str]) -> bool:
    """Whether an option concerns the file or tracks other than the picture."""
    name, _, track = group[0].partition(":")
    return name in FILE or track not in PICTURE_TRACKS


def file_options(extra: Sequence[str]) -> list[str]:
    """The options that count once, when the chunks are joined."""
    return [word for group in grouped(extra) if of_file(group) for word in group]


def picture_options(extra: Sequence[str]) -> list[str]:
    """The options that count for the picture, in every chunk."""
    return [word for group in grouped(extra) if not of_file(group) for word in group]


def codec_options(extra: Sequence[str]) -> list[str]:
    """The options that say how sound and subtitles are encoded, by their kind."""
    groups = (group for group in grouped(extra) if group[0].partition(":")[2][:1] in ("a", "s") or group[0] in OF_SOUND)
    return [word for group in groups if not group[0].startswith(("-metadata", "-disposition")) for word in group]


def codec_of(extra: Sequence[str], kind: str) -> str:
    """The codec that the user gives all tracks of a kind, "a" or "s"; empty where there is none."""
    names = {f"-c:{kind}", f"-codec:{kind}", f"-{kind}codec"}
    return next((group[1] for group in grouped(extra) if group[0] in names and len(group) > 1), "")


def refuse_in_chunks(job: UpscaleJob, params: Sequence[str]) -> None:
    """Raises CommandError where an option counts frames or bits over the whole film. `params` are the encoder's."""
    found = [group[0] for group in grouped(picture_options(job.extra)) if group[0].partition(":")[0] in WHOLE]
    found += [name for text in params for name, _ in parsed(text) if name in WHOLE_PARAMS]
    if found:
        raise CommandError(
            f"{', '.join(dict.fromkeys(found))} applies to the whole film, but gansr encodes it in chunks of "
            f"{job.chunk:g} s; leave it out, or add --chunk 0 to encode the film in one piece, which cannot be resumed"
        )
