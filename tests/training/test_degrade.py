"""Degradation is pure: right shapes and ranges, the same answer for the same draw, real codecs that really lose."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image

from training.material import codec, degrade, effects
from training.material.codec import Frames
from training.material.degrade import Degradation
from training.recipe.config import DegradeConfig

CLEAN = Degradation("catrom", "none", 0.0, "medium", 0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def sharp() -> Frames:
    """Five frames of waves and grain moving by one pixel, (5, 96, 128, 3)."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:96, :160]
    base = 128 + 60 * np.sin(x / 5 + y / 9)[..., None] + rng.normal(0, 20, (96, 160, 3))
    whole = np.clip(base, 0, 255).astype(np.uint8)
    return np.stack([whole[:, n : n + 128] for n in range(5)])


def distance(a: Frames, b: Frames) -> float:
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


@pytest.mark.parametrize("seed", range(8))
def test_shape_range_and_determinism(sharp: Frames, seed: int) -> None:
    before = sharp.copy()
    config = replace(DegradeConfig(), noise_chance=0.5, blur_chance=0.5, ringing_chance=0.5)
    low, fate = degrade.degrade(sharp, np.random.default_rng(seed), config)
    again, same = degrade.degrade(sharp, np.random.default_rng(seed), config)
    assert low.shape == (5, 48, 64, 3)
    assert low.dtype == np.uint8
    assert fate == same
    assert np.array_equal(low, again)
    assert np.array_equal(sharp, before), "the sharp frames were changed"
    assert 5 < low.std() < 128


def test_softening_takes_the_chosen_share_and_blurs(sharp: Frames) -> None:
    config = replace(DegradeConfig(), soft_chance=0.35)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        drawn = [degrade.soften(sharp, rng, config) for _ in range(80)]
        assert 0.2 < np.mean([sigma > 0 for _, sigma in drawn]) < 0.5
        for soft, sigma in drawn:
            assert soft.std() < sharp.std() if sigma else soft is sharp
            assert not sigma or config.soft_sigma[0] <= sigma <= config.soft_sigma[1]
    assert degrade.soften(sharp, np.random.default_rng(0), DegradeConfig())[1] == 0


@pytest.mark.slow
def test_filming_takes_the_chosen_share_and_repeats(sharp: Frames) -> None:
    config = replace(DegradeConfig(), camera_chance=0.5)
    shots = [degrade.film(sharp, np.random.default_rng(seed), config) for seed in range(24)]
    assert 6 <= sum(bool(said) for _, said in shots) <= 18
    for seed, (shot, said) in enumerate(shots):
        assert (shot is sharp) == (said == "")
        assert shot.shape == sharp.shape and shot.dtype == np.uint8
        assert not said or 1 < distance(shot, sharp) < 20
        if seed < 4:
            assert np.array_equal(degrade.film(sharp, np.random.default_rng(seed), config)[0], shot)
    hard = replace(config, camera_chance=1.0, camera_sharpening=(1.0, 1.0), camera_noise=(0.0, 0.0))
    soft = replace(hard, camera_sharpening=(0.0, 0.0))
    a, b = (degrade.film(sharp, np.random.default_rng(5), each)[0] for each in (hard, soft))
    assert a.std() > b.std()


@pytest.mark.parametrize(
    ("name", "mild", "harsh"), [("h264", 16, 38), ("h265", 18, 40), ("mpeg2", 2, 20), ("mpeg4", 2, 20)]
)
def test_codecs_lose_more_at_harsher_settings(sharp: Frames, name: str, mild: float, harsh: float) -> None:
    clean = degrade.apply(sharp, CLEAN, np.random.default_rng(0), 2)
    losses = []
    for quality in (mild, harsh):
        fate = dataclasses.replace(CLEAN, codec=name, quality=quality)
        losses.append(distance(degrade.apply(sharp, fate, np.random.default_rng(0), 2), clean))
    assert 0 < losses[0] < losses[1]


def test_clean_fate_is_resizing_and_420_only(sharp: Frames) -> None:
    low = degrade.apply(sharp, CLEAN, np.random.default_rng(0), 2)
    plain = degrade.shrink(sharp, 2, "catrom")
    luma = np.array([0.2126, 0.7152, 0.0722])
    assert np.abs((low - plain.astype(float)) @ luma).mean() < 1.5
    assert distance(low, plain) > 1.5, "chroma was not subsampled"


@pytest.mark.parametrize("name", list(effects.KERNELS))
def test_kernels_keep_flat_pictures_and_centres(name: str) -> None:
    flat = np.full((1, 32, 48, 3), 77, np.uint8)
    assert np.array_equal(degrade.shrink(flat, 2, name), flat[:, ::2, ::2])
    ramp = np.broadcast_to(np.arange(0, 192, 2, dtype=np.uint8)[None, None, :, None], (1, 32, 96, 3)).copy()
    expected = np.arange(1, 192, 4)[4:-4]
    got = degrade.shrink(ramp, 2, name)[0, 8, 4:-4, 0].astype(int)
    assert np.abs(got - expected).max() <= 1, "the kernel shifts the picture"


def test_effects_do_what_they_say(sharp: Frames) -> None:
    rng = np.random.default_rng(0)
    assert effects.blur(sharp, 0.8).std() < sharp.std() < effects.sharpen(sharp, 0.6).std()
    noisy = effects.grain(np.full((2, 64, 64, 3), 128, np.uint8), 2.0, rng)
    assert noisy.std() == pytest.approx(np.hypot(2.0, 1.0), rel=0.1)
    assert not np.array_equal(noisy[0], noisy[1])
    for unchanged in (effects.blur(sharp, 0), effects.sharpen(sharp, 0), effects.grain(sharp, 0, rng)):
        assert unchanged is sharp


def test_chances_are_kept() -> None:
    rng = np.random.default_rng(1)
    config = DegradeConfig()
    fates = [degrade.draw(rng, config) for _ in range(2000)]
    total = sum(weight for _, weight in config.codecs)
    for name, weight in config.codecs:
        assert np.mean([fate.codec == name for fate in fates]) == pytest.approx(weight / total, abs=0.04)
    assert np.mean([fate.noise > 0 for fate in fates]) == pytest.approx(config.noise_chance, abs=0.03)
    crf = [fate.quality for fate in fates if fate.codec == "h264"]
    assert config.h264_crf[0] <= min(crf) < max(crf) <= config.h264_crf[1]


def test_colours_come_back_from_420() -> None:
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [90, 120, 30]], np.uint8)
    frames = np.repeat(np.repeat(colours[:, None, None], 16, 1), 16, 2)
    assert np.abs(codec.to_rgb(codec.to_yuv420(frames)).astype(int) - frames).max() <= 2


def test_refusals(sharp: Frames) -> None:
    with pytest.raises(ValueError, match=r"resize: unknown kernel 'cubic'.*catrom"):
        degrade.shrink(sharp, 2, "cubic")
    with pytest.raises(ValueError, match=r"shrink: 128x95 does not divide by 2"):
        degrade.shrink(sharp[:, :95], 2, "area")
    with pytest.raises(ValueError, match=r"to_yuv420: 126x96"):
        codec.to_yuv420(sharp[:, :, :126])
    with pytest.raises(ValueError, match=r"transcode: unknown codec 'vp9'"):
        codec.transcode(codec.to_yuv420(sharp), "vp9", 30)


def test_shrinking_is_what_pillow_calls_catmull_rom(sharp: Frames) -> None:
    expected = np.asarray(Image.fromarray(sharp[0]).resize((64, 48), Image.Resampling.BICUBIC))
    assert np.array_equal(degrade.shrink(sharp, 2, "catrom")[0], expected)
