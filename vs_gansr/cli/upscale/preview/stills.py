"""Write PNG files with the source, enlarged plainly, beside the result, at 100 and at 300 % (`--stills`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...common import CommandError, say
from ..job.job import UpscaleJob
from ..script import steps
from ..script.script_text import note_log
from .pictures import Pixels, densest, detail_of, encoded, opened, pixels, places, rgb

__all__ = ["write", "write_stills"]

ZOOM = 3


def write_stills(job: UpscaleJob, count: int) -> list[Path]:
    """Writes `count` pairs of PNG files beside the output's name, from places spread over the part asked for.

    Raises CommandError for what the source is refused for, or where a file cannot be written.
    """
    files = []
    output = Path(job.output)
    with opened(job, note_log) as graph:
        plain = rgb(steps.enlarged_plainly(graph.plain, graph.clip))
        result = rgb(graph.clip)
        for number in places(count, graph.clip.num_frames):
            before = pixels(plain.get_frame(number))
            after = pixels(result.get_frame(number))
            for percent, pair in ((100, (before, after)), (100 * ZOOM, detail(before, after))):
                file = output.with_name(f"{output.stem}.frame{number:06}.{percent}.png")
                write(file, encoded(np.concatenate(pair, axis=1), "png"))
                files.append(file)
                say(f"{file}: source (Spline36) and result")
    return files


def detail(before: Pixels, after: Pixels) -> tuple[Pixels, Pixels]:
    """Both pictures' most detailed part, every pixel ZOOM times as large; as large as the pictures themselves."""
    height, width = (side // ZOOM for side in after.shape[:2])
    top, left = densest(detail_of(after), height, width)
    cut = (p[top : top + height, left : left + width].repeat(ZOOM, 0).repeat(ZOOM, 1) for p in (before, after))
    return next(cut), next(cut)


def write(path: Path, content: bytes) -> None:
    """Writes a file. Raises CommandError where the disk refuses."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from error
