"""Train the discriminator and compute its losses for the generator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..losses import formulas
from ..networks.discriminator import Discriminator
from ..recipe.config import AdversaryConfig, DiscriminatorConfig


class Adversary:
    """A discriminator that learns from real and made crops and lends its judgement as two losses.

    Crops are (N, 1, H, W) luma in [0, 1], real and made paired place for place.
    """

    config: AdversaryConfig
    """How it learns."""
    device: torch.device
    """Where it is."""
    bf16: bool
    """Whether it runs in bfloat16."""
    network: Discriminator
    """The judge."""
    optimiser: torch.optim.Adam
    """The judge's."""

    def __init__(self, network: DiscriminatorConfig, config: AdversaryConfig, device: torch.device, bf16: bool) -> None:
        """A new discriminator of size `network`; the other arguments become the attributes of those names."""
        self.config, self.device, self.bf16 = config, device, bf16
        self.network = Discriminator(network).to(device).to(memory_format=torch.channels_last)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=config.rate, betas=(0.5, 0.99))

    def _cast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def learn(self, real: Tensor, made: Tensor, step: int, rate: float, seed: int) -> dict[str, float]:
        """One step of the discriminator; returns its loss, penalty and accuracies.

        `real` and `made` are crops as above, `step` and `seed` (the recipe's) decide penalty and noise, `rate` is the
        learning rate.
        `accuracy`: pairs in the right order; `accuracy_real`: real logits above the median made logit;
        `accuracy_made`: made logits below the median real logit; all averaged over scales. 0.5 is guessing.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        pictures = torch.cat([real, made.detach()]).contiguous(memory_format=torch.channels_last)
        count = len(real)
        numbers: dict[str, float] = {}
        with self._cast():
            logits, _ = self.network(pictures)
        loss = formulas.relativistic([scale[count:] for scale in logits], [scale[:count] for scale in logits])
        numbers["discriminator"] = float(loss.detach())
        if step % self.config.penalty_every == 0:
            penalty = self._penalty(pictures, logits, step, seed)
            numbers["penalty"] = float(penalty.detach())
            # taken every k steps it weighs k times as much; two halves (R1 and R2) in one mean, each with weight 1/2
            loss = loss + self.config.penalty_weight * self.config.penalty_every * penalty
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        numbers["discriminator_gradient"] = float(torch.nn.utils.clip_grad_norm_(self.network.parameters(), 10.0))
        self.optimiser.step()
        numbers.update(accuracies([scale.detach().float() for scale in logits], count))
        return numbers

    def _penalty(self, pictures: Tensor, logits: list[Tensor], step: int, seed: int) -> Tensor:
        if self.config.penalty == "exact":
            # without autocast: second derivatives in bf16 are too coarse to be worth their time
            inputs = pictures.clone().requires_grad_(True)
            return formulas.gradient_penalty(self.network(inputs)[0], inputs)
        random = torch.Generator().manual_seed(seed * 1_000_003 + step)
        noise = torch.randn(pictures.shape, generator=random).to(self.device) * self.config.noise
        with self._cast():
            noisy, _ = self.network(pictures + noise)
        return formulas.noise_penalty(logits, noisy, self.config.noise)

    def judge(self, made: Tensor, real: Tensor) -> dict[str, Tensor]:
        """The losses "adversarial" and "feature" for the generator whose crops `made` are, paired with `real`.

        The discriminator itself gathers no gradient.
        """
        for parameter in self.network.parameters():
            parameter.requires_grad_(False)
        with self._cast():
            with torch.no_grad():
                real_logits, real_features = self.network(real)
            made_logits, made_features = self.network(made)
        for parameter in self.network.parameters():
            parameter.requires_grad_(True)
        return {
            "adversarial": formulas.relativistic(real_logits, made_logits),
            "feature": formulas.feature_matching(made_features, real_features),
        }

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])


def accuracies(logits: list[Tensor], count: int) -> dict[str, float]:
    """Share of right answers from `logits`, one tensor (2 * count, 1, H, W) a scale: first `count` real, then as many
    made. Names as in `Adversary.learn`."""
    pair = real = made = 0.0
    for scale in logits:
        a, b = scale[:count], scale[count:]
        pair += float((a > b).float().mean())
        real += float((a > b.quantile(0.5)).float().mean())
        made += float((b < a.quantile(0.5)).float().mean())
    n = len(logits)
    return {"accuracy": pair / n, "accuracy_real": real / n, "accuracy_made": made / n}
