"""Malicious files and arguments are refused or rendered correctly; nothing crashes and no other file is read."""

from __future__ import annotations

import ctypes
import os
import shutil
import struct
import sys
import time
from pathlib import Path

import clips
import networks
import numpy as np
import onnx
import pytest
import vapoursynth as vs
from graphs import Graph
from onnx import TensorProto, helper, numpy_helper
from paths import ROOT

from vs_gansr.engine import probe
from vs_gansr.errors import ModelError


@pytest.fixture(scope="module")
def clip() -> vs.VideoNode:
    return clips.noise(vs.RGBS, 40, 24, length=2)


def refused(clip: vs.VideoNode, proto: onnx.ModelProto, folder: Path, match: str) -> None:
    path = folder / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(vs.Error, match=f"^Upscale: .*{match}") as caught:
        clip.gansr.Upscale(str(path), provider="CPU").get_frame(0)
    assert "\n" not in str(caught.value)


def test_loops_are_refused_wherever_they_hide(clip: vs.VideoNode, tmp_path: Path) -> None:
    body = helper.make_graph([helper.make_node("Sin", ["x"], ["y"])], "body", [], [])
    g = Graph()
    loop = helper.make_node("Loop", ["", "", "input"], ["looped"], body=body)
    g.nodes.append(loop)
    refused(clip, g.proto("looped"), tmp_path, "contains Loop, which may run forever; export it without loops")
    inside = helper.make_graph([helper.make_node("Scan", ["input"], ["s"], body=body, num_scan_inputs=1)], "b", [], [])
    shallow = helper.make_node("If", ["c"], ["out"], then_branch=inside, else_branch=inside)
    middle = helper.make_graph(
        [helper.make_node("If", ["c"], ["z"], then_branch=inside, else_branch=body)], "d", [], []
    )
    deep = helper.make_node("If", ["c"], ["out"], then_branch=middle, else_branch=body)
    for hidden in (shallow, deep):
        g = Graph()
        g.nodes.append(hidden)
        refused(clip, g.proto("out"), tmp_path, "contains Scan, which may run forever")
    g = Graph()
    proto = g.proto(g.conv("input", 3))
    proto.functions.append(helper.make_function("own", "F", ["a"], ["b"], [loop], list(proto.opset_import)))
    refused(clip, proto, tmp_path, "contains Loop")


def test_an_if_runs_right(clip: vs.VideoNode, tmp_path: Path) -> None:
    info = helper.make_tensor_value_info("r", TensorProto.FLOAT, None)
    branches = [
        helper.make_graph([helper.make_node("Mul", ["input", name], ["r"])], name, [], [info])
        for name in ("one", "two")
    ]
    g = Graph()
    g.weights += [numpy_helper.from_array(np.array(v, np.float32), n) for v, n in ((1, "one"), (2, "two"))]
    g.weights.append(numpy_helper.from_array(np.array(False), "condition"))
    g.nodes.append(helper.make_node("If", ["condition"], ["out"], then_branch=branches[0], else_branch=branches[1]))
    path = g.save(tmp_path / "if.onnx", "out")
    frame = clip.gansr.Upscale(str(path), provider="CPU").get_frame(0)
    for got, source in zip(clips.planes(frame), clips.planes(clip.get_frame(0)), strict=True):
        np.testing.assert_allclose(got, 2 * source, rtol=1e-6)


class Watched:
    """Says, by inotify, whether any file below a folder was opened."""

    def __init__(self, *folders: Path) -> None:
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.handle = self.libc.inotify_init1(os.O_NONBLOCK)
        for folder in folders:
            assert self.libc.inotify_add_watch(self.handle, os.fsencode(folder), 0x20 | 0x1) >= 0  # opened, read

    def opened(self) -> set[str]:
        names = set()
        try:
            data = os.read(self.handle, 1 << 16)
        except BlockingIOError:
            return names
        while data:
            _, _, _, length = struct.unpack_from("iIII", data)
            names.add(data[16 : 16 + length].rstrip(b"\0").decode())
            data = data[16 + length :]
        return names

    def close(self) -> None:
        os.close(self.handle)


@pytest.mark.skipif(sys.platform != "linux", reason="inotify")
@pytest.mark.parametrize("location", ["../secret.bin", "secret.bin", "sub/../../secret.bin", "{absolute}"])
@pytest.mark.parametrize("place", ["initializer", "constant", "sparse", "branch", "function", "unmarked"])
def test_weights_in_other_files_are_refused_and_not_read(
    clip: vs.VideoNode, tmp_path: Path, location: str, place: str
) -> None:
    room = tmp_path / "room"
    (room / "sub").mkdir(parents=True)
    for folder in (room, tmp_path):
        (folder / "secret.bin").write_bytes(bytes(3 * 3 * 9 * 4))
    g = Graph()
    weight = helper.make_tensor("w", TensorProto.FLOAT, [3, 3, 3, 3], bytes(324), raw=True)
    weight.ClearField("raw_data")
    where = location.replace("{absolute}", str(tmp_path / "secret.bin"))
    for key, value in (("location", where), ("offset", "0"), ("length", "324")):
        weight.external_data.add(key=key, value=value)
    if place != "unmarked":
        weight.data_location = TensorProto.EXTERNAL
    constant = helper.make_node("Constant", [], ["w"])
    attribute = constant.attribute.add(name="value", type=onnx.AttributeProto.TENSOR)
    attribute.t.CopyFrom(weight)
    conv = helper.make_node("Conv", ["input", "w"], ["out"], pads=[1] * 4)
    functions = []
    if place in ("initializer", "unmarked"):
        g.weights.append(weight)
    elif place == "sparse":
        sparse = onnx.SparseTensorProto()
        sparse.values.CopyFrom(weight)
    elif place == "branch":
        branch = helper.make_graph([constant], "b", [], [])
        g.nodes.append(helper.make_node("If", ["c"], ["w"], then_branch=branch, else_branch=branch))
    elif place == "function":
        functions.append(helper.make_function("own", "F", [], ["w"], [constant], []))
        g.nodes.append(helper.make_node("F", [], ["w"], domain="own"))
    else:
        g.nodes.append(constant)
    g.nodes.append(conv)
    proto = g.proto("out")
    proto.functions.extend(functions)
    if place == "sparse":
        proto.graph.sparse_initializer.append(sparse)
    watched = Watched(room, tmp_path)
    (tmp_path / "sub").mkdir()
    os.chdir(room)
    try:
        refused(clip, proto, room, "keeps its weights in another file; save it as one self-contained file")
    finally:
        os.chdir(ROOT)
    assert watched.opened() <= {"m.onnx", "", "room"}
    (room / "secret.bin").read_bytes()
    assert "secret.bin" in watched.opened()  # a test of the watch
    watched.close()


@pytest.mark.parametrize(
    "name", ["with space.onnx", "日本語 モデル.onnx", "ünïcödé (1).onnx", "a'b;c&d$e.onnx", "UPPER.ONNX"]
)
def test_paths_of_every_kind(clip: vs.VideoNode, name: str, tmp_path: Path, small_model: Path) -> None:
    folder = tmp_path / "Ordner mit Größe 'x'"
    folder.mkdir()
    path = Path(shutil.copy(small_model, folder / name))
    want = clip.gansr.Upscale(str(small_model))
    assert clips.largest_difference(clip.gansr.Upscale(str(path)), want) == 0
    assert clips.largest_difference(clip.gansr.Upscale(os.path.relpath(path)), want) == 0


@pytest.mark.parametrize(
    "name", ["x" * 5000, "a\x00b.onnx", "\x00", ".", "/", "..", "/dev/null", "/dev/zero", "CON", " ", "*"]
)
def test_names_that_are_no_files(clip: vs.VideoNode, name: str) -> None:
    with pytest.raises(vs.Error, match=r"^Upscale: ") as caught:
        clip.gansr.Upscale(name)
    assert "Error:" not in str(caught.value) and len(str(caught.value)) < 600
    with pytest.raises(vs.Error, match=r"^Upscale: "):
        clip.gansr.Upscale(name + ".onnx")


def test_a_pipe_is_not_read(clip: vs.VideoNode, tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(tmp_path / "m.onnx")
    with pytest.raises(vs.Error, match=r"^Upscale: model file .* does not exist"):
        clip.gansr.Upscale(str(tmp_path / "m.onnx"))


def test_a_file_too_large_for_its_format(clip: vs.VideoNode, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    with path.open("wb") as file:
        file.truncate(3 << 30)  # sparse: no disk is used
    with pytest.raises(vs.Error, match=r"^Upscale: model .* is larger than 2 GiB"):
        clip.gansr.Upscale(str(path))


def test_a_model_replaced_between_evaluations(clip: vs.VideoNode, tmp_path: Path) -> None:
    """The running clip goes on with what it was made from; the next evaluation takes the new file."""
    a, b = (networks.compact(tmp_path / f"{i}.onnx", 8, 3, seed=i) for i in range(2))
    wants = [clip.gansr.Upscale(str(path), reuse=0) for path in (a, b)]
    path = tmp_path / "model.onnx"
    for i in (0, 1, 0, 1):
        shutil.copy((a, b)[i], path)
        out = clip.gansr.Upscale(str(path), reuse=0)
        assert clips.largest_difference(out, wants[i], 0) == 0
        path.write_bytes(b"damaged")
        assert clips.largest_difference(out, wants[i], 1) == 0
        with pytest.raises(vs.Error, match=r'^Upscale: model "model" is not a readable ONNX file'):
            clip.gansr.Upscale(str(path))
        path.unlink()
        with pytest.raises(vs.Error, match=r"^Upscale: model file .* does not exist"):
            clip.gansr.Upscale(str(path))


@pytest.mark.parametrize(
    ("metadata", "match"),
    [
        ({"scale": "1000000"}, "scale is 1000000 but has to be from 1 to 16"),
        ({"scale": "0"}, "scale is 0"),
        ({"scale": "-2"}, "scale is -2"),
        ({"multiple": "99999999999"}, "multiple is 99999999999"),
        ({"radius": "-1"}, "radius is -1"),
        ({"range": "nan"}, "range is nan"),
        ({"range": "0"}, "range is 0"),
        ({"range": "1e400"}, "range is inf"),
        ({"scale": "9" * 5000}, "damaged metadata"),
    ],
)
def test_metadata_out_of_range(clip: vs.VideoNode, tmp_path: Path, metadata: dict[str, str], match: str) -> None:
    g = Graph()
    refused(clip, g.proto(g.conv("input", 3), metadata), tmp_path, match)


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory")
@pytest.mark.parametrize("metadata", [{}, {"scale": "1", "multiple": "1"}], ids=["found", "said"])
@pytest.mark.parametrize(
    ("shape", "match"),
    [
        ([1, 3, 1 << 31, 1 << 31], "takes 2147483648x2147483648 pictures only"),
        ([1, 3, 1 << 31, 8], "takes 8x2147483648 pictures only"),
        ([1, 6_000_003, 16, 16], "takes 2000001 frames at once; at most 31"),
        ([1, 3 * (1 << 40) + 3, "h", "w"], "frames at once"),
    ],
    ids=str,
)
def test_enormous_inputs_cost_nothing(
    clip: vs.VideoNode, shape: list, match: str, metadata: dict[str, str], tmp_path: Path
) -> None:
    """Refused within 2 GiB."""
    import resource

    g = Graph()
    proto = g.proto(g.op("Relu", "input"), metadata)
    proto.graph.input[0].CopyFrom(helper.make_tensor_value_info("input", TensorProto.FLOAT, shape))
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 30), before[1]))
    try:
        refused(clip, proto, tmp_path, match)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("by", [-(1 << 62), 1 << 40, -(1 << 63)])
@pytest.mark.parametrize("place", ["initializer", "constant"])
def test_padding_beyond_all_reason(clip: vs.VideoNode, tmp_path: Path, by: int, place: str) -> None:
    """ONNX Runtime's shape inference ends the process over a slice of what such padding leaves."""
    g = Graph()
    margins = g.const([0, 0, by, by, 0, 0, by, by])
    if place == "constant":
        g.nodes.append(helper.make_node("Constant", [], [margins], value=g.weights.pop()))
    padded = g.op("Pad", "input", margins, mode="edge")
    cut = g.op("Slice", g.conv(padded, 3), g.const([4, 4]), g.const([-4, -4]), g.const([2, 3]))
    refused(clip, g.proto(cut), tmp_path, "pads by more than 1048576 pixels")


def test_a_network_that_fails_slowly_is_not_tried_at_every_size(
    clip: vs.VideoNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def slow(*arguments: object) -> int:
        tried.append(arguments)
        end = time.thread_time() + 0.2
        while time.thread_time() < end:
            pass
        raise ModelError("no")

    monkeypatch.setattr(probe, "scale_of", slow)
    monkeypatch.setattr(probe, "PATIENCE", 0.5)
    g = Graph()
    refused(clip, g.proto(g.op("Einsum", "input", equation="nchw->nchw")), tmp_path, "no")
    assert len(tried) == 3


def test_a_stated_radius_does_not_replace_the_graphs(tmp_path: Path) -> None:
    """Metadata that understate the reach would bring seams."""
    g = Graph()
    path = g.save(
        tmp_path / "m.onnx", g.conv(g.conv("input", 6, 7), 3, 7), {"radius": "1", "multiple": "1", "scale": "1"}
    )
    clip = clips.noise(vs.RGBS, 70, 50, length=1)
    tiled = clip.gansr.Upscale(str(path), tilesize=20)
    assert clips.largest_difference(tiled, clip.gansr.Upscale(str(path))) <= 1e-5
