"""Scale each loss to its share of the generator's gradient, and stop runs that are lost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..recipe.config import GuardConfig, LossConfig


class BalanceError(RuntimeError):
    """The run was stopped because going on would only make it worse; the message says what was seen."""


class Balancer:
    """Weighs losses so that each pulls at the generator's weights with its configured share of the gradient.

    Loss i gets the weight share_i / (sum of shares * m_i), m_i the moving mean of the norm of its gradient with respect
    to the weights: after A. Defossez et al., arXiv 2210.13438, section 3.4, who take it at the output. There, losses on
    deep features look many times louder than they are: most of their gradient is detail that the weights cannot follow.
    The norms cost a backward pass for each loss, so they are measured only now and then (`measure`).
    """

    decay: float
    """Of the moving means, a measurement."""
    norms: dict[str, float]
    """Moving mean of the norm of the gradient with respect to the weights, by loss."""

    def __init__(self, decay: float = 0.9) -> None:
        self.decay = decay
        self.norms: dict[str, float] = {}

    def measure(self, losses: dict[str, Tensor], weights: Sequence[Tensor]) -> dict[str, float]:
        """Update and return the gradient norms of `losses` (scalars by name) at `weights`; the graph is kept.

        `weights` are best those that all losses share: a loss that has outputs of its own (chroma) pulls mostly at
        these while they are small, and would hardly be felt before them.
        """
        for name, loss in losses.items():
            slopes = torch.autograd.grad(loss, weights, retain_graph=True, materialize_grads=True)
            norm = float(torch.stack([slope.float().norm() for slope in slopes]).norm())
            old = self.norms.get(name, 0.0)
            # a loss that had nothing to say (no texture in the batch) is no measure of how loud it is
            if math.isfinite(norm) and norm > 0:
                self.norms[name] = self.decay * (old or norm) + (1 - self.decay) * norm
            else:
                self.norms[name] = old
        return dict(self.norms)

    def total(self, losses: dict[str, Tensor], shares: dict[str, float]) -> Tensor:
        """Sum of `losses`, weighted so that each pulls with its share (`shares`, by name, of any sum).

        Every loss must have been measured at least once; one without any gradient so far is left out.

        Raises:
            ValueError: a loss was never measured.
        """
        missing = sorted(set(losses) - set(self.norms))
        if missing:
            raise ValueError(f"Balancer.total: {', '.join(missing)} never measured; call measure first")
        whole = sum(shares[name] for name in losses)
        weights = {name: shares[name] / whole / norm if (norm := self.norms[name]) else 0.0 for name in losses}
        return torch.stack([loss * weights[name] for name, loss in losses.items()]).sum()


def shares(config: LossConfig, ramp: float) -> dict[str, float]:
    """Shares of `config` that are above zero; `ramp` in [0, 1] scales what comes from the discriminator."""
    table = {
        "pixel": config.pixel,
        "structure": config.structure,
        "chroma": config.chroma,
        "gradient": config.gradient,
        "frequency": config.frequency,
        "temporal": config.temporal,
        "sliced_texture": config.sliced_texture,
        "sliced_edge": config.sliced_edge,
        "sliced_flat": config.sliced_flat,
        "adversarial": config.adversarial * ramp,
        "feature": config.feature * ramp,
        "perceptual": config.perceptual,
        "distribution": config.distribution,
        "projected": config.projected * ramp,
        "artifact": config.artifact,
        "mesh": config.mesh,
        "shift": config.shift,
    }
    return {name: share for name, share in table.items() if share > 0}


class Guard:
    """Watches the numbers of a run and raises `BalanceError` when the game is lost.

    One good log clears the count.
    """

    config: GuardConfig
    """The limits."""
    strikes: dict[str, int]
    """Logs in a row outside of them, by what is watched."""

    def __init__(self, config: GuardConfig) -> None:
        self.config = config
        self.strikes = {"accuracy": 0, "collapse": 0}

    def losses(self, values: dict[str, float], step: int) -> None:
        """Raise BalanceError if any of a log's `values` of `step` is not a finite number."""
        bad = [f"{name} {value}" for name, value in values.items() if not math.isfinite(value)]
        if bad:
            raise BalanceError(f"step {step}: {', '.join(bad)} is not finite; lower run.rate or set run.bf16 = false")

    def accuracy(self, value: float, step: int) -> None:
        """Take the accuracy logged at `step`; raise BalanceError after too many out of bounds.

        `value`: share of real/made pairs that the discriminator orders rightly, 0.5 is guessing.
        """
        low, high = self.config.accuracy
        self._count("accuracy", low <= value <= high)
        if self.strikes["accuracy"] >= self.config.patience:
            side = (
                "the discriminator cannot tell made from real: raise adversary.rate or lower adversary.penalty_weight"
                if value < low
                else "the discriminator tells all apart: lower adversary.rate or raise adversary.penalty_weight"
            )
            raise BalanceError(
                f"step {step}: balance lost, accuracy {value:.3f} outside {low} to {high} for "
                f"{self.config.patience} logs; {side}"
            )

    def collapse(self, alive: float, residual: float, step: int) -> None:
        """Take what was logged at `step`; raise BalanceError if the body is dead.

        `alive`: share of non-zero activations in the last hidden layer; `residual`: deviation of what the body adds.

        Both near zero mean that only the resize beside the body is left, whatever the loss looks like.
        """
        self._count("collapse", alive >= self.config.alive and residual >= self.config.residual)
        if self.strikes["collapse"] >= min(5, self.config.patience):
            raise BalanceError(
                f"step {step}: the generator has collapsed onto its resize: {alive:.1%} of the last "
                f"hidden layer alive, it adds {residual:.2e}; lower run.rate, lengthen run.warmup or "
                "raise generator.start_slope"
            )

    def _count(self, name: str, fine: bool) -> None:
        self.strikes[name] = 0 if fine else self.strikes[name] + 1

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return dict(self.strikes)

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.strikes = {key: int(value) for key, value in state.items()}
