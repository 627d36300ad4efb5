"""Small real files for tests of the command, made by ffmpeg, and PyAV's description of a file, field by field."""

from __future__ import annotations

import hashlib
import struct
import subprocess
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()

# P3 primaries, D65, 1000 and 0.005 cd/m2
MASTERING = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
LIGHT = "1000,400"
PQ = "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc:range=tv:chroma_location=topleft"
H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2"]


def ffmpeg(*words: str | Path) -> None:
    """Runs ffmpeg, loudly where it fails."""
    done = subprocess.run([FFMPEG, "-v", "error", "-y", *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def picture(size: str = "96x64", rate: str = "25", frames: int = 20) -> list[str]:
    """ffmpeg's input: a moving test picture."""
    return ["-f", "lavfi", "-i", f"testsrc=size={size}:rate={rate},trim=end_frame={frames}"]


def tone(seconds: float, pitch: int = 440) -> list[str]:
    """ffmpeg's input: a sine."""
    return ["-f", "lavfi", "-i", f"sine=frequency={pitch}:sample_rate=48000:duration={seconds}"]


def plain(path: Path, frames: int = 20, size: str = "96x64", rate: str = "25") -> Path:
    """Constant rate, 8-bit 4:2:0, tagged BT.709, with sound of the same length."""
    seconds = frames / float(Fraction(rate))
    tags = ["-vf", "format=yuv420p,setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"]
    ffmpeg(*picture(size, rate, frames), *tone(seconds), *tags, *H264, "-c:a", "aac", path)
    return path


def variable(path: Path) -> Path:
    """Variable rate: of 90 frames at 30 per second two of three are left out for the first half; with sound."""
    pick = ["-vf", "select='not(mod(n,3))+gt(n,45)'", "-fps_mode", "vfr"]
    ffmpeg(*picture(rate="30", frames=90), *tone(3), *pick, *H264, "-pix_fmt", "yuv420p", "-c:a", "aac", path)
    return path


def hdr(path: Path) -> Path:
    """10-bit BT.2020 PQ with mastering display and light level, as a UHD disc has it."""
    params = f"log-level=none:hdr10=1:repeat-headers=1:chromaloc=2:master-display={MASTERING}:max-cll={LIGHT}"
    encode = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", params]
    ffmpeg(*picture("128x72", "24000/1001", 12), "-vf", f"format=yuv420p10le,{PQ}", *encode, path)
    return path


def anamorphic(path: Path) -> Path:
    """PAL widescreen, smaller: 16:11 pixels, tagged BT.470BG."""
    tags = "format=yuv420p,setsar=16/11,setparams=colorspace=bt470bg:color_primaries=bt470bg:color_trc=bt470bg"
    ffmpeg(*picture("90x72"), "-vf", tags, *H264, path)
    return path


def many_tracks(path: Path) -> Path:
    """Two sound tracks, two subtitles, chapters, a font as attachment, titles and languages; Matroska."""
    folder = path.parent
    for name, text in (("full", "Good evening."), ("signs", "EXIT")):
        (folder / f"{name}.srt").write_text(f"1\n00:00:00,100 --> 00:00:00,600\n{text}\n")
    (folder / "font.ttf").write_bytes(bytes(range(256)) * 8)
    (folder / "chapters.txt").write_text(
        ";FFMETADATA1\ntitle=A film\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=400\ntitle=One\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=400\nEND=1000\ntitle=Two\n"
    )
    inputs = [*picture(frames=25), *tone(1), *tone(1, 880)]
    for name in ("full.srt", "signs.srt", "chapters.txt"):
        inputs += ["-i", str(folder / name)]
    maps = [word for place in ("0:v", "1:a", "2:a", "3:s", "4:s") for word in ("-map", place)]
    marks = ["-map_metadata", "5", "-map_chapters", "5", "-metadata:s:v:0", "title=Picture"]
    for place, language, title in (("a:0", "eng", "Original"), ("a:1", "deu", "Kommentar"), ("s:0", "eng", "Full")):
        marks += [f"-metadata:s:{place}", f"language={language}", f"-metadata:s:{place}", f"title={title}"]
    marks += ["-metadata:s:s:1", "language=jpn", "-disposition:a:0", "default", "-disposition:a:1", "comment"]
    marks += ["-disposition:s:0", "0", "-disposition:s:1", "forced"]
    marks += ["-attach", str(folder / "font.ttf"), "-metadata:s:t:0", "mimetype=font/ttf"]
    codecs = [*H264, "-pix_fmt", "yuv420p", "-c:a:0", "aac", "-c:a:1", "flac", "-c:s", "srt"]
    ffmpeg(*inputs, *maps, *codecs, *marks, path)
    return path


def dolby(path: Path, profile: int, compatible: int) -> Path:
    """HDR video that says it is Dolby Vision: a configuration box in the sample entry, as in ISO/IEC 14496-12."""
    plain = path.with_name("plain.mp4")
    ffmpeg("-i", hdr(path.with_name("hdr.mkv")), "-c", "copy", plain)
    record = bytes([1, 0, profile << 1, 1 << 3 | 0b101, compatible << 4]) + bytes(19)
    box = struct.pack(">I4s", 8 + len(record), b"dvcC") + record
    places = [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"hev1"]
    path.write_bytes(with_box(plain.read_bytes(), places, box))
    return path


def with_box(data: bytes, places: list[bytes], box: bytes) -> bytes:
    """The boxes `data` with `box` at the end of the one that `places` leads to."""
    if not places:
        return data + box
    out, at = b"", 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        head = at + (16 if kind == b"stsd" else 8)
        body = data[head : at + size]
        body = with_box(body, places[1:], box) if kind == places[0] else body
        out += struct.pack(">I4s", head - at + len(body), kind) + data[at + 8 : head] + body
        at += size
    return out


@dataclass
class Facts:
    """What a file says of itself. Times are in seconds, sorted; `content` hashes each track's packets."""

    kinds: list[str] = field(default_factory=list)
    codecs: list[str] = field(default_factory=list)
    tags: list[dict[str, str]] = field(default_factory=list)
    marks: list[set[str]] = field(default_factory=list)
    times: list[list[Fraction]] = field(default_factory=list)
    ends: list[Fraction] = field(default_factory=list)
    content: list[str] = field(default_factory=list)
    picture: dict[str, Any] = field(default_factory=dict)
    chapters: list[tuple[Fraction, Fraction, str]] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)

    def of(self, kind: str) -> list[int]:
        """The places of the tracks of one kind."""
        return [n for n, k in enumerate(self.kinds) if k == kind]


def ratio(value: Any) -> Fraction:
    return Fraction(value.numerator, value.denominator)


def facts(path: Path) -> Facts:
    """Reads everything there is to compare."""
    found = Facts()
    with av.open(str(path)) as container:
        found.metadata = {key.lower(): value for key, value in container.metadata.items()}
        for chapter in container.chapters():
            base = ratio(chapter["time_base"])
            title = chapter["metadata"].get("title", "")
            found.chapters.append((chapter["start"] * base, chapter["end"] * base, title))
        for stream in container.streams:
            found.kinds.append(stream.type)
            found.codecs.append(stream.codec_context.codec.canonical_name if stream.codec_context else "")
            found.tags.append({key.lower(): value for key, value in stream.metadata.items()})
            found.marks.append({mark.name for mark in stream.disposition})
        streams = list(container.streams)
        times: list[list[tuple[Fraction, Fraction]]] = [[] for _ in streams]
        hashes = [hashlib.sha256() for _ in streams]
        for packet in container.demux():
            if packet.size:
                hashes[packet.stream_index].update(bytes(packet))
            if packet.pts is not None:
                base = ratio(packet.stream.time_base)
                times[packet.stream_index].append((packet.pts * base, (packet.pts + (packet.duration or 0)) * base))
        found.times = [sorted(start for start, _ in track) for track in times]
        found.ends = [max((end for _, end in track), default=Fraction(0)) for track in times]
        found.content = [h.hexdigest() for h in hashes]
        found.picture = described(container.streams.video[0])
    with av.open(str(path)) as container:
        found.picture["frames"] = 0
        for frame in container.decode(video=0):
            if not found.picture["frames"]:
                found.picture |= {"interlaced": frame.interlaced_frame, "light": frame_light(frame)}
            found.picture["frames"] += 1
    return found


def described(stream: Any) -> dict[str, Any]:
    """Size, shape and colours as the container and the codec's header tell them together."""
    context = stream.codec_context
    return {
        "codec": context.codec.canonical_name,
        "size": (context.width, context.height),
        "format": context.pix_fmt,
        "sar": ratio(stream.sample_aspect_ratio) if stream.sample_aspect_ratio else Fraction(1),
        "matrix": int(context.colorspace),
        "primaries": int(context.color_primaries),
        "transfer": int(context.color_trc),
        "range": int(context.color_range),
        "siting": int(context.chroma_sample_location),
        "container light": light(context.coded_side_data),
    }


def light(data: dict[str, bytes]) -> dict[str, list[float]]:
    """HDR10 metadata as numbers, whatever fractions they were written in; FFmpeg's structures, native byte order."""
    found = {}
    for name, raw in data.items():
        if "mastering" in name.lower():
            words = memoryview(bytes(raw)).cast("i")
            found["mastering"] = [round(words[i] / words[i + 1], 5) for i in range(0, 20, 2)]
        elif "light" in name.lower():
            found["light"] = [float(w) for w in memoryview(bytes(raw)).cast("i")[:2]]
    return found


def frame_light(frame: Any) -> dict[str, list[float]]:
    return light({kind.name: bytes(frame.side_data[kind]) for kind in frame.side_data})
