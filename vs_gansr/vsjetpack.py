"""`Gansr`, a scaler for vsjetpack. This module needs that package; no other module imports this one.

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
from .filter.choose import model_of
from .filter.settings import Settings, given

__all__ = ["Gansr"]

RADIUS = 16  # pixels; the radius assumed for networks of unknown radius


class Gansr(BaseGenericScaler):  # type: ignore[misc]
    """core.gansr.Upscale as a vsscale scaler, for any size and any sub-pixel shift.

    The network enlarges by its own factor. `scaler` then resizes to the requested size and `shifter` applies the
    shift; both default to `kernel`. Clips may be integer or float, YUV, Gray or RGB. All other arguments are those of
    core.gansr.Upscale.
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
        for name, value in arguments.items():  # vskernels compares scalers by their attributes
            setattr(self, name, value)

    def scale(
        self,
        clip: vs.VideoNode,
        width: int | None = None,
        height: int | None = None,
        shift: tuple[float, float] = (0, 0),
        **kwargs: Any,
    ) -> vs.VideoNode:
        """Return `clip` at width x height (default: its own size), moved by `shift` (top, left).

        The shift is in pixels of the result, as in vsscale's own network scalers. Raises vapoursynth.Error as
        core.gansr.Upscale does.
        """
        width, height = self._wh_norm(clip, width, height)
        large = upscale(clip, **given(vars(self)))
        return self._finish_scale(large, clip, width, height, shift, **kwargs)

    @property
    def kernel_radius(self) -> int:
        """The network's radius in pixels; RADIUS where it is unknown."""
        spec = model_of(Settings(**given(vars(self)))).spec
        return RADIUS if spec.radius is None else spec.radius * spec.grid
