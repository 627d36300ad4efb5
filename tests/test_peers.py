"""The same network files give the same pictures in core.ort.Model and in Upscale."""

from __future__ import annotations

import re
from pathlib import Path

import clips
import networks
import numpy as np
import pytest
import vapoursynth as vs
from paths import ROOT

CATMULL_ROM = {"filter_param_a": 0, "filter_param_b": 0.5}
ANCHORS = ("realesr-animevideov3-x4.onnx", "realcugan-se-2x-conservative.onnx")

needs_ort = pytest.mark.skipif(
    not hasattr(vs.core, "ort"), reason="compares with vs-mlrt: pip install vapoursynth-mlrt-ort (extra [peers])"
)


@pytest.fixture(scope="module")
def still(shared: Path) -> vs.VideoNode:
    """Two crops of a real photograph, RGB of 8 bits."""
    from PIL import Image

    path = sorted((shared / "data" / "eval" / "stills").glob("*.webp"))[0]
    with Image.open(path) as opened:
        pixels = np.asarray(opened.convert("RGB"))[100:162, 200:296]
    blank = vs.core.std.BlankClip(format=vs.RGB24, width=96, height=62, length=2, keep=True)

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        for i in range(3):
            np.asarray(out[i])[:] = np.flip(pixels[:, :, i], axis=n)
        return out

    return blank.std.ModifyFrame(blank, fill)


@needs_ort
@pytest.mark.parametrize("name", ANCHORS)
def test_anchors_equal_core_ort(name: str, still: vs.VideoNode, shared: Path) -> None:
    path = str(shared / "anchors" / name)
    rgb = still.resize.Point(format=vs.RGBS)
    for n in range(2):
        difference = clips.largest_difference(
            rgb.gansr.Upscale(path, provider="CPU", precision="fp32"), vs.core.ort.Model(rgb, path, provider="CPU"), n
        )
        assert difference <= 1e-4


@needs_ort
@pytest.mark.parametrize("fmt", [vs.YUV420P8, vs.YUV420P10, vs.YUV444P16], ids=str)
@pytest.mark.parametrize("name", ANCHORS)
def test_anchors_through_yuv_equal_zimg_on_both_sides(name: str, fmt: int, still: vs.VideoNode, shared: Path) -> None:
    path = str(shared / "anchors" / name)
    clip = still.resize.Bicubic(format=fmt, matrix=1)
    rgb = clip.resize.Bicubic(format=vs.RGBS, **CATMULL_ROM)
    want = vs.core.ort.Model(rgb, path, provider="CPU").resize.Bicubic(format=fmt, matrix=1, **CATMULL_ROM)
    got = clip.gansr.Upscale(path, provider="CPU", precision="fp32")
    assert clips.largest_difference(got, want) <= 1


@needs_ort
def test_migration_tables_scripts_give_the_same(tmp_path: Path) -> None:
    """Both sides of the table of docs/migration.md, argument by argument."""
    page = (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")
    table = page.split("| `core.ort.Model` | `core.gansr.Upscale` |")[1].split("\n\n")[0]
    rows = [line.strip("|").split("|") for line in table.splitlines()[2:]]
    named = {name for row in rows for name in re.findall(r"`(\w+)[`=]", row[0])}
    assert named == {item.split(":")[0] for item in vs.core.ort.Model.signature.strip(";").split(";")}
    same = next(row[0] for row in rows if row[1].strip() == "the same")
    assert set(re.findall(r"`(\w+)`", same)) <= {a.split(":")[0] for a in vs.core.gansr.Upscale.signature.split(";")}
    path = str(networks.compact(tmp_path / "m.onnx", 8, 3))
    rgb = clips.noise(vs.RGBS, 80, 48, length=2)
    old = {"tilesize": [48, 48], "overlap": [8, 8], "provider": "CPU", "device_id": 0, "num_streams": 1}
    theirs = vs.core.ort.Model([rgb], path, **old)
    ours = rgb.gansr.Upscale(path, **old)
    for n in range(2):
        assert clips.largest_difference(theirs, ours, n) <= 1e-4
    for arguments in ({}, {"tilesize": 40, "overlap": 4}, {"num_streams": 2}):
        assert clips.largest_difference(vs.core.ort.Model([rgb], path), rgb.gansr.Upscale(path, **arguments)) <= 1e-4


@needs_ort
@pytest.mark.parametrize("file", ["fast-2x.onnx", "large-2x.int8.onnx"])
def test_shipped_networks_run_there_as_the_page_says(file: str, still: vs.VideoNode) -> None:
    page = (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"^```python\n(luma = .*?)^```$", page, re.MULTILINE | re.DOTALL)
    clip = still.resize.Bicubic(format=vs.YUV420P8, matrix=1)
    names = {"vs": vs, "core": vs.core, "clip": clip}
    exec(script.replace("large-2x.onnx", str(ROOT / "models" / file)), names)
    model, precision = file.split(".")[0], "int8" if "int8" in file else "fp32"
    ours = clip.gansr.Upscale(model, provider="CPU", precision=precision)
    assert clips.largest_difference(names["clip"], ours) <= 1
