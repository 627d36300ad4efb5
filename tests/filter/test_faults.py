"""When providers fail, every frame arrives, correct and in order; values that are not finite never do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import clips
import numpy as np
import onnx
import pytest
import vapoursynth as vs
from graphs import Graph
from onnx.reference import ReferenceEvaluator

from vs_gansr.engine.base import EngineKey
from vs_gansr.engine.engines import engines
from vs_gansr.engine.onnxruntime.engine import Stream
from vs_gansr.engine.onnxruntime.provider import CPU
from vs_gansr.model.rewrite import float16

MESSAGES = {"memory": "Failed to allocate memory for requested buffer of size 99", "random": "the bus fell off"}


class Faulty:
    """Stands between a stream and its session; `next_fault` says what happens to each run."""

    def __init__(self, real: Any, stream: Stream, next_fault: Callable[[Stream], str | None]) -> None:
        self.real = real
        self.stream = stream
        self.next_fault = next_fault

    def run_with_iobinding(self, binding: Any) -> None:
        fault = self.next_fault(self.stream)
        if fault in MESSAGES:
            raise RuntimeError(MESSAGES[fault])
        self.real.run_with_iobinding(binding)
        if fault == "sleep":
            time.sleep(0.02)
        if fault in ("nan", "inf"):
            self.stream.output[0, 0, -1, -1] = np.nan if fault == "nan" else -np.inf


class Faults:
    """Draws faults at random, seeded, and counts them."""

    def __init__(self, chances: dict[str, float], seed: int = 0) -> None:
        self.chances = chances
        self.rng = np.random.default_rng(seed)
        self.drawn: dict[str, int] = {}
        self.lock = threading.Lock()

    def __call__(self, stream: Stream) -> str | None:
        with self.lock:
            kinds = [*self.chances, None]
            fault = self.rng.choice(len(kinds), p=[*self.chances.values(), 1 - sum(self.chances.values())])
            kind = kinds[fault]
            if kind == "memory":  # the smaller the picture, the less likely
                kind = kind if self.rng.random() < stream.input.size / (3 * 40 * 24) else None
            if kind:
                self.drawn[kind] = self.drawn.get(kind, 0) + 1
            return kind


@pytest.fixture
def inject(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[Stream], str | None]], None]]:
    """Makes all sessions from here on faulty."""

    original = Stream.__init__

    def put_in(next_fault: Callable[[Stream], str | None]) -> None:
        for key in engines:  # those in use are not to be shared either
            engines.forget(key)

        def init(self: Stream, *arguments: Any, **more: Any) -> None:
            original(self, *arguments, **more)
            self._session = Faulty(self._session, self, next_fault)  # type: ignore[assignment]

        monkeypatch.setattr(Stream, "__init__", init)

    yield put_in
    monkeypatch.undo()
    for key in engines:
        engines.forget(key)


def numbered(length: int) -> vs.VideoNode:
    """A clip whose frames differ and carry their number."""
    clip = clips.noise(vs.RGBS, 40, 24, length=length)
    return clip.std.ModifyFrame(clip, number)


def number(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
    out = f.copy()
    out.props["n"] = n
    return out


def check_all(clip: vs.VideoNode, model: Path, length: int, **arguments: Any) -> None:
    """Every frame of `length`, in order, as a session without faults computes them (`want`)."""
    out = clip.gansr.Upscale(str(model), reuse=0, **arguments)
    for n, frame in enumerate(out.frames(close=True)):
        assert frame.props["n"] == n
        for got, want in zip(clips.planes(frame), WANT[n], strict=True):
            assert np.abs(got - want).max() <= 1e-5, n
    assert n == length - 1


WANT: list[list[np.ndarray]] = []


@pytest.fixture(scope="module")
def clip500(small_model: Path) -> vs.VideoNode:
    clip = numbered(500)
    WANT[:] = [clips.planes(frame) for frame in clip.gansr.Upscale(str(small_model), reuse=0).frames(close=True)]
    return clip


@pytest.mark.parametrize("streams", [1, 3])
def test_500_frames_through_a_failing_provider(streams: int, clip500, small_model, inject, said) -> None:
    faults = Faults({"memory": 0.05, "random": 0.1, "nan": 0.05, "inf": 0.03, "sleep": 0.05}, seed=streams)
    inject(faults)
    check_all(clip500, small_model, 500, num_streams=streams)
    assert all(faults.drawn.get(kind, 0) >= 1 for kind in faults.chances), faults.drawn
    assert sum("out of system memory with tiles" in line for line in said) <= 1
    assert sum("the bus fell off" in line for line in said) == 1


def test_a_shortage_at_large_tiles_only(clip500, small_model, inject, said) -> None:
    """Smaller tiles, for this frame and those after it, and one line about it."""
    sizes: list[tuple[int, int]] = []

    def large(stream: Stream) -> str | None:
        height, width = stream.input.shape[2:]
        sizes.append((width, height))
        return "memory" if width * height > 400 else None

    inject(large)
    check_all(clip500, small_model, 500)
    failed = [size for size in sizes if size[0] * size[1] > 400]
    assert len(failed) <= 4 * len(set(failed)) + 4 * vs.core.num_threads  # frames that were under way already
    assert len(sizes) > 1000
    assert [line for line in said if "memory" in line] == [
        "Upscale: out of system memory with tiles of 40x24 "
        f"(ONNX Runtime failed: {MESSAGES['memory']}); continuing with smaller ones"
    ]


def test_what_never_works_is_one_clear_error(small_model: Path, inject, said) -> None:
    clip = numbered(3)
    inject(lambda stream: "random")
    out = clip.gansr.Upscale(str(small_model))
    with pytest.raises(vs.Error, match=r"^Upscale: frame 1: ONNX Runtime failed: the bus fell off$"):
        out.get_frame(1)
    inject(lambda stream: "nan")
    out = clip.gansr.Upscale(str(small_model))
    with pytest.raises(vs.Error, match=r"^Upscale: frame 2: the network returned NaN or infinity for this frame; try"):
        out.get_frame(2)


def test_a_session_that_broke_for_good_is_replaced(small_model: Path, inject) -> None:
    broken: set[int] = set()

    def once(stream: Stream) -> str | None:
        broken.add(id(stream)) if not broken else None
        return "random" if id(stream) in broken else None

    clip = numbered(2)
    want = [clips.planes(f) for f in clip.gansr.Upscale(str(small_model)).frames(close=True)]
    held: list[Stream] = []  # so that no id comes twice
    inject(lambda stream: held.append(stream) or once(stream))
    for n, frame in enumerate(clip.gansr.Upscale(str(small_model)).frames(close=True)):
        assert all(np.array_equal(a, b) for a, b in zip(clips.planes(frame), want[n], strict=True))


# ---- Half precision


@pytest.fixture(scope="module")
def loud_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Squares ten thousand times its input on the way: bright pixels overflow half floats, dark ones do not."""
    g = Graph()
    hidden = g.conv("input", 4)
    loud = g.op("Mul", hidden, g.const(300.0, np.float32))
    squared = g.op("Mul", loud, loud)
    return g.save(
        tmp_path_factory.mktemp("loud") / "loud.onnx",
        g.conv(g.op("Mul", squared, g.const(1 / 90000, np.float32)), 3),
        {"scale": "1", "clamp": "0"},
    )


def shades(values: list[float]) -> vs.VideoNode:
    core = vs.core.core
    return core.std.Splice(
        [core.std.BlankClip(format=vs.RGBS, width=24, height=16, length=1, color=[v] * 3) for v in values]
    )


class RealHalf:
    """A session that computes in half floats truly: ONNX Runtime's CPU provider takes float32 and hides overflow."""

    def __init__(self, data: bytes, stream: Stream) -> None:
        self.evaluator = ReferenceEvaluator(onnx.load_model_from_string(data))
        self.stream = stream

    def run_with_iobinding(self, binding: Any) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            self.stream.output[:] = self.evaluator.run(None, {"input": self.stream.input})[0]


@pytest.fixture
def real_half(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Half-precision arithmetic, without the trial that would find the pictures that overflow."""
    monkeypatch.setattr(float16, "overflowing", lambda *_: frozenset())
    engines.clear()
    create, init = CPU.session, Stream.__init__
    made: dict[int, bytes] = {}

    def remember(data: bytes, *arguments: Any) -> Any:
        result = create(data, *arguments)
        made[id(result)] = data
        return result

    def replaced(self: Stream, real: Any, spec: Any, key: EngineKey, *more: Any) -> None:
        init(self, real, spec, key, *more)
        if key.precision == "fp16":
            self._session = RealHalf(made[id(real)], self)  # type: ignore[assignment]

    monkeypatch.setattr(CPU, "session", remember)
    monkeypatch.setattr(Stream, "__init__", replaced)
    yield
    monkeypatch.undo()
    engines.clear()


def test_overflowing_frames_are_computed_again(loud_model: Path, real_half: None, said: list[str]) -> None:
    clip = shades([0.1, 5.0, 0.1, 6.0, 0.2, 7.0, 8.0, 9.0])
    half = clip.gansr.Upscale(str(loud_model), precision="fp16", provider="CPU")
    full = clip.gansr.Upscale(str(loud_model), precision="fp32", provider="CPU")
    for n in range(8):
        got, want = (clips.planes(c.get_frame(n)) for c in (half, full))
        for a, b in zip(got, want, strict=True):
            assert np.isfinite(a).all()
            np.testing.assert_allclose(a, b, rtol=0.02, atol=1e-3)
            if n in (1, 3, 5, 6, 7):
                np.testing.assert_array_equal(a, b)
    lines = [line.removeprefix("Upscale: ") for line in said if "frame" in line]
    again = "overflows half precision and is computed again in float32"
    assert lines == [
        f"frame 1 {again}",
        f"frame 3 {again}",
        f"frame 5 {again}",
        "3 frames overflowed half precision; all further frames are computed in float32",
    ]


def test_the_watch_sees_one_pixel(loud_model: Path, real_half: None) -> None:
    clip = shades([0.1, 0.1])

    def spot(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        np.asarray(out[1])[7, 11] = 60
        return out

    dotted = clip.std.ModifyFrame(clip, spot)
    got = dotted.gansr.Upscale(str(loud_model), precision="fp16", provider="CPU", tilesize=[10, 10])
    want = dotted.gansr.Upscale(str(loud_model), precision="fp32", provider="CPU")
    assert clips.largest_difference(got, want) <= 1e-2


# ---- What goes in


def with_values(fmt: int, values: list[float]) -> vs.VideoNode:
    """A grey frame with `values` strewn over every plane."""
    clip = clips.noise(fmt, 32, 16, length=2, props={"_Matrix": 1} if fmt in (vs.YUV444PS, vs.YUV420PS) else None)

    def strew(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        for i in range(out.format.num_planes):
            plane = np.asarray(out[i])
            plane[1 :: plane.shape[0] // 2, : len(values)] = values
        return out

    return clip.std.ModifyFrame(clip, strew)


FLOATS = [vs.RGBS, vs.RGBH, vs.GRAYS, vs.GRAYH, vs.YUV444PS, vs.YUV420PS]


@pytest.mark.parametrize("fmt", FLOATS, ids=lambda f: vs.core.get_video_format(f).name)
def test_what_is_not_finite_counts_as_0_or_the_largest_half(fmt: int, small_model: Path, said: list[str]) -> None:
    bad = with_values(fmt, [np.nan, np.inf, -np.inf]).gansr.Upscale(str(small_model))
    tame = with_values(fmt, [0, 65504, -65504]).gansr.Upscale(str(small_model))
    for n in range(2):
        assert clips.largest_difference(bad, tame, n) == 0
        if fmt not in (vs.RGBH, vs.GRAYH):  # which cannot hold what the network makes of 65504
            assert all(np.isfinite(p).all() for p in clips.planes(bad.get_frame(n)))
    assert sum("NaN counts as 0" in line for line in said) == 1


def test_far_beyond_half_floats(small_model: Path) -> None:
    bad = with_values(vs.RGBS, [1e30, -3e38]).gansr.Upscale(str(small_model))
    tame = with_values(vs.RGBS, [65504, -65504]).gansr.Upscale(str(small_model))
    assert clips.largest_difference(bad, tame) == 0


@pytest.mark.parametrize("fmt", [vs.RGBS, vs.GRAYS, vs.YUV444PS], ids=str)
def test_values_outside_0_to_1_pass_as_they_are(fmt: int, point_model: Path) -> None:
    clip = with_values(fmt, [-0.5, 1.5, 100, -7])
    out = clip.gansr.Upscale(str(point_model))
    large = clip.resize.Point(64, 32)
    assert clips.largest_difference(out, large) <= 1e-4


def test_integers_are_clamped_by_the_conversion_only(core: vs.Core, point_model: Path) -> None:
    """Blacker than black and whiter than white survive: 8 bit limited range holds them."""
    clip = core.std.BlankClip(format=vs.YUV444P8, width=16, height=16, length=1, color=[3, 128, 128])
    clip = clip.std.SetFrameProps(_Matrix=1)
    assert clips.planes(clip.gansr.Upscale(str(point_model)).get_frame(0))[0].min() == 3
