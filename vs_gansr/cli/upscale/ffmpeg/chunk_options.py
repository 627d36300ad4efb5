"""Divide the user's options for ffmpeg between chunks and the joined file, and refuse those that fit neither."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...common import CommandError
from ..job.job import UpscaleJob

__all__ = ["codec_of", "file_options", "picture_options", "refuse", "track_options"]

# Options of ffmpeg's that concern the file or other tracks than the picture, by their names without specifier.
FILE = {
    "-metadata", "-map", "-map_metadata", "-map_chapters", "-disposition", "-movflags", "-brand", "-attach", "-tag",
    "-program", "-timecode", "-write_tmcd", "-default_mode", "-cues_to_front", "-reserve_index_space", "-live",
    "-cluster_size_limit", "-cluster_time_limit", "-shortest", "-max_interleave_delta", "-muxdelay", "-muxpreload",
    "-acodec", "-scodec", "-ar", "-ac", "-af", "-aq", "-ab", "-an", "-sn", "-dn", "-bitexact", "-fflags",
    "-video_track_timescale", "-write_crc32", "-flipped_raw_rgb", "-strict",
}  # fmt: skip
# What counts frames or bits over the whole film, and means something else in a chunk.
WHOLE = {"-pass", "-passlogfile", "-b", "-vb", "-b:v", "-maxrate", "-bufsize", "-ss", "-t", "-to", "-frames",
         "-vframes", "-fs", "-force_key_frames", "-r", "-qp_file"}  # fmt: skip
WHOLE_PARAMS = {"pass", "bitrate", "stats", "multi-pass-opt-analysis", "multi-pass-opt-distortion", "slow-firstpass",
                "zones", "zonefile", "qpfile", "analysis-save", "analysis-load", "analysis-reuse-file", "tbr", "rc",
                "vbv-bufsize", "vbv-maxrate", "frames", "seek", "csv", "recon"}  # fmt: skip
OF_SOUND = {"-acodec", "-scodec", "-ar", "-ac", "-af", "-aq", "-ab", "-strict"}
PICTURE_TRACKS = {"", "0", "v", "v:0", "V", "V:0"}


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


def track_options(extra: Sequence[str]) -> list[str]:
    """The options that say how sound and subtitles are encoded, by their kind."""
    groups = (group for group in grouped(extra) if group[0].partition(":")[2][:1] in ("a", "s") or group[0] in OF_SOUND)
    return [word for group in groups if not group[0].startswith(("-metadata", "-disposition")) for word in group]


def codec_of(extra: Sequence[str], kind: str) -> str:
    """The codec that the user gives all tracks of a kind, "a" or "s"; empty where there is none."""
    names = {f"-c:{kind}", f"-codec:{kind}", f"-{kind}codec"}
    return next((group[1] for group in grouped(extra) if group[0] in names and len(group) > 1), "")


def refuse(job: UpscaleJob, params: Sequence[str]) -> None:
    """Raises CommandError where an option counts frames or bits over the whole film. `params` are the encoder's."""
    found = [group[0] for group in grouped(picture_options(job.extra)) if group[0] in WHOLE]
    found += [group[0] for group in grouped(picture_options(job.extra)) if group[0].partition(":")[0] in WHOLE]
    for text in params:
        found += [name for name in (pair.split("=")[0].strip() for pair in text.split(":")) if name in WHOLE_PARAMS]
    if found:
        raise CommandError(
            f"{', '.join(dict.fromkeys(found))} applies to the whole film, which is encoded in chunks of "
            f"{job.chunk:g} s; leave it out, or encode all at once with --chunk 0 (which cannot be resumed)"
        )
