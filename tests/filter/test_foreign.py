"""Networks of other people: any names, sizes, ranges, channels and precision, and what is detected of them."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import clips
import folders
import networks
import numpy as np
import onnx
import pytest
import vapoursynth as vs
from foreign import build, enlarge, repeat, spec_of
from onnx import TensorProto, helper

from vs_gansr.engine import probe
from vs_gansr.errors import ModelError
from vs_gansr.model import library, user_folders
from vs_gansr.model.spec import ValueRange

pytestmark = pytest.mark.usefixtures("fresh_cache")


CATMULL_ROM = {"filter_param_a": 0, "filter_param_b": 0.5}


@pytest.mark.parametrize("scale", range(1, 9))
def test_scales(scale: int, tmp_path: Path) -> None:
    path = repeat(tmp_path / "m.onnx", [1, 3, "h", "w"], scale)
    clip = clips.noise(vs.RGB24, 21, 13, length=1)
    out = clip.gansr.Upscale(str(path), provider="CPU")
    assert (out.width, out.height) == (21 * scale, 13 * scale)
    assert clips.largest_difference(out, clip.resize.Point(21 * scale, 13 * scale)) == 0


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16], ids=["float32", "float16"])
@pytest.mark.parametrize(
    "shape", [["batch", 3, "h", "w"], [None, 3, None, None], [-1, 3, -1, -1], [0, 3, 0, 0], [1, 3, 24, 32]], ids=str
)
def test_shapes_and_precision_of_the_input(shape: list, kind: int, tmp_path: Path) -> None:
    path = repeat(tmp_path / "m.onnx", shape, kind=kind, names=("image:0", "12"))
    clip = clips.noise(vs.YUV420P8, 50, 38, length=1, props={"_Matrix": 1})
    rgb = clip.resize.Bicubic(format=vs.RGBS, **CATMULL_ROM).std.Expr("x 0 max 1 min").resize.Point(100, 76)
    want = rgb.resize.Bicubic(format=vs.YUV420P8, matrix=1, **CATMULL_ROM)
    for precision in ("fp32", "fp16"):
        assert clips.largest_difference(clip.gansr.Upscale(str(path), overlap=0, precision=precision), want) <= 1
    assert spec_of(path).size_rule.fixed == ((32, 24) if shape[2] == 24 else None)


def test_free_channels_are_those_of_the_first_convolution(tmp_path: Path) -> None:
    kernel = np.eye(3, dtype=np.float32)[:, :, None, None]
    path = build(
        tmp_path / "m.onnx", [helper.make_node("Conv", ["x", "k"], ["y"])], {"k": kernel}, ["n", "c", "h", "w"]
    )
    clip = clips.noise(vs.RGB24, 20, 20, length=1)
    assert clips.largest_difference(clip.gansr.Upscale(str(path)), clip) == 0


@pytest.mark.parametrize("rule", [1, 2, 3, 4, 6, 8, 32])
def test_size_rule_is_found_by_trying(rule: int, tmp_path: Path) -> None:
    """The graph divides the sides by the rule and multiplies them again, and what is then too short is refused."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Div", ["shape", "rules"], ["cells"]),
        helper.make_node("Mul", ["cells", "rules"], ["whole"]),
        helper.make_node("Reshape", ["x", "whole"], ["y"]),
    ]
    rules = np.array([1, 1, rule, rule], np.int64)
    path = build(tmp_path / "m.onnx", nodes, {"rules": rules}, [1, 3, "h", "w"])
    found = probe.find(library.load(str(path)))
    assert (found.scale, found.multiple) == (1, rule)
    assert found.minimum <= max(12, rule)
    clip = clips.noise(vs.RGB24, 37, 19, length=1)
    assert clips.largest_difference(clip.gansr.Upscale(str(path)), clip) == 0


def test_shortest_side_is_found_by_trying(tmp_path: Path) -> None:
    """Reflecting 18 pixels at each side needs more than 18 of them."""
    pads = np.array([0, 0, 18, 18, 0, 0, 18, 18], np.int64)
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Reshape", ["x", "shape"], ["same"]),  # no reader of graphs need see through this
        helper.make_node("Pad", ["same", "pads"], ["p"], mode="reflect"),
        helper.make_node("Slice", ["p", "from", "to", "axes"], ["y"]),
    ]
    weights = {"pads": pads, "from": np.array([18, 18]), "to": np.array([-18, -18]), "axes": np.array([2, 3])}
    path = build(tmp_path / "m.onnx", nodes, weights, [1, 3, "h", "w"])
    assert 18 < spec_of(path).size_rule.least <= 24
    clip = clips.noise(vs.RGB24, 7, 5, length=1)
    assert clips.largest_difference(clip.gansr.Upscale(str(path)), clip) == 0


def ranged_net(path: Path, peak: float, gain: float = 1.0, metadata: bool = False) -> Path:
    """Repeats pixels for values up to `peak`; others it answers with a constant, as trained networks do."""
    node, sizes = enlarge("z", "y", 2)
    dark, light = np.float32(0.02 * peak), np.float32(gain)
    nodes = [
        helper.make_node("Sub", ["x", "dark"], ["a"]),
        helper.make_node("Mul", ["a", "light"], ["b"]),
        helper.make_node("Clip", ["b", "zero", "peak"], ["c"]),
        helper.make_node("Add", ["c", "dark"], ["z"]),
        node,
    ]
    weights = {"dark": dark, "light": light, "zero": np.float32(0), "peak": np.float32(peak), "sizes": sizes}
    build(path, nodes, weights, [1, 3, "h", "w"])
    if metadata:
        proto = onnx.load(str(path))
        proto.metadata_props.add(key="gansr.range", value=f"{peak:g}")
        onnx.save(proto, str(path))
    return path


@pytest.mark.parametrize("metadata", [False, True], ids=["probed", "said"])
@pytest.mark.parametrize("peak", [1.0, 255.0])
def test_range(peak: float, metadata: bool, tmp_path: Path) -> None:
    path = ranged_net(tmp_path / "m.onnx", peak, metadata=metadata)
    assert spec_of(path).input_range == spec_of(path).output_range == ValueRange(0, peak)
    clip = clips.noise(vs.RGB24, 40, 30, length=1)
    low = clip.std.Expr("x 6 max")  # what lies below the net's own black
    assert clips.largest_difference(low.gansr.Upscale(str(path)), low.resize.Point(80, 60)) <= 1


def test_range_of_a_network_that_shows_nothing_like_its_input_is_one(tmp_path: Path) -> None:
    assert spec_of(networks.compact(tmp_path / "m.onnx", 8, 3)).input_range == ValueRange()


def test_networks_are_probed_once(tmp_path: Path) -> None:
    path = repeat(tmp_path / "m.onnx", [1, 3, "h", "w"], 3)
    first = spec_of(path)
    probe.cache.clear()  # as another process
    (tmp_path / "renamed.onnx").write_bytes(path.read_bytes())
    damaged = replace(library.load(str(tmp_path / "renamed.onnx")), data=b"nothing that runs")
    again = probe.describe(damaged).spec
    assert (again.scale, again.size_rule.multiple, again.input_range, again.digest) == (
        3,
        1,
        ValueRange(),
        first.digest,
    )


def test_a_network_that_is_being_tried_holds_up_no_other(tmp_path: Path) -> None:
    slow, quick = (library.load(str(repeat(tmp_path / f"{n}.onnx", [1, 3, "h", "w"], n))) for n in (2, 3))
    begun, go_on = threading.Event(), threading.Event()

    def find() -> probe.Findings:
        begun.set()
        assert go_on.wait(60)
        return probe.find(slow)

    with ThreadPoolExecutor(3) as pool:
        pool.submit(probe.cache.get, slow.spec.digest, find)
        waiting = [pool.submit(probe.describe, slow) for _ in range(2)]
        assert begun.wait(60)
        assert probe.describe(quick).spec.scale == 3
        assert not any(future.done() for future in waiting)
        go_on.set()
        assert [future.result(60).spec.scale for future in waiting] == [2, 2]


@pytest.mark.parametrize("content", ["", "nonsense", "[]", '{"version": 0, "models": {}}', '{"version": 1}'])
def test_damaged_cache_is_made_anew(content: str, tmp_path: Path) -> None:
    path = repeat(tmp_path / "m.onnx", [1, 3, "h", "w"], 3)
    probe.remembered.path().parent.mkdir(parents=True)
    probe.remembered.path().write_text(content)
    assert spec_of(path).scale == 3
    assert json.loads(probe.remembered.path().read_text())["probes"][spec_of(path).digest]["scale"] == 3


def test_cache_that_lies_or_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = repeat(tmp_path / "m.onnx", [1, 3, "h", "w"], 3)
    digest = library.load(str(path)).spec.digest
    probe.remembered.path().parent.mkdir(parents=True)
    lie = {
        "scale": -2,
        "multiple": 1,
        "minimum": 1,
        "input_range": {"black": 0, "white": 1},
        "output_range": {"black": 0, "white": 1},
    }
    probe.remembered.path().write_text(json.dumps({"version": 1, "probes": {digest: lie}}))
    assert spec_of(path).scale == 3
    (tmp_path / "file").write_text("")
    folders.redirect(monkeypatch, tmp_path / "file")
    probe.cache.clear()
    assert spec_of(path).scale == 3


def test_own_models_by_name_and_near_names(tmp_path: Path) -> None:
    user_folders.models_folder().mkdir(parents=True)
    repeat(user_folders.models_folder() / "anime-sharp-4x.onnx", [1, 3, "h", "w"], 4)
    clip = clips.noise(vs.RGB24, 16, 16, length=1)
    assert clip.gansr.Upscale("anime-sharp-4x").width == 64
    for typo, message in (
        (
            "anime-sharp4x",
            r'unknown model "anime-sharp4x"; shipped: .*; own: anime-sharp-4x, .*; did you mean anime-sharp-4x\?',
        ),
        ("Anime-Sharp-4X", r"; did you mean anime-sharp-4x\?"),
        ("fast2x", r"; did you mean fast-2x\?"),
        (
            str(user_folders.models_folder() / "anime-shrap-4x.onnx"),
            r"does not exist; .*; did you mean anime-sharp-4x.onnx\?",
        ),
    ):
        with pytest.raises(vs.Error, match=f"^Upscale: .*{message}"):
            clip.gansr.Upscale(typo)
    (tmp_path / "net.pth").touch()
    for name, message in (
        (str(tmp_path / "net.pth"), r'net.pth" is a PyTorch file; .*: gansr convert ".*net.pth"'),
        ("fast-2x.onnx", r"did you mean fast-2x\?"),
    ):
        with pytest.raises(vs.Error, match=f"^Upscale: model .*{message}"):
            clip.gansr.Upscale(name)
    with pytest.raises(vs.Error, match=r'^Upscale: unknown model "zzz"; shipped'):
        clip.gansr.Upscale("zzz")


def test_what_is_no_image_network_is_refused(tmp_path: Path) -> None:
    for channels in (2, 4, 6, 12):
        with pytest.raises(ModelError, match=f"has {channels} input channels; supported are 1 or 3, or 3 for each"):
            library.load(str(repeat(tmp_path / "m.onnx", [1, channels, "h", "w"])))
    with pytest.raises(ModelError, match="a free number of input channels"):
        library.load(str(repeat(tmp_path / "m.onnx", [1, "c", "h", "w"])))
    with pytest.raises(
        ModelError, match=r"with 3 channels for each of 3 frames into a tensor of shape \[1, 9, 130, 128\]"
    ):
        spec_of(repeat(tmp_path / "m.onnx", [1, 9, "h", "w"]))
