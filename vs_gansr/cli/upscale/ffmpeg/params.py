"""Read the encoder's own parameters, `a=b:c=d`, and refuse those that would contradict what gansr says of the picture.

Such a parameter changes the stream alone: the container would go on saying what gansr told ffmpeg.
"""

from __future__ import annotations

import re

from ...common import CommandError

__all__ = ["FIELDS", "RATE", "check_params", "parsed", "refuse_metadata_filter"]

RATE = "every frame keeps its own time"
FIELDS = "frames are progressive; --field says what to make of the source's"
SOURCE = "it is the source's"
SIZE = "use --width and --height"
# Parameters of x265, x264 and SVT-AV1 that would contradict the file, by what to use instead.
REFUSED = {
    name: reason
    for reason, names in {
        "use --primaries": "colorprim color-primaries",
        "use --transfer": "transfer transfer-characteristics",
        "use --matrix": "colormatrix matrix-coefficients",
        "use --range": "range fullrange color-range",
        "use --sar": "sar",
        "use --depth": "output-depth input-depth encoder-bit-depth",
        "use --chroma": "input-csp output-csp encoder-color-format colorspace",
        SIZE: "input-res width height conformance-window-offsets crop-rect display-window",
        "use --crf": "crf",
        "use --preset": "preset",
        SOURCE: "chromaloc chroma-sample-position",
        FIELDS: "interlace interlaced tff bff field fake-interlaced nointerlaced",
        RATE: "fps fps-num fps-denom timebase force-cfr pulldown",
    }.items()
    for name in names.split()
}
# The same, by the names that FFmpeg's filters of bitstream metadata (h264_metadata and the like) have.
IN_METADATA = {
    name: reason
    for reason, names in {
        "use --primaries": "colour_primaries color_primaries",
        "use --transfer": "transfer_characteristics",
        "use --matrix": "matrix_coefficients",
        "use --range": "video_full_range_flag color_range",
        "use --sar": "sample_aspect_ratio",
        SOURCE: "chroma_sample_loc_type chroma_sample_position",
        RATE: "tick_rate num_ticks_poc_diff_one fixed_frame_rate_flag",
        SIZE: "crop_left crop_right crop_top crop_bottom",
        "turn the source upright first": "display_orientation rotate",
    }.items()
    for name in names.split()
}


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
                f'{option}: a colon begins another parameter, and "{name}" has no value; write {before}={value},{name}'
            )
        if given is None and "'" not in text:  # else a colon may be part of a value
            raise CommandError(f'{option}: "{name}" has no value; write {name}=1, or what its value is')
        known = name.lower().replace("_", "-")
        reason = REFUSED.get(known) or REFUSED.get(known.removeprefix("no-"))
        if reason:
            raise CommandError(f"{option}: {name} would make the stream contradict the file: {reason}")


def refuse_metadata_filter(option: str, text: str) -> None:
    """Raises CommandError where filters of bitstream metadata contradict gansr."""
    for chain in text.split(","):
        kind, _, arguments = chain.partition("=")
        for name, _ in parsed(arguments) if kind.strip().endswith("_metadata") else ():
            if name in IN_METADATA:
                raise CommandError(f"{option}: {name} would make the stream contradict the file: {IN_METADATA[name]}")
