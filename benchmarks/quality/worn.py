"""Wears small clips as real footage is worn: softer than their grid, sharpened with halos, deinterlaced badly.

Each function takes a YUV420P8 clip and gives one of the same size, format and frame properties; every plane stays where
it lies.
"""

import vapoursynth as vs

from benchmarks.quality import media

core = vs.core

DVD_FPS = 25
"""MPEG-2 knows only few frame rates; the measures pair frames by number, so that any will do."""


def soft(clip: vs.VideoNode) -> vs.VideoNode:
    """Reduced to 0.75 of its width and height and enlarged again."""
    return _resized(_resized(clip, _even(0.75 * clip.width), _even(0.75 * clip.height)), clip.width, clip.height)


def halo(clip: vs.VideoNode) -> vs.VideoNode:
    """Squeezed to 0.8 of its width, sharpened by [-0.3, 1.6, -0.3] along both axes, and widened again."""
    return _squeezed(clip, 0.8, [-3, 16, -3])


def dvd(clip: vs.VideoNode) -> vs.VideoNode:
    """Squeezed to 0.85 of its width, sharpened by [-0.15, 1.3, -0.15] along both axes, and widened again; 25 fps."""
    return _squeezed(clip, 0.85, [-3, 26, -3]).std.AssumeFPS(fpsnum=DVD_FPS, fpsden=1)


def bob(clip: vs.VideoNode) -> vs.VideoNode:
    """Every other line (0, 2, 4 ...) alone, and lines in between made of them by Catmull-Rom."""
    planes = [_bobbed(clip.std.ShufflePlanes(plane, vs.GRAY)) for plane in range(3)]
    return core.std.ShufflePlanes(planes, [0, 0, 0], vs.YUV).std.CopyFrameProps(clip)


def _bobbed(plane: vs.VideoNode) -> vs.VideoNode:
    rows = (plane.height + 1) // 2
    # Line k of the half lies at 2k + 0.5 of the whole: half a line up on the way there, a quarter down on the way back.
    half = plane.resize.Point(plane.width, rows, src_top=-0.5, src_height=2 * rows)
    return half.resize.Bicubic(
        plane.width, plane.height, src_top=0.25, src_height=plane.height / 2, **media.CATMULL_ROM
    )


def _squeezed(clip: vs.VideoNode, part: float, taps: list[int]) -> vs.VideoNode:
    narrow = _resized(clip, _even(part * clip.width), clip.height)
    return _resized(narrow.std.Convolution(taps, planes=[0], mode="hv"), clip.width, clip.height)


def _resized(clip: vs.VideoNode, width: int, height: int) -> vs.VideoNode:
    return clip.resize.Bicubic(width, height, **media.CATMULL_ROM)


def _even(length: float) -> int:
    return max(2, round(length / 2) * 2)
