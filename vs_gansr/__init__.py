"""vs-gansr: a VapourSynth plugin that upscales and cleans real video with a GAN's generator.

The map of the house, each room importing only those below it; docs/architecture.md draws the way of a frame:

    cli             the command `gansr`: upscale, status, models, convert, doctor, editor
    plugin          core.gansr.* <-> Python; native/gansr.c makes core.gansr exist and calls it
    vsjetpack       the generator as a scaler of that package
    filter          clip -> clip; the only runtime room that imports vapoursynth
        settings    the arguments of Upscale               graph       joins the filters of one clip
        choose      which model, where, in what precision  network     which planes go through it
        tag         what frames say of themselves          resize      ways between colours, by zimg
        render      frames <-> planes of an engine         samples     of planes: finite, equal, in cells
        duplicates  frames that repeat their neighbour     log         how the plugin speaks
    engine          planes in, planes out
        base        Engine and its key                     planes      frame planes <-> tensors
        engines     the cache of all engines               probe       what a network's file does not say
        memory      how much there may be                  streams     which stream a picture goes through
        tiled       pictures of any size, whatever fails   auto        which provider and precision
        session_cache  engines kept for other clips        disk        compiled networks and findings
        onnxruntime, openvino, cuda, plugins               the engines
    model           what a network's file is; graph -> graph
        library     where models are found, how read       spec        what is known of one: FileSpec, ModelSpec
        metadata    its description of itself              validate    what is refused of a file
        analysis    how far a network looks                rewrite     float16, int8, between two, ends, CPU layout
        user_folders  where users keep models
    colour          numbers only
        tags        what frame tags mean, and which conversions follow; pictures: synthetic ones, PSNR
    common          for every room: caching, files, process
    errors          the error tree
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
    texture: float | None = None,
    reuse: bool | None = None,
    format: int | None = None,
    clamp: bool | None = None,
    grain: float | None = None,
) -> vs.VideoNode:
    """`core.gansr.Upscale` with type hints: `clip` enlarged by the model's factor in width and height, same length.

    model: a name or the path of an .onnx file. provider, precision: where and how it is computed, "auto" by default.
    tilesize, overlap: input pixels, one number or (width, height). memory: MiB. strength: from a resize, 0, to the
    network, 1. texture: from the softer model, 0, to the model, 1. format: a preset such as vapoursynth.YUV420P10.
    grain: 1 for as much as the source has. Arguments left out or None take the plugin's defaults (docs/arguments.md).
    Raises vapoursynth.Error, beginning `Upscale:`, for whatever can be known before the first frame.
    """
    values = dict(locals())
    import vapoursynth as vs

    from .filter.settings import given

    return vs.core.gansr.Upscale(clip, **given(values))
