"""Owns the branch that draws grain: noise, coloured and made louder or fainter by what the generator sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

FAINT = 0.5 / 255
"""Deviation of the grain that a new branch draws, where white is 1: half a code value of 8 bits."""


@dataclass(frozen=True)
class FoldedGrain:
    """The branch as it ships, beside a generator's last convolution."""

    gain: NDArray[np.float32]
    """Last hidden features to loudness: (S**2, width, 3, 3)."""
    gain_bias: NDArray[np.float32]
    """(S**2,)."""
    colouring: NDArray[np.float32]
    """Noise to noise of another spectrum: (S**2, S**2, 3, 3)."""


class GrainBranch(nn.Module):
    """Adds gain(hidden) * colouring(space_to_depth(noise)) to what a generator's body adds.

    Tensor contract: hidden (N, width, H, W) and noise (N, 1, S * H, S * W) of deviation 1 -> (N, S**2, H, W). The noise
    meets no activation: it cannot become lines, only grain, as loud at each place as the picture asks for. At
    initialisation it is as faint as `FAINT` everywhere: silence would stay, since losses that are blind to the noise's
    sign have no slope there. Noise scaled by learned maps as in T. Karras et al., StyleGAN (arXiv 1812.04948), there by
    channel.
    """

    scale: int
    """S, the generator's enlargement."""
    gain: nn.Conv2d
    """Loudness of each of the S**2 parts of a pixel."""
    colouring: nn.Conv2d
    """The grain's spectrum; the identity at first."""

    def __init__(self, width: int, scale: int) -> None:
        """For a generator with `width` features in its last hidden layer."""
        super().__init__()
        self.scale = scale
        self.gain = nn.Conv2d(width, scale**2, 3, padding=1)
        self.colouring = nn.Conv2d(scale**2, scale**2, 3, padding=1, bias=False)
        assert self.gain.bias is not None
        nn.init.zeros_(self.gain.weight)
        nn.init.constant_(self.gain.bias, FAINT)
        nn.init.dirac_(self.colouring.weight)

    def forward(self, hidden: Tensor, noise: Tensor) -> Tensor:
        """What to add before depth-to-space."""
        if noise.shape != (len(hidden), 1, self.scale * hidden.shape[2], self.scale * hidden.shape[3]):
            raise ValueError(f"GrainBranch: noise {tuple(noise.shape)} does not lie on {tuple(hidden.shape)}")
        loudness: Tensor = self.gain(hidden)
        coloured: Tensor = self.colouring(F.pixel_unshuffle(noise, self.scale))
        return loudness * coloured

    def folded(self) -> FoldedGrain:
        """The branch that ships."""
        bias = self.gain.bias
        assert bias is not None
        gain, gain_bias, colouring = (
            tensor.detach().float().cpu().numpy().copy() for tensor in (self.gain.weight, bias, self.colouring.weight)
        )
        return FoldedGrain(gain, gain_bias, colouring)

    def adopt(self, folded: FoldedGrain) -> None:
        """Become that branch.

        Raises:
            ValueError: it is of another shape.
        """
        if folded.gain.shape != self.gain.weight.shape:
            mine = tuple(self.gain.weight.shape)
            raise ValueError(f"adopt: its grain has kernels of {folded.gain.shape}, this generator's {mine}")
        assert self.gain.bias is not None
        with torch.no_grad():
            self.gain.weight.copy_(torch.from_numpy(folded.gain))
            self.gain.bias.copy_(torch.from_numpy(folded.gain_bias))
            self.colouring.weight.copy_(torch.from_numpy(folded.colouring))
