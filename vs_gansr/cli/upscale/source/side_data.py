"""What becomes of each kind of data that FFmpeg and Matroska keep beside a picture; docs/side-data.md is this table.

Names in capitals are those of decoded frames (AVFrameSideDataType), names in small letters those of packets and streams
(AVPacketSideDataType), as PyAV has them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["FATES", "MATROSKA", "SIDE_DATA", "Fate", "notes"]

FATES = {
    "carried": "is in the result",
    "applied": "is done to the picture, so the result needs it no longer",
    "noted": "is left out, and a note names it",
    "refused": "keeps the file from being rendered, and the error says why",
    "copied": "belongs to sound or subtitles, whose packets are copied as they are",
    "left": "is left out without a note: it describes how the old stream was encoded or sent",
}


@dataclass(frozen=True)
class Fate:
    """What one kind of side data is, in the words of a note, and what becomes of it: one of FATES."""

    what: str
    fate: str


type Kinds = dict[str, tuple[str, ...]]
"""What a note calls a kind of side data, and the names it has in FFmpeg."""

NOTED: Kinds = {
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
OTHERS: dict[str, Kinds] = {
    "carried": {
        "mastering display": ("MASTERING_DISPLAY_METADATA", "mastering_display_metadata"),
        "content light level": ("CONTENT_LIGHT_LEVEL", "content_light_level"),
    },
    "applied": {
        "orientation": ("DISPLAYMATRIX", "display_matrix"),
        "cropping by the container": ("frame_cropping",),
        "palette": ("palette",),
        "new header of the codec": ("new_extradata", "param_change"),
    },
    "refused": {"encryption": ("encryption_init_info", "encryption_info")},
    "copied": {
        "matrix encoding": ("MATRIXENCODING",),
        "downmix": ("DOWNMIX_INFO",),
        "replay gain": ("REPLAYGAIN", "replay_gain"),
        "skipped samples": ("SKIP_SAMPLES", "skip_samples"),
        "service type": ("AUDIO_SERVICE_TYPE", "audio_service_type"),
        "dual mono": ("jp_dual_mono",),
        "place of a subtitle": ("subtitle_position",),
        "WebVTT's identifiers and settings": ("webvtt_identifier", "webvtt_settings"),
        "immersive audio (IAMF)": ("iamf_mix_gain_param", "iamf_info_param", "iamf_recon_gain_info_param"),
    },
    "left": {
        "the part that 4:3 screens show, which MPEG-2 always says": ("PANSCAN",),
        "motion vectors": ("MOTION_VECTORS",),
        "time codes of groups of pictures": ("GOP_TIMECODE",),
        "regions of interest": ("REGIONS_OF_INTEREST", "DETECTION_BBOXES", "VIDEO_HINT"),
        "the encoder's parameters": ("VIDEO_ENC_PARAMS", "h263_mb_info", "quality_stats", "cpb_properties"),
        "unregistered user data, as x264 writes its options": ("SEI_UNREGISTERED",),
        "the transport's own": ("mpegts_stream_id", "rtcp_sr", "strings_metadata", "metadata_update"),
    },
}
SIDE_DATA = {
    name: Fate(what, fate)
    for fate, kinds in {"noted": NOTED, **OTHERS}.items()
    for what, names in kinds.items()
    for name in names
}
# Matroska's elements of a track and a file that concern a picture, in the order of its specification.
MATROSKA = {
    "FlagDefault, FlagForced, FlagHearingImpaired, FlagVisualImpaired, FlagOriginal, FlagCommentary": "carried",
    "Name, Language, LanguageBCP47": "carried",
    "PixelCropTop, PixelCropBottom, PixelCropLeft, PixelCropRight": "applied",
    "DisplayWidth, DisplayHeight, DisplayUnit": "carried",
    "FlagInterlaced, FieldOrder": "refused",
    "StereoMode": "noted",
    "AlphaMode": "noted",
    "Colour: MatrixCoefficients, Range, TransferCharacteristics, Primaries, ChromaSiting": "carried",
    "Colour: MaxCLL, MaxFALL, MasteringMetadata": "carried",
    "Projection": "noted",
    "BlockAdditionMapping, BlockAdditions": "noted",
    "ContentEncoding: compression": "applied",
    "ContentEncoding: encryption": "refused",
    "Chapters": "carried",
    "Attachments": "carried",
    "Tags": "carried",
    "Title": "carried",
    "Cues, SeekHead, statistics tags": "left",
    "SegmentUUID, PrevUUID, NextUUID, DateUTC": "left",
}


def notes(names: Iterable[str]) -> list[str]:
    """What is to be said of side data that was found, each kind once, in the table's order."""
    found = set(names)
    return [f"not carried of the source: {what}" for what, known in NOTED.items() if found & set(known)]
