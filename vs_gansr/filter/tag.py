"""Complete the properties of frames before the network, and restore them after it."""

from __future__ import annotations

import numpy as np
import vapoursynth as vs

from ..colour import tags
from ..colour.tags import Format
from ..engine.planes import HALF_MAX
from . import samples
from .log import guarded, warn
from .resize import describe_format

__all__ = ["Tag", "untagged", "with_props"]

COLOUR_PROPS = ("_Matrix", "_Range", "_ChromaLocation")


class Tag:
    """Prepares a frame for conversion: sets an unset matrix by the frame's size, and makes all samples finite."""

    def __init__(self, core: vs.Core) -> None:
        self.core = core  # takes the warnings
        self.interlaced = False  # True after the warning about interlaced frames
        self.damaged = False  # True after the warning about samples that are not finite
        self.guessed: set[int] = set()  # matrices (H.273) that were warned of

    def __call__(self, n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        self.note_interlaced(n, f)
        fmt = describe_format(f.format)
        if fmt is None:
            return f
        damaged = [i for i in range(f.format.num_planes) if fmt.is_float and not samples.finite(np.asarray(f[i]))]
        untagged = tags.needs_matrix(fmt, f.props)
        if not damaged and not untagged:
            return f
        copy = f.copy()
        if untagged:
            copy.props["_Matrix"] = self.guess(n, f)
        for i in damaged:
            samples.clamp_nonfinite(np.asarray(copy[i]))
        if damaged and not self.damaged:
            self.damaged = True
            warn(
                self.core,
                f"frame {n} holds NaN, infinity or numbers beyond half floats; in such frames NaN counts as "
                f"0 and the others as {HALF_MAX:.0f} with their sign",
            )
        return copy

    def note_interlaced(self, n: int, f: vs.VideoFrame) -> None:
        """Warns of the first frame that is flagged interlaced."""
        if not self.interlaced and tags.is_interlaced(f.props):
            self.interlaced = True
            warn(
                self.core,
                f"frame {n} is flagged interlaced; such frames are upscaled as whole frames",
            )

    def guess(self, n: int, f: vs.VideoFrame) -> int:
        """The matrix (H.273) that frame n is assumed to have; warns once for each matrix."""
        primaries = int(f.props.get("_Primaries", tags.MATRIX_UNSPECIFIED))
        guess = tags.guess_matrix(f.width, f.height, primaries)
        if guess not in self.guessed:
            self.guessed.add(guess)
            told = primaries in tags.MATRIX_OF_PRIMARIES
            reason = f"its primaries ({primaries})" if told else f"{f.width}x{f.height}"
            warn(
                self.core,
                f"frame {n} does not say its matrix; {tags.MATRIX_NAMES[guess]} is assumed "
                f"from {reason} and written to the output; set _Matrix to choose yourself",
            )
        return guess


def untagged(clip: vs.VideoNode, source: Format | None, drop: list[str]) -> vs.VideoNode:
    """`clip` without the properties that would mislead the conversion."""
    if source is None:  # YUV frames of a varying clip need their matrix
        keep_matrix = clip.std.RemoveFrameProps([p for p in drop if p != "_Matrix"])
        gray = clip.std.RemoveFrameProps(drop)

        def by_family(n: int, f: vs.VideoFrame) -> vs.VideoNode:
            return gray if f.format.color_family == vs.GRAY else keep_matrix

        return vs.core.gansr.FrameFilter([clip], guarded(by_family))
    return clip.std.RemoveFrameProps(drop)


def with_props(out: vs.VideoNode, tagged: vs.VideoNode, source: Format | None, target: Format | None) -> vs.VideoNode:
    """`out` with every property of the input, and with the conversion's colour properties if the family changed."""
    carried = out.std.CopyFrameProps(tagged)
    if source is not None and target is not None and source.family == target.family:
        return carried
    if source is None and target is None:
        return carried
    return carried.std.CopyFrameProps(out, props=list(COLOUR_PROPS))
