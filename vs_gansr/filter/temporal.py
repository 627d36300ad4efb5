"""Choose the neighbours of a frame that a network of several frames sees."""

from __future__ import annotations

from collections.abc import Sequence

import vapoursynth as vs

__all__ = ["window"]


def window(frames: Sequence[vs.VideoFrame]) -> list[vs.VideoFrame]:
    """`frames`, an odd number in order of time, with those beyond a change of scene replaced.

    Going outwards from the middle, the last frame of its scene is repeated: for three frames the middle one. A
    scene changes where `_SceneChangePrev` of a frame or `_SceneChangeNext` of the one before is set, and where size
    or format change. At the clip's ends the frames are repeated already.
    """
    seen = list(frames)
    middle = len(seen) // 2
    for i in range(middle - 1, -1, -1):
        if divided(seen[i], seen[i + 1]):
            seen[: i + 1] = [seen[i + 1]] * (i + 1)
            break
    for i in range(middle + 1, len(seen)):
        if divided(seen[i - 1], seen[i]):
            seen[i:] = [seen[i - 1]] * (len(seen) - i)
            break
    return seen


def divided(before: vs.VideoFrame, after: vs.VideoFrame) -> bool:
    """True if a scene ends between two frames that follow each other."""
    if before is after:
        return False
    if (before.width, before.height, before.format.id) != (after.width, after.height, after.format.id):
        return True
    return bool(before.props.get("_SceneChangeNext") or after.props.get("_SceneChangePrev"))
