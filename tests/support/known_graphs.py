"""Graphs whose receptive field and size rule are known, for tests of the analysis and of tiles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from graphs import Graph

__all__ = ["CASES", "shuffled", "unet", "unpadded"]


def kernels(g: Graph) -> str:
    return g.conv(g.conv("input", 6, 5), 3, (1, 7))


def dilated(g: Graph) -> str:
    return g.conv(g.conv("input", 6, 3, dilation=3), 3, 3, dilation=2)


def unpadded(g: Graph) -> str:
    padded = g.op("Pad", "input", g.const([0, 0, 5, 5, 0, 0, 5, 5]), mode="reflect")
    return g.conv(g.conv(padded, 6, 7, pad=[0] * 4), 3, 5, pad=[0] * 4)


def lopsided(g: Graph) -> str:
    return g.conv("input", 3, 5, pad=[4, 4, 0, 0])


def cropped(g: Graph) -> str:
    padded = g.op("Pad", "input", g.const([0, 0, 4, 4, 0, 0, 4, 4]), mode="edge")
    inner = g.conv(padded, 3, 3)
    return g.op("Slice", inner, g.const([4, 4]), g.const([-4, -4]), g.const([2, 3]))


def strided(g: Graph) -> str:
    down = g.op("Relu", g.conv("input", 8, 3, stride=2, pad=[1, 1, 1, 1]))
    return g.up(g.conv(down, 8, 3), 3)


def twice_strided(g: Graph) -> str:
    down = g.conv(g.conv("input", 6, 2, stride=2, pad=[0] * 4), 6, 2, stride=2, pad=[0] * 4)
    return g.up(g.up(g.conv(down), 6, 2, pad=0), 3, 2, pad=0)


def unet(g: Graph) -> str:
    skip = g.conv("input", 6)
    low = g.conv(g.op("MaxPool", skip, kernel_shape=[2, 2], strides=[2, 2]), 6)
    return g.conv(g.op("Add", skip, g.up(low, 6, 2, pad=0)), 3)


def shuffled(g: Graph) -> str:
    low = g.conv(g.space_to_depth("input"), 16)
    return g.depth_to_space(g.conv(low, 48), 4)


def unshuffled(g: Graph) -> str:
    return g.depth_to_space(g.conv(g.conv(g.unshuffle("input"), 12), 12))


def nearest(g: Graph) -> str:
    large = g.resize(
        g.conv("input"), 2, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    )
    return g.conv(large, 3)


def linear(g: Graph) -> str:
    return g.resize(g.conv("input", 3), 3, mode="linear")


def cubic(g: Graph) -> str:
    return g.resize(g.conv("input", 3), 2, mode="cubic")


def cubic_at_whole_places(g: Graph) -> str:
    return g.resize("input", 2, mode="cubic", coordinate_transformation_mode="asymmetric")


def there_and_back(g: Graph) -> str:
    small = g.resize(g.conv("input"), 0.5, mode="linear")
    return g.resize(g.conv(small, 3), 4, mode="linear")


def by_sizes(g: Graph) -> str:
    shape = g.op("Shape", "input")
    spatial = g.op("Slice", shape, g.const([2]), g.const([4]), g.const([0]))
    sizes = g.op("Concat", g.const([1, 3]), g.op("Mul", spatial, g.const([2])), axis=0)
    return g.op("Resize", g.conv("input", 3), "", "", sizes, mode="linear")


def branches(g: Graph) -> str:
    a, b = g.conv("input", 4), g.conv("input", 4, 7)
    both = g.op("Concat", a, g.op("PRelu", b, g.const(np.full((4, 1, 1), 0.2), np.float32)), axis=1, width=8)
    left, right = g.op("Split", both, g.const([3, 5]), axis=1, outputs=2, width=3)
    return g.conv(g.op("Sum", left, g.conv(g.op("Sigmoid", right, width=5), 3)), 3)


def averaged(g: Graph) -> str:
    return g.conv(g.op("AveragePool", "input", kernel_shape=[3, 3], pads=[1] * 4), 3, 1)


def channels_last(g: Graph) -> str:
    """A normalisation over channels and a matrix, as ConvNeXt-like networks have them."""
    last = g.op("Transpose", g.conv("input", 6), perm=[0, 2, 3, 1])
    mean = g.op("ReduceMean", last, axes=[-1])
    centred = g.op("Sub", last, mean)
    spread = g.op(
        "Sqrt", g.op("Add", g.op("ReduceMean", g.op("Mul", centred, centred), axes=[3]), g.const(1e-3, np.float32))
    )
    normal = g.op("Div", centred, spread)
    mixed = g.op("MatMul", normal, g.const(g.rng.normal(0, 0.4, (6, 6)), np.float32))
    return g.conv(g.op("Transpose", mixed, perm=[0, 3, 1, 2]), 3)


def windows(g: Graph) -> str:
    """Attention within windows of 4 x 4, nothing across."""
    shape = g.op("Shape", "input")
    h, w = (g.op("Div", g.op("Gather", shape, g.const([i])), g.const([4])) for i in (2, 3))
    cut = g.op("Reshape", g.conv("input", 3, 1), g.op("Concat", g.const([3]), h, g.const([4]), w, g.const([4]), axis=0))
    tokens = g.op("Reshape", g.op("Transpose", cut, perm=[1, 3, 2, 4, 0]), g.const([-1, 16, 3]))
    scores = g.op("Softmax", g.op("MatMul", tokens, g.op("Transpose", tokens, perm=[0, 2, 1])), axis=-1)
    mixed = g.op("MatMul", scores, tokens)
    joined = g.op("Reshape", mixed, g.op("Concat", h, w, g.const([4, 4, 3]), axis=0))
    turned = g.op("Transpose", joined, perm=[4, 0, 2, 1, 3])
    size = g.op("Concat", g.const([1, 3]), g.op("Mul", h, g.const([4])), g.op("Mul", w, g.const([4])), axis=0)
    return g.op("Reshape", turned, size, width=3)


CASES: list[tuple[Callable[[Graph], str], int, int]] = [
    (kernels, 5, 1),
    (dilated, 5, 1),
    (unpadded, 5, 1),
    (lopsided, 4, 1),
    (cropped, 1, 1),
    (strided, 5, 2),
    (twice_strided, 7, 4),
    (unet, 5, 2),
    (shuffled, 5, 2),
    (unshuffled, 5, 2),
    (nearest, 2, 1),
    (linear, 2, 1),
    (cubic, 3, 1),
    (cubic_at_whole_places, 2, 1),
    (there_and_back, 5, 2),
    (by_sizes, 2, 1),
    (branches, 5, 1),
    (averaged, 1, 1),
    (channels_last, 2, 1),
    (windows, 3, 4),
]
