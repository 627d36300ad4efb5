"""Build ffmpeg's command lines, so that nothing of the source is lost.

Pure functions of a job, a source, its frames' properties and times; starts nothing. The pipe (input 0) carries
only pictures and times, everything else comes from here or from the source (input 1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from ...common import CommandError
from ...ffmpeg import ENCODERS, Ffmpeg
from ..job import UpscaleJob
from ..job.kept_options import TAG, stored
from ..source.media import Source, Track
from .options import codec_of, divide, file_options, parsed, picture_options

__all__ = [
    "CONTAINERS", "Carried", "Film", "Picture", "carry", "chunk_command", "command", "container", "cover_file",
    "join_command", "track_options",
]  # fmt: skip

# How every command starts.
OPENING = ("-hide_banner", "-v", "error", "-nostdin", "-nostats", "-progress", "pipe:1", "-y", "-copyts")
CONTAINERS = {".mkv": "matroska", ".mp4": "mp4", ".mov": "mov", ".webm": "webm"}
TEXT = {"subrip", "ass", "ssa", "mov_text", "webvtt", "text"}
STATISTICS = ("BPS", "DURATION", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES", "SOURCE_ID", "_STATISTICS", "ENCODER")
KINDS = {"audio": "sound", "subtitle": "subtitles", "attachment": "attachments", "video": "cover"}
TAGS = {"colorspace": "_Matrix", "color_primaries": "_Primaries", "color_trc": "_Transfer"}
BRANDS = ("major_brand", "minor_version", "compatible_brands")  # what kind of MP4 the source was
UNSPECIFIED = 2
LIGHT = {
    "MasteringDisplay": {"master-display", "mastering-display"},
    "ContentLight": {"max-cll", "cll", "content-light"},
}
# Tags of a file that ffmpeg writes into MP4 and MOV by names of their own; keys such as Apple's go in besides.
KNOWN_TAGS = {
    "mp4": "title artist album_artist composer album date encoder comment genre copyright grouping lyrics description "
    "synopsis show episode_id network keywords episode_sort season_number media_type hd_video gapless_playback "
    "compilation track disc location creation_time",
    "mov": "title artist album date encoder comment genre copyright location creation_time make model",
}
# Those that a track has there, or that say how the source's was written.
TRACK_TAGS = (
    "title name language creation_time handler_name vendor_id timecode encoder rotate alpha_mode stereo_mode "
    "enc_key_id filename mimetype comment"
)
WRITTEN_ANEW = {*BRANDS, TAG, "timecode"}


@dataclass(frozen=True)
class Picture:
    """What the encoder must know of the pictures: size, ffmpeg's pixel format, sample aspect ratio, frames.

    `props` are VapourSynth's of the first frame · `start` and `last` when the first and the last frame are shown and
    `end` when the last one is over, in seconds from the file's first moment.
    """

    width: int
    height: int
    pixel_format: str
    sar: Fraction
    props: Mapping[str, Any]
    start: Fraction
    last: Fraction
    end: Fraction


@dataclass(frozen=True)
class Carried:
    """For each track of the source that is carried: the track and its codec in the output ("copy" mostly).

    `notes` say what is not carried as it is, and why · `covers` are pictures that the container holds as attached
    files: ffmpeg's copy would make video tracks of them, which delay the picture.
    """

    tracks: tuple[tuple[Track, str], ...]
    notes: tuple[str, ...]
    covers: tuple[Track, ...] = ()


@dataclass(frozen=True)
class Film:
    """What a film is made of: `source` with its tracks, those `carried`, the `picture` that the job makes of it."""

    job: UpscaleJob
    source: Source
    carried: Carried
    picture: Picture


def container(output: str, encoder: str) -> str:
    """ffmpeg's name of the container that `output` asks for by its ending. Raises CommandError for others."""
    suffix = Path(output).suffix.lower()
    if suffix not in CONTAINERS:
        raise CommandError(f"{output} does not end in one of {', '.join(CONTAINERS)}; .mkv holds everything")
    if suffix == ".webm" and encoder != "svt-av1":
        raise CommandError(f"{output}: WebM holds AV1 but not {encoder}; use --encoder svt-av1 or .mkv")
    return CONTAINERS[suffix]


def carry(job: UpscaleJob, source: Source) -> Carried:
    """Which tracks come along, and how. Text subtitles change their form where the container knows another."""
    form = {"matroska": "subrip", "webm": "webvtt"}.get(container(job.output, job.encoder), "mov_text")
    given = codec_of(divide(job).rest, "s")
    others = {"mov_text"} if form == "subrip" else TEXT - {form}
    attaches = container(job.output, job.encoder) == "matroska"
    tracks, notes, covers = [], [], []
    for track in source.others:
        if KINDS.get(track.kind) in job.drop or (source.timecode and track.is_timecode):
            continue
        if track.kind == "data" or (track.kind == "video" and not track.cover):
            notes.append(f"{track} is not carried")
        elif track.cover and attaches:
            covers.append(track)
        elif track.kind == "subtitle" and given:
            tracks.append((track, given))
        elif track.kind == "subtitle" and track.codec in others:
            tracks.append((track, form))
            notes.append(f"{track} becomes {form}, which {Path(job.output).suffix} can hold")
        else:
            tracks.append((track, "copy"))
    if lost := lost_tags(job, source, [track for track, _ in tracks]):
        notes.append(f"tags that {Path(job.output).suffix} does not know are not carried: {', '.join(lost)}")
    return Carried(tuple(tracks), tuple(notes), tuple(covers))


def lost_tags(job: UpscaleJob, source: Source, carried: Sequence[Track]) -> list[str]:
    """The names of the tags, of the file and of its `carried` tracks, that the output's container has no place for."""
    known = KNOWN_TAGS.get(container(job.output, job.encoder), "").split()
    if not known:
        return []
    written = {*known, *WRITTEN_ANEW}
    of_file = [name for name in source.metadata if name not in written and name.split("-")[0] not in known]
    return ([] if keyed(source) else of_file) + [
        f"{name.lower()} of {track}"
        for track in (source.video, *carried)
        for name, _ in track.tags
        if name.lower() not in TRACK_TAGS.split() and not name.upper().startswith(STATISTICS)
    ]


def keyed(source: Source) -> bool:
    """Whether the file's tags have keys as those of QuickTime, `com.apple.quicktime.make`, which MP4 and MOV then hold
    beside all others."""
    return any(name.startswith("com.") for name in source.metadata)


def command(film: Film, ffmpeg: Ffmpeg, path: str) -> list[str]:
    """The whole film at once: raw pictures from stdin, progress to stdout, `path` as the result."""
    options, picture = divide(film.job), film.picture
    words = [*joined(film, ffmpeg, "nut", picture.start, path), *pictured(film.job, picture)]
    words += ["-fps_mode:0", "passthrough", "-bsf:0", ",".join([last_duration(picture), *options.bitstream_filters])]
    return [*words, *ending(film, options.rest, path)]


def chunk_command(job: UpscaleJob, hdr: bool, picture: Picture) -> list[str]:
    """One chunk alone: raw pictures at a constant rate from stdin, progress to stdout, MP4 as the result. The program
    before these words and the file behind them are the caller's; `hdr` as in Ffmpeg.

    Times are added when the chunks are joined. The encoder starts anew, with a header that depends on no chunk.
    """
    options = divide(job)
    words = [*OPENING, *(light_options(lit(job, picture.props)) if hdr else []), "-f", "nut", "-i", "pipe:0"]
    words += ["-map", "0:v:0", *pictured(job, picture), "-fps_mode:0", "passthrough"]
    words += ["-bsf:0", ",".join(options.bitstream_filters)] if options.bitstream_filters else []
    return [*words, *picture_options(options.rest), "-f", "mp4"]


def join_command(film: Film, ffmpeg: Ffmpeg, delay: Fraction, path: str) -> list[str]:
    """Finished chunks, as one fragmented MP4 from stdin that starts `delay` seconds late, become `path`."""
    words = joined(film, ffmpeg, "mp4", film.picture.start - delay, path)
    words += ["-bsf:0", last_duration(film.picture), "-c:0", "copy"]
    return [*words, *ending(film, file_options(divide(film.job).rest), path)]


def joined(film: Film, ffmpeg: Ffmpeg, form: str, start: Fraction, path: str) -> list[str]:
    """Pictures from stdin, which begin at `start`, beside all that comes from the source."""
    job, source, carried = film.job, film.source, film.carried
    words = [ffmpeg.path, *OPENING, *(light_options(lit(job, film.picture.props)) if ffmpeg.hdr else [])]
    words += ["-f", form, "-itsoffset", microseconds(start), "-i", "pipe:0"]
    if not source.path:  # a script, or images, with nothing beside them
        return [*words, "-map", "0:v:0", *settings(film)]
    if source.section:
        words += ["-ss", microseconds(source.section[0] + source.ahead)]
    words += ["-itsoffset", microseconds(-source.origin - source.ahead), "-i", f"file:{source.path}"]
    words += [*carried_options(source, carried), *attached(carried, path)]
    words += settings(film)
    if source.section:  # without what lies between the key frame before the part and the part
        words += ["-copypriorss:a", "0", "-copypriorss:s", "0", "-t", microseconds(source.section[1])]
    return words


def settings(film: Film) -> list[str]:
    """Options that store the job's settings: none where the user gives `-metadata gansr=`, or where the source has a
    comment of its own in the only place that MP4 and MOV have for them."""
    job = film.job
    tag = TAG if container(job.output, job.encoder) in ("matroska", "webm") else "comment"
    if ("-metadata", f"{TAG}=") in pairwise(job.extra) or (tag != TAG and tag in film.source.metadata):
        return []
    return ["-metadata", f"{tag}={stored(job)}"]


def ending(film: Film, extra: Sequence[str], path: str) -> list[str]:
    """The output's options, and its name."""
    kind = container(film.job.output, film.job.encoder)
    # hvc1 is the only tag that Apple's players take.
    words = ["-tag:0", "hvc1"] if film.job.encoder == "x265" and kind in ("mp4", "mov") else []
    words += ["-movflags", "+use_metadata_tags"] if kind in KNOWN_TAGS and keyed(film.source) else []
    # The carried tracks wait for the first picture, however long that takes.
    return [*words, "-max_muxing_queue_size", "100000", *extra, "-f", kind, f"file:{path}"]


def track_options(place: int, number: int, track: Track, codec: str) -> list[str]:
    """Options for one track of input `number`, which becomes track `place` of the output. Text in MP4 and MOV counts
    milliseconds: ffmpeg's microseconds overflow in 36 minutes without a subtitle, which moves all later ones."""
    words = ["-map", f"{number}:{track.index}", f"-c:{place}", codec]
    words += [f"-bsf:{place}", "setts=time_base=1/1000:prescale=1"] if codec == "mov_text" else []
    return [*words, f"-map_metadata:s:{place}", f"{number}:s:{track.index}"]


def carried_options(source: Source, carried: Carried) -> list[str]:
    """Options for what comes from the source: tracks, marks, chapters, metadata."""
    words = ["-map", "0:v:0", "-map_metadata", "1", "-map_chapters", "1"]
    if source.video.index >= 0:
        marks = "+".join(source.video.disposition) or "0"
        words += ["-map_metadata:s:0", f"1:s:{source.video.index}", "-disposition:0", marks]
    for place, (track, codec) in enumerate(carried.tracks, 1):
        words += track_options(place, 1, track, codec)
    if source.timecode:
        words += ["-metadata:s:0", f"timecode={source.timecode}"]
        words += ["-metadata", f"timecode={source.timecode}"] if "timecode" in source.metadata else []
    for tag in BRANDS:
        words += ["-metadata", f"{tag}="]
    for tag, _ in source.video.tags:
        if tag.upper().startswith((*STATISTICS, "ALPHA_MODE")):  # true of the old picture only
            words += ["-metadata:s:0", f"{tag}="]
    return words


def cover_file(path: str, cover: Track) -> str:
    """Where the attached picture of the film at `path` lies while ffmpeg runs."""
    return f"{path}.{cover.index}"


def attached(carried: Carried, path: str) -> list[str]:
    """Options for covers that are attached as files, under the names that Matroska's players look for."""
    words = []
    for place, cover in enumerate(carried.covers, 1 + len(carried.tracks)):
        kind = {"mjpeg": "jpeg"}.get(cover.codec, cover.codec)
        ending = {"jpeg": "jpg"}.get(kind, kind)
        words += ["-attach", f"file:{cover_file(path, cover)}"]
        said = {"filename": f"cover.{ending}", **dict(cover.tags), "mimetype": f"image/{kind}"}
        for tag, value in said.items():
            words += [f"-metadata:s:{place}", f"{tag}={value}"]
    return words


def pictured(job: UpscaleJob, picture: Picture) -> list[str]:
    """Options for the picture: times, shape, colours and the encoder with its parameters; the user's filters last."""
    encoder, extra = ENCODERS[job.encoder], divide(job)
    filters, options = colours(picture.props)
    sar = f"setsar=sar={picture.sar.numerator}/{picture.sar.denominator}:max=2147483647"
    chain = ",".join([f"setparams={filters}", sar, *extra.filters])
    words = ["-filter:0", chain, "-pix_fmt:0", picture.pixel_format, *options]
    words += ["-enc_time_base:0", "demux"]
    words += ["-c:0", encoder.library, "-preset:0", job.preset or encoder.preset]
    words += ["-crf:0", f"{encoder.crf if job.crf is None else job.crf:g}"]
    light = light_params(job.encoder, lit(job, picture.props))
    own = ["log-level=error"] if job.encoder == "x265" else []
    own += ["repeat-headers=1"] if job.encoder == "x265" and light else []  # else it is said once, at the beginning
    if job.frame_threads:  # what they are by default, and so the result, depends on the machine
        own += {"x265": [f"frame-threads={job.frame_threads}"], "x264": [f"threads={job.frame_threads}"]}.get(
            job.encoder, []
        )
    joined = ":".join(filter(None, [*own, light, *extra.params]))
    return words + ([f"{encoder.params}:0", joined] if joined else [])


def colours(props: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The frame's colour tags for ffmpeg: on the pictures (as arguments of setparams) and on the encoder.

    The three of H.273 have the same numbers in VapourSynth; YUV that says nothing of its range is limited.
    """
    full = int(props.get("_Range", 0)) == 1
    said = {name: int(props[prop]) for name, prop in TAGS.items() if props.get(prop, UNSPECIFIED) != UNSPECIFIED}
    on_pictures = ":".join(f"{name}={number}" for name, number in {**said, "range": 2 if full else 1}.items())
    said["color_range"] = 2 if full else 1
    if "_ChromaLocation" in props:
        said["chroma_sample_location"] = int(props["_ChromaLocation"]) + 1
    return on_pictures, [word for name, number in said.items() for word in (f"-{name}:0", str(number))]


def mastering(props: Mapping[str, Any], chroma: float, luma: float) -> str:
    """The mastering display as G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min), in units of 1/chroma and 1/luma; SMPTE ST 2086."""
    xs, ys = props.get("MasteringDisplayPrimariesX"), props.get("MasteringDisplayPrimariesY")
    if xs is None or ys is None or "MasteringDisplayMaxLuminance" not in props:
        return ""
    white = (props["MasteringDisplayWhitePointX"], props["MasteringDisplayWhitePointY"])
    points = [(name, (xs[i], ys[i]), chroma) for name, i in (("G", 1), ("B", 2), ("R", 0))]
    levels = (props["MasteringDisplayMaxLuminance"], props["MasteringDisplayMinLuminance"])
    points += [("WP", white, chroma), ("L", levels, luma)]
    return "".join(f"{name}({number(a, unit)},{number(b, unit)})" for name, (a, b), unit in points)


def number(value: float, unit: float) -> str:
    return str(round(value * unit)) if unit != 1 else f"{value:.5f}".rstrip("0").rstrip(".")


def content_light(props: Mapping[str, Any]) -> str:
    """MaxCLL and MaxFALL in cd/m2, CTA-861.3."""
    if "ContentLightLevelMax" not in props:
        return ""
    return f"{int(props['ContentLightLevelMax'])},{int(props.get('ContentLightLevelAverage', 0))}"


def light_params(encoder: str, props: Mapping[str, Any]) -> str:
    """HDR10 metadata as the encoder's own parameters, which reach the bitstream with every ffmpeg."""
    exact, light = mastering(props, 50000, 10000), content_light(props)
    names = {"x265": ("master-display", "max-cll"), "x264": ("mastering-display", "cll")}
    display, level = names.get(encoder, ("mastering-display", "content-light"))
    shown = exact if encoder in names else mastering(props, 1, 1)
    return ":".join(f"{name}={value}" for name, value in ((display, shown), (level, light)) if value)


def lit(job: UpscaleJob, props: Mapping[str, Any]) -> Mapping[str, Any]:
    """The properties without the HDR10 metadata that the user gives the encoder instead, which the container then
    must not contradict."""
    given = {name for text in divide(job).params for name, _ in parsed(text)}
    dropped = [lead for lead, names in LIGHT.items() if given & names]
    return {name: value for name, value in props.items() if not name.startswith(tuple(dropped))} if dropped else props


def light_options(props: Mapping[str, Any]) -> list[str]:
    """HDR10 metadata as ffmpeg's input options, which reach the container too."""
    exact, light = mastering(props, 50000, 10000), content_light(props)
    return [*(["-mastering_display:0", exact] if exact else []), *(["-content_light:0", light] if light else [])]


def last_duration(picture: Picture) -> str:
    """A bitstream filter that gives the last frame its duration, which no pipe carries."""
    since, duration = float(picture.last) - 0.0005, float(picture.end - picture.last)
    return f"setts=pts=PTS:dts=DTS:duration='round(if(gte(PTS*TB,{since:.6f}),{duration:.9f}/TB,DURATION))'"


def microseconds(time: Fraction) -> str:
    return f"{float(time):.6f}"
