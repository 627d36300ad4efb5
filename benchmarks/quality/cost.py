"""Measures what a method costs: milliseconds a frame, and a network's multiply-adds.

Times are taken in a process of its own for each method, apart from the measures of quality: runtimes that spin slow
whatever runs beside them in the same process.
"""

from __future__ import annotations

import math
import multiprocessing
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import onnx

from benchmarks.quality import media
from benchmarks.quality.methods import Method, Upscaler
from benchmarks.quality.prepare import Case
from vs_gansr.model import library

FRAMES = 5
"""How many frames are timed, after one that is not."""
SIDE = 256
"""Pixels of the square that multiply-adds are counted on; what a network does once a picture hardly counts there."""
WEIGHTS = {"Conv": 1, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1, "QLinearConv": 3, "ConvInteger": 1}
"""Operators that multiply and add, and which of their inputs is the weights."""


@dataclass(frozen=True)
class Cost:
    """What one method costs."""

    ms: float
    """Median milliseconds a frame."""
    multiply_adds: int | None
    """Per input pixel; None where it is no network or its file does not tell."""


@dataclass(frozen=True)
class Costs:
    """What all methods cost on one clip."""

    clip: str
    """Its name."""
    size: tuple[int, int]
    """Width and height of the input."""
    by_method: Mapping[str, Cost]
    """By the methods' names."""


def measure(cases: Sequence[Case], methods: Sequence[Method]) -> Costs:
    """Times `methods` on the first of `cases` that moves. Raises ValueError where none does."""
    case = next((case for case in cases if case.frames > 1), None)
    if case is None:
        raise ValueError(f"cost: {cases[0].clip} and all others are stills; add a clip of 2 frames or more")
    clip = case.load_source()
    return Costs(case.clip, (clip.width, clip.height), {
        method.name: Cost(milliseconds(method.upscale, case), multiply_adds(method.model) if method.model else None)
        for method in methods
    })  # fmt: skip


def milliseconds(upscale: Upscaler, case: Case) -> float:
    """Median milliseconds a frame of a case's source, one frame at a time, in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as process:
        return process.submit(_milliseconds, upscale, case.source, min(case.frames, FRAMES + 1), case.factor).result()


def _milliseconds(upscale: Upscaler, source: Path, frames: int, factor: int) -> float:
    clip = media.load(source)[:frames]
    clip.std.SetVideoCache(mode=1, fixedsize=1, maxsize=frames)
    for frame in clip.frames(close=True):
        assert frame.width
    large = upscale(clip, factor)
    large.get_frame(0).close()  # engines are made for it
    times = []
    for n in range(1, frames):
        began = time.perf_counter()
        large.get_frame(n).close()
        times.append(1000 * (time.perf_counter() - began))
    return median(times)


def multiply_adds(model: Path) -> int | None:
    """Multiply-adds per input pixel of a network's convolutions and matrix products.

    None where shapes cannot be told from the file.
    """
    spec = library.load(str(model)).spec
    proto = onnx.load(model)
    for value, sides in ((proto.graph.input[0], (1, spec.inputs, SIDE, SIDE)), (proto.graph.output[0], (0, 0, 0, 0))):
        for dimension, length in zip(value.type.tensor_type.shape.dim, sides, strict=True):
            dimension.Clear()  # of names such as "height"
            if length:
                dimension.dim_value = length
    try:
        proto = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    except onnx.shape_inference.InferenceError:
        return None
    graph = proto.graph
    shapes = {value.name: _shape(value) for value in [*graph.value_info, *graph.input, *graph.output]}
    shapes |= {weights.name: list(weights.dims) for weights in graph.initializer}
    total = 0
    for node in graph.node:
        if any(attribute.type == onnx.AttributeProto.GRAPH for attribute in node.attribute):
            return None  # what runs is decided while it runs
        if node.op_type not in WEIGHTS:
            continue
        made, given = shapes.get(node.output[0]), shapes.get(node.input[0])
        weights = shapes.get(node.input[WEIGHTS[node.op_type]])
        if not made or not given or not weights or not all([*made, *given, *weights]):
            return None
        # Each weight of a transposed convolution meets each sample that goes in, of all others each that comes out.
        if node.op_type == "ConvTranspose":
            total += math.prod(given) * math.prod(weights[1:])
        elif "Conv" in node.op_type:
            total += math.prod(made) * math.prod(weights[1:])
        else:
            total += math.prod(made) * given[-1]
    return round(total / (spec.grid * SIDE) ** 2)


def _shape(value: onnx.ValueInfoProto) -> list[int]:
    return [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
