"""A model and its faithful model, small, with random weights, whose results stay near an enlarged picture."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import networks
import numpy as np
import onnx
from onnx import helper, numpy_helper

from vs_gansr.model.rewrite.int8 import quantise

CHANNELS = {"luma": 1, "RGB": 3, "4:2:0": 6}
COLOURS = {"luma": "luma", "RGB": "rgb", "4:2:0": "yuv420"}
DETAIL = 0.1  # weight of the last convolution: results stay within black and white for pictures amid them


def network(path: Path, kind: str, seed: int, convs: int = 2, scale: int = 2) -> Path:
    """Repeats every sample and adds what `convs` convolutions of 3 x 3 give; `kind` is "luma", "RGB" or "4:2:0"."""
    rng = np.random.default_rng(seed)
    channels = CHANNELS[kind]
    made = channels * scale * scale
    widths = [channels, *[8] * (convs - 1), made]
    weights = {"repeat": repeating(kind, scale)}
    nodes = [helper.make_node("Conv", ["input", "repeat"], ["repeated"])]
    last = "input"
    for i, (a, b) in enumerate(pairwise(widths)):
        size = DETAIL if i == convs - 1 else 1.0
        weights[f"w{i}"] = rng.normal(0, size * (2 / (9 * a)) ** 0.5, (b, a, 3, 3))
        weights[f"b{i}"] = rng.normal(0, size * 0.05, b)
        nodes.append(helper.make_node("Conv", [last, f"w{i}", f"b{i}"], [f"c{i}"], pads=[1] * 4))
        last = f"c{i}"
        if i < convs - 1:
            nodes.append(helper.make_node("Relu", [last], [f"r{i}"]))
            last = f"r{i}"
    cells = kind != "4:2:0"
    nodes.append(helper.make_node("Add", [last, "repeated"], ["sum" if cells else "output"]))
    if cells:
        nodes.append(helper.make_node("DepthToSpace", ["sum"], ["output"], blocksize=scale, mode="CRD"))
    tensors = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    said = {"name": path.stem, "colour": COLOURS[kind], "scale": str(scale), "range": "1", "clamp": "0"}
    return networks.save(path, nodes, tensors, channels, said, channels if cells else made)


def repeating(kind: str, scale: int) -> np.ndarray:
    """The kernel, 1 x 1, that repeats every sample `scale` times in both directions."""
    if kind != "4:2:0":
        return np.repeat(np.eye(CHANNELS[kind]), scale * scale, 0)[:, :, None, None]
    kernel = np.zeros((6 * scale * scale, 6, 1, 1))
    for row in range(2 * scale):
        for column in range(2 * scale):
            kernel[2 * scale * row + column, 2 * (row // scale) + column // scale] = 1
    for plane in (4, 5):
        kernel[plane * scale * scale :][: scale * scale, plane] = 1
    return kernel


def pair(folder: Path, faithful: str, shipped: str, int8: bool = False, **options: int) -> Path:
    """The file of a model of the kind `shipped`, with its faithful model beside it; with `int8` their variants, too."""
    paths = [
        network(folder / "one-psnr.onnx", faithful, 1, 3, **options),
        network(folder / "one.onnx", shipped, 2, **options),
    ]
    for path in paths if int8 else ():
        channels = onnx.load(str(path)).graph.input[0].type.tensor_type.shape.dim[1].dim_value
        pictures = (np.random.default_rng(i).random((1, channels, 32, 32), np.float32) for i in range(2))
        path.with_suffix(".int8.onnx").write_bytes(quantise(path.read_bytes(), pictures))
    return paths[1]
