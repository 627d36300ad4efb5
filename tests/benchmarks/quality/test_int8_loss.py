"""scripts/quantise --check runs the variant on the named provider and fails for one too far from float32."""

from __future__ import annotations

import pytest
import vapoursynth as vs

from benchmarks.quality import int8, prepare


@pytest.mark.parametrize("provider", ["CPU", "OpenVINO"])
def test_a_shipped_variant_is_near(provider: str, case: prepare.Case, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    upscale = int8.vs_gansr.upscale

    def noted(clip: vs.VideoNode, **how: str) -> vs.VideoNode:
        asked.append((how["precision"], how["provider"]))
        return upscale(clip, **how)

    monkeypatch.setattr(int8.vs_gansr, "upscale", noted)
    found = int8.loss("fast-2x", case, provider)
    assert asked == [("fp32", "CPU"), ("int8", provider)]
    assert int8.LEAST < found.decibels < 70
    assert abs(found.points) < int8.MOST


@pytest.mark.parametrize(("decibels", "points", "held"), [(50.0, 0.1, True), (47.9, 0.1, False), (50.0, 0.31, False)])
def test_the_bounds(
    decibels: float, points: float, held: bool, case: prepare.Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    worst = iter([int8.Loss(60.0, 0.0), int8.Loss(decibels, points)])
    monkeypatch.setattr(int8, "loss", lambda *arguments: next(worst))
    table, well = int8.report("fast-2x", "OpenVINO", [case, case])
    assert well is held
    assert "int8 on OpenVINO" in table
    assert f"Least: {decibels:.1f} dB (bound: 48); most lost: {points:.2f} points (bound: 0.3): " in table
    assert table.endswith("within bounds." if held else "too far.")


def test_an_unknown_preparation_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        int8.main(["fast-2x", "--preparations", "A,Z"])
    assert "--preparations Z is unknown; use some of A,B,C,soft,halo,dvd,bob,S" in capsys.readouterr().err
