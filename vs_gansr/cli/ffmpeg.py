"""Owns the ffmpeg executable: which ones are here, which one to take, which of our encoders it has; knows no video."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .common import CommandError

__all__ = ["ENCODERS", "Encoder", "Ffmpeg", "cause", "choose", "encoder_version", "found", "inspect"]

OLDEST = (7, 0)  # the oldest that is tested
INSTALL = 'install ffmpeg, or: pip install "vs-gansr[cli]"'
# How the encoders name their versions: in the stream, or in their log.
VERSIONS = re.compile(rb"x265 \(build \d+\) - [^:\s]+|x264 - core \d+[^-]*|SVT-AV1 Encoder Lib \S+")


@dataclass(frozen=True)
class Encoder:
    """An encoder of ffmpeg's: its name there, the option that takes its own parameters, our defaults, the chroma
    layouts and presets that it has."""

    library: str
    params: str
    crf: float
    preset: str
    layouts: tuple[str, ...]
    presets: tuple[str, ...]


X26X = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo")
ENCODERS = {
    "x265": Encoder("libx265", "-x265-params", 18, "medium", ("420", "422", "444"), X26X),
    "x264": Encoder("libx264", "-x264-params", 17, "medium", ("420", "422", "444"), X26X),
    "svt-av1": Encoder("libsvtav1", "-svtav1-params", 26, "6", ("420",), tuple(map(str, range(-1, 14)))),
}


@dataclass(frozen=True)
class Ffmpeg:
    """An executable, its version (numbers and text), those of our encoders it has, and whether it can tag HDR10.

    `hdr` is True where -mastering_display and -content_light put the metadata into the container as well.
    """

    path: str
    number: tuple[int, int]
    version: str
    encoders: tuple[str, ...]
    hdr: bool


def inspect(path: str) -> Ffmpeg:
    """What the executable at `path` says of itself. Raises CommandError where it does not run."""
    try:
        answers = [
            subprocess.run(
                [path, "-hide_banner", *question],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=30,
                check=True,
            ).stdout
            for question in (["-version"], ["-encoders"], ["-h", "long"])
        ]
    except (OSError, subprocess.SubprocessError) as error:
        raise CommandError(f"{path} does not run as ffmpeg: {error}; {INSTALL}") from error
    said = re.match(r"ffmpeg version (\S+)", answers[0])
    numbers = re.match(r"n?(\d+)\.(\d+)", said[1]) if said else None
    return Ffmpeg(
        path,
        (int(numbers[1]), int(numbers[2])) if numbers else (99, 0),  # built from a development tree
        said[1] if said else "unknown",
        tuple(name for name, e in ENCODERS.items() if re.search(rf"^ V\S+ {e.library} ", answers[1], re.MULTILINE)),
        "-mastering_display" in answers[2] and "-content_light" in answers[2],
    )


def paths() -> list[str]:
    """The system's ffmpeg, then the one imageio-ffmpeg brings."""
    system = shutil.which("ffmpeg")
    try:
        import imageio_ffmpeg  # type: ignore[import-untyped]

        bundled = [p for p in [imageio_ffmpeg.get_ffmpeg_exe()] if Path(p).is_file() or shutil.which(p)]
    except (ImportError, RuntimeError):
        bundled = []
    return list(dict.fromkeys([*([system] if system else []), *bundled]))


def found() -> list[Ffmpeg]:
    """Every ffmpeg here that runs, in the order of `paths`."""
    here = []
    for path in paths():
        try:
            here.append(inspect(path))
        except CommandError:
            continue
    return here


def choose(encoder: str, path: str | None = None) -> Ffmpeg:
    """The best equipped ffmpeg for `encoder`, or the one at `path`.

    That is one that has the encoder, then one that can tag HDR10 in the container, then the system's before
    imageio-ffmpeg's. Raises CommandError where none will do.
    """
    here = [inspect(path)] if path else found()
    if not here:
        raise CommandError(f"no ffmpeg is to be found; {INSTALL}")
    able = [f for f in here if encoder in f.encoders and f.number >= OLDEST]
    if not able:
        which = "; ".join(f"{f.path} ({f.version}) has {', '.join(f.encoders) or 'none of ours'}" for f in here)
        least = ".".join(map(str, OLDEST))
        raise CommandError(f"no ffmpeg from {least} on encodes with {encoder}: {which}; {INSTALL}")
    return max(able, key=lambda f: f.hdr)  # the first of the best


def encoder_version(ffmpeg: Ffmpeg, encoder: str) -> str:
    """The version of the encoder's library in this ffmpeg, which ffmpeg's own version does not tell; found by encoding
    one grey picture. Raises CommandError where it says none."""
    command = [
        ffmpeg.path,
        "-hide_banner",
        "-nostdin",
        "-f",
        "lavfi",
        "-i",
        "color=gray:size=256x144",
        "-frames:v",
        "1",
    ]
    command += ["-pix_fmt", "yuv420p", "-c:v", ENCODERS[encoder].library, "-f", "nut", "-"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    said = VERSIONS.search(done.stdout) or VERSIONS.search(done.stderr)
    if not said:
        raise CommandError(f"{ffmpeg.path} does not say which version of {encoder} it has, so chunks could differ; "
                           "take another with --ffmpeg, or encode all at once with --chunk 0")  # fmt: skip
    return said[0].decode().strip()


def cause(lines: Iterable[str]) -> str:
    """The first of ffmpeg's error lines, without the address of whoever wrote it: later ones are its consequences."""
    for line in lines:
        text = re.sub(r"^(\[[^]]*\]\s*)+", "", line.strip())
        if text and not line.startswith("Svt["):
            return text
    return ""
