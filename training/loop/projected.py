"""Tell real crops from made ones by small heads on a pretrained network's features; own their training step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..losses import formulas
from ..networks.eye import Eye
from ..recipe.config import ProjectedConfig
from .adversary import accuracies


class Head(nn.Module):
    """Realness of one map of features beside the small picture that the crop was made from.

    Tensor contract: features (N, C, h, w) and the small picture (N, 1, H, W), H and W whole multiples of h and w or
    the reverse -> logits (N, 1, h, w).
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.features = nn.Conv2d(channels, width, 1)
        self.beside = nn.Conv2d(16, width, 3, padding=1)
        self.mix = nn.Conv2d(width, width, 3, padding=1)
        self.logit = nn.Conv2d(width, 1, 3, padding=1)
        nn.init.normal_(self.logit.weight, std=1e-2)

    def forward(self, features: Tensor, small: Tensor) -> Tensor:
        """The logits."""
        h, w = features.shape[2:]
        beside = F.interpolate(small, (4 * h, 4 * w), mode="bilinear", align_corners=False, antialias=True)
        x = self.features(features) + self.beside(F.pixel_unshuffle(beside, 4))
        x = F.leaky_relu(self.mix(F.leaky_relu(x, 0.2)), 0.2)
        logits: Tensor = self.logit(x)
        return logits


class ProjectedAdversary:
    """Heads that learn from real and made crops and lend their judgement as a loss; the eye itself is frozen.

    After A. Sauer et al., Projected GANs, arXiv 2111.01007, with the small picture shown beside.
    """

    config: ProjectedConfig
    """How the heads learn."""
    eye: Eye
    """What they look with."""
    heads: nn.ModuleList
    """One for each of the eye's maps."""
    optimiser: torch.optim.Adam
    """Of the heads."""

    def __init__(self, config: ProjectedConfig, device: torch.device, bf16: bool) -> None:
        """New heads; loads the pretrained weights."""
        self.config, self.device, self.bf16 = config, device, bf16
        self.eye = Eye(config.blocks, config.enlarge).to(device).to(memory_format=torch.channels_last)
        self.heads = nn.ModuleList(Head(channels, config.width) for channels in self.eye.channels).to(device)
        self.heads.to(memory_format=torch.channels_last)
        self.optimiser = torch.optim.Adam(self.heads.parameters(), lr=config.rate, betas=(0.5, 0.99))

    def _cast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def look(
        self, made: Tensor, real: Tensor, small: Tensor, step: int, seed: int
    ) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Feature maps of `made` (with a graph) and of `real` (without), (N, 1, H, W) luma in [0, 1], and what the
        heads see beside them: `small`, (N, 1, h, w), enlarged.

        The eye sees a part that begins at a random place up to a block of its deepest map away, since strides that
        always meet the same pixels of the generator's blocks teach it a mesh. Place and noise, the same for both, are
        functions of `seed` and `step`.
        """
        random = torch.Generator().manual_seed(seed * 1_000_003 + step)
        noise = (torch.randn(real.shape, generator=random) * self.config.noise).to(self.device)
        stride = self.eye.stride
        down, along = torch.randint(stride, (2,), generator=random).tolist()
        height, width = ((side - stride) // stride * stride for side in real.shape[2:])
        part = (..., slice(down, down + height), slice(along, along + width))
        beside = F.interpolate(small, real.shape[2:], mode="bilinear", align_corners=False)[part]
        with self._cast():
            with torch.no_grad():
                real_maps = self.eye((real + noise)[part])
            return self.eye((made + noise)[part]), real_maps, beside

    def _judge(self, maps: list[Tensor], small: Tensor) -> list[Tensor]:
        with self._cast():
            return [head(each, small) for head, each in zip(self.heads, maps, strict=True)]

    def learn(self, made: list[Tensor], real: list[Tensor], small: Tensor, rate: float) -> dict[str, float]:
        """One step of the heads, unless they order more than `config.skip` of all pairs rightly; returns its numbers.

        `made`, `real` and `small` are what `look` returns, `rate` is the factor of the learning rate.
        """
        count = len(small)
        maps = [torch.cat([a, b.detach()]) for a, b in zip(real, made, strict=True)]
        logits = self._judge(maps, torch.cat([small, small]))
        loss = formulas.relativistic([scale[count:] for scale in logits], [scale[:count] for scale in logits])
        right = accuracies([scale.detach().float() for scale in logits], count)["accuracy"]
        learns = right <= self.config.skip
        if learns:
            for group in self.optimiser.param_groups:
                group["lr"] = self.config.rate * rate
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.heads.parameters(), 10.0)
            self.optimiser.step()
        return {"heads": float(loss.detach()), "heads_accuracy": right, "heads_learn": float(learns)}

    def judge(self, made: list[Tensor], real: list[Tensor], small: Tensor) -> Tensor:
        """The loss of the generator for what `look` returned; the heads gather no gradient."""
        self.heads.requires_grad_(False)
        with torch.no_grad():
            theirs = self._judge(real, small)
        loss = formulas.relativistic(theirs, self._judge(made, small))
        self.heads.requires_grad_(True)
        return loss

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {"heads": self.heads.state_dict(), "optimiser": self.optimiser.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.heads.load_state_dict(state["heads"])
        self.optimiser.load_state_dict(state["optimiser"])
