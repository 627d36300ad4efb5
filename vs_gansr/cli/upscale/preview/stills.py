"""Write `--stills`: PNG files with the source, enlarged plainly, beside the result, at 100 and at 300 %."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import vapoursynth as vs

from ....errors import one_line
from ...common import CommandError, say
from ..job.job import UpscaleJob
from ..script import steps
from ..script.script_text import listen, note_log
from ..source import clip as clip_source

__all__ = ["write_stills"]

ZOOM = 3

type Pixels = npt.NDArray[np.uint8]


def write_stills(job: UpscaleJob, count: int) -> list[Path]:
    """Writes `count` pairs of PNG files beside the output's name, from places spread over the part asked for.

    Raises CommandError for what the source is refused for, or where a file cannot be written.
    """
    listen(note_log)
    sys.stdout = sys.stderr  # a script's frames may print
    try:
        graph = steps.build(job, clip_source.open_media(job), whole=False)
        plain = rgb(steps.enlarged_plainly(graph.plain, graph.clip))
        result = rgb(graph.clip)
        files = []
        for place in range(count):
            number = (2 * place + 1) * graph.clip.num_frames // (2 * count)
            before = pixels(plain.get_frame(number))
            after = pixels(result.get_frame(number))
            for percent, pair in ((100, (before, after)), (100 * ZOOM, detail(before, after))):
                output = Path(job.output)
                file = output.with_name(f"{output.stem}.frame{number:06}.{percent}.png")
                write(file, np.concatenate(pair, axis=1))
                files.append(file)
                say(f"{file}: source (Spline36) and result")
    except (vs.Error, AttributeError) as error:
        raise CommandError(one_line(error, 1000)) from error
    return files


def rgb(clip: vs.VideoNode) -> vs.VideoNode:
    """8-bit RGB for a screen; what carries no matrix is taken for BT.709."""
    matrix = {}
    if clip.format.color_family == vs.YUV:
        with clip.get_frame(0) as first:
            matrix = {"matrix_in": 1} if int(first.props.get("_Matrix", 2)) == 2 else {}
    return clip.resize.Bicubic(format=vs.RGB24, **matrix)


def pixels(frame: vs.VideoFrame) -> Pixels:
    """The frame as (height, width, 3)."""
    with frame:
        return np.stack([np.asarray(frame[plane]) for plane in range(3)], axis=2)


def detail(before: Pixels, after: Pixels) -> tuple[Pixels, Pixels]:
    """Both pictures' most detailed part, every pixel ZOOM times as large; as large as the pictures themselves."""
    height, width = (side // ZOOM for side in after.shape[:2])
    luma = after.astype(np.float32).mean(axis=2)
    edges = np.abs(np.diff(luma, axis=0))[:, :-1] + np.abs(np.diff(luma, axis=1))[:-1]
    corners = [
        (y, x)
        for y in range(0, after.shape[0] - height + 1, max(1, height // 4))
        for x in range(0, after.shape[1] - width + 1, max(1, width // 4))
    ]
    top, left = max(corners, key=lambda at: float(edges[at[0] : at[0] + height, at[1] : at[1] + width].sum()))
    cut = (p[top : top + height, left : left + width].repeat(ZOOM, 0).repeat(ZOOM, 1) for p in (before, after))
    return next(cut), next(cut)


def write(path: Path, picture: Pixels) -> None:
    """Writes a PNG. Raises CommandError where the disk refuses."""
    import av

    encoder = av.CodecContext.create("png", "w")
    encoder.height, encoder.width, encoder.pix_fmt = *picture.shape[:2], "rgb24"
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    data = b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
    try:
        path.write_bytes(data)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from error
