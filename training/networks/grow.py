"""Grow a folded generator into a wider and deeper one that computes the same."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from numpy.typing import NDArray

from .generator import FoldedGenerator

Convolution = tuple[NDArray[np.float32], NDArray[np.float32]]
"""(weight (outputs, inputs, 3, 3), bias (outputs,))."""
MOST_SLOPE = 0.1
"""Of a LeakyReLU that may be applied twice without changing the picture much."""


def grow(plain: FoldedGenerator, width: int, convolutions: int, seed: int, noise: float = 0.02) -> FoldedGenerator:
    """`plain` with `width` features and `convolutions` convolutions, the same function but for `noise`.

    After T. Chen et al., Net2Net (arXiv 1511.05641): since ReLU(ReLU(x)) = ReLU(x), extra layers begin as identities,
    spread evenly (a LeakyReLU of a small slope passes what is below 0 with the slope squared: nearly the same); extra
    features begin with random inputs and unheard. `noise` breaks what symmetry is left: its deviation, as a share of a
    fresh layer's (K. He et al., arXiv 1502.01852); 0 leaves the function exactly as it is.
    All that is random is a function of `seed`.

    Raises:
        ValueError: the generator is larger than that already, or must grow in depth with a slope above `MOST_SLOPE`.
    """
    features, depth = int(plain.convolutions[0][0].shape[0]), len(plain.convolutions)
    if width < features or convolutions < depth or depth < 2:
        raise ValueError(f"grow: {features} features x {depth} convolutions do not fit into {width} x {convolutions}")
    if plain.slope > MOST_SLOPE and convolutions > depth:
        raise ValueError(
            f"grow: LeakyReLU of slope {plain.slope} twice is not itself; slopes up to {MOST_SLOPE} grow in depth"
        )
    random = np.random.default_rng(seed)
    hidden = [plain.convolutions[0], *(_identity(features) for _ in range(convolutions - 2))]
    for index, layer in enumerate(plain.convolutions[:-1]):
        hidden[index * (convolutions - 1) // (depth - 1)] = layer
    grown = [_widen(layer, width, index > 0, random) for index, layer in enumerate(hidden)]
    last, bias = plain.convolutions[-1]
    grown.append((_pad(last, last.shape[0], width), bias))
    if noise:
        grown = [(_noisy(kernel, noise, random), bias) for kernel, bias in grown]
    return dataclasses.replace(plain, convolutions=tuple(grown))


def _identity(features: int) -> Convolution:
    kernel = np.zeros((features, features, 3, 3), np.float32)
    kernel[:, :, 1, 1] = np.eye(features, dtype=np.float32)
    return kernel, np.zeros(features, np.float32)


def _pad(kernel: NDArray[np.float32], outputs: int, inputs: int) -> NDArray[np.float32]:
    more = ((0, outputs - kernel.shape[0]), (0, inputs - kernel.shape[1]), (0, 0), (0, 0))
    return np.pad(kernel, more)


def _widen(layer: Convolution, width: int, inner: bool, random: np.random.Generator) -> Convolution:
    """`layer` with `width` outputs, and as many inputs where it is an inner one; new features are not listened to."""
    kernel, bias = layer
    old = kernel.shape[0]
    wide = _pad(kernel, width, width if inner else kernel.shape[1])
    wide[old:] = random.normal(0, _spread(wide), wide[old:].shape)
    return wide, np.pad(bias, (0, width - old))


def _spread(kernel: NDArray[np.float32]) -> float:
    return float(np.sqrt(2 / (kernel.shape[1] * kernel.shape[2] * kernel.shape[3])))


def _noisy(kernel: NDArray[np.float32], noise: float, random: np.random.Generator) -> NDArray[np.float32]:
    disturbed: NDArray[np.float32] = kernel + random.normal(0, noise * _spread(kernel), kernel.shape).astype(np.float32)
    return disturbed


def carry_chroma(plain: FoldedGenerator) -> FoldedGenerator:
    """A folded generator with colour whose hidden layers each hand U and V on in the two features heard least.

    Those features' own work is lost. Without such a way to the last layers, where edges are known, chroma's losses
    change almost nothing in a chain that was trained on luma.
    """
    layers = [(kernel.copy(), bias.copy()) for kernel, bias in plain.convolutions]
    planes = plain.phases**2
    carriers = [planes, planes + 1]
    for (kernel, bias), (after, _) in itertools.pairwise(layers):
        heard = np.linalg.norm(kernel.reshape(len(kernel), -1), axis=1) * np.linalg.norm(
            after.transpose(1, 0, 2, 3).reshape(len(kernel), -1), axis=1
        )
        found = [int(index) for index in np.argsort(heard)[:2]]
        kernel[found], bias[found], after[:, found] = 0, 0, 0
        kernel[found, carriers, 1, 1] = 1
        carriers = found
    return dataclasses.replace(plain, convolutions=tuple(layers))
