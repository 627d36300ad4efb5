"""Networks of several frames get the right neighbours at the ends, across cuts and in tiles."""

from __future__ import annotations

import random
from pathlib import Path

import clips
import networks
import numpy as np
import pytest
import vapoursynth as vs
from foreign import mixing_net

from vs_gansr.engine import probe
from vs_gansr.errors import ModelError
from vs_gansr.model import library

CATMULL_ROM = {"filter_param_a": 0, "filter_param_b": 0.5}
pytestmark = pytest.mark.usefixtures("fresh_cache")


def moving(length: int, cuts: dict[int, dict[str, int]] | None = None) -> vs.VideoNode:
    """Frames of a ramp that moves by one pixel each, frame n also of brightness n / 64."""
    core = vs.core.core
    blank = core.std.BlankClip(format=vs.RGBS, width=24, height=16, length=length, keep=True)

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        for i in range(3):
            np.asarray(out[i])[:] = picture(n)[i]
        for name, value in (cuts or {}).get(n, {}).items():
            out.props[name] = value
        return out

    return blank.std.ModifyFrame(blank, fill)


def picture(n: int) -> np.ndarray:
    ramp = (np.arange(24)[None, :] + n) % 24 / 64
    return np.stack([np.broadcast_to(ramp + n / 64 + i / 100, (16, 24)) for i in range(3)]).astype(np.float32)


def check_mix(out: vs.VideoNode, weights: tuple[float, ...], seen: dict[int, tuple[int, ...]], scale: int = 1) -> None:
    """Frame n of `out` is the weighted sum of the frames seen[n]."""
    order = [*reversed(seen), *seen]  # any order of requests
    for n in order:
        want = sum(weight * picture(m) for weight, m in zip(weights, seen[n], strict=True))
        got = np.stack(clips.planes(out.get_frame(n)))
        np.testing.assert_allclose(got, want.repeat(scale, 1).repeat(scale, 2), atol=1e-5, err_msg=f"frame {n}")


def test_three_frames_at_the_ends_and_between(tmp_path: Path) -> None:
    weights = (0.5, 1.0, -0.25)
    out = moving(5).gansr.Upscale(str(mixing_net(tmp_path / "m.onnx", weights, 2)))
    check_mix(out, weights, {0: (0, 0, 1), 1: (0, 1, 2), 2: (1, 2, 3), 3: (2, 3, 4), 4: (3, 4, 4)}, 2)
    alone = moving(1).gansr.Upscale(str(mixing_net(tmp_path / "n.onnx", weights)))
    check_mix(alone, weights, {0: (0, 0, 0)})


@pytest.mark.parametrize(
    "cuts",
    [
        {3: {"_SceneChangePrev": 1}},
        {2: {"_SceneChangeNext": 1}},
        {2: {"_SceneChangeNext": 1}, 3: {"_SceneChangePrev": 1}},
    ],
    ids=["previous", "next", "both"],
)
def test_three_frames_across_a_change_of_scene(cuts: dict, tmp_path: Path) -> None:
    weights = (0.5, 1.0, -0.25)
    out = moving(6, cuts).gansr.Upscale(str(mixing_net(tmp_path / "m.onnx", weights)))
    check_mix(out, weights, {0: (0, 0, 1), 1: (0, 1, 2), 2: (1, 2, 2), 3: (3, 3, 4), 4: (3, 4, 5), 5: (4, 5, 5)})


def test_five_frames(tmp_path: Path) -> None:
    """Beyond a change the last frame before it is repeated."""
    weights = (1.0, 2.0, 4.0, 8.0, 16.0)
    out = moving(8, {4: {"_SceneChangePrev": 1}}).gansr.Upscale(str(mixing_net(tmp_path / "m.onnx", weights)))
    check_mix(
        out,
        weights,
        {
            0: (0, 0, 0, 1, 2),
            1: (0, 0, 1, 2, 3),
            2: (0, 1, 2, 3, 3),
            3: (1, 2, 3, 3, 3),
            4: (4, 4, 4, 5, 6),
            7: (5, 6, 7, 7, 7),
        },
    )


def test_three_frames_on_yuv_in_tiles_and_in_part(tmp_path: Path) -> None:
    """Colour, tiles, strength and repeated frames go with several frames as with one."""
    weights = (0.25, 0.5, 0.25)
    path = str(mixing_net(tmp_path / "m.onnx", weights))
    clip = clips.noise(vs.YUV420P8, 48, 32, length=4, props={"_Matrix": 1})
    rgb = clip.resize.Bicubic(format=vs.RGBS, **CATMULL_ROM)
    mixed = vs.core.std.Expr([rgb[:1] + rgb[:-1], rgb, rgb[1:] + rgb[-1:]], "x 0.25 * y 0.5 * + z 0.25 * +")
    want = mixed.resize.Bicubic(format=vs.YUV420P8, matrix=1, **CATMULL_ROM)
    half = clip.std.Merge(want, weight=0.5)  # at this size the plain resize is the clip
    for n in range(4):
        assert clips.largest_difference(clip.gansr.Upscale(path), want, n) <= 1
        assert clips.largest_difference(clip.gansr.Upscale(path, tilesize=24, overlap=0), want, n) <= 1
        assert clips.largest_difference(clip.gansr.Upscale(path, strength=0.5), half, n) <= 1
    held = clip[0] + clip[0] + clip[1]  # frame 1 repeats frame 0, yet what follows it differs
    again = held.gansr.Upscale(path)
    assert clips.largest_difference(again, again[1:], 0) > 1


def test_three_frames_of_varying_size(core: vs.Core, tmp_path: Path) -> None:
    """Where the size changes, there is no neighbour on that side."""
    weights = (0.0, 0.0, 1.0)
    parts = [clips.noise(vs.RGBS, w, 16, 1, seed=s) for s, w in enumerate((24, 24, 32, 32))]
    out = core.std.Splice(parts, mismatch=True).gansr.Upscale(str(mixing_net(tmp_path / "m.onnx", weights)))
    for n, m in enumerate((1, 1, 3, 3)):
        with out.get_frame(n) as got, parts[m].get_frame(0) as want:
            assert all(abs(a - b).max() < 1e-6 for a, b in zip(clips.planes(got), clips.planes(want), strict=True))


# ---- luma of several frames ---------------------------------------------------------------------------

WEIGHTS = (0.25, 0.5, 0.25)


def mixed(clip: vs.VideoNode, n: int) -> np.ndarray:
    """The weighted sum of the luma of frame n and its neighbours, in stored codes, not rounded, twice as large."""
    seen = [min(max(m, 0), clip.num_frames - 1) for m in (n - 1, n, n + 1)]
    total = sum(w * clips.planes(clip.get_frame(m))[0] for w, m in zip(WEIGHTS, seen, strict=True))
    return total.repeat(2, 0).repeat(2, 1)


@pytest.mark.parametrize("fmt", [vs.YUV420P8, vs.YUV420P10, vs.YUV444P16, vs.GRAY8, vs.GRAYH, vs.GRAYS], ids=str)
def test_luma_networks_see_the_stored_neighbours(fmt: int, engine: str, tmp_path: Path) -> None:
    path = str(networks.mix_of_three(tmp_path / "m.onnx", WEIGHTS))
    clip = clips.panning(fmt, 6)
    out = clip.gansr.Upscale(path, provider=engine, precision="fp32")
    chroma = clip.gansr.Upscale(str(networks.point(tmp_path / "p.onnx", channels=1)))
    most = 0.5001 if clip.format.sample_type == vs.INTEGER else 2e-3 if fmt == vs.GRAYH else 1e-5
    for n in (0, 3, 5):
        got, plain = (clips.planes(each.get_frame(n)) for each in (out, chroma))
        assert np.abs(got[0] - mixed(clip, n)).max() <= most
        assert all(np.array_equal(a, b) for a, b in zip(got[1:], plain[1:], strict=True))


def test_frames_are_the_same_in_any_order_and_parallelism(engine: str, tmp_path: Path) -> None:
    path = str(networks.compact_of_three(tmp_path / "m.onnx", skip=True))
    clip = clips.panning(vs.YUV420P8, 40, 48, 32)
    alone, again = (clip.gansr.Upscale(path, provider=engine, precision="fp32", num_streams=s) for s in (1, 3))
    want = [np.asarray(f[0]).tobytes() for f in alone.frames(prefetch=1, close=True)]
    assert len(set(want)) == 40
    order = list(range(40))
    random.Random(1).shuffle(order)
    for n, future in [(n, again.get_frame_async(n)) for n in order]:
        with future.result() as frame:
            assert np.asarray(frame[0]).tobytes() == want[n], n


def test_what_a_file_may_say_of_frames(tmp_path: Path) -> None:
    spec = probe.describe(library.load(str(networks.mix_of_three(tmp_path / "m.onnx", WEIGHTS)))).spec
    assert (spec.channels, spec.frames, spec.inputs, spec.scale) == (1, 3, 3, 2)
    for said, message in (
        ("2", r"3 input channels and its gansr.frames is 2"),
        ("5", r"3 input channels and its gansr.frames is 5"),
        ("0", r"damaged metadata: frames is 0 but has to be from 1 to 31"),
    ):
        with pytest.raises(ModelError, match=message):
            library.load(str(networks.mix_of_three(tmp_path / "bad.onnx", WEIGHTS, {"frames": said})))
