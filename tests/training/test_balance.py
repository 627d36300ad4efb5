"""The balance: shares are kept at the generator's weights, and lost games are stopped with a message that helps."""

from __future__ import annotations

import pytest
import torch

from training.loop.balance import BalanceError, Balancer, Guard, shares
from training.recipe.config import GuardConfig, LossConfig


def test_each_loss_pulls_with_its_share() -> None:
    made = torch.rand(2, 3, 4, 4, requires_grad=True)
    terms = {"pixel": 1000 * made[0].square().sum(), "adversarial": 1e-4 * made[1].sum()}
    balancer = Balancer()
    balancer.measure(terms, [made])
    total = balancer.total(terms, {"pixel": 0.8, "adversarial": 0.2})
    (slope,) = torch.autograd.grad(total, made)
    assert float(slope[0].norm()) == pytest.approx(0.8, rel=1e-4)
    assert float(slope[1].norm()) == pytest.approx(0.2, rel=1e-4)


def test_norms_move_slowly_and_unmeasured_losses_are_refused() -> None:
    made = torch.ones(4, requires_grad=True)
    balancer = Balancer(decay=0.9)
    balancer.measure({"pixel": made.sum()}, [made])
    balancer.measure({"pixel": 3 * made.sum()}, [made])
    assert balancer.norms["pixel"] == pytest.approx(0.9 * 2 + 0.1 * 6)
    with pytest.raises(ValueError, match=r"Balancer.total: feature never measured"):
        balancer.total({"feature": made.sum()}, {"feature": 1.0})


def test_a_loss_with_nothing_to_say_neither_counts_nor_shouts_later() -> None:
    made = torch.ones(4, requires_grad=True)
    balancer = Balancer()
    for _ in range(2):
        balancer.measure({"pixel": made.sum(), "sliced_flat": 0 * made.sum()}, [made])
    quiet = {"pixel": made.sum(), "sliced_flat": 1000 * made.sum()}  # the next batch, not measured
    (slope,) = torch.autograd.grad(balancer.total(quiet, {"pixel": 0.5, "sliced_flat": 0.5}), made, retain_graph=True)
    assert float(slope.norm()) == pytest.approx(0.5)
    balancer.measure(quiet, [made])
    assert balancer.norms["sliced_flat"] == pytest.approx(2000)
    balancer.measure({"sliced_flat": 0 * made.sum()}, [made])
    assert balancer.norms["sliced_flat"] == pytest.approx(2000)


def test_the_ramp_holds_back_the_discriminators_losses_only() -> None:
    config = LossConfig(pixel=0.7, frequency=0.1, adversarial=0.15, feature=0.05)
    assert shares(config, 0.0) == {"pixel": 0.7, "frequency": 0.1}
    assert shares(config, 0.5) == {"pixel": 0.7, "frequency": 0.1, "adversarial": 0.075, "feature": 0.025}


@pytest.mark.parametrize(("value", "words"), [(0.5, "cannot tell made from real"), (0.999, "tells all apart")])
def test_lost_balance_stops_after_patience(value: float, words: str) -> None:
    guard = Guard(GuardConfig(patience=3))
    for _ in range(5):  # a good log in between clears the count
        guard.accuracy(value, 1)
        guard.accuracy(value, 1)
        guard.accuracy(0.8, 1)
    guard.accuracy(value, 7)
    guard.accuracy(value, 8)
    with pytest.raises(BalanceError, match=rf"step 9: balance lost, accuracy {value:.3f}.*{words}"):
        guard.accuracy(value, 9)


def test_collapse_and_broken_numbers_stop() -> None:
    guard = Guard(GuardConfig())
    with pytest.raises(BalanceError, match=r"step 4: the generator has collapsed onto its resize: 0.0%"):
        for step in range(5):
            guard.collapse(0.0, 0.0, step)
    with pytest.raises(BalanceError, match=r"step 2: loss_pixel nan is not finite"):
        guard.losses({"loss_pixel": float("nan"), "rate": 1.0}, 2)


def test_strikes_survive_a_resume() -> None:
    guard, resumed = Guard(GuardConfig(patience=2)), Guard(GuardConfig(patience=2))
    guard.accuracy(0.5, 1)
    resumed.restore(guard.state())
    with pytest.raises(BalanceError):
        resumed.accuracy(0.5, 2)
