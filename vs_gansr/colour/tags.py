"""Interpret a clip's colour properties and choose the conversions they need. This module imports no VapourSynth.

Numbers are those of ITU-T H.273 (matrix) and of VapourSynth's frame properties. All functions are pure functions of
formats and of mappings of frame properties.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ArgumentError

__all__ = [
    "BT709_LUMA",
    "CATMULL_ROM",
    "MATRIX_BT470BG",
    "MATRIX_BT709",
    "MATRIX_ST170M",
    "ColourKey",
    "Family",
    "Format",
    "check_format",
    "chroma_shift",
    "guess_matrix",
    "is_interlaced",
    "needs_dither",
    "needs_matrix",
    "output_conversion",
]

MATRIX_BT709, MATRIX_UNSPECIFIED, MATRIX_BT470BG, MATRIX_ST170M = 1, 2, 5, 6

MATRIX_BT2020_NCL = 9
MATRIX_NAMES = {MATRIX_BT709: "709", MATRIX_BT470BG: "470bg", MATRIX_ST170M: "170m", MATRIX_BT2020_NCL: "2020ncl"}

# Primaries that imply a matrix: 709, 470bg, 170m, 2020.
MATRIX_OF_PRIMARIES = {1: MATRIX_BT709, 5: MATRIX_BT470BG, 6: MATRIX_ST170M, 9: MATRIX_BT2020_NCL}

BT709_LUMA = (0.2126, 0.7152, 0.0722)  # weights of red, green and blue in luma

# The kernel for chroma in both directions: Keys' cubic with a = -1/2, which is b = 0, c = 0.5 in zimg.
CATMULL_ROM: dict[str, float] = {"filter_param_a": 0.0, "filter_param_b": 0.5}

MAX_SUBSAMPLING_LOG2 = 2  # zimg supports up to 4x


class Family:
    """VapourSynth's numbers for colour families."""

    GRAY, RGB, YUV = 1, 2, 3


@dataclass(frozen=True)
class Format:
    """The parts of a video format that determine its colour conversion."""

    id: int  # VapourSynth's id
    name: str  # VapourSynth's name, for messages
    family: int  # one of Family's numbers
    is_float: bool  # True: float samples; False: unsigned integers
    bits: int  # bits per sample
    subsampling_w: int = 0  # chroma has 2^-w times the columns of luma
    subsampling_h: int = 0  # chroma has 2^-h times the rows of luma


@dataclass(frozen=True)
class ColourKey:
    """The arguments for converting RGB back to the clip's own colours, for one frame."""

    format: int  # id of the output format
    matrix: int | None  # H.273 number; None for RGB
    full_range: int  # 1 full, 0 limited
    chroma_location: int | None  # VapourSynth's number; None: not tagged, or chroma has the size of luma
    dither: bool  # whether to use error diffusion, for a reduced bit depth


def check_format(fmt: Format) -> None:
    """Raise ArgumentError for a format that cannot be converted, with its name."""
    if fmt.family not in (Family.GRAY, Family.RGB, Family.YUV):
        raise ArgumentError(f"format {fmt.name} is not Gray, RGB or YUV; convert the clip first")
    if max(fmt.subsampling_w, fmt.subsampling_h) > MAX_SUBSAMPLING_LOG2:
        factor = 1 << max(fmt.subsampling_w, fmt.subsampling_h)
        raise ArgumentError(
            f"format {fmt.name} is subsampled by {factor}; at most 4 is supported: "
            "convert the clip to 4:4:4 or 4:2:0 first"
        )
    if not fmt.is_float and fmt.bits > 16:
        raise ArgumentError(
            f"format {fmt.name} has {fmt.bits} bit integers; 8 to 16 are supported: "
            "convert the clip to 16 bit or float first"
        )


def needs_matrix(fmt: Format, props: Mapping[str, Any]) -> bool:
    """Return True for YUV whose `_Matrix` is missing or unspecified (2)."""
    return fmt.family == Family.YUV and int(props.get("_Matrix", MATRIX_UNSPECIFIED)) == MATRIX_UNSPECIFIED


def guess_matrix(width: int, height: int, primaries: int = MATRIX_UNSPECIFIED) -> int:
    """Return the matrix that belongs to these primaries (H.273), or the usual one for this picture size.

    The usual one is BT.709 for HD, else BT.601 (625 or 525 lines).
    """
    if primaries in MATRIX_OF_PRIMARIES:
        return MATRIX_OF_PRIMARIES[primaries]
    if height >= 720 or width >= 1280:
        return MATRIX_BT709
    return MATRIX_BT470BG if height in (576, 288) else MATRIX_ST170M


# (across, down) by H.273 number: -1 at the first of the luma samples a chroma sample covers, 0 at their centre, 1 at
# the last.
SITINGS = ((-1, 0), (0, 0), (-1, -1), (0, -1), (-1, 1), (0, 1))


def chroma_shift(location: int, subsampling_w: int, subsampling_h: int) -> tuple[float, float]:
    """Return the offset (x, y), in chroma samples, of a chroma sample from the centre of the luma samples it covers.

    `location` is VapourSynth's `_ChromaLocation`; negative means left. The subsampling is in powers of two. Raises
    ArgumentError for an unknown location.
    """
    if location >= len(SITINGS):
        raise ArgumentError(f"_ChromaLocation {location} is unknown; correct it with std.SetFrameProps (0 to 5)")
    places = zip(SITINGS[max(0, location)], (subsampling_w, subsampling_h), strict=True)
    x, y = (place * (0.5 - 0.5 / (1 << by)) for place, by in places)
    return x, y


def is_interlaced(props: Mapping[str, Any]) -> bool:
    """Return True where `_FieldBased` is 1 (bottom field first) or 2 (top field first)."""
    return int(props.get("_FieldBased", 0)) in (1, 2)


def full_range(family: int, props: Mapping[str, Any]) -> int:
    """Return 1 for full and 0 for limited range: `_Range`, else full for RGB and limited for YUV and Gray.

    The core translates `_ColorRange` to `_Range`.
    """
    if "_Range" in props:
        return int(props["_Range"])
    return int(family == Family.RGB)


def needs_dither(source: Format, target: Format) -> bool:
    """Return True where the bit depth is reduced. Equal depths in and out are rounded without dither."""
    if target.is_float:
        return False
    return source.is_float or source.bits > target.bits


def output_conversion(source: Format, target: Format, props: Mapping[str, Any], width: int, height: int) -> ColourKey:
    """Return the conversion from RGB to `target` for a frame of format `source` with `props`, width x height in
    pixels.

    The tags stay the same where the colour family does. RGB to YUV uses BT.709 or BT.601 by size and limited range;
    YUV or Gray to RGB uses full range.
    """
    tagged = int(props.get("_Matrix", MATRIX_UNSPECIFIED))
    if source.family != Family.YUV or tagged == MATRIX_UNSPECIFIED:
        tagged = guess_matrix(width, height, int(props.get("_Primaries", MATRIX_UNSPECIFIED)))
    location = props.get("_ChromaLocation") if source.family == Family.YUV else None
    subsampled = bool(target.subsampling_w or target.subsampling_h)
    same_kind = source.family == target.family or Family.RGB not in (source.family, target.family)
    return ColourKey(
        format=target.id,
        matrix=None if target.family == Family.RGB else tagged,
        full_range=full_range(target.family, props if same_kind else {}),
        chroma_location=int(location) if subsampled and location is not None else None,
        dither=needs_dither(source, target),
    )
