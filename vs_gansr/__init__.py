"""vs-gansr: a VapourSynth plugin that upscales and cleans real video with a GAN's generator.

The map of the house, each room importing only those below it:

    plugin      core.gansr.* <-> Python
    pipeline    clip -> clip; joins what follows           ways        by which conversions, frame by frame
    network     the generator over frames, whatever fails  reuse       frames that repeat their neighbour
    scenes      which neighbours a network may see         probe       what a network's file does not say
    graphway    frames whose colour stays in the graph     graphflow   a model made ready for them
    flow        whole frames on streams of a GPU           cuda        the driver's memory and streams
    session     ONNX Runtime sessions and their cache      providers   which really run here, why others do not
    graphcolour colour as part of the graph                conversion  its numbers
    model       what an .onnx file says of itself          receptive   how far a network looks, what it takes
    half        the generator in half precision            quantise    its int8 twin
    shuffle     its last step, done while writing          rewrite     a form that CPUs compute faster
    pictures    images to try networks on                  userdata    where users keep models
    colour      frame tags -> conversions                  planes      frame planes <-> tensors
    tiles       geometry                                   memory      how much there may be
    keepalive   how long unused sessions live on           heap        freed memory given back
    errors      the error tree

`convert` (with `torchfile`, extra [convert]) makes models of other people's networks; `jet` is for vsjetpack.
`native/gansr.c` makes `core.gansr` exist; `train/` (extra [train]) makes the models and is never imported here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

# ONNX Runtime reads this while it is imported; a call afterwards comes too late to keep it from reporting.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from .errors import ArgumentError, GansrError, ModelError, ProviderError, RenderError

if TYPE_CHECKING:
    import vapoursynth as vs

__all__ = ["ArgumentError", "GansrError", "ModelError", "ProviderError", "RenderError", "upscale"]


def upscale(
    clip: vs.VideoNode,
    model: str | None = None,
    provider: str | None = None,
    device_id: int | None = None,
    precision: str | None = None,
    num_streams: int | None = None,
    tilesize: int | Sequence[int] | None = None,
    overlap: int | Sequence[int] | None = None,
    memory: int | None = None,
    strength: float | None = None,
    reuse: bool | None = None,
    format: int | None = None,
) -> vs.VideoNode:
    """`core.gansr.Upscale` with type hints: `clip` at `scale` times its width and height, same length.

    Arguments left out or None take the plugin's defaults; the README's table says what each does. Raises
    vapoursynth.Error, beginning `Upscale:`, for whatever can be known before the first frame.
    """
    values = dict(locals())
    import vapoursynth as vs

    from .filter.settings import given

    return vs.core.gansr.Upscale(clip, **given(values))
