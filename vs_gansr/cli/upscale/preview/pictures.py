"""Make pictures for a screen of the source's and the result's frames, and write them as PNG files (`--stills`)."""

from __future__ import annotations

import base64
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import vapoursynth as vs

from ....errors import one_line
from ...common import CommandError, say
from ..job import UpscaleJob
from ..script import steps
from ..source import clip as clip_source
from ..source.script_file import failure, listen, note_log, raised_by_script

__all__ = [
    "Pixels", "densest", "detail_of", "encoded", "image", "opened", "pixels", "places", "rgb", "write", "write_stills",
]  # fmt: skip

BRIGHT = (16, 18)  # _Transfer of HDR: PQ and HLG
WIDE = (9, 11, 12)  # _Primaries that are wider than a screen's: BT.2020 and P3
WHITE = 203.0  # cd/m2 of HDR's reference white (ITU-R BT.2408), which is a screen's white
KNEE = 0.6  # share of white above which HDR is compressed

type Pixels = npt.NDArray[np.uint8]
"""A picture of 8-bit RGB: (height, width, 3)."""


@contextmanager
def opened(job: UpscaleJob) -> Any:
    """The job's graph, from places of which frames are wanted; VapourSynth's warnings are shown.

    Raises CommandError for what the source is refused for, and for what VapourSynth says within the block. What a
    script and its processes print goes to stderr from here on.
    """
    listen(note_log)
    if job.is_script:
        sys.stdout.flush()
        sys.stdout = sys.stderr
        os.dup2(2, 1)
    try:
        yield steps.build(job, clip_source.open_media(job), whole=False)
    except (vs.Error, AttributeError, SystemExit) as error:
        in_script = job.is_script and raised_by_script(error)
        raise CommandError(failure(job.source, error) if in_script else one_line(error, 1000)) from error


def places(count: int, total: int) -> list[int]:
    """The numbers of `count` frames spread evenly over `total`, each once."""
    return sorted({(2 * place + 1) * total // (2 * count) for place in range(count)})


def rgb(clip: vs.VideoNode, width: int = 0, height: int = 0) -> vs.VideoNode:
    """8-bit RGB for a screen, by bicubic at `width` x `height`, or at the clip's size where they are 0.

    What carries no matrix is taken for BT.709. HDR is RGBS in linear light, in which 1 is its reference white; `pixels`
    makes a screen's picture of it.
    """
    with clip.get_frame(0) as first:
        props = {name: int(first.props.get(name, 2)) for name in ("_Matrix", "_Primaries", "_Transfer")}
    words: dict[str, Any] = {"width": width or clip.width, "height": height or clip.height, "format": vs.RGB24}
    if clip.format.color_family == vs.YUV and props["_Matrix"] == 2:
        words["matrix_in"] = 1
    hdr = props["_Transfer"] in BRIGHT
    if hdr or props["_Primaries"] in WIDE:
        words |= {"primaries_in": 9 if props["_Primaries"] == 2 else props["_Primaries"], "primaries": 1}
        words |= {"transfer_in": 1 if props["_Transfer"] == 2 else props["_Transfer"], "transfer": 1}
    if hdr:
        words |= {"format": vs.RGBS, "transfer": 8, "nominal_luminance": WHITE}
    return clip.resize.Bicubic(**words)


def pixels(frame: vs.VideoFrame) -> Pixels:
    """The frame of a clip that `rgb` made."""
    with frame:
        picture = np.stack([np.asarray(frame[plane]) for plane in range(3)], axis=2)
    return picture if picture.dtype == np.uint8 else for_screen(picture)


def for_screen(light: npt.NDArray[np.float32]) -> Pixels:
    """Linear light, in which 1 is white and what is brighter has no end, as sRGB of 8 bits.

    Up to KNEE it stays as it is; above, the brightest of the three channels approaches white, and the others keep
    their ratio to it.
    """
    light = np.maximum(light, 0)
    top = light.max(axis=2, keepdims=True)
    room = 1 - KNEE
    kept = np.where(top > KNEE, 1 - room * np.exp(-(np.maximum(top, KNEE) - KNEE) / room), top)
    light = (light * (kept / np.maximum(top, 1e-6))).astype(np.float32)
    code = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.power(light, 1 / 2.4) - 0.055)  # IEC 61966-2-1
    screen: Pixels = np.clip(np.rint(255 * code), 0, 255).astype(np.uint8)
    return screen


def detail_of(picture: Pixels) -> npt.NDArray[np.float32]:
    """How much each pixel of (height, width, 3) differs from its neighbours: (height - 1, width - 1)."""
    luma = picture.astype(np.float32).mean(axis=2)
    detail: npt.NDArray[np.float32] = np.abs(np.diff(luma, axis=0))[:, :-1] + np.abs(np.diff(luma, axis=1))[:-1]
    return detail


def densest(weights: npt.NDArray[np.float32], height: int, width: int) -> tuple[int, int]:
    """Top and left of the part of `height` x `width` in which the (rows, columns) `weights` sum to most."""
    rows, columns = weights.shape
    corners = [
        (y, x)
        for y in range(0, max(rows + 1 - height, 0) + 1, max(1, height // 4))
        for x in range(0, max(columns + 1 - width, 0) + 1, max(1, width // 4))
    ]
    return max(corners, key=lambda at: float(weights[at[0] : at[0] + height, at[1] : at[1] + width].sum()))


def encoded(picture: Pixels, codec: str) -> bytes:
    """The picture as a file: "png", or "mjpeg" at its best quality without subsampled chroma."""
    import av

    encoder: Any = av.CodecContext.create(codec, "w")
    form = {"png": "rgb24", "mjpeg": "yuvj444p"}[codec]
    encoder.height, encoder.width, encoder.pix_fmt = *picture.shape[:2], form
    if codec == "mjpeg":
        encoder.time_base = 1
        encoder.options = {"qmin": "1", "qmax": "2", "b": "1G"}
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24").reformat(format=form)
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def image(name: str, picture: Pixels) -> str:
    """An image element with the picture in it."""
    data = base64.b64encode(encoded(picture, "mjpeg")).decode()
    height, width = picture.shape[:2]
    return f'<img class="{name}" alt="{name}" width="{width}" height="{height}" src="data:image/jpeg;base64,{data}">'


ZOOM = 3


def write_stills(job: UpscaleJob, count: int) -> list[Path]:
    """Writes `count` pairs of PNG files beside the output's name, from places spread over the part asked for.

    Raises CommandError for what the source is refused for, or where a file cannot be written.
    """
    files = []
    output = Path(job.output)
    with opened(job) as graph:
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


def write(path: Path, content: bytes, more: str = "") -> None:
    """Writes a file. Raises CommandError where the disk refuses, which says `more`."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}{more}") from error
