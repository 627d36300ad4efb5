"""Chroma planes beside a luma network equal core.resize's of the whole frame, to the bit."""

from __future__ import annotations

from pathlib import Path

import clips
import networks
import numpy as np
import pytest
import vapoursynth as vs

CATMULL_ROM = {"filter_param_a": 0, "filter_param_b": 0.5}
FORMATS = [vs.YUV420P8, vs.YUV420P10, vs.YUV422P16, vs.YUV410P8, vs.YUV440P8, vs.YUV444P8, vs.YUV444PS, vs.YUV444PH]


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_as_core_resize_at_every_siting(fmt: int, scale: int, tmp_path: Path) -> None:
    model = networks.point(tmp_path / "luma.onnx", scale, channels=1)
    parts = [
        clips.noise(fmt, 76, 36, 1, seed, {"_Matrix": 1} | ({"_ChromaLocation": seed} if seed < 6 else {}))
        for seed in range(7)
    ]
    clip = vs.core.std.Splice(parts)  # the siting changes from frame to frame
    got = clip.gansr.Upscale(str(model), provider="CPU", precision="fp32", reuse=0)
    for n, part in enumerate(parts):
        whole = part.resize.Bicubic(width=scale * 76, height=scale * 36, **CATMULL_ROM)
        with got.get_frame(n) as frame, whole.get_frame(0) as want:
            assert frame.props.get("_ChromaLocation") == part.get_frame(0).props.get("_ChromaLocation")
            for plane in (1, 2):
                np.testing.assert_array_equal(np.asarray(frame[plane]), np.asarray(want[plane]))


def test_a_siting_that_there_is_not(tmp_path: Path) -> None:
    model = networks.point(tmp_path / "luma.onnx", channels=1)
    clip = clips.noise(vs.YUV420P8, 32, 24, 1, props={"_Matrix": 1, "_ChromaLocation": 6})
    with pytest.raises(vs.Error, match="_ChromaLocation 6 is unknown; correct it"):
        clip.gansr.Upscale(str(model), provider="CPU").get_frame(0)
