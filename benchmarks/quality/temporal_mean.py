"""A mean over time of what a network gave, moved onto each frame by gansr.Align: nothing learned, made of core filters.

What a network of several frames, or a filter that ships, has to be better than.
"""

from __future__ import annotations

import vapoursynth as vs

RADIUS = 2
"""Frames before and after that count."""
PART = 0.5
"""Weight of the nearest neighbours where they match, beside the frame's own of 1."""
FADE = 0.6
"""What is left of it with every frame further away."""
TRUST = 8.0
"""Root mean square of a neighbour's difference in 3x3 samples at which its weight is 1/e of that, 8-bit code values."""


def aligned(clip: vs.VideoNode, distance: int) -> vs.VideoNode:
    """Of a gray float clip, as three planes: the frame `distance` before, moved by gansr.Align, itself, that after."""
    return vs.core.std.Interleave([clip[phase::distance].gansr.Align() for phase in range(distance)])


def steadied(clip: vs.VideoNode) -> vs.VideoNode:
    """Luma of a YUV clip of whole numbers as the weighted mean of itself and its neighbours; chroma as it was.

    Raises ValueError for a clip of fewer than RADIUS frames.
    """
    if clip.num_frames < RADIUS:
        raise ValueError(f"steadied: {clip.num_frames} frame; give a clip of {RADIUS} or more")
    gray = clip.std.ShufflePlanes(0, vs.GRAY)
    frame = gray.resize.Point(format=vs.GRAYS)
    scale = (TRUST / 219) ** 2
    total, weights = frame, frame.std.BlankClip(color=1, keep=True)
    for distance in range(1, RADIUS + 1):
        around = aligned(frame, distance)
        for plane in (0, 2):
            neighbour = around.std.ShufflePlanes(plane, vs.GRAY)
            squares = vs.core.std.Expr([neighbour, frame], "x y - dup *").std.BoxBlur(hradius=1, vradius=1)
            weight = squares.std.Expr(f"x -{1 / scale} * exp {PART * FADE ** (distance - 1)} *")
            total = vs.core.std.Expr([total, neighbour, weight], "x y z * +")
            weights = vs.core.std.Expr([weights, weight], "x y +")
    luma = vs.core.std.Expr([total, weights], "x y /").resize.Point(format=gray.format.id, dither_type="none")
    return vs.core.std.ShufflePlanes([luma, clip, clip], [0, 1, 2], vs.YUV).std.CopyFrameProps(clip)
