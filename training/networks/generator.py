"""Define the generator: branches in training, single convolutions once it is folded."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from vs_gansr.colour.tags import BT709_LUMA

from ..material.luma import luma
from ..recipe.config import GeneratorConfig


@dataclass(frozen=True)
class FoldedGenerator:
    """A folded generator, the network of luma that ships. The function is

        depth_to_space(chain(clamp(x)) + resize(edge_pad(x, 2)), scale)

    with `phases` 2 the chain sees the four pixels of each 2x2 block as planes, and gives 2 * scale x 2 * scale pixels
    for each block. With `colour` it sees the block's two chroma samples of 4:2:0, too, and gives scale x scale of each,
    beside the resize of `left_sited`.

    What lies outside [0, 1] (over- and undershoot of limited-range video) passes by the resize alone: training has
    none of it, and a body that meets it answers with false colours.
    """

    convolutions: tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]
    """(weight (outputs, inputs, 3, 3), bias (outputs,)), first to last."""
    resize: NDArray[np.float32]
    """The kernel beside them, (scale**2, 1, 5, 5)."""
    slope: float
    """Of the LeakyReLU between them; 0 is ReLU."""
    scale: int
    """Enlargement, each way."""
    phases: int = 1
    """Side of the blocks of input pixels that the chain takes as one."""

    @property
    def colour(self) -> bool:
        """Whether it enlarges chroma, too."""
        return int(self.convolutions[0][0].shape[1]) > self.phases**2

    @property
    def radius(self) -> int:
        """Input pixels to each side that an output pixel depends on."""
        return max(self.phases * (len(self.convolutions) + 1) - 1, int(self.resize.shape[-1]) // 2)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds per input pixel."""
        resize = self.resize.size
        if self.colour:  # 5x5 from each of the block's planes to each of its pixels
            planes, pixels = self.phases**2 + 2, (self.scale * self.phases) ** 2 + 2 * self.scale**2
            resize = 25 * planes * pixels // self.phases**2
        return resize + sum(weight.size for weight, _ in self.convolutions) // self.phases**2


def left_sited(scale: int) -> Tensor:
    """`catmull_rom` of a chroma plane whose samples lie on luma's columns and between its rows, before and after."""
    centres = [(phase + 0.5) / scale - 0.5 for phase in range(scale)]
    # a sample lies a quarter of its width left of its centre, in the small plane and in the large one
    return _resizing(centres, [centre - 0.25 / scale + 0.25 for centre in centres])


def catmull_rom(scale: int, planes: int = 1) -> Tensor:
    """Resizing `planes` by `scale` as a 5x5 convolution before depth-to-space: (planes * scale**2, planes, 5, 5).

    Catmull-Rom (R. Keys, 1981, a = -1/2) sampled at the centres of the scale x scale parts of a pixel.
    """
    centres = [(phase + 0.5) / scale - 0.5 for phase in range(scale)]
    kernel = _resizing(centres, centres)[:, 0]
    return torch.einsum("oi,pyx->opiyx", torch.eye(planes), kernel).flatten(0, 1)


def half_sample(planes: Tensor, down: int, along: int) -> Tensor:
    """(N, C, h, w) sampled half a sample further, by Catmull-Rom, along the axes whose number is 1: (N, C, h - 1,
    w - 1).

    >>> half_sample(torch.arange(5.0).repeat(1, 1, 5, 1), 0, 1)[0, 0, 1].tolist()
    [0.4375, 1.5, 2.5, 3.5625]
    """
    padded = F.pad(planes.flatten(0, 1)[:, None], (2, 2, 2, 2), mode="replicate")
    moved = F.conv2d(padded, _resizing([down / 2], [along / 2]).to(planes))
    return moved.reshape(planes.shape)[..., :-1, :-1]


def _resizing(down: list[float], along: list[float]) -> Tensor:
    """Catmull-Rom sampled at the offsets of all parts of a pixel, in pixels: (parts, 1, 5, 5)."""

    def kernel(distance: float) -> float:
        d = abs(distance)
        if d < 1:
            return 1.5 * d**3 - 2.5 * d**2 + 1
        return -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2 if d < 2 else 0.0

    rows, columns = (
        torch.tensor([[kernel(tap - offset) for tap in range(-2, 3)] for offset in offsets], dtype=torch.float64)
        for offsets in (down, along)
    )
    both = torch.einsum("py,qx->pqyx", rows / rows.sum(1, True), columns / columns.sum(1, True))
    return both.flatten(0, 1)[:, None].float()


class Branched(nn.Module):
    """A 3x3 convolution trained as the sum of a 3x3, a 1x1-then-3x3 of twice the width, and the identity.

    The branches are linear, so they are summed as weights (`folded`) before one convolution runs: training costs
    what the plain convolution costs. (1, C, H, W) to (1, D, H, W), any float type, zero padding.
    Branches as in X. Ding et al., RepVGG (arXiv 2101.03697), and X. Zhang et al., ECBSR (ACM MM 2021).
    """

    direct: nn.Parameter
    """The 3x3: (outputs, inputs, 3, 3)."""
    expand: nn.Parameter
    """The 1x1: (2 * inputs, inputs)."""
    squeeze: nn.Parameter
    """The 3x3 after it: (outputs, 2 * inputs, 3, 3)."""
    bias: nn.Parameter
    """(outputs,)."""
    identity: nn.Parameter
    """Weight of each input in the output of its number: (outputs,), empty where there are not as many of both."""

    def __init__(self, inputs: int, outputs: int, gain: float = 1.0, identity: float | None = None) -> None:
        """Random weights, `gain` times as large as K. He et al. (arXiv 1502.01852) have them, and the weight of the
        identity, which is `gain` if None."""
        super().__init__()
        self.direct = nn.Parameter(torch.empty(outputs, inputs, 3, 3))
        self.expand = nn.Parameter(torch.empty(2 * inputs, inputs))
        self.squeeze = nn.Parameter(torch.empty(outputs, 2 * inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.identity = nn.Parameter(
            torch.full((outputs if inputs == outputs else 0,), gain if identity is None else identity)
        )
        nn.init.kaiming_normal_(self.direct, nonlinearity="relu")
        nn.init.kaiming_normal_(self.squeeze, nonlinearity="relu")
        nn.init.orthogonal_(self.expand)
        with torch.no_grad():
            self.direct.mul_(0.5 * gain)
            self.squeeze.mul_(0.5 * gain)

    def folded(self) -> Tensor:
        """The (outputs, inputs, 3, 3) kernel that all branches together are."""
        kernel = self.direct + torch.einsum("omyx,mi->oiyx", self.squeeze, self.expand)
        if len(self.identity):
            kernel = kernel + F.pad(torch.diag(self.identity)[:, :, None, None], (1, 1, 1, 1))
        return kernel

    def adopt(self, kernel: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        """Become that convolution: the direct branch takes the kernel, the others start from silence."""
        with torch.no_grad():
            self.direct.copy_(torch.from_numpy(kernel))
            self.squeeze.zero_()
            self.identity.zero_()
            self.bias.copy_(torch.from_numpy(bias))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H, W)."""
        return F.conv2d(x, self.folded(), self.bias, padding=1)


class LumaGenerator(nn.Module):
    """Convolutions, activations and depth-to-space that change luma alone, beside Catmull-Rom for all three planes.

    Tensor contract: (N, 3, H, W) RGB, float, nominally [0, 1] -> (N, 3, S * H, S * W) float32, not clamped; any H, W
    of at least 1 that are multiples of `phases`. At initialisation the output is Catmull-Rom resizing exactly.
    Body and a learnable 5x5 kernel see BT.709 luma and add the same to R, G and B: colour differences are those of the
    resize, and a flat picture passes the kernel unchanged.
    """

    config: GeneratorConfig
    """Its size."""
    slope: float
    """Of its LeakyReLU now; 0 is ReLU."""
    body: nn.ModuleList
    """`Branched` convolutions of luma, first to last."""
    cubic: Tensor
    """Catmull-Rom, (S**2, 1, 5, 5); not trained."""
    sited: Tensor
    """Catmull-Rom at the places of left-sited chroma, (S**2, 1, 5, 5); not trained."""
    skip: nn.Parameter
    """The learnable kernel beside it, (S**2, 1, 5, 5); see `sharpener`."""

    def __init__(self, config: GeneratorConfig) -> None:
        """Random weights whose output is Catmull-Rom's."""
        super().__init__()
        self.config = config
        self.slope = config.start_slope
        blocks, chroma = config.phases**2, 2 * config.colour
        ends = (blocks + chroma, config.scale**2 * (blocks + chroma))
        widths = [ends[0]] + [config.width] * (config.convolutions - 1) + [ends[1]]
        # a long chain that begins with 0.7 of its input in each layer loses it, and its activations die
        start = (0.7, 0.7) if config.convolutions < 14 else (0.1, 1.0)
        self.body = nn.ModuleList(
            Branched(a, b, *(start if a == b else (0.7, None))) for a, b in itertools.pairwise(widths)
        )
        last = self.body[-1]
        assert isinstance(last, Branched)
        nn.init.normal_(last.direct, std=1e-4)
        for silent in (last.squeeze, last.identity):
            nn.init.zeros_(silent)
        self.register_buffer("cubic", catmull_rom(config.scale), persistent=False)
        self.register_buffer("sited", left_sited(config.scale), persistent=False)
        self.skip = nn.Parameter(torch.zeros(config.scale**2, 1, 5, 5))

    def sharpener(self) -> Tensor:
        """What the learned kernel adds to Catmull-Rom for luma, (S**2, 1, 5, 5): `skip` moved evenly to sums of 0."""
        return self.skip - self.skip.mean((1, 2, 3), keepdim=True)

    def hidden(self, x: Tensor, chroma: Tensor | None = None) -> Tensor:
        """Activations of the last hidden layer, (N, width, H, W): what `alive` looks at. The body sees [0, 1] only.

        `chroma` is (N, 2, H / 2, W / 2), U and V with 0.5 for no colour, for a generator with `colour`.
        """
        x = F.pixel_unshuffle(luma(x.clamp(0, 1)), self.config.phases)
        if self.config.colour:
            assert chroma is not None
            x = torch.cat([x, chroma.clamp(0, 1)], 1)
        for layer in self.body[:-1]:
            x = F.leaky_relu(layer(x), self.slope, inplace=True) if self.slope else F.relu(layer(x), inplace=True)
        return x

    def parts(self, x: Tensor, chroma: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """(luma of the output, last hidden activations, what the body adds before depth-to-space)."""
        hidden = self.hidden(x, chroma)
        added = self.body[-1](hidden)
        of_luma = added[:, : (self.config.scale * self.config.phases) ** 2].float()
        return self._resized(luma(x.float()), self.cubic + self.sharpener(), of_luma), hidden, added

    def chroma(self, chroma: Tensor, added: Tensor) -> Tensor:
        """The enlarged chroma, (N, 2, S * h, S * w), of `chroma`, (N, 2, h, w), and what `parts` says is added."""
        scale = self.config.scale
        with torch.autocast(chroma.device.type, enabled=False):
            planes = F.pad(chroma.float().flatten(0, 1)[:, None], (2, 2, 2, 2), mode="replicate")
            mine = added[:, (scale * self.config.phases) ** 2 :].float().reshape(-1, scale**2, *added.shape[2:])
            large = F.pixel_shuffle(F.conv2d(planes, self.sited) + mine, scale)
        return large.view(len(chroma), 2, *large.shape[2:])

    def forward(self, x: Tensor) -> Tensor:
        """The enlarged pictures of a generator of luma; see the class for shapes and range."""
        large = self.parts(x)[0]
        colour = (x - luma(x)).flatten(0, 1)[:, None]
        return large + self._resized(colour, self.cubic, 0).view(len(x), 3, *large.shape[2:])

    def _resized(self, plane: Tensor, kernel: Tensor, added: Tensor | int) -> Tensor:
        with torch.autocast(plane.device.type, enabled=False):  # bf16 has too few digits for the picture itself
            if self.config.colour:  # blocks are repeated at the edges, since the exported graph has blocks alone
                blocks = F.pixel_unshuffle(plane.float(), 2)
                padded = F.pixel_shuffle(F.pad(blocks, (1, 1, 1, 1), mode="replicate"), 2)
            else:
                padded = F.pad(plane.float(), (2, 2, 2, 2), mode="replicate")
            base = F.conv2d(padded, kernel)
            scale, phases = self.config.scale, self.config.phases
            if phases == 1 or isinstance(added, int):
                return F.pixel_shuffle(base + added, scale)
            return F.pixel_shuffle(base, scale) + F.pixel_shuffle(added, scale * phases)

    def adopt(self, plain: FoldedGenerator) -> None:
        """Become a folded generator of the same shape: `plain` backwards.

        One of RGB becomes what it does to the luma of a gray picture.

        Raises:
            ValueError: the shapes differ.
        """
        plain = of_luma(plain)
        layers = [layer for layer in self.body if isinstance(layer, Branched)]
        mine = [tuple(layer.direct.shape) for layer in layers]
        theirs = [kernel.shape for kernel, _ in plain.convolutions]
        sizes = (plain.scale, plain.phases), (self.config.scale, self.config.phases)
        if mine != theirs or sizes[0] != sizes[1]:
            raise ValueError(
                f"adopt: its kernels are {theirs} with (scale, phases) {sizes[0]}, "
                f"this generator's {mine} with {sizes[1]}"
            )
        for layer, (kernel, bias) in zip(layers, plain.convolutions, strict=True):
            layer.adopt(kernel, bias)
        with torch.no_grad():
            self.skip.copy_(torch.from_numpy(plain.resize) - self.cubic)
        self.slope = plain.slope

    def plain(self) -> FoldedGenerator:
        """Fold every branch: the network that ships."""

        def numbers(tensor: Tensor) -> NDArray[np.float32]:
            return tensor.detach().float().cpu().numpy().copy()

        layers = [layer for layer in self.body if isinstance(layer, Branched)]
        convolutions = tuple((numbers(layer.folded()), numbers(layer.bias)) for layer in layers)
        resize = numbers(self.cubic + self.sharpener())
        return FoldedGenerator(convolutions, resize, float(self.slope), self.config.scale, self.config.phases)


def of_luma(plain: FoldedGenerator) -> FoldedGenerator:
    """A folded generator of RGB as what it does to the luma of a gray picture; one of luma as it is."""
    (first, first_bias), *middle, (last, last_bias) = plain.convolutions
    if plain.resize.shape[1] == 1:
        return plain
    weights, cells = np.array(BT709_LUMA, np.float32), plain.scale**2
    kernel = np.einsum("c,cpiyx->piyx", weights, last.reshape(3, cells, *last.shape[1:]))
    resize = np.einsum("c,cpiyx->pyx", weights, plain.resize.reshape(3, cells, *plain.resize.shape[1:]))
    convolutions = (
        (first.sum(1, keepdims=True), first_bias),
        *middle,
        (kernel, np.einsum("c,cp->p", weights, last_bias.reshape(3, cells))),
    )
    return replace(plain, convolutions=convolutions, resize=resize[:, None])


def with_colour(plain: FoldedGenerator) -> FoldedGenerator:
    """A folded generator of luma as one with colour that computes the same luma and leaves chroma to the resize."""
    (first, first_bias), *middle, (last, last_bias) = plain.convolutions
    chroma = 2 * plain.scale**2
    return replace(
        plain,
        convolutions=(
            (np.pad(first, ((0, 0), (0, 2), (0, 0), (0, 0))), first_bias),
            *middle,
            (np.pad(last, ((0, chroma), (0, 0), (0, 0), (0, 0))), np.pad(last_bias, (0, chroma))),
        ),
    )
