"""gansr.Align returns luma of n - 1, n and n + 1 in one frame, with the neighbours motion-compensated to the middle
one.
"""

from __future__ import annotations

import random

import clips
import numpy as np
import pytest
import vapoursynth as vs


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return smooth noise at every scale from 16 to 235, (height, width) uint8; no two positions look alike."""
    rng = np.random.default_rng(seed)
    value = np.zeros((height, width))
    for octave in range(6):
        cell = 1 << octave
        coarse = rng.random((height // cell + 3, width // cell + 3)).repeat(cell, 0).repeat(cell, 1)
        for axis in (0, 1):
            coarse = sum(np.roll(coarse, k, axis) for k in range(cell + 1)) / (cell + 1)
        value += (1 + octave) * coarse[cell : cell + height, cell : cell + width]
    value = (value - value.min()) / max(value.max() - value.min(), 1e-9)
    return np.round(16 + 219 * value).astype(np.uint8)


def clip_of(planes: list[np.ndarray], props: dict[int, dict[str, int]] | None = None) -> vs.VideoNode:
    """Return a Gray8 clip of `planes`."""
    height, width = planes[0].shape
    core = vs.core.core
    blank = core.std.BlankClip(format=vs.GRAY8, width=width, height=height, length=len(planes), keep=True)

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        np.asarray(out[0])[:] = planes[n]
        for name, value in (props or {}).get(n, {}).items():
            out.props[name] = value
        return out

    return blank.std.ModifyFrame(blank, fill)


def aligned(clip: vs.VideoNode, n: int) -> list[np.ndarray]:
    """Return the three planes of frame n."""
    with clip.gansr.Align().get_frame(n) as frame:
        return [np.asarray(frame[i]).copy() for i in range(3)]


def moving(steps: tuple[int, int], width: int = 160, height: int = 112, length: int = 3) -> list[np.ndarray]:
    """Return frames of a texture over which a camera pans by `steps` (x, y) pixels per frame."""
    (dx, dy), room = steps, length
    whole = texture(height + room * abs(dy), width + room * abs(dx))
    x0, y0 = (room * abs(d) if d < 0 else 0 for d in (dx, dy))
    return [whole[y0 + n * dy :, x0 + n * dx :][:height, :width] for n in range(length)]


@pytest.mark.parametrize("steps", [(0, 0), (1, 0), (0, -1), (3, 2), (-7, 5), (12, -9), (-24, 16), (40, 3)], ids=str)
def test_whole_pixel_shifts_are_undone_exactly(steps: tuple[int, int]) -> None:
    frames = moving(steps)
    before, centre, after = aligned(clip_of(frames), 1)
    assert np.array_equal(centre, frames[1])
    # Beyond these rows and columns the neighbour shows nothing of the centre; blocks may contain such pixels.
    x, y = (8 + abs(step) for step in steps)
    for moved in (before, after):
        assert np.array_equal(moved[y:-y, x:-x], centre[y:-y, x:-x])


def test_things_that_move_apart_are_each_followed() -> None:
    """Two objects in opposite motion, a square before a background, are both followed in blocks of 8 pixels."""
    back, square = texture(160, 240, 1), texture(64, 64, 2)
    frames = []
    for n in range(3):
        frame = back[:128, 8 + 4 * n : 8 + 4 * n + 200].copy()
        frame[32:96, 60 + 5 * n : 124 + 5 * n] = square
        frames.append(frame)
    for moved in (aligned(clip_of(frames), 1)[i] for i in (0, 2)):
        wrong = moved != frames[1]
        assert not wrong[40:88, 73:117].any() and not wrong[8:24, 16:-16].any() and not wrong[104:, 16:-16].any()
        assert wrong.mean() < 0.05


def test_a_cut_shows_the_centre_alone() -> None:
    frames = [texture(112, 160, seed) for seed in (1, 1, 2, 2)]
    clip = clip_of(frames)
    for n, frame in enumerate(frames):
        assert all(np.array_equal(plane, frame) for plane in aligned(clip, n))


@pytest.mark.parametrize("name, n, seen", [("_SceneChangePrev", 2, (1, 3)), ("_SceneChangeNext", 1, (1, 3))])
def test_a_flagged_change_of_scene_is_believed(name: str, n: int, seen: tuple[int, int]) -> None:
    """A frame flagged as a scene change is not used although it would match; a code value identifies each frame."""
    base = texture(64, 96)
    clip = clip_of([base - n for n in range(4)], {n: {name: 1}})
    for m in range(4):
        before, centre, after = (int(plane[5, 5]) - int(base[5, 5]) for plane in aligned(clip, m))
        assert centre == -m
        assert before == (-m if m in (0, 2) else -m + 1)
        assert after == (-m if m in (1, 3) else -m - 1)


def test_ends_repeat_the_centre() -> None:
    frames = moving((2, 1))
    assert np.array_equal(aligned(clip_of(frames), 0)[0], frames[0])
    assert np.array_equal(aligned(clip_of(frames), 2)[2], frames[2])
    assert all(np.array_equal(plane, frames[0]) for plane in aligned(clip_of(frames[:1]), 0))


@pytest.mark.parametrize("sigma", [2, 6])
def test_noise_does_not_scatter_vectors(sigma: int) -> None:
    """A still picture, half of it flat, with new noise in each frame gets zero vectors."""
    still = texture(112, 160).astype(int)
    still[:, :80] = 120
    rng = np.random.default_rng(0)
    frames = [np.clip(still + rng.normal(0, sigma, still.shape), 0, 255).astype(np.uint8) for _ in range(3)]
    before, _, after = aligned(clip_of(frames), 1)
    for moved, own in ((before, frames[0]), (after, frames[2])):
        assert (moved == own).mean() > 0.98


def test_noise_does_not_hide_movement() -> None:
    rng = np.random.default_rng(1)
    frames = moving((5, -3))
    noisy = [np.clip(f + rng.normal(0, 5, f.shape), 0, 255).astype(np.uint8) for f in frames]
    before, _, _ = aligned(clip_of(noisy), 1)
    assert (before[16:-16, 16:-16] == np.roll(noisy[0], (3, -5), (0, 1))[16:-16, 16:-16]).mean() > 0.98


@pytest.mark.parametrize(
    "fmt",
    [vs.GRAY10, vs.GRAY12, vs.GRAY14, vs.GRAY16, vs.GRAYH, vs.GRAYS, vs.YUV420P8, vs.YUV420P10, vs.YUV444PS],
    ids=str,
)
def test_every_depth_moves_the_same_pixels(fmt: int) -> None:
    clip = clip_of([*moving((3, -2), 98, 50), texture(50, 98, 9)]).std.SetFrameProps(_Range=0)
    other = clip.resize.Point(format=fmt, matrix=1) if fmt in (vs.YUV420P8, vs.YUV420P10, vs.YUV444PS) else None
    other = clip.resize.Point(format=fmt) if other is None else other
    got = other.gansr.Align()
    assert (got.format.color_family, got.format.bits_per_sample) == (vs.YUV, other.format.bits_per_sample)
    for n in range(4):
        want = aligned(clip, n)
        with got.get_frame(n) as frame, other.get_frame(n) as source:
            assert np.array_equal(np.asarray(frame[1]), np.asarray(source[0]))
            for i in (0, 2):
                plane = np.asarray(frame[i])
                codes = (
                    plane.astype(float) * 219 + 16
                    if plane.dtype.kind == "f"
                    else plane >> (source.format.bits_per_sample - 8)
                )
                assert np.array_equal(np.round(codes), want[i])


@pytest.mark.parametrize(
    "size", [(1, 1), (2, 5), (7, 9), (8, 8), (9, 16), (17, 31), (50, 49), (97, 101), (333, 47)], ids=str
)
def test_any_size(size: tuple[int, int]) -> None:
    """All blocks of a still picture match at sizes that are no multiple of a block and at sizes below one block."""
    width, height = size
    base = texture(height, width)
    clip = clip_of([base, base + 1, base + 2])
    assert [plane.tolist() for plane in aligned(clip, 1)] == [base.tolist(), (base + 1).tolist(), (base + 2).tolist()]


def test_frames_are_the_same_in_any_order_and_parallelism(core: vs.Core) -> None:
    frames = [texture(60, 90, n // 7)[:, (n % 7) * 2 :][:, :70] for n in range(60)]
    clip = clip_of([np.ascontiguousarray(frame) for frame in frames])
    alone = clip.gansr.Align()
    want = [[np.asarray(frame[i]).tobytes() for i in range(3)] for frame in alone.frames(prefetch=1)]
    again = clip.gansr.Align()
    order = [*range(60)] * 2
    random.Random(0).shuffle(order)
    waiting = [(n, again.get_frame_async(n)) for n in order]
    for n, future in waiting:
        with future.result() as frame:
            assert [np.asarray(frame[i]).tobytes() for i in range(3)] == want[n]


def test_varying_size_is_a_change_of_scene(core: vs.Core) -> None:
    parts = [clips.noise(vs.GRAY8, w, 40, 1, seed=w) for w in (48, 56)]
    out = core.std.Splice(parts, mismatch=True).gansr.Align()
    for n, part in enumerate(parts):
        with out.get_frame(n) as got, part.get_frame(0) as want:
            assert (got.width, got.height) == (want.width, want.height)
            assert all(np.array_equal(np.asarray(got[i]), np.asarray(want[0])) for i in range(3))


def test_properties_are_the_centres(core: vs.Core) -> None:
    clip = clip_of(moving((1, 1)), {n: {"Number": n} for n in range(3)})
    assert dict(clip.gansr.Align().get_frame(1).props)["Number"] == 1


def test_what_it_does_not_take_is_named(core: vs.Core) -> None:
    varying = core.std.Splice([core.std.BlankClip(format=f, length=1) for f in (vs.GRAY8, vs.GRAY16)], mismatch=True)
    for clip, name in (
        (core.std.BlankClip(format=vs.RGB24), "RGB24"),
        (core.std.BlankClip(format=vs.GRAY32), "Gray32"),
        (varying, "varying"),
    ):
        with pytest.raises(vs.Error, match=f"Align: format {name} is not Gray or YUV of 8 to 16 bit or float"):
            clip.gansr.Align()


def test_an_input_that_fails_says_why(core: vs.Core) -> None:
    def broken(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        raise ValueError("no such frame")

    clip = core.std.BlankClip(format=vs.GRAY8)
    with pytest.raises(vs.Error, match="no such frame"):
        clip.std.ModifyFrame(clip, broken).gansr.Align().get_frame(3)
