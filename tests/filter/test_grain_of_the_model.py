"""A network's file may ask for the source's grain (`gansr.grain`); what the user says comes first."""

from __future__ import annotations

from pathlib import Path

import clips
import networks
import numpy as np
import pytest
import vapoursynth as vs
from onnx import helper, numpy_helper


@pytest.fixture(scope="module")
def grainy(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A network that enlarges by averages and asks for all of the source's grain."""
    kernel = numpy_helper.from_array(np.full((4, 1, 5, 5), 1 / 25, np.float32), "kernel")
    nodes = [
        helper.make_node("Conv", ["input", "kernel"], ["body"], pads=[2] * 4),
        helper.make_node("DepthToSpace", ["body"], ["output"], blocksize=2),
    ]
    path = tmp_path_factory.mktemp("grain") / "grainy.onnx"
    return str(networks.save(path, nodes, [kernel], 1, {"grain": "1", "colour": "luma"}))


def source(length: int = 1) -> vs.VideoNode:
    clip = vs.core.std.BlankClip(None, 96, 64, vs.YUV420P8, length, color=[120, 128, 128])
    noise = clips.noise(vs.YUV420P8, 96, 64, length=length)
    clip = vs.core.std.Expr([clip, noise], ["x y 128 - 16 / +", ""])
    return clip.std.SetFrameProps(_Matrix=1, _Range=0)


def test_the_model_says_and_the_user_overrides(grainy: str) -> None:
    clip = source()
    own, none, full = (
        clip.gansr.Upscale(grainy, provider="CPU", **chosen) for chosen in ({}, {"grain": 0}, {"grain": 1})
    )
    assert clips.largest_difference(own, full) == 0
    assert clips.largest_difference(own, none) > 1


def test_not_without_the_network_or_where_formats_vary(grainy: str) -> None:
    clip = source()
    plain = clip.gansr.Upscale(grainy, provider="CPU", strength=0)
    assert clips.largest_difference(plain, clip.gansr.Upscale(grainy, provider="CPU", strength=0, grain=0)) == 0
    varying = vs.core.std.Splice([clip, clip.resize.Point(format=vs.YUV444P8)], mismatch=True)
    out = varying.gansr.Upscale(grainy, provider="CPU")
    assert [frame.format.id for frame in out.frames()] == [vs.YUV420P8, vs.YUV444P8]
    with pytest.raises(vs.Error, match="grain 1 needs a clip of one format"):
        varying.gansr.Upscale(grainy, provider="CPU", grain=1)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = networks.point(tmp_path / "bad.onnx", metadata={"grain": "7"})
    with pytest.raises(vs.Error, match=r"grain is 7\.0, but has to be from 0 to 4"):
        source().gansr.Upscale(str(path))
