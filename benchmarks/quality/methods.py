"""Upscale a clip by a resizer, by sharpened Lanczos or by a network.

Every method takes a YUV420P8 clip and gives one `factor` times the size in the same format and colours. Methods can be
pickled, so that another process can run them.
"""

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import vapoursynth as vs

import vs_gansr
from benchmarks.quality import media
from benchmarks.quality.store import content, source

core = vs.core

ANCHOR_VERSION = 2
"""Raise when a change alters what an anchor gives: otherwise anchors are kept across changes of the code."""

UNUSED = frozenset({"cli", "train"})
"""Rooms of the plugin that no frame goes through."""

LANCZOS = "Lanczos"
CHOSEN = "Lanczos, sharpened"
"""The unsharp mask that suits the whole set best; see score.best_unsharp."""

MASK_AMOUNTS = (0.6, 1.2)
"""Of the masks that are always compared with: one by taste weak, one strong."""

MEMORY = 16384
"""Mebibytes, enough to run whole frames: RealCUGAN's context is the whole frame."""

Upscaler = Callable[[vs.VideoNode, int], vs.VideoNode]


@dataclass(frozen=True)
class Method:
    """A named upscaler and what stands for its content, which JSON must be able to say."""

    name: str
    """In tables and on strips."""
    identity: tuple[object, ...]
    """What its results depend on, apart from the clip."""
    upscale: Upscaler
    """(clip, factor) to the clip enlarged."""
    keep: bool = False
    """Whether its output is worth keeping beside its results."""
    model: Path | None = None
    """Its file, where it is a network."""


@dataclass(frozen=True)
class Unsharp:
    """Luma plus `amount` times its difference from its blur."""

    amount: float
    """1 doubles what the blur took away."""
    sigma: float | None
    """Of the Gaussian that blurs, in output pixels; None is the 3x3 binomial filter 1 2 1."""

    def __str__(self) -> str:
        return f"amount {self.amount:g}, " + ("3x3 binomial" if self.sigma is None else f"radius {self.sigma:g}")

    @property
    def taps(self) -> list[float]:
        """The blur's weights along one axis, not normalised."""
        if self.sigma is None:
            return [1.0, 2.0, 1.0]
        reach = max(1, min(12, round(3 * self.sigma)))
        return [float(tap) for tap in np.exp(-0.5 * (np.arange(-reach, reach + 1) / self.sigma) ** 2)]


def bicubic(clip: vs.VideoNode, factor: int) -> vs.VideoNode:
    """Catmull-Rom."""
    return clip.resize.Bicubic(clip.width * factor, clip.height * factor, **media.CATMULL_ROM)


def lanczos(clip: vs.VideoNode, factor: int) -> vs.VideoNode:
    """Three-lobed Lanczos."""
    return clip.resize.Lanczos(clip.width * factor, clip.height * factor, filter_param_a=3)


def sharpened(unsharp: Unsharp) -> Upscaler:
    """Lanczos and the unsharp mask in one go, in float, rounded once."""
    return partial(_sharpened, unsharp)


def network(model: Path) -> Upscaler:
    """What the plugin makes of it, without tiles; another scale is brought to `factor` with Catmull-Rom."""
    return partial(_through_plugin, model)


def with_lanczos_chroma(upscale: Upscaler) -> Upscaler:
    """The luma that `upscale` gives beside the chroma of Lanczos: what of its quality is its colour's."""
    return partial(_with_lanczos_chroma, upscale)


def _sharpened(unsharp: Unsharp, clip: vs.VideoNode, factor: int) -> vs.VideoNode:
    large = clip.resize.Lanczos(clip.width * factor, clip.height * factor, format=vs.YUV420PS, filter_param_a=3)
    blurred = large.std.Convolution(unsharp.taps, planes=[0], mode="hv")
    sharp = core.std.Expr([large, blurred], [f"x x y - {unsharp.amount} * +", "", ""])
    return sharp.resize.Point(format=vs.YUV420P8)


def _through_plugin(model: Path, clip: vs.VideoNode, factor: int) -> vs.VideoNode:
    precision = "int8" if model.stem.endswith(".int8") else "fp32"
    plugin = partial(vs_gansr.upscale, model=str(model), precision=precision, memory=MEMORY)
    width, height = clip.width * factor, clip.height * factor
    large = plugin(clip)
    if large.width == width:
        return large
    large = plugin(clip, format=vs.RGBS)
    return large.resize.Bicubic(width, height, format=vs.YUV420P8, matrix=1, range=0, chromaloc=0, **media.CATMULL_ROM)


def _with_lanczos_chroma(upscale: Upscaler, clip: vs.VideoNode, factor: int) -> vs.VideoNode:
    return core.std.ShufflePlanes([upscale(clip, factor), lanczos(clip, factor)], [0, 1, 2], vs.YUV)


def _with_grain(upscale: Upscaler, amount: float, clip: vs.VideoNode, factor: int) -> vs.VideoNode:
    return core.gansr.Grain(upscale(clip, factor), clip, amount)


def grained(method: Method, amount: float) -> Method:
    """`method` with `amount` times its source's grain, as the plugin's `grain` adds it."""
    return replace(
        method,
        name=f"{method.name}, grain {amount:g}",
        identity=("grain", amount, *method.identity),
        upscale=partial(_with_grain, method.upscale, amount),
    )


def colourless(method: Method) -> Method:
    """`method` with the chroma of Lanczos."""
    identity = ("lanczos chroma", *method.identity)
    return replace(
        method,
        name=f"{method.name}, Lanczos' chroma",
        identity=identity,
        upscale=with_lanczos_chroma(method.upscale),
    )


@cache
def _plugin_code() -> dict[str, str]:
    """The content of the plugin's own code."""
    return sources(Path(vs_gansr.__file__).parent)


def sources(package: Path) -> dict[str, str]:
    """The content of every module of a package by its path inside it; training and native code have no say."""
    files = (path.relative_to(package) for path in sorted(package.rglob("*.py")))
    return {path.as_posix(): content(package / path) for path in files if path.parts[0] not in UNUSED}


def ours(name: str, model: Path) -> Method:
    """A model of this project: its results stand as long as it and the plugin stay the same."""
    return Method(name, ("network", content(model), _plugin_code()), network(model), model=model)


def anchor(model: Path) -> Method:
    """Somebody else's network: slow, never changing, so its output is kept."""
    return Method(model.stem, ("anchor", content(model), ANCHOR_VERSION), network(model), keep=True, model=model)


def resizers() -> list[Method]:
    """Catmull-Rom and Lanczos as zimg has them."""
    code = source(sys.modules[__name__])
    return [Method("bicubic", ("bicubic", code), bicubic), Method(LANCZOS, ("lanczos", code), lanczos)]


def sharpened_lanczos(unsharp: Unsharp, name: str = CHOSEN) -> Method:
    """Lanczos and an unsharp mask."""
    identity = ("unsharp", asdict(unsharp), source(sys.modules[__name__]))
    return Method(name, identity, sharpened(unsharp))


def masks() -> list[Method]:
    """The masks that anybody can write: Lanczos and MASK_AMOUNTS of the difference from the 3x3 binomial filter."""
    return [sharpened_lanczos(Unsharp(amount, None), f"Lanczos, mask {amount:g}") for amount in MASK_AMOUNTS]
