"""scripts/evaluate: unsharp masks, their search, and networks of any scale."""

from __future__ import annotations

from pathlib import Path

import networks
import numpy as np
import pytest
import vapoursynth as vs
from onnx import helper, numpy_helper

from benchmarks.quality import media, methods, metrics, prepare, score
from benchmarks.quality.store import Store


def test_unsharp_of_nothing_is_lanczos_and_of_more_is_sharper(case: prepare.Case) -> None:
    source = case.load_source()
    plain = metrics.luma(methods.lanczos(source, 2))
    assert np.abs(metrics.luma(methods.sharpened(methods.Unsharp(0.0, 1.0))(source, 2)) - plain).max() <= 1
    sharp = metrics.luma(methods.sharpened(methods.Unsharp(1.0, 1.0))(source, 2))
    assert np.abs(np.diff(sharp)).mean() > 1.1 * np.abs(np.diff(plain)).mean()
    assert sharp.mean() == pytest.approx(plain.mean(), abs=0.3)


def test_unsharp_mask_is_the_formula() -> None:
    """Against a direct computation on a clip whose Lanczos enlargement is flat but for one column."""
    blank = vs.core.std.BlankClip(format=vs.YUV420P8, width=32, height=32, length=1, color=[100, 128, 128])

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        np.asarray(out[0])[:, 16] = 150
        return out

    source = media.tagged(blank.std.ModifyFrame(blank, fill))
    large = source.resize.Lanczos(64, 64, format=vs.GRAYS, filter_param_a=3)
    row = np.asarray(large.get_frame(0)[0])[32].astype(float) * 219 + 16
    taps = np.exp(-0.5 * (np.arange(-3, 4) / 1.0) ** 2)
    blurred = np.convolve(row, taps / taps.sum(), "same")
    expected = (row + 0.5 * (row - blurred))[8:-8]
    result = metrics.luma(methods.sharpened(methods.Unsharp(0.5, 1.0))(source, 2))[0, 32, 8:-8]
    assert np.abs(result - expected).max() < 0.51


def test_masks_are_the_formula(case: prepare.Case) -> None:
    """Luma + amount x (luma - 3x3 binomial), away from the border, before rounding."""
    source = case.load_source()[:1]
    large = source.resize.Lanczos(source.width * 2, source.height * 2, format=vs.YUV420PS, filter_param_a=3)
    plane = np.asarray(large.get_frame(0)[0]).astype(float) * 219 + 16
    rows = plane[:-2] + 2 * plane[1:-1] + plane[2:]
    binomial = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 16
    assert [method.name for method in methods.masks()] == ["Lanczos, mask 0.6", "Lanczos, mask 1.2"]
    for method, amount in zip(methods.masks(), (0.6, 1.2), strict=True):
        middle = plane[1:-1, 1:-1]
        expected = np.clip(middle + amount * (middle - binomial), 0, 255)
        assert np.abs(metrics.luma(method.upscale(source, 2))[0, 1:-1, 1:-1] - expected).max() < 0.51


@pytest.mark.slow
def test_search_finds_the_best_neighbourhood(case: prepare.Case, tmp_path: Path) -> None:
    def rate(unsharp: methods.Unsharp) -> float:
        start = min(score.SEARCH_STEP // 2, case.frames - 1)
        pick = np.s_[start :: score.SEARCH_STEP]
        enlarged = methods.sharpened(unsharp)(case.load_source()[pick], 2)
        return metrics.ssimulacra2(case.load_reference()[pick], enlarged)

    found = score.best_unsharp(Store(tmp_path), [case])
    best = rate(found)
    a, s = score.AMOUNTS.index(found.amount), score.SIGMAS.index(found.sigma)
    for amount in score.AMOUNTS[max(a - 1, 0) : a + 2]:
        for sigma in score.SIGMAS[max(s - 1, 0) : s + 2]:
            assert rate(methods.Unsharp(amount, sigma)) <= best + 1e-9


@pytest.mark.parametrize(("scale", "factor"), [(2, 2), (4, 2), (2, 4)])
def test_network_of_any_scale_comes_out_at_the_wanted_size(
    case: prepare.Case, tmp_path: Path, scale: int, factor: int
) -> None:
    model = networks.point(tmp_path / "point.onnx", scale)
    source = case.load_source()
    ours = methods.network(model)(source, factor)
    rgb = source.resize.Bicubic(format=vs.RGBS, **media.CATMULL_ROM).resize.Point(
        source.width * scale, source.height * scale
    )
    expected = rgb.resize.Bicubic(
        source.width * factor, source.height * factor, format=vs.YUV420P8, matrix=1, range=0, chromaloc=0,
        **media.CATMULL_ROM,
    )  # fmt: skip
    assert ours.format.id == vs.YUV420P8
    assert np.abs(metrics.luma(ours) - metrics.luma(expected)).max() <= 1


@pytest.mark.parametrize("multiple", [2, 8])
def test_network_of_sides_in_multiples_is_padded(case: prepare.Case, tmp_path: Path, multiple: int) -> None:
    source = case.load_source().std.Crop(right=2, bottom=2)  # 94x62
    made = methods.ours("halved", networks.halved(tmp_path / "halved.onnx", multiple)).upscale(source, 2)
    assert np.array_equal(metrics.luma(made), metrics.luma(source).repeat(2, 1).repeat(2, 2))


def test_rgb_networks_of_others_see_values_from_0_to_1(tmp_path: Path) -> None:
    """One that answers others with speckle gives what one without that fault gives."""
    numbers = {"zero": np.float32(0), "one": np.float32(1), "gain": np.float32(9), "sizes": np.float32([1, 1, 2, 2])}
    steps = [("Clip", ["input", "zero", "one"], "within"), ("Sub", ["input", "within"], "outside"),
             ("Mul", ["outside", "gain"], "speckle"), ("Add", ["input", "speckle"], "spoilt")]  # fmt: skip
    how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    nodes = [helper.make_node(kind, given, [made]) for kind, given, made in steps]
    nodes.append(helper.make_node("Resize", ["spoilt", "", "sizes"], ["output"], **how))
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in numbers.items()]
    models = [networks.save(tmp_path / "shy.onnx", nodes, weights)]
    models += [networks.save(tmp_path / "lets.onnx", nodes, weights, metadata={"clamp": "0"})]
    models += [networks.point(tmp_path / "point.onnx", metadata={"clamp": "1"})]
    # A colour that YUV knows and RGB does not.
    clip = media.tagged(vs.core.std.BlankClip(format=vs.YUV420P8, width=32, height=32, length=1, color=[60, 220, 40]))
    shy, lets, plain = (methods.anchor(model).upscale(clip, 2) for model in models)
    assert all(np.array_equal(metrics.plane_of(shy, n), metrics.plane_of(plain, n)) for n in range(3))
    assert not np.array_equal(metrics.luma(lets), metrics.luma(plain))


def test_colour_can_be_lanczos(case: prepare.Case, tmp_path: Path) -> None:
    ours = methods.ours("point", networks.point(tmp_path / "point.onnx", 2))
    other = methods.colourless(ours)
    assert other.name == "point, Lanczos' chroma" and other.identity != ours.identity
    source = case.load_source()
    made, own, plain = (m(source, 2).get_frame(0) for m in (other.upscale, ours.upscale, methods.lanczos))
    assert np.array_equal(np.asarray(made[0]), np.asarray(own[0]))
    assert not np.array_equal(np.asarray(made[1]), np.asarray(own[1]))
    for chroma in (1, 2):
        assert np.array_equal(np.asarray(made[chroma]), np.asarray(plain[chroma]))


def test_grain_is_what_the_plugin_adds(case: prepare.Case, tmp_path: Path) -> None:
    path = networks.point(tmp_path / "point.onnx", 2)
    ours = methods.ours("point", path)
    other = methods.grained(ours, 1.5)
    assert other.name == "point, grain 1.5" and other.identity != ours.identity
    source = case.load_source()
    expected = source.gansr.Upscale(str(path), precision="fp32", grain=1.5)
    assert all(
        np.array_equal(metrics.plane_of(other.upscale(source, 2), n), metrics.plane_of(expected, n)) for n in range(3)
    )
