"""Sources as people have them, made by ffmpeg, with the options they need and the expected result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import footage
from footage import H264, ffmpeg, picture, tone

__all__ = ["KINDS", "Kind"]

BT709 = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
BT601 = "setparams=colorspace=smpte170m:color_primaries=smpte170m:color_trc=smpte170m:range=tv"
BT470BG = "setparams=colorspace=bt470bg:color_primaries=bt470bg:color_trc=bt470bg:range=tv"
HLG = "setparams=color_primaries=bt2020:color_trc=arib-std-b67:colorspace=bt2020nc:range=tv"
MPEG2 = ["-c:v", "mpeg2video", "-q:v", "2", "-g", "12", "-bf", "2"]
FIELDS = ["-flags", "+ilme+ildct"]
NTSC, FILM = "30000/1001", "24000/1001"


@dataclass(frozen=True)
class Kind:
    """One kind of source.

    `file` its name; `draw` makes it at a path and may put more beside it · `words` the command needs, and `refused`
    what it says without them · `said` notes that it must write · `frames` of the result, 0 for as many as the source
    shows · `expected` of the result's picture (footage.described), where that is not the source's · `size` before
    the network · `turned` quarters to the left that the picture is turned upright by · `lost` tracks, by kind, that
    are not carried · `alike` whether each frame of the result is one of the source's
    """

    file: str
    draw: Callable[[Path], object]
    size: tuple[int, int] = (96, 64)
    words: tuple[str, ...] = ()
    refused: str = ""
    said: str = ""
    frames: int = 0
    expected: Mapping[str, Any] = field(default_factory=dict)
    turned: int = 0
    lost: tuple[str, ...] = ()
    alike: bool = True

    @property
    def readable(self) -> bool:
        """Whether the source is a file that PyAV reads by itself."""
        return not self.file.endswith((".vpy", "%03d.png"))


def with_cover(path: Path) -> None:
    """A film in Matroska with its cover attached, and in FLAC."""
    ffmpeg(*picture("64x64", frames=1), path.with_name("cover.png"))
    tags = ["-vf", f"format=yuv420p,{BT709}", *H264, "-c:a", "flac"]
    attached = ["-attach", path.with_name("cover.png"), "-metadata:s:t", "mimetype=image/png"]
    ffmpeg(*picture(), *tone(0.8), *tags, *attached, path)


def rotated(path: Path) -> None:
    """A telephone's video, held upright."""
    flat = footage.plain(path.with_name("flat.mp4"), size="96x48")
    ffmpeg("-display_rotation", "90", "-i", flat, "-c", "copy", path)


def hlg(path: Path) -> None:
    """A telephone's or camera's HDR."""
    encode = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none", "-tag:v", "hvc1"]
    ffmpeg(*picture(frames=8), *tone(0.32), "-vf", f"format=yuv420p10le,{HLG}", *encode, "-c:a", "aac", path)


def broadcast(path: Path) -> None:
    """Interlaced television, top field first, in a transport stream that begins in mid-air."""
    fields = ["-vf", f"format=yuv420p,{BT470BG},tinterlace=interleave_top,setfield=tff", *FIELDS, *MPEG2]
    ffmpeg(*picture("96x64", "50", 32), *tone(0.64), *fields, "-c:a", "mp2", "-muxdelay", "1.4", path)


def camcorder(path: Path) -> None:
    """DV: bottom field first, 4:1:1, oblong pixels, uncompressed sound."""
    fields = ["-vf", "format=yuv411p,setfield=bff,setsar=10/11", *FIELDS, "-c:v", "dvvideo"]
    ffmpeg(*picture("720x480", NTSC, 4), *tone(4 * 1001 / 30000), *fields, "-c:a", "pcm_s16le", path)


def telecined(path: Path) -> None:
    """Film at 24 frames a second as 30 interlaced ones."""
    fields = ["-vf", f"format=yuv420p,{BT601},telecine=first_field=top,setfield=tff", *FIELDS, *MPEG2]
    film = ["-f", "lavfi", "-i", f"testsrc2=size=96x64:rate={FILM},trim=end_frame=24"]
    ffmpeg(*film, *tone(1), *fields, "-c:a", "ac3", path)


def disc(path: Path) -> None:
    """A DVD's program stream: MPEG-2 in 16:9, AC-3."""
    shape = ["-vf", f"format=yuv420p,{BT470BG}", "-aspect", "16:9", *MPEG2]
    ffmpeg(*picture("90x72"), *tone(0.8), *shape, "-c:a", "ac3", "-f", "vob", path)


def untagged(path: Path) -> None:
    """High definition by its size alone: nothing says the colours."""
    clear = ["-bsf:v", "h264_metadata=colour_primaries=2:transfer_characteristics=2:matrix_coefficients=2"]
    ffmpeg(*picture("1280x720", frames=3), "-pix_fmt", "yuv420p", *H264, *clear, path)


def mistagged(path: Path) -> None:
    """BT.601 limited range that says it is BT.2020, in square pixels that are not."""
    lie = "setparams=colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084:range=pc"
    ffmpeg(*picture(frames=5), "-vf", f"format=yuv420p,{lie}", *H264, path)


def still_camera(path: Path) -> None:
    """Motion JPEG in AVI: full range, uncompressed sound."""
    ffmpeg(*picture(), *tone(0.8), "-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-q:v", "2", "-c:a", "pcm_s16le", path)


def prores(path: Path) -> None:
    """An editor's master: 10-bit 4:2:2 with a time code track and 24-bit sound."""
    encode = ["-vf", f"format=yuv422p10le,{BT709}", "-c:v", "prores_ks", "-c:a", "pcm_s24le"]
    ffmpeg(*picture(frames=6), *tone(0.24), *encode, "-timecode", "01:00:00:00", path)


def prores_alpha(path: Path) -> None:
    """A title with transparency: 4:4:4:4."""
    encode = ["-vf", f"format=yuva444p10le,{BT709}", "-c:v", "prores_ks", "-profile:v", "4444"]
    ffmpeg(*picture(frames=4), *encode, path)


def odd(path: Path) -> None:
    """4:2:0 of odd width and height, which VapourSynth cannot hold."""
    ffmpeg(*picture("97x65", frames=4), "-vf", f"scale=97:65,format=yuv420p,{BT709}", "-c:v", "ffv1", path)


def truncated(path: Path) -> None:
    """A download that was broken off."""
    whole = path.with_name("whole.mp4")
    moving = ["-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25,trim=end_frame=40"]
    ffmpeg(*moving, "-vf", f"format=yuv420p,{BT709}", "-c:v", "libx264", "-movflags", "faststart", whole)
    path.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.7)])


def bare(path: Path) -> None:
    """A stream without container, so without times."""
    ffmpeg(*picture(), "-vf", f"format=yuv420p,{BT709}", *H264, path)


def images(path: Path) -> None:
    """Numbered images, which begin with the seventh."""
    ffmpeg(*picture(frames=5), "-start_number", "7", path)


def script(path: Path) -> None:
    """A VapourSynth script that reads the file beside it."""
    footage.plain(path.with_name("in.mp4"), frames=6)
    source = "core.bs.VideoSource('in.mp4', cachemode=0)"
    path.write_text(f"import vapoursynth as vs\ncore = vs.core\n{source}.std.Trim(length=5).set_output()\n")


def animation(path: Path) -> None:
    """A GIF of varying pace."""
    pick = ["-vf", "select='not(mod(n,3))+gt(n,6)'", "-fps_mode", "vfr"]
    ffmpeg(*picture(rate="20", frames=14), *pick, path)


def gray(path: Path) -> None:
    """An old film, scanned: luma alone, 10 bit, full range as FFmpeg has gray."""
    ffmpeg(*picture(frames=5), "-vf", "format=gray10le", "-c:v", "ffv1", path)


def edited(path: Path) -> None:
    """Cut without being encoded anew: an edit list leaves out the frames since the key frame, sound begins earlier."""
    whole = footage.plain(path.with_name("long.mp4"), frames=40)
    ffmpeg("-ss", "0.5", "-i", whole, "-c", "copy", path)


def web(path: Path) -> None:
    """VP9 and Opus in WebM, frames of which some are hidden."""
    encode = ["-vf", f"format=yuv420p,{BT709}", "-c:v", "libvpx-vp9", "-deadline", "realtime", "-c:a", "libopus"]
    ffmpeg(*picture(), *tone(0.8), *encode, path)


def old_avi(path: Path) -> None:
    """MPEG-4 with B-frames and MP3 in AVI, which has no times but a rate."""
    ffmpeg(*picture(), *tone(0.8), "-c:v", "mpeg4", "-bf", "2", "-q:v", "2", "-c:a", "mp3", path)


def deep(path: Path) -> None:
    """12-bit 4:4:4."""
    encode = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none"]
    ffmpeg(*picture(frames=4), "-vf", f"format=yuv444p12le,{BT709}", *encode, path)


def byte_name(path: Path) -> None:
    """A name from before UTF-8."""
    footage.plain(path.with_name("plain.mp4"), frames=3).rename(path)


RIGHT = ("--matrix", "170m", "--primaries", "170m", "--transfer", "170m", "--range", "limited", "--sar", "10:11")
INTERLACED = "is interlaced"
GUESSED = {"matrix": 6, "range": 1}  # the matrix by the size, where nothing is said
LEFT = {"siting": 1}  # where it is not said
PLAIN = {"matrix": 1, "primaries": 1, "transfer": 1, "range": 1}

KINDS: dict[str, Kind] = {
    "mkv with cover": Kind("in.mkv", with_cover),
    "mp4 rotated": Kind("in.mp4", rotated, (48, 96), turned=1),
    "variable rate": Kind("in.mp4", footage.variable, expected=GUESSED),
    "hdr10": Kind("in.mkv", footage.hdr, (128, 72)),
    "hlg": Kind("in.mp4", hlg),
    "interlaced top first": Kind(
        "in.ts", broadcast, words=("--field", "deinterlace"), refused=INTERLACED, said="bwdif.Bwdif", alike=False
    ),
    "interlaced bottom first": Kind(
        "in.avi", camcorder, (720, 480), ("--field", "bob"), INTERLACED, "bwdif.Bwdif", 8,
        {**GUESSED, "format": "yuv422p"}, alike=False,
    ),
    "telecined": Kind(
        "in.mkv", telecined, words=("--field", "ivtc"), refused=INTERLACED, said="vivtc.VDecimate", frames=24,
        alike=False,
    ),
    "dvd": Kind("in.vob", disc, (90, 72)),
    "untagged": Kind("in.mp4", untagged, (1280, 720), said="does not say its matrix", expected={"matrix": 1}),
    "wrongly tagged": Kind(
        "in.mp4", mistagged, words=RIGHT,
        expected={"matrix": 6, "primaries": 6, "transfer": 6, "range": 1, "sar": Fraction(10, 11), "format": "yuv420p"},
    ),
    "full range mjpeg": Kind("in.avi", still_camera, expected={"format": "yuvj420p"}),
    "prores 422": Kind("in.mov", prores, lost=("data",)),  # its time code is a tag then
    "prores 4444 with alpha": Kind(
        "in.mov", prores_alpha, said="alpha plane (transparency) is not carried", expected={"format": "yuv444p10le"}
    ),
    "odd size": Kind("in.mkv", odd, said="97x65 is cut to 96x64", expected=LEFT),
    "truncated mp4": Kind("in.mp4", truncated, words=("--accept-damage",), refused="damaged", said="cannot be decoded"),
    "bare stream": Kind("in.264", bare, words=("--fps", "25"), refused="such as --fps", frames=20),
    "numbered images": Kind(
        "im%03d.png", images, words=("--fps", "24"), refused="give --fps", frames=5,
        expected={**GUESSED, "format": "yuv444p"},
    ),
    "script": Kind("in.vpy", script, frames=5, expected={**PLAIN, "format": "yuv420p"}),
    "a name that is not utf-8": Kind("n\udcff.mp4", byte_name),
    "many tracks": Kind("in.mkv", footage.many_tracks, expected=GUESSED),
    "gif": Kind("in.gif", animation, expected={**GUESSED, "format": "yuv444p"}),
    "gray": Kind("in.mkv", gray, expected={**GUESSED, **LEFT, "range": 2, "format": "yuv420p10le"}),
    "edit list": Kind("in.mp4", edited),
    "webm": Kind("in.webm", web, expected=LEFT),
    "avi without times": Kind("in.avi", old_avi, expected=GUESSED),
    "12 bit": Kind("in.mkv", deep, expected={"format": "yuv444p10le"}),
}  # fmt: skip
