"""Find out whether an encoder takes pictures of an unusual size, before anything is rendered."""

from __future__ import annotations

import subprocess

from ...common import CommandError
from ...ffmpeg import ENCODERS, Ffmpeg, cause
from ..job.job import UpscaleJob
from .options import divide
from .process import how

__all__ = ["refuse_size"]

USUAL = (128, 8192)  # sides that every encoder takes
LONGEST = 65535  # the longest side that encoders and containers count to
THIN = 256  # the other side of a picture that one side is tried with
PATIENCE = 120  # seconds for a few frames; x265 3.5 hangs for ever on 28 to 31 lines, and crashes on fewer
SMALL = 1 << 20  # pixels of a picture that is tried as it is


def refuse_size(job: UpscaleJob, ffmpeg: Ffmpeg, width: int, height: int, pixel_format: str) -> None:
    """Raises CommandError where the encoder does not take `width` x `height` pixels, with its reason and a way out.

    A small picture is tried with the user's settings. Of a large one each side is tried alone, so that trying costs no
    memory; whether FFmpeg holds a picture that large it says itself.
    """
    if USUAL[0] <= min(width, height) and max(width, height) <= USUAL[1]:
        return
    reason = too_many_pixels(width, height, pixel_format)
    if width * height <= SMALL and not reason:
        reason = refusal(job, ffmpeg, (width, height), pixel_format, own=True)
    for size in ((width, THIN), (THIN, height)) if width * height > SMALL else ():
        reason = reason or refusal(job, ffmpeg, size, pixel_format, own=False)
    if reason:
        side = "less" if max(width, height) > USUAL[1] else "more"
        raise CommandError(
            f"{job.encoder} does not encode pictures of {width}x{height} pixels ({reason}); ask for {side} with "
            "--height or --width, or take another --encoder"
        )


def too_many_pixels(width: int, height: int, pixel_format: str) -> str:
    """Why there is no picture of this size in FFmpeg; empty where there is."""
    import av

    if max(width, height) > LONGEST:
        return f"no side may be longer than {LONGEST}"
    try:
        av.VideoFrame(width, height, pixel_format)
    except (ValueError, MemoryError, av.error.FFmpegError):
        return "FFmpeg holds no picture that large"
    return ""


def refusal(job: UpscaleJob, ffmpeg: Ffmpeg, size: tuple[int, int], pixel_format: str, own: bool) -> str:
    """Why grey pictures of this size are not encoded, with the user's `own` settings or the fastest; else empty."""
    encoder = ENCODERS[job.encoder]
    fastest = encoder.presets[-1] if job.encoder == "svt-av1" else encoder.presets[0]
    words = [ffmpeg.path, "-hide_banner", "-v", "error", "-nostdin", "-f", "lavfi"]
    words += ["-i", f"color=gray:size={size[0]}x{size[1]}:rate=25", "-frames:v", "8" if own else "1"]
    words += ["-pix_fmt", pixel_format, "-c:v", encoder.library]
    words += ["-preset", (job.preset or encoder.preset) if own else fastest]
    params = ["log-level=error"] if job.encoder == "x265" else []
    params += divide(job).params if own else ()
    words += [encoder.params, ":".join(params)] if params else []
    try:
        done = subprocess.run(
            [*words, "-f", "null", "-"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=PATIENCE,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"it was not done with a few frames after {PATIENCE} s"
    return cause(done.stderr.splitlines()) or how(done.returncode) if done.returncode else ""
