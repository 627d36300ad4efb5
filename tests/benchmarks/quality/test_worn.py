"""scripts/evaluate: the worn preparations damage the small clip as documented and do not move it."""

from __future__ import annotations

import numpy as np
import pytest
import rings
import vapoursynth as vs

from benchmarks.quality import media, metrics, prepare, worn


def drawn(luma: np.ndarray) -> vs.VideoNode:
    """A frame of this luma, code values, without colour."""
    height, width = luma.shape
    blank = vs.core.std.BlankClip(format=vs.YUV420P8, width=width, height=height, length=1, color=[0, 128, 128])

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        np.asarray(out[0])[:] = luma
        return out

    return media.tagged(blank.std.ModifyFrame(blank, fill))


def square() -> np.ndarray:
    picture = np.full((96, 128), 60, np.uint8)
    picture[32:64, 40:88] = 180
    return picture


@pytest.mark.parametrize("wear", [worn.soft, worn.halo, worn.dvd, worn.bob])
@pytest.mark.parametrize("size", [(192, 132), (118, 90), (62, 34)])
def test_size_format_and_properties_stay(wear: prepare.Shrink, size: tuple[int, int]) -> None:
    clip = rings.moving(*size)
    made = wear(clip)
    assert (made.width, made.height, made.format.id, made.num_frames) == (*size, vs.YUV420P8, clip.num_frames)
    with made.get_frame(1) as frame, clip.get_frame(1) as before:
        names = ("_Matrix", "_Transfer", "_Primaries", "_Range", "_ChromaLocation", "_FieldBased")
        assert [frame.props[name] for name in names] == [before.props[name] for name in names]


def test_soft_takes_what_is_finest_and_leaves_what_is_coarse() -> None:
    x = np.arange(128)
    for period, least, most in ((2.2, 0, 0.25), (16, 0.95, 1.05)):
        wave = np.tile(np.rint(120 + 60 * np.sin(2 * np.pi * x / period)), (96, 1)).astype(np.uint8)
        spread = metrics.luma(worn.soft(drawn(wave)))[0, 16:-16, 16:-16].std() / wave[16:-16, 16:-16].std()
        assert least <= spread <= most, period


def test_halo_rings_along_both_axes_and_dvd_less() -> None:
    over = []
    for wear in (worn.halo, worn.dvd):
        made = metrics.luma(wear(drawn(square())))[0]
        across, down = made[48], made[:, 64]
        assert across[64] == down[48] == 180 and across[4] == down[4] == 60  # flats stay
        over.append([line.max() - 180 for line in (across, down)] + [60 - line.min() for line in (across, down)])
    halo, dvd = np.array(over)
    assert (halo > 12).all() and (dvd > 6).all() and (dvd < 0.8 * halo).all(), over


def test_bob_keeps_every_other_line_of_every_plane_and_knows_no_other() -> None:
    clip = rings.moving(118, 90)
    other = _spoilt(clip)
    for before, made, same in zip(clip.frames(), worn.bob(clip).frames(), worn.bob(other).frames(), strict=True):
        for plane in range(3):
            kept, all_lines = (np.asarray(frame[plane]).astype(int) for frame in (before, made))
            assert np.array_equal(all_lines[::2], kept[::2])
            assert np.array_equal(all_lines, np.asarray(same[plane]))
        assert np.abs(np.asarray(made[0]).astype(int) - np.asarray(before[0]))[1::2].mean() > 3


def _spoilt(clip: vs.VideoNode) -> vs.VideoNode:
    """The clip with other pictures in every odd line."""

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        for plane in range(3):
            lines = np.asarray(out[plane])
            lines[1::2] = 255 - lines[1::2]
        return out

    return clip.std.ModifyFrame(clip, fill)
