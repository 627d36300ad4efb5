"""Read and write video by ffmpeg and the source filter.

Everything kept by the evaluation is YUV 4:2:0, 8 bit, limited range, BT.709 matrix, left-sited chroma.
"""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import imageio_ffmpeg  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt
import vapoursynth as vs
from PIL import Image

core = vs.core

PICTURES = frozenset({".png", ".webp", ".jpg", ".jpeg", ".bmp"})
CATMULL_ROM = {"filter_param_a": 0.0, "filter_param_b": 0.5}
LOSSLESS = ("-c:v", "ffv1", "-level", "3", "-slices", "4")
# setparams only declares; the options -colorspace and the like would make ffmpeg convert from its own guess
_TAGS = ("-vf", "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709:chroma_location=left")
_BT709 = 1


def ffmpeg(*arguments: str, feed: Callable[[BinaryIO], None] | None = None, folder: Path | None = None) -> None:
    """Run the ffmpeg that imageio-ffmpeg carries; `feed` writes its standard input, `folder` is where it runs.

    Raises RuntimeError with ffmpeg's own words when it fails.
    """
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-loglevel", "error", "-y", *arguments]
    stdin = subprocess.PIPE if feed else subprocess.DEVNULL
    with subprocess.Popen(
        command, cwd=folder, stdin=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        broken: BaseException | None = None
        if feed:
            pipe = cast(BinaryIO, process.stdin)
            try:
                feed(pipe)
            except BaseException as error:
                broken = error
                process.kill()
        message = process.communicate()[1].decode(errors="replace").strip()
    if broken is not None and not (isinstance(broken, BrokenPipeError) and message):
        raise broken
    if process.returncode:
        raise RuntimeError(f"ffmpeg {' '.join(arguments)}: exit status {process.returncode}: {message}")


def encode(clip: vs.VideoNode, path: Path, codec: Sequence[str] = LOSSLESS) -> None:
    """Write `clip` (YUV420P8, BT.709 limited) to the Matroska file `path`, bit for bit repeatable."""
    ffmpeg("-f", "yuv4mpegpipe", "-i", "pipe:0", *codec, *_TAGS, "-fflags", "+bitexact",
           "-flags:v", "+bitexact", "-f", "matroska", str(path),
           feed=lambda pipe: clip.output(pipe, y4m=True))  # fmt: skip


def tagged(clip: vs.VideoNode) -> vs.VideoNode:
    """`clip` with the properties every clip of the evaluation has, so that no filter has to guess."""
    return clip.std.SetFrameProps(
        _Matrix=_BT709, _Transfer=_BT709, _Primaries=_BT709, _Range=0, _ChromaLocation=0, _FieldBased=0
    )


def load(path: Path) -> vs.VideoNode:
    """A file written by `encode`, decoded: YUV420P8 with all tags set."""
    clip = core.bs.VideoSource(str(path), cachemode=0)
    if clip.format.id != vs.YUV420P8:
        raise ValueError(f"load: {path} decodes to {clip.format.name}, expected YUV420P8; delete it and run again")
    return tagged(clip)


def read(path: Path) -> vs.VideoNode:
    """Any video or picture as a clip in its own format, with matrix and range always set."""
    if path.suffix.lower() in PICTURES:
        with Image.open(path) as image:
            return from_rgb(np.asarray(image.convert("RGB")))
    clip = core.bs.VideoSource(str(path), cachemode=0)
    props = clip.get_frame(0).props
    if clip.format.color_family == vs.RGB:
        return clip
    if props.get("_Matrix", 2) == 2:
        clip = clip.std.SetFrameProps(_Matrix=_BT709 if clip.height >= 720 else 6)
    return clip if "_Range" in props else clip.std.SetFrameProps(_Range=0)


def from_rgb(pixels: npt.NDArray[np.uint8]) -> vs.VideoNode:
    """One RGB24 frame from (height, width, 3) uint8."""
    height, width = pixels.shape[:2]
    blank = core.std.BlankClip(format=vs.RGB24, width=width, height=height, length=1)

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        frame = f.copy()
        for plane in range(3):
            np.asarray(frame[plane])[:] = pixels[..., plane]
        return frame

    return blank.std.ModifyFrame(blank, fill)
