"""Find the ffmpeg executables and choose one that has the wanted encoder."""

from __future__ import annotations

import hashlib
import os
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
# How the encoders name their versions: x265 and x264 in the stream, SVT-AV1 in its log.
VERSIONS = re.compile(rb"x265 \(build \d+\) - [^:\s]+|x264 - core \d+[^-]*|SVT-AV1 Encoder Lib \S+")


@dataclass(frozen=True)
class Encoder:
    """An encoder in ffmpeg: its library, the option for its parameters, gansr's defaults, its chroma layouts and
    presets."""

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
    """An executable, its version (numbers and text), which of ENCODERS it has, and whether it can tag HDR10.

    `hdr` is True where -mastering_display and -content_light put the metadata into the container as well.
    """

    path: str
    number: tuple[int, int]
    version: str
    encoders: tuple[str, ...]
    hdr: bool


def inspect(path: str) -> Ffmpeg:
    """Return the version and encoders of the executable at `path`. Raises CommandError where it does not run."""
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
    """Return the paths of the system's ffmpeg and of imageio-ffmpeg's."""
    system = shutil.which("ffmpeg")
    try:
        import imageio_ffmpeg  # type: ignore[import-untyped]

        bundled = [p for p in [imageio_ffmpeg.get_ffmpeg_exe()] if Path(p).is_file() or shutil.which(p)]
    except (ImportError, RuntimeError):
        bundled = []
    return list(dict.fromkeys([*([system] if system else []), *bundled]))


def found() -> list[Ffmpeg]:
    """Return every ffmpeg that runs, in the order of `paths`."""
    here = []
    for path in paths():
        try:
            here.append(inspect(path))
        except CommandError:
            continue
    return here


def choose(encoder: str, path: str | None = None) -> Ffmpeg:
    """Return the ffmpeg at `path`, or the best one for `encoder`.

    The best has the encoder and, if possible, can tag HDR10 in the container; the system's ffmpeg is preferred to
    imageio-ffmpeg's. Raises CommandError where none has the encoder.
    """
    here = [inspect(path)] if path else found()
    if not here:
        raise CommandError(f"no ffmpeg was found; {INSTALL}")
    able = [f for f in here if encoder in f.encoders and f.number >= OLDEST]
    if not able:
        which = "; ".join(f"{f.path} ({f.version}) has {', '.join(f.encoders) or 'none of the encoders'}" for f in here)
        least = ".".join(map(str, OLDEST))
        raise CommandError(f"no ffmpeg {least} or newer with {encoder} was found: {which}; {INSTALL}")
    return max(able, key=lambda f: f.hdr)  # the first of the best


def encoder_version(ffmpeg: Ffmpeg, encoder: str) -> str:
    """Return the version of the encoder's library in this ffmpeg, which ffmpeg's own version does not determine; where
    the library does not name it, the SHA-256 of what it makes of a short test clip.

    Raises CommandError where it encodes nothing.
    """
    command = [ffmpeg.path, "-hide_banner", "-nostdin", "-f", "lavfi", "-i", "testsrc2=size=256x144", "-frames:v", "5"]
    command += ["-pix_fmt", "yuv420p", "-c:v", ENCODERS[encoder].library, "-f", "nut", "-"]
    talkative = {name: value for name, value in os.environ.items() if name != "SVT_LOG_FILE"} | {"SVT_LOG": "3"}
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=talkative)
    if done.returncode or not done.stdout:
        reason = cause(done.stderr.decode(errors="replace").splitlines()) or f"exit code {done.returncode}"
        raise CommandError(f"{ffmpeg.path} does not encode with {encoder}: {reason}; take another with --ffmpeg")
    said = VERSIONS.search(done.stdout) or VERSIONS.search(done.stderr)
    return said[0].decode().strip() if said else f"unnamed, test clip {hashlib.sha256(done.stdout).hexdigest()}"


def cause(lines: Iterable[str]) -> str:
    """Return the first of ffmpeg's error lines, which names the cause, without its prefix in brackets and its full
    stop."""
    for line in lines:
        text = re.sub(r"^(\[[^]]*\]\s*)+", "", line.strip())
        if text and not line.startswith("Svt["):
            return text.removesuffix(".")
    return ""
