"""Say what of a source is not carried: side data of its picture, and what its frames say other than the first.

Names in capitals are those of decoded frames (AVFrameSideDataType), names in small letters those of packets and streams
(AVPacketSideDataType), as PyAV has them; docs/side-data.md has all kinds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

__all__ = ["NOTED", "Watch", "changed", "fraction_of", "of_side_data"]

NAMES = {
    "sample aspect ratio": ("_SARNum", "_SARDen"),
    "matrix": ("_Matrix",),
    "primaries": ("_Primaries",),
    "transfer": ("_Transfer",),
    "range": ("_Range",),
    "chroma siting": ("_ChromaLocation",),
    "field order": ("_FieldBased",),
    "mastering display": ("MasteringDisplayMaxLuminance", "MasteringDisplayMinLuminance"),
    "content light level": ("ContentLightLevelMax", "ContentLightLevelAverage"),
}


def fraction_of(props: Mapping[str, Any], name: str) -> Fraction | None:
    """A frame's property in two numbers, such as "_SAR", the shape of its pixels, width to height, or "_Duration", in
    seconds; None where it has none."""
    over, under = int(props.get(f"{name}Num", 0)), int(props.get(f"{name}Den", 0))
    return Fraction(over, under) if over > 0 and under > 0 else None


class Watch:
    """Compares frames with the first one of the film, whose properties are `first`, and says each change once.

    `given` are the names of properties that the user sets for the whole film.
    """

    def __init__(self, first: Mapping[str, Any], given: frozenset[str] = frozenset()) -> None:
        self._kept = {
            name: (props, [first.get(prop) for prop in props])
            for name, props in NAMES.items()
            if not given & set(props)
        }

    def changes(self, number: int, props: Mapping[str, Any]) -> dict[str, str]:
        """What frame `number` is the first to say otherwise: names of NAMES, and each in a sentence."""
        found = {}
        for name, (keys, before) in list(self._kept.items()):
            now = [props.get(key) for key in keys]
            if now != before:
                del self._kept[name]
                said, was = (":".join("unset" if v is None else f"{v:g}" for v in values) for values in (now, before))
                found[name] = changed(name, was, said, f"frame {number}")
        return found


def changed(name: str, was: str, now: str, place: str) -> str:
    """The note about a change at `place`, a frame or a time."""
    return (
        f"change of {name} from {was} to {now} at {place}; the whole film is tagged as its first frame, "
        "so cut the source there to keep both"
    )


# What a note calls a kind of side data, and the names it has in FFmpeg.
NOTED = {
    "closed captions inside the picture's stream (CEA-608 or 708)": ("A53_CC", "a53_cc"),
    "stereoscopic (3D) layout": ("STEREO3D", "stereo_3d"),
    "active format description": ("AFD", "afd"),
    "360-degree projection": ("SPHERICAL", "spherical"),
    "ICC profile": ("ICC_PROFILE", "icc_profile"),
    "time code in each picture (SMPTE 12M)": ("S12M_TIMECODE", "s12m_timecode"),
    "HDR10+ metadata": ("DYNAMIC_HDR_PLUS", "dynamic_hdr10_plus"),
    "film grain description": ("FILM_GRAIN_PARAMS",),
    "Dolby Vision metadata": ("DOVI_RPU_BUFFER", "DOVI_METADATA", "dovi_conf"),
    "HDR Vivid metadata": ("DYNAMIC_HDR_VIVID",),
    "ambient viewing environment": ("AMBIENT_VIEWING_ENVIRONMENT", "ambient_viewing_environment"),
    "LCEVC enhancement layer": ("LCEVC", "lcevc"),
    "second view (MV-HEVC)": ("VIEW_ID", "THREE_D_REFERENCE_DISPLAYS", "3d_reference_displays", "hevc_conf"),
    "EXIF data": ("EXIF", "exif"),
    "SMPTE 2094-50 metadata": ("dynamic_hdr_smpte_2094_app5",),
    "data beside the frames (BlockAdditional)": ("matroska_block_additional",),
    "reference times of the producer": ("prft",),
    "alternative track": ("fallback_track",),
}


def of_side_data(names: Iterable[str]) -> list[str]:
    """What is to be said of side data that was found, each kind once, in the table's order."""
    found = set(names)
    return [f"not carried of the source: {what}" for what, known in NOTED.items() if found & set(known)]
