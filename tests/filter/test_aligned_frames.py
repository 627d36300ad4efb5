"""Networks of three aligned luma frames get the frames of gansr.Align, in every format and engine and in any order."""

from __future__ import annotations

import random
from pathlib import Path

import clips
import folders
import networks
import numpy as np
import pytest
import vapoursynth as vs

from vs_gansr.engine import probe
from vs_gansr.errors import ModelError
from vs_gansr.filter.render import NetworkFilter
from vs_gansr.model import library
from vs_gansr.model.rewrite.int8 import quantise

WEIGHTS = (0.25, 0.5, 0.25)


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders.redirect(monkeypatch, tmp_path / "cache")
    probe.cache.clear()


def mixed(clip: vs.VideoNode, n: int) -> np.ndarray:
    """What `aligned_mix` makes of frame n of a YUV or Gray clip, in stored codes, not rounded."""
    with clip.gansr.Align().get_frame(n) as frame:
        total = sum(w * np.asarray(frame[i]).astype(np.float64) for i, w in enumerate(WEIGHTS))
    return total.repeat(2, 0).repeat(2, 1)


@pytest.mark.parametrize(
    "fmt", [vs.YUV420P8, vs.YUV420P10, vs.YUV444P16, vs.GRAY8, vs.GRAYH, vs.GRAYS, vs.YUV444PS], ids=str
)
@pytest.mark.parametrize("provider", ["CPU", "OpenVINO"])
def test_the_network_sees_the_aligned_luma(fmt: int, provider: str, tmp_path: Path) -> None:
    path = str(networks.aligned_mix(tmp_path / "m.onnx", WEIGHTS))
    clip = clips.panning(fmt, 12)
    out = clip.gansr.Upscale(path, provider=provider, precision="fp32")
    chroma = clip.gansr.Upscale(str(networks.point(tmp_path / "p.onnx", channels=1)))
    most = 0.5001 if clip.format.sample_type == vs.INTEGER else 2e-3 if fmt == vs.GRAYH else 1e-5
    for n in (0, 4, 8, 9, 11):
        with out.get_frame(n) as got, chroma.get_frame(n) as plain:
            assert np.abs(np.asarray(got[0]).astype(np.float64) - mixed(clip, n)).max() <= most
            for i in range(1, got.format.num_planes):
                assert np.array_equal(np.asarray(got[i]), np.asarray(plain[i]))


def test_what_moves_is_seen_where_the_frame_has_it(tmp_path: Path) -> None:
    """The pan is undone: but for the edges the neighbours are the frame itself, and so is their mean; a cut shows."""
    path = str(networks.aligned_mix(tmp_path / "m.onnx", (0.5, 0.0, 0.5)))
    clip = clips.panning(vs.GRAY8, 18)
    out, plain = clip.gansr.Upscale(path), clip.resize.Point(160, 120)
    for n in (4, 8, 9, 13):
        with out.get_frame(n) as got, plain.get_frame(n) as want:
            inner = (slice(24, -24), slice(24, -24))
            assert np.array_equal(np.asarray(got[0])[inner], np.asarray(want[0])[inner]), n


def test_rgb_goes_by_luma(tmp_path: Path) -> None:
    path = str(networks.aligned_mix(tmp_path / "m.onnx", (0.5, 0.0, 0.5)))
    clip = clips.panning(vs.RGBS, 6)
    flat = clip.gansr.Upscale(str(networks.point(tmp_path / "p.onnx", channels=1)))
    with clip.gansr.Upscale(path).get_frame(3) as got, flat.get_frame(3) as want:
        for a, b in zip(clips.planes(got), clips.planes(want), strict=True):
            assert np.abs(a - b)[24:-24, 24:-24].max() < 1e-4


def bits(frame: vs.VideoFrame) -> tuple[bytes, ...]:
    return tuple(np.asarray(frame[i]).tobytes() for i in range(frame.format.num_planes))


@pytest.mark.parametrize("provider", ["CPU", "OpenVINO"])
def test_frames_are_the_same_in_any_order_and_parallelism(provider: str, tmp_path: Path) -> None:
    """Random access over 200 frames, many at once, against one after the other."""
    path = str(networks.aligned_compact(tmp_path / "m.onnx", skip=True))
    clip = clips.panning(vs.YUV420P8, 200, 48, 32)
    alone = clip.gansr.Upscale(path, provider=provider, precision="fp32", num_streams=1)
    want = [bits(frame) for frame in alone.frames(prefetch=1, close=True)]
    assert len(set(want)) == 200
    again = clip.gansr.Upscale(path, provider=provider, precision="fp32", num_streams=3)
    order = list(range(200))
    random.Random(1).shuffle(order)
    order += order[:40]
    for begin in range(0, len(order), 24):
        waiting = [(n, again.get_frame_async(n)) for n in order[begin : begin + 24]]
        for n, future in waiting:
            with future.result() as frame:
                assert bits(frame) == want[n], n


def test_parts_of_a_clip_see_its_frames_around_them(tmp_path: Path) -> None:
    """As chunks of an encode are asked for: a part of the result is what the whole has there."""
    path = str(networks.aligned_compact(tmp_path / "m.onnx"))
    clip = clips.panning(vs.YUV420P8, 12, 48, 32)
    out = clip.gansr.Upscale(path, provider="CPU", precision="fp32")
    for n, frame in enumerate(out[4:7].frames(close=True)):
        with out.get_frame(4 + n) as want:
            assert bits(frame) == bits(want)
    cut = clip[4:7].gansr.Upscale(path, provider="CPU", precision="fp32")
    with cut.get_frame(0) as alone, out.get_frame(4) as inside:
        assert bits(alone) != bits(inside)


@pytest.mark.parametrize(("provider", "fmt"), [("CPU", vs.YUV420P8), ("OpenVINO", vs.GRAYS)], ids=str)
def test_tiles_leave_no_trace(provider: str, fmt: int, tmp_path: Path) -> None:
    path = str(networks.aligned_compact(tmp_path / "m.onnx", skip=True))
    clip = clips.panning(fmt, 6)
    whole, tiled = (
        clip.gansr.Upscale(path, provider=provider, precision="fp32", **t) for t in ({}, {"tilesize": [40, 28]})
    )
    for n in (0, 3, 5):
        assert clips.largest_difference(whole, tiled, n) <= (0 if fmt == vs.YUV420P8 else 1e-5)


def test_half_precision_sees_the_neighbours_too(tmp_path: Path) -> None:
    path = str(networks.aligned_mix(tmp_path / "m.onnx", WEIGHTS))
    clip = clips.panning(vs.YUV420P8, 6)
    with clip.gansr.Upscale(path, provider="CPU", precision="fp16").get_frame(3) as got:
        assert np.abs(np.asarray(got[0]) - mixed(clip, 3)).max() <= 0.7


def test_clips_of_varying_size_and_format(core: vs.Core, tmp_path: Path) -> None:
    """A change of either is a change of scene."""
    path = str(networks.aligned_compact(tmp_path / "m.onnx"))
    parts = [
        clips.panning(vs.YUV420P8, 3, 48, 32),
        clips.panning(vs.YUV420P8, 2, 64, 32),
        clips.panning(vs.GRAY16, 3, 64, 32),
    ]
    joined = core.std.Splice(parts, mismatch=True).gansr.Upscale(path, provider="CPU", precision="fp32")
    whole = [part.gansr.Upscale(path, provider="CPU", precision="fp32") for part in parts]
    places = [(part, n) for part in whole for n in range(part.num_frames)]
    for n in (7, 0, 3, 5, 2, 4, 6, 1):
        part, m = places[n]
        with joined.get_frame(n) as got, part.get_frame(m) as want:
            assert got.format.id == want.format.id and bits(got) == bits(want), n


def test_a_frame_is_shown_again_only_where_its_neighbours_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []
    call = NetworkFilter.__call__
    monkeypatch.setattr(NetworkFilter, "__call__", lambda self, n, f: (computed.append(n), call(self, n, f))[1])
    path = str(networks.aligned_compact(tmp_path / "m.onnx"))
    clip = clips.panning(vs.YUV420P8, 8, 48, 32)
    held = clip[2] + clip[3] * 5 + clip[4] + clip[4] + clip[5]
    out = held.gansr.Upscale(path, provider="CPU", precision="fp32")
    got = [bits(out.get_frame(n)) for n in range(held.num_frames)]
    # 1 sees what moves before it, 2 to 4 nothing but themselves, 5 what comes.
    assert computed == [0, 1, 2, 5, 6, 7, 8]
    assert got[2] == got[3] == got[4]
    every = held.gansr.Upscale(path, provider="CPU", precision="fp32", reuse=0)
    assert got == [bits(every.get_frame(n)) for n in range(held.num_frames)]


def test_reuse_does_not_depend_on_the_order(tmp_path: Path) -> None:
    path = str(networks.aligned_compact(tmp_path / "m.onnx"))
    clip = clips.panning(vs.YUV420P8, 8, 48, 32)
    held = clip[2] * 3 + clip[3] + clip[4] * 4
    want = [bits(f) for f in held.gansr.Upscale(path, provider="CPU", precision="fp32", reuse=0).frames(close=True)]
    order = list(range(held.num_frames))
    for seed in range(4):
        random.Random(seed).shuffle(order)
        out = held.gansr.Upscale(path, provider="CPU", precision="fp32")
        for n, future in [(n, out.get_frame_async(n)) for n in order]:
            with future.result() as frame:
                assert bits(frame) == want[n]


def test_strength_and_format(tmp_path: Path) -> None:
    path = str(networks.aligned_mix(tmp_path / "m.onnx", WEIGHTS))
    clip = clips.panning(vs.YUV420P8, 6)
    full, half, none = (clip.gansr.Upscale(path, strength=s).get_frame(3) for s in (1, 0.5, 0))
    for a, b, c in zip(*map(clips.planes, (full, half, none)), strict=True):
        assert np.abs(b - (a + c) / 2).max() <= 1
    with clip.gansr.Upscale(path, format=vs.YUV420P16).get_frame(3) as deep:
        assert np.abs(np.asarray(deep[0]) / 256 - mixed(clip, 3)).max() < 0.01


@pytest.mark.parametrize("provider", ["CPU", "OpenVINO"])
def test_the_int8_variant_is_close(provider: str, tmp_path: Path) -> None:
    """Calibrated on triples as they are seen, taken by precision, run on stored samples."""
    path = networks.aligned_compact(tmp_path / "m.onnx", 16, 4, skip=True)
    clip = clips.panning(vs.GRAYS, 9)
    seen = [np.stack([np.asarray(f[i]) for i in range(3)])[None] for f in clip.gansr.Align().frames(close=True)]
    (tmp_path / "m.int8.onnx").write_bytes(quantise(path.read_bytes(), seen))
    assert library.load(str(path), "int8").spec.aligned
    source = clips.panning(vs.GRAY8, 9)
    plain, variant = (source.gansr.Upscale(str(path), provider=provider, precision=p) for p in ("fp32", "int8"))
    with plain.get_frame(4) as a, variant.get_frame(4) as b:
        error = np.mean((np.asarray(a[0]).astype(float) - np.asarray(b[0])) ** 2)
        assert 0 < error < 9


def test_what_a_file_may_say(tmp_path: Path) -> None:
    path = networks.aligned_mix(tmp_path / "m.onnx", WEIGHTS)
    spec = probe.describe(library.load(str(path))).spec
    assert (spec.channels, spec.frames, spec.inputs, spec.aligned, spec.scale) == (1, 3, 3, True, 2)
    for said, message in (
        ({"frames": "2"}, r"3 input channels and its gansr.frames is 2"),
        ({"frames": "5"}, r"3 input channels and its gansr.frames is 5"),
        ({"aligned": "1"}, r"has gansr.aligned and takes 1 frames with 3 channels"),
        ({"frames": "1", "aligned": "1"}, r"has gansr.aligned and takes 1 frames with 3 channels"),
        ({"frames": "0"}, r"damaged metadata: frames is 0 but has to be from 1 to 31"),
        ({"frames": "3", "aligned": "2"}, r"damaged metadata: aligned is 2 but has to be from 0 to 1"),
    ):
        with pytest.raises(ModelError, match=message):
            library.load(str(networks.aligned_mix(tmp_path / "bad.onnx", WEIGHTS, said)))


def test_luma_of_several_frames_that_are_not_aligned(tmp_path: Path) -> None:
    """`gansr.frames` alone: the neighbours as they are."""
    path = str(networks.aligned_mix(tmp_path / "m.onnx", (1.0, 0.0, 0.0), {"frames": "3"}))
    clip = clips.panning(vs.GRAY8, 5)
    with clip.gansr.Upscale(path).get_frame(3) as got, clip.resize.Point(160, 120).get_frame(2) as want:
        assert np.array_equal(np.asarray(got[0]), np.asarray(want[0]))
