"""Owns `Gansr`, the generator as a scaler of vsjetpack; needs that package, and nothing else imports this.

from vs_gansr.vsjetpack import Gansr

doubled = Gansr().supersample(clip, 2)
rescaled = Rescale(clip, 720, Bilinear, upscaler=Gansr("fast-2x"))
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import vapoursynth as vs
from vskernels import Catrom, KernelLike, ScalerLike
from vsscale import BaseGenericScaler

from . import upscale
from .engine import probe
from .filter.settings import given
from .model import library

__all__ = ["Gansr"]

RADIUS = 16  # pixels, of networks whose radius nobody knows


class Gansr(BaseGenericScaler):  # type: ignore[misc]
    """core.gansr.Upscale under vsscale's conventions: any size, any sub-pixel shift, wherever a scaler is taken.

    The network enlarges by its own factor, `scaler` brings that to the size asked for and `shifter` applies the
    shift, both `kernel` unless given. Clips may be integer or float, YUV, Gray or RGB. All other arguments are
    those of core.gansr.Upscale.
    """

    def __init__(
        self,
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
        clamp: bool | None = None,
        grain: float | None = None,
        *,
        kernel: KernelLike = Catrom,
        scaler: ScalerLike | None = None,
        shifter: KernelLike | None = None,
    ) -> None:
        arguments = given(locals())
        super().__init__(kernel=kernel, scaler=scaler, shifter=shifter)
        for name, value in arguments.items():  # attributes each, because vskernels compares scalers by theirs
            setattr(self, name, value)

    def scale(
        self,
        clip: vs.VideoNode,
        width: int | None = None,
        height: int | None = None,
        shift: tuple[float, float] = (0, 0),
        **kwargs: Any,
    ) -> vs.VideoNode:
        """`clip` at width x height (default: its own size), moved by `shift` (top, left) in pixels of the result, as
        vsscale's own network scalers do.

        Raises vapoursynth.Error as core.gansr.Upscale does.
        """
        width, height = self._wh_norm(clip, width, height)
        large = upscale(clip, **given(vars(self)))
        return self._finish_scale(large, clip, width, height, shift, **kwargs)

    @property
    def kernel_radius(self) -> int:
        """How far the network looks, in pixels; RADIUS where that is unknown."""
        found = probe.describe(library.load(given(vars(self)).get("model") or library.default_model())).spec.radius
        return RADIUS if found is None else found
