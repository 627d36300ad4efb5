"""Send frames through a real encoder: RGB to 4:2:0 to a codec and back."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
"""(frames, height, width, 3) RGB unless said otherwise."""


def _avx512() -> bool:
    try:
        return "avx512f" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


# libx264's AVX-512 code gives another stream for the same frames about once in 300 times; without it, it repeats.
_X264 = {"x264-params": "asm=AVX2"} if _avx512() else {}
_ENCODERS = {"h264": "libx264", "h265": "libx265", "mpeg2": "mpeg2video", "mpeg4": "mpeg4"}


def clip_of(format_id: int, planes: Sequence[Sequence[NDArray[Any]]], props: dict[str, int]) -> vs.VideoNode:
    """A clip showing `planes[frame][plane]`, each (height, width)."""
    height, width = planes[0][0].shape
    blank = vs.core.std.BlankClip(format=format_id, width=width, height=height, length=len(planes), keep=True)

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        for index, plane in enumerate(planes[n]):
            np.asarray(out[index])[:] = plane
        return out

    return blank.std.ModifyFrame(blank, fill).std.SetFrameProps(**props)


def rgb_clip(frames: Frames) -> vs.VideoNode:
    """RGB24 clip of (frames, height, width, 3) uint8."""
    return clip_of(vs.RGB24, [[frame[..., c] for c in range(3)] for frame in frames], {"_Matrix": 0, "_Range": 1})


def to_yuv420(frames: Frames) -> Frames:
    """8-bit RGB to limited-range BT.709 4:2:0, left-sited, by zimg.

    (frames, height, width, 3) becomes (frames, height * 3 / 2, width), the three planes one after the other as PyAV
    packs them. Height and width must be even.
    """
    _, height, width, _ = frames.shape
    if height % 4 or width % 4:
        raise ValueError(f"to_yuv420: {width}x{height} is not a multiple of 4; crop first")
    yuv = rgb_clip(frames).resize.Bicubic(format=vs.YUV420P8, matrix_s="709", range_s="limited", chromaloc_s="left")
    packed = np.empty((len(frames), height * 3 // 2, width), np.uint8)
    for index, frame in enumerate(yuv.frames()):
        packed[index, :height] = np.asarray(frame[0])
        chroma = packed[index, height:].reshape(2, height // 2, width // 2)
        for plane in (0, 1):
            chroma[plane] = np.asarray(frame[plane + 1])
    return packed


def chroma_of(packed: Frames) -> Frames:
    """The chroma planes of `to_yuv420`'s result: (frames, height / 2, width / 2, 2) uint8, U and V."""
    height = packed.shape[1] * 2 // 3
    planes = packed[:, height:].reshape(len(packed), 2, height // 2, packed.shape[2] // 2)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1))


def pack(luma: Frames, chroma: Frames) -> Frames:
    """Luma (frames, height, width) and chroma as `chroma_of` gives it, as `to_yuv420` packs them."""
    planes = chroma.transpose(0, 3, 1, 2).reshape(len(luma), luma.shape[1] // 2, luma.shape[2])
    return np.concatenate([luma, planes], 1)


def to_rgb(packed: Frames) -> Frames:
    """Inverse of `to_yuv420`: what a player (and this plugin) makes of the decoded planes."""
    height = packed.shape[1] * 2 // 3
    width = packed.shape[2]
    planes = []
    for frame in packed:
        chroma = frame[height:].reshape(2, height // 2, width // 2)
        planes.append([frame[:height], chroma[0], chroma[1]])
    clip = clip_of(vs.YUV420P8, planes, {"_Matrix": 1, "_Range": 0, "_ChromaLocation": 0})
    rgb = clip.resize.Bicubic(format=vs.RGB24)
    return np.stack([np.stack([np.asarray(frame[c]) for c in range(3)], -1) for frame in rgb.frames()])


def transcode(packed: Frames, codec: str, quality: float, preset: str = "medium") -> Frames:
    """Encode and decode (frames, height * 3 / 2, width) uint8 4:2:0 in memory, on one thread so that it repeats.

    `codec` is "h264", "h265", "mpeg2" or "mpeg4" (part 2), `quality` the CRF of the first two and the fixed quantiser
    (1 to 31) of the others, `preset` a speed of x264 and x265.

    Raises:
        ValueError: unknown codec, or the decoder returned another number of frames.
    """
    if codec not in _ENCODERS:
        raise ValueError(f"transcode: unknown codec {codec!r}; use one of {', '.join(sorted(_ENCODERS))}")
    if codec in ("mpeg2", "mpeg4"):
        q = str(max(1, round(quality)))
        options = {"qmin": q, "qmax": q, "g": "12", "bf": "2"}
    else:
        options = {"crf": f"{quality:.2f}", "preset": preset}
        if codec == "h264":
            options |= _X264
        if codec == "h265":
            options["x265-params"] = "log-level=none:pools=none:frame-threads=1"
    memory = io.BytesIO()
    with av.open(memory, "w", format="matroska") as container:
        stream = container.add_stream(_ENCODERS[codec], rate=25, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = packed.shape[2], packed.shape[1] * 2 // 3, "yuv420p"
        stream.codec_context.thread_count = 1
        for index, frame in enumerate(packed):
            picture = av.VideoFrame.from_ndarray(frame, format="yuv420p")
            picture.pts = index
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    memory.seek(0)
    with av.open(memory) as container:
        decoded = [frame.to_ndarray() for frame in container.decode(video=0)]
    if len(decoded) != len(packed):
        raise ValueError(f"transcode: {len(packed)} frames went into {codec}, {len(decoded)} came out")
    return np.stack(decoded)
