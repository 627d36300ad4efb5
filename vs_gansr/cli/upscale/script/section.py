"""Find the part of a film that is asked for (--start, --end, --frames, --test), and draw the wipe of --compare."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import vapoursynth as vs

from ...common import CommandError
from ..job.job import UpscaleJob

__all__ = ["chosen", "partial", "wipe"]

SWEEP = 4.0  # seconds that the wipe takes to the right and back
LINE = 2  # pixels


def partial(job: UpscaleJob) -> bool:
    """Whether only a part is asked for."""
    return job.start > 0 or job.end is not None or job.frames > 0 or job.test > 0


def chosen(job: UpscaleJob, stamps: Sequence[int], base: Fraction, origin: Fraction) -> tuple[int, int]:
    """First frame, and the one after the last, of the part asked for.

    `stamps` when each frame is shown, in units of `base` seconds; times asked for count from `origin` seconds.
    Raises CommandError where no frame is in it.
    """
    times = [time * base - origin for time in stamps]
    total = len(times)
    if job.test:
        pace = (times[-1] - times[0]) / (total - 1) if total > 1 else Fraction(1, 25)
        count = min(total, max(1, round(job.test / pace)))
        first = (total - count) // 2
        return first, first + count
    first = next((n for n, time in enumerate(times) if time >= job.start - 1e-4), total)
    last = total
    if job.end is not None:
        last = next((n for n, time in enumerate(times) if time >= job.end - 1e-4), total)
    if job.frames:
        last = min(last, first + job.frames)
    if first >= last:
        length = float(times[-1])
        raise CommandError(f"no frame lies in the part asked for; the source's last one is shown at {length:.2f} s")
    return first, last


def wipe(plain: vs.VideoNode, result: vs.VideoNode) -> vs.VideoNode:
    """`plain` left and `result` right of a line that goes from one side to the other and back, without end."""
    width = result.width
    fps = float(result.fps or 25)
    step = 1 << result.format.subsampling_w
    white = [1 << result.format.bits_per_sample - 1] * 3
    white[0] = 235 << result.format.bits_per_sample - 8
    bar = result.std.BlankClip(width=LINE, length=1, color=white, keep=True)

    def frame(n: int) -> vs.VideoNode:
        share = (n / fps / SWEEP) % 1.0
        place = round((width - LINE) * (1 - abs(2 * share - 1)) / step) * step
        parts = [plain.std.Crop(right=width - place)] if place else []
        parts.append(bar.std.Loop(result.num_frames))
        if place + LINE < width:
            parts.append(result.std.Crop(left=place + LINE))
        return vs.core.std.StackHorizontal(parts)

    wiped: vs.VideoNode = vs.core.std.FrameEval(result, frame, clip_src=[plain, result]).std.CopyFrameProps(result)
    return wiped
