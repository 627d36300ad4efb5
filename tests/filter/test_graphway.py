"""The plugin with colour in the graph: who takes that way, who is sent around it, and what happens when it fails."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import clips
import networks
import numpy as np
import onnx
import pytest
import vapoursynth as vs

from vs_gansr.engine import graphflow, providers
from vs_gansr.engine.flow import Flow
from vs_gansr.errors import ModelError, RenderError
from vs_gansr.filter import graphway

YUV = {"_Matrix": 1}


@pytest.fixture(autouse=True)
def graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANSR_COLOUR", "graph")
    gc.collect()  # an earlier test's clip may still hold its session
    graphflow.flows.clear()


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Flow]:
    """Every run of a flow, in order."""
    seen: list[Flow] = []
    original = Flow.run

    def run(self: Flow, *planes: Any) -> bool:
        seen.append(self)
        return original(self, *planes)

    monkeypatch.setattr(Flow, "run", run)
    return seen


@pytest.fixture
def said(core: vs.Core) -> Any:
    """Warnings and other messages of the core while the test runs."""
    messages: list[str] = []
    handle = core.add_log_handler(lambda kind, message: messages.append(message))
    yield messages
    core.remove_log_handler(handle)


def around(clip: vs.VideoNode, monkeypatch: pytest.MonkeyPatch, *arguments: Any, **named: Any) -> vs.VideoNode:
    """The same call with zimg around the session."""
    with monkeypatch.context() as patch:
        patch.setenv("GANSR_COLOUR", "zimg")
        return clip.gansr.Upscale(*arguments, **named)


def test_cuda_goes_this_way_and_the_cpu_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for asked, cpu, gpu in (("", False, True), ("graph", True, True), ("zimg", False, False), ("GRAPH", True, True)):
        monkeypatch.setenv("GANSR_COLOUR", asked)
        assert (graphway.wanted(providers.CPU), graphway.wanted(providers.CUDA)) == (cpu, gpu)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (vs.YUV420P8, None), (vs.YUV420P10, None), (vs.YUV422P16, None), (vs.YUV444PS, None), (vs.YUV420PH, None),
        (vs.RGB24, None), (vs.RGBS, None), (vs.GRAY16, None), (vs.GRAYH, None), (vs.YUV420P8, vs.YUV420P10),
        (vs.YUV420P8, vs.RGB24), (vs.YUV420P8, vs.RGBS), (vs.RGB24, vs.YUV420P16), (vs.RGB24, vs.YUV444P16),
        (vs.YUV420P10, vs.GRAY16), (vs.GRAY8, vs.YUV422P8), (vs.GRAY8, vs.RGB48), (vs.YUV444P8, vs.YUV444PS),
    ],
    ids=str,
)  # fmt: skip
def test_same_picture_and_properties_as_around(
    source: int, target: int | None, small_model: Path, runs: list[Flow], monkeypatch: pytest.MonkeyPatch
) -> None:
    more = {"_ChromaLocation": 1, "_Range": 0, "_Primaries": 9, "_Transfer": 16, "Custom": 5}
    family = vs.core.get_video_format(source).color_family
    clip = clips.noise(source, 36, 20, length=2, props=(YUV | more) if family == vs.YUV else {"Custom": 5})
    named: dict[str, Any] = {"provider": "CPU"} | ({"format": target} if target else {})
    inside = clip.gansr.Upscale(str(small_model), **named)
    outside = around(clip, monkeypatch, str(small_model), **named)
    floats = inside.format.sample_type == vs.FLOAT
    for n in range(2):
        assert clips.largest_difference(inside, outside, n) <= (2e-3 if floats else 1)
        assert dict(inside.get_frame(n).props) == dict(outside.get_frame(n).props)
    assert (inside.width, inside.format.id, inside.fps) == (outside.width, outside.format.id, outside.fps)
    assert len(runs) == 2


@pytest.mark.parametrize(
    ("source", "named", "props"),
    [
        (vs.YUV420P16, {"format": vs.YUV420P8}, {}),  # error diffusion
        (vs.YUV444PS, {"format": vs.YUV444P16}, {}),
        (vs.YUV444P16, {}, {"_Matrix": 10, "_Transfer": 14, "_Primaries": 9}),  # constant luminance
        (vs.YUV444P16, {}, {"_Matrix": 14, "_Transfer": 16, "_Primaries": 9}),  # ICtCp
        (vs.YUV420P8, {"tilesize": [24, 16], "overlap": 4}, {}),  # tiles are put together outside
    ],
    ids=str,
)
def test_what_only_the_other_way_can_do_takes_it(
    source: int, named: dict[str, Any], props: dict[str, int], small_model: Path, runs: list[Flow],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    clip = clips.noise(source, 36, 20, length=1, props=YUV | props)
    inside = clip.gansr.Upscale(str(small_model), **named)
    assert clips.largest_difference(inside, around(clip, monkeypatch, str(small_model), **named)) == 0
    assert not runs


def test_clip_that_changes_size_tags_and_format(
    small_model: Path, runs: list[Flow], monkeypatch: pytest.MonkeyPatch, core: vs.Core
) -> None:
    parts = [
        clips.noise(vs.YUV420P8, 32, 16, 2, props=YUV),
        clips.noise(vs.YUV420P8, 32, 16, 2, props={"_Matrix": 5, "_Range": 1, "_ChromaLocation": 2}),
        clips.noise(vs.YUV444P16, 18, 30, 1, props={"_Matrix": 14, "_Transfer": 16, "_Primaries": 9}),
        clips.noise(vs.RGB24, 20, 10, 2),
        clips.noise(vs.GRAY16, 9, 7, 2),
        clips.noise(vs.YUV420P8, 32, 16, 2, props=YUV),
    ]
    clip = core.std.Splice(parts, mismatch=True)
    inside, outside = clip.gansr.Upscale(str(small_model)), around(clip, monkeypatch, str(small_model))
    for n in reversed(range(clip.num_frames)):
        assert clips.largest_difference(inside, outside, n) <= 1
        assert dict(inside.get_frame(n).props) == dict(outside.get_frame(n).props)
    assert len({id(flow) for flow in runs}) == 4  # one for each format and set of tags, ICtCp apart


def test_many_requests_at_once(small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = clips.noise(vs.YUV420P10, 64, 36, length=24, props=YUV)
    inside = clip.gansr.Upscale(str(small_model), num_streams=2)
    outside = around(clip, monkeypatch, str(small_model))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: clips.largest_difference(inside, outside, n), [*range(24), *range(0, 24, 5)]))
    assert max(found) <= 1


def test_frames_that_overflow_half_precision(
    small_model: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    """Told by the watch, computed again in float32; after three of them float32 stays."""
    clip = clips.noise(vs.YUV420P8, 32, 16, length=8, props=YUV)
    asked: list[str] = []
    original_make, original_run = graphflow.make, Flow.run

    def make(model: Any, key: graphflow.FlowKey) -> Flow:
        flow = original_make(model, key)
        flow.precision = key.precision  # type: ignore[attr-defined]
        return flow

    def run(self: Flow, *planes: Any) -> bool:
        original_run(self, *planes)
        asked.append(self.precision)  # type: ignore[attr-defined]
        return self.precision != "fp16"  # type: ignore[attr-defined]

    monkeypatch.setattr(graphflow, "make", make)
    monkeypatch.setattr(Flow, "run", run)
    out = clip.gansr.Upscale(str(small_model), precision="fp16")
    outside = around(clip, monkeypatch, str(small_model), precision="fp32")
    for n in range(8):
        assert clips.largest_difference(out, outside, n) <= 1
    assert asked == ["fp16", "fp32"] * 3 + ["fp32"] * 5
    assert "Upscale: frame 0 overflows half precision and is computed again in float32" in said
    assert "Upscale: after 3 such frames float32 is used from here on" in said


@pytest.mark.parametrize("failing", ["make", "run"])
def test_failures_lead_around_and_lose_no_frame(
    failing: str, small_model: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    clip = clips.noise(vs.YUV420P8, 32, 16, length=4, props=YUV)
    outside = around(clip, monkeypatch, str(small_model))
    tries = []

    def fail(*arguments: Any) -> Any:
        tries.append(arguments)
        raise (ModelError if failing == "make" else RenderError)("CUDA failure 2: out of memory")

    monkeypatch.setattr(*((graphflow, "make", fail) if failing == "make" else (Flow, "run", fail)))
    out = clip.gansr.Upscale(str(small_model))
    for n in range(4):
        assert clips.largest_difference(out, outside, n) == 0
    assert len(tries) == 1  # the way is left for good
    [line] = [message for message in said if "goes around" in message]
    assert "CUDA failure 2: out of memory" in line and line.startswith("Upscale: ")


def test_network_without_numbers_is_left_to_the_other_way(small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Flow, "run", lambda *arguments: False)
    clip = clips.noise(vs.YUV420P8, 32, 16, length=1, props=YUV)
    out = clip.gansr.Upscale(str(small_model))
    assert out.get_frame(0).width == 64  # the other way judges for itself


def test_flows_go_with_the_clip(small_model: Path) -> None:
    def streams() -> int:
        return sum(thread.name == "gansr stream" for thread in threading.enumerate())

    clip = clips.noise(vs.YUV420P8, 32, 16, length=2, props=YUV)
    for _ in range(5):
        out = clip.gansr.Upscale(str(small_model), num_streams=3)
        out.get_frame(1)
        del out
    assert len(graphflow.flows) == 1 and streams() == 3  # the same one each time
    graphflow.flows.clear()
    for thread in list(threading.enumerate()):
        if thread.name == "gansr stream":
            thread.join(10)
    assert streams() == 0


def test_unset_matrix_is_guessed_before_the_graph_is_made(small_model: Path, said: list[str]) -> None:
    clip = clips.noise(vs.YUV420P8, 32, 16, length=1).std.RemoveFrameProps("_Matrix")
    out = clip.gansr.Upscale(str(small_model))
    assert out.get_frame(0).props["_Matrix"] == 6
    assert np.asarray(out.get_frame(0)[0]).shape == (32, 64)
    assert any("does not say its matrix" in message for message in said)


@pytest.mark.parametrize("opset", [9, 11])
def test_networks_of_old_opsets_go_this_way_too(
    opset: int, tmp_path: Path, runs: list[Flow], monkeypatch: pytest.MonkeyPatch
) -> None:
    proto = onnx.load(str(networks.compact(tmp_path / "m.onnx", 8, 3)))
    proto.opset_import[0].version = opset
    if opset < 11:
        next(node for node in proto.graph.node if node.op_type == "DepthToSpace").ClearField("attribute")
        proto.graph.node[-1].attribute.add(name="blocksize", type=onnx.AttributeProto.INT, i=2)
    path = tmp_path / "old.onnx"
    onnx.save(proto, str(path))
    clip = clips.noise(vs.YUV420P8, 36, 20, length=1, props=YUV)
    got = clip.gansr.Upscale(str(path), provider="CPU")
    assert clips.largest_difference(got, around(clip, monkeypatch, str(path), provider="CPU")) <= 1
    assert len(runs) == 1
