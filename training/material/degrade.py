"""Make the input of a sharp clip: pure functions of (frames, rng, config)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..recipe.config import DegradeConfig, WearConfig
from . import codec, effects, wear
from .codec import Frames
from .wear import Wear


@dataclass(frozen=True)
class Degradation:
    """One drawn fate of a clip; `str()` of it labels the sheet of pairs."""

    kernel: str
    """Key of `effects.KERNELS`."""
    codec: str
    """As `codec.transcode` names it, or "none"."""
    quality: float
    """CRF or quantiser."""
    preset: str
    """Of x264 and x265."""
    blur: float
    """Deviation in reference pixels; 0: none."""
    noise: float
    """Deviation in code values; 0: none."""
    ringing: float
    """Amount of the unsharp mask; 0: none."""
    worn: Wear | None = None
    """What happened before the last encode; None: one resize."""

    def __str__(self) -> str:
        parts = [
            str(self.worn) if self.worn else self.kernel,
            f"{self.codec} {self.quality:.0f}" if self.codec != "none" else "no codec",
        ]
        parts += [
            f"{key} {value:.1f}"
            for key, value in (("blur", self.blur), ("noise", self.noise), ("ring", self.ringing))
            if value
        ]
        return ", ".join(parts)


def _choose(rng: np.random.Generator, table: tuple[tuple[str, float], ...]) -> str:
    weights = np.array([weight for _, weight in table])
    return table[int(rng.choice(len(table), p=weights / weights.sum()))][0]


def _maybe(rng: np.random.Generator, chance: float, bounds: tuple[float, float]) -> float:
    hit, value = rng.random() < chance, float(rng.uniform(*bounds))
    return value if hit else 0.0


def draw(rng: np.random.Generator, config: DegradeConfig, worn: WearConfig = WearConfig()) -> Degradation:  # noqa: B008
    """Draw a degradation: the same state of `rng`, `config` and `worn` give the same answer."""

    chosen = _choose(rng, config.codecs)
    bounds = {
        "h264": config.h264_crf,
        "h265": config.h265_crf,
        "mpeg2": config.mpeg2_q,
        "mpeg4": config.mpeg4_q,
    }.get(chosen, (0.0, 0.0))
    return Degradation(
        worn=wear.draw(rng, worn) if worn.chance else None,
        kernel=_choose(rng, config.kernels),
        codec=chosen,
        quality=float(rng.uniform(*bounds)),
        preset=_choose(rng, (("medium", 0.7), ("veryfast", 0.2), ("slow", 0.1))),
        blur=_maybe(rng, config.blur_chance, config.blur_sigma),
        noise=_maybe(rng, config.noise_chance, config.noise_sigma),
        ringing=_maybe(rng, config.ringing_chance, config.ringing_amount),
    )


def shrink(frames: Frames, scale: int, kernel: str) -> Frames:
    """Divide both sides by `scale` with one of `effects.KERNELS`.

    (n, height, width, 3) to (n, height / scale, width / scale, 3), uint8.

    Raises:
        ValueError: unknown kernel, or sides that `scale` does not divide.
    """
    _, height, width, _ = frames.shape
    if height % scale or width % scale:
        raise ValueError(f"shrink: {width}x{height} does not divide by {scale}; crop first")
    return effects.resize(frames, (width // scale, height // scale), kernel)


def soften(frames: Frames, rng: np.random.Generator, config: DegradeConfig) -> tuple[Frames, float]:
    """The reference as a soft camera or an earlier enlargement leaves it, and the sigma that `rng` drew (0: as it was).

    (n, height, width, 3) uint8 in and out.
    """
    sigma = _maybe(rng, config.soft_chance, config.soft_sigma)
    return effects.blur(frames, sigma), sigma


def film(frames: Frames, rng: np.random.Generator, config: DegradeConfig) -> tuple[Frames, str]:
    """The reference as a camera would have recorded it, and what `rng` drew in words ("": as it was)."""
    if rng.random() >= config.camera_chance:
        return frames, ""
    sigma, noise, amount, crf = (
        float(rng.uniform(*bounds))
        for bounds in (config.camera_blur, config.camera_noise, config.camera_sharpening, config.camera_crf)
    )
    seen = effects.sharpen(effects.grain(effects.blur(frames, sigma), noise, rng), amount)
    recorded = codec.to_rgb(codec.transcode(codec.to_yuv420(seen), "h264", crf, "veryfast"))
    return recorded, f"blur {sigma:.1f}, noise {noise:.1f}, sharpening {amount:.1f}, crf {crf:.0f}"


def encoded(frames: Frames, fate: Degradation, rng: np.random.Generator, scale: int) -> Frames:
    """Small clip of a sharp one: wear or blur and shrink by `scale`, ringing, noise (from `rng`), 4:2:0, a codec.

    (n, height, width, 3) uint8 RGB in, 4:2:0 as `codec.to_yuv420` packs it out, of 1 / `scale` of the size.
    """
    if fate.worn:
        small = wear.apply(frames, fate.worn, scale)
    else:
        small = shrink(effects.blur(frames, fate.blur), scale, fate.kernel)
    small = effects.grain(effects.sharpen(small, fate.ringing), fate.noise, rng)
    packed = codec.to_yuv420(small)
    if fate.codec != "none":
        packed = codec.transcode(packed, fate.codec, fate.quality, fate.preset)
    return packed


def apply(frames: Frames, fate: Degradation, rng: np.random.Generator, scale: int) -> Frames:
    """`encoded` as RGB: (n, height / scale, width / scale, 3) uint8."""
    return codec.to_rgb(encoded(frames, fate, rng, scale))


def degrade(
    frames: Frames,
    rng: np.random.Generator,
    config: DegradeConfig,
    worn: WearConfig = WearConfig(),  # noqa: B008
) -> tuple[Frames, Degradation]:
    """Draw a degradation and apply it; see `draw` and `apply`."""
    fate = draw(rng, config, worn)
    return apply(frames, fate, rng, config.scale), fate
