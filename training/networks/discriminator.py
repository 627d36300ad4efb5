"""Define the discriminator, which tells real crops from generated ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..recipe.config import DiscriminatorConfig


class Discriminator(nn.Module):
    """A small U-shaped judge: realness at three scales, from texture patches up to whole objects.

    Tensor contract: (N, 1, H, W) luma in [0, 1] with H and W multiples of 8 -> (logits, features), logits three
    tensors (N, 1, H/8, W/8), (N, 1, H/4, W/4), (N, 1, H/2, W/2), features the maps that feature matching compares
    (the full-size ones cost more time than they say). It sees no colour, because generators change none.
    U-shape after E. Schoenfeld et al., arXiv 2002.12655; no normalisation, which gradient penalties make unnecessary
    (Y. Huang et al., arXiv 2501.05441).
    """

    enter: nn.Conv2d
    """Luma and its fine detail at half size to `w` features, the recipe's width."""
    down1: nn.Conv2d
    """Half to quarter size, 2 * w features."""
    down2: nn.Conv2d
    """Quarter to eighth, 3 * w features."""
    deep: nn.Conv2d
    """At an eighth."""
    lift1: nn.Conv2d
    """The way back to 2 * w features."""
    up1: nn.Conv2d
    """At a quarter, the way down added."""
    lift2: nn.Conv2d
    """The way back to w features."""
    up2: nn.Conv2d
    """At a half, the way down added."""
    heads: nn.ModuleList
    """Logits at an eighth, a quarter and a half."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        """Weights after K. He et al. (arXiv 1502.01852), heads near 0 so that first judgements are faint."""
        super().__init__()
        w = config.width
        self.enter = nn.Conv2d(8, w, 3, padding=1)
        self.down1 = nn.Conv2d(w, 2 * w, 4, 2, 1)
        self.down2 = nn.Conv2d(2 * w, 3 * w, 4, 2, 1)
        self.deep = nn.Conv2d(3 * w, 3 * w, 3, padding=1)
        self.lift1 = nn.Conv2d(3 * w, 2 * w, 1)
        self.up1 = nn.Conv2d(2 * w, 2 * w, 3, padding=1)
        self.lift2 = nn.Conv2d(2 * w, w, 1)
        self.up2 = nn.Conv2d(w, w, 3, padding=1)
        self.heads = nn.ModuleList(nn.Conv2d(c, 1, 3, padding=1) for c in (3 * w, 2 * w, w))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, 0.2)
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        for head in self.heads:
            assert isinstance(head, nn.Conv2d)
            nn.init.normal_(head.weight, std=0.01)

    def forward(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """(logits, features) of (N, 1, H, W); raises ValueError where 8 does not divide H and W."""
        if x.shape[-1] % 8 or x.shape[-2] % 8:
            raise ValueError(f"Discriminator: {x.shape[-1]}x{x.shape[-2]} is not a multiple of 8; crop first")
        # what upscalers differ in is fine and faint: the detail above a 3x3 mean is shown apart, made louder
        fine = x - F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        shown = F.pixel_unshuffle(torch.cat([2 * x - 1, 8 * fine], 1), 2)
        top = _leaky(self.enter(shown.contiguous(memory_format=torch.channels_last)))
        middle = _leaky(self.down1(top))
        bottom = _leaky(self.deep(_leaky(self.down2(middle))))
        up1 = _leaky(self.up1(middle + _double(self.lift1(bottom))))
        up2 = _leaky(self.up2(top + _double(self.lift2(up1))))
        features = [bottom, up1, up2]
        return [head(feature) for head, feature in zip(self.heads, features, strict=True)], [middle, bottom, up1]


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
