"""Name the data beside a picture that are left out, and that are worth a note; docs/side-data.md has all kinds.

Names in capitals are those of decoded frames (AVFrameSideDataType), names in small letters those of packets and streams
(AVPacketSideDataType), as PyAV has them.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["NOTED", "notes"]

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


def notes(names: Iterable[str]) -> list[str]:
    """What is to be said of side data that was found, each kind once, in the table's order."""
    found = set(names)
    return [f"not carried of the source: {what}" for what, known in NOTED.items() if found & set(known)]
