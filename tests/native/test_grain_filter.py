"""gansr.Grain adds the source's level of grain, new in each frame, away from edges, and equal in any order of
requests.
"""

from __future__ import annotations

import numpy as np
import pytest
import vapoursynth as vs

core = vs.core


def clip_of(planes: list[np.ndarray], format: int = vs.GRAY8) -> vs.VideoNode:
    """Return a clip with one plane per frame, each (height, width) in the format's own values; other planes are
    neutral.
    """
    height, width = planes[0].shape
    blank = core.std.BlankClip(format=format, width=width, height=height, length=len(planes), keep=True)

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        np.asarray(out[0])[:] = planes[n]
        return out

    return blank.std.ModifyFrame(blank, fill)


def noisy(level: float, width: int = 160, height: int = 120, length: int = 3) -> list[np.ndarray]:
    """Return frames of flat mid-gray with Gaussian noise, 8-bit."""
    rng = np.random.default_rng(0)
    return [np.rint(120 + rng.normal(0, level, (height, width))).astype(np.uint8) for _ in range(length)]


def flat(width: int = 320, height: int = 240, length: int = 3, value: int = 120) -> vs.VideoNode:
    return core.std.BlankClip(format=vs.GRAY8, width=width, height=height, length=length, color=value)


def plane(clip: vs.VideoNode, n: int) -> np.ndarray:
    with clip.get_frame(n) as frame:
        return np.asarray(frame[0]).astype(np.float64)


def halved(picture: np.ndarray) -> np.ndarray:
    return picture.reshape(picture.shape[0] // 2, 2, picture.shape[1] // 2, 2).mean((1, 3))


@pytest.mark.parametrize("level", [2.0, 4.0])
def test_the_sources_level_is_put_back_at_its_own_scale(level: float) -> None:
    grainy = flat().gansr.Grain(clip_of(noisy(level)))
    assert halved(plane(grainy, 0)).std() == pytest.approx(level, rel=0.15)
    assert plane(grainy, 0).mean() == pytest.approx(120, abs=0.25)
    double = flat().gansr.Grain(clip_of(noisy(level)), 2.0)
    assert halved(plane(double, 0)).std() == pytest.approx(2 * level, rel=0.15)


def test_what_the_picture_still_has_is_not_added_again() -> None:
    source = noisy(4.0)
    large = clip_of([frame.repeat(2, 0).repeat(2, 1) for frame in source])
    grainy = large.gansr.Grain(clip_of(source))
    assert np.array_equal(plane(grainy, 0), plane(large, 0))


@pytest.mark.parametrize("frames", [noisy(0.0), noisy(0.1)])
def test_a_clean_source_changes_nothing(frames: list[np.ndarray]) -> None:
    grainy = flat().gansr.Grain(clip_of(frames))
    assert (plane(grainy, 1) == 120).all()


def test_a_source_without_flat_places_changes_nothing() -> None:
    stripes = np.broadcast_to((np.arange(160) // 4 % 2 * 150 + 50).astype(np.uint8), (120, 160)).copy()
    grainy = flat().gansr.Grain(clip_of([stripes] * 3))
    assert (plane(grainy, 1) == 120).all()


def test_noise_is_new_in_every_frame_and_the_same_in_any_order() -> None:
    source = clip_of(noisy(4.0))
    forwards = [plane(flat().gansr.Grain(source), n) for n in range(3)]
    backwards = [plane(flat().gansr.Grain(source), n) for n in (2, 1, 0)][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(forwards, backwards, strict=True))
    first, second = (each - 120 for each in forwards[:2])
    assert abs((first * second).mean()) < 0.05 * first.std() * second.std()
    assert abs((first[:, 4:] * first[:, :-4]).mean()) < 0.05 * first.var(), "noise repeats across the picture"


def test_edges_and_lettering_black_and_white_keep_clear() -> None:
    picture = np.full((240, 320), 120, np.uint8)
    picture[:, 100:104] = 230
    picture[:, 200:] = 16
    grainy = plane(clip_of([picture]).gansr.Grain(clip_of(noisy(4.0, length=1))), 0)
    assert np.array_equal(grainy[:, 98:106], picture[:, 98:106].astype(np.float64))
    assert np.array_equal(grainy[:, 204:], picture[:, 204:].astype(np.float64))
    assert (grainy - picture)[:, 20:80].std() > 3


@pytest.mark.parametrize(
    "format", [vs.GRAY8, vs.GRAY10, vs.GRAY16, vs.GRAYS, vs.YUV420P8, vs.YUV444PS, vs.RGB24, vs.RGBS]
)
def test_every_format_gets_the_same_picture(format: int) -> None:
    tags = {"_Matrix": 1, "_Range": 0}
    source, large = (each.std.SetFrameProps(**tags) for each in (clip_of(noisy(4.0)), flat()))
    expected = plane(large.gansr.Grain(source), 1)
    if core.get_video_format(format).color_family == vs.RGB:
        large, source = (
            core.std.ShufflePlanes([each.std.RemoveFrameProps()] * 3, [0, 0, 0], vs.RGB).resize.Point(format=format)
            for each in (large, source)
        )
        grainy = core.std.ShufflePlanes(large.gansr.Grain(source), 1, vs.GRAY)
        grainy = grainy.std.Expr("x 255 *", format=vs.GRAY8) if format == vs.RGBS else grainy
        assert np.abs(plane(grainy, 1) - expected).mean() < 0.6
        return
    large, source = (each.resize.Point(format=format) for each in (large, source))
    grainy = large.gansr.Grain(source)
    with grainy.get_frame(1) as frame, large.get_frame(1) as before:
        assert all(
            np.array_equal(np.asarray(frame[p]), np.asarray(before[p])) for p in range(1, frame.format.num_planes)
        )
    back = plane(core.std.ShufflePlanes(grainy, 0, vs.GRAY).std.SetFrameProps(**tags).resize.Point(format=vs.GRAY8), 1)
    assert np.abs(back - expected).mean() < 0.35


def test_what_cannot_be_grained_is_refused() -> None:
    large, source = flat(), clip_of(noisy(4.0))
    with pytest.raises(vs.Error, match="differ in length"):
        large.gansr.Grain(source[:2])
    with pytest.raises(vs.Error, match="amount must be from 0"):
        large.gansr.Grain(source, -1.0)
    with pytest.raises(vs.Error, match="each have one format"):
        large.resize.Point(format=vs.GRAYH).gansr.Grain(source)
    varying = core.std.Splice([source[:1], source[1:].resize.Point(format=vs.GRAY10)], mismatch=True)
    with pytest.raises(vs.Error, match="Upscale: grain 1 needs a clip of one format"):
        varying.gansr.Upscale(model="fast-2x", grain=1)


@pytest.mark.parametrize("format", [vs.YUV420P8, vs.GRAYH])
def test_upscale_puts_it_back_and_keeps_every_property(format: int) -> None:
    source = clip_of(noisy(5.0, 96, 64), vs.GRAY8).resize.Point(format=vs.YUV420P8, matrix=1)
    source = source.std.SetFrameProps(_Matrix=1, _Range=0, _SARNum=4, _SARDen=3)
    if format == vs.GRAYH:
        source = core.std.ShufflePlanes(source, 0, vs.GRAY).resize.Point(format=format)
    plain = source.gansr.Upscale(model="fast-2x")
    grained = source.gansr.Upscale(model="fast-2x", grain=1.5)
    assert (grained.format.id, grained.width, grained.num_frames) == (plain.format.id, plain.width, plain.num_frames)
    with plain.get_frame(1) as a, grained.get_frame(1) as b:
        assert dict(a.props) == dict(b.props)
        difference = np.asarray(b[0]).astype(np.float64) - np.asarray(a[0]).astype(np.float64)
        assert difference.std() * (219 if format == vs.GRAYH else 1) > 1
    with pytest.raises(vs.Error, match=r"Upscale: grain -1\.0 must be from 0"):
        source.gansr.Upscale(model="fast-2x", grain=-1)
