"""Every loss holds one contract: it runs, refuses, gives a scalar, has a right gradient, is least when perfect."""

from __future__ import annotations

import doctest
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import pytest
import torch
from torch import Tensor

from training.losses import formulas
from training.material import luma

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Case:
    """A loss as a function of two equally shaped tensors, the shape, what it refuses, and its least value."""

    name: str
    loss: Callable[[Tensor, Tensor], Tensor]
    shape: tuple[int, ...]
    refuses: Callable[[], Tensor]
    least: float
    perfect: Callable[[Tensor], Pair]


def same(x: Tensor) -> Pair:
    return x, x.clone()


def picture(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def scales(x: Tensor) -> list[Tensor]:
    return [x, x[..., ::2, ::2]]


def odd(loss: Callable[[Tensor, Tensor], Tensor], *shapes: tuple[int, ...]) -> Callable[[], Tensor]:
    """Calls the loss with tensors of these shapes."""
    return lambda: loss(*(picture(*shape) for shape in shapes))


PICTURES, CLIPS = (2, 3, 6, 5), (2, 3, 3, 4, 4)
ONE = [picture(1, 1, 2, 2)]
CASES = [
    Case("charbonnier", formulas.charbonnier, PICTURES, odd(formulas.charbonnier, (1, 3, 4, 4), (1, 3, 4, 5)), 0, same),
    Case(
        "structure", formulas.structure, (2, 3, 45, 48), odd(formulas.structure, (1, 3, 43, 64), (1, 3, 43, 64)), 0,
        same,
    ),
    Case(
        "gradient", formulas.gradient, PICTURES, odd(formulas.gradient, (3, 4, 4), (3, 4, 4)), 0,
        lambda x: (x + 0.25, x),
    ),
    Case("frequency", formulas.frequency, PICTURES, odd(formulas.frequency, (1, 3, 4, 4), (2, 3, 4, 4)), 0, same),
    Case(
        "temporal", formulas.temporal, CLIPS, odd(formulas.temporal, (2, 1, 3, 4, 4), (2, 1, 3, 4, 4)), 0,
        lambda x: (x + 0.25, x),
    ),
    Case(
        "mesh", lambda a, b: formulas.mesh(a, b, 2), (2, 1, 24, 24),
        odd(lambda a, b: formulas.mesh(a, b, 2), (1, 1, 24, 24), (1, 1, 24, 26)), 0, same,
    ),
    Case(
        "repetition", lambda a, b: formulas.repetition(a - b, b * 0, 2), (2, 1, 24, 24),  # off the kink at b's own
        odd(lambda a, b: formulas.repetition(a, b, 2), (1, 1, 24, 24), (1, 1, 24, 26)), 0, same,
    ),
    Case(
        "relativistic", lambda a, b: formulas.relativistic(scales(a), scales(b)), (2, 1, 4, 4),
        lambda: formulas.relativistic(ONE, []), 0, lambda x: (x - 60, x),
    ),
    Case(
        "feature_matching", lambda a, b: formulas.feature_matching(scales(a), scales(b)), (2, 4, 6, 6),
        lambda: formulas.feature_matching([], []), 0, same,
    ),
    Case(
        "distribution", lambda a, b: formulas.distribution(scales(a), scales(b)), (2, 4, 6, 6),
        lambda: formulas.distribution([], []), 0, lambda x: (x.transpose(-1, -2), x),
    ),
    Case(
        "noise_penalty", lambda a, b: formulas.noise_penalty(scales(a), scales(b), 0.1), (2, 1, 4, 4),
        lambda: formulas.noise_penalty(ONE, ONE, 0.0), 0, same,
    ),
    Case(
        "gradient_penalty", lambda a, b: formulas.gradient_penalty([(a * a * b.detach()).mean(1, True)], a),
        (2, 3, 4, 4), lambda: formulas.gradient_penalty(ONE, ONE[0]), 0,
        lambda x: (x.requires_grad_(), torch.zeros_like(x)),
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
class TestLoss:
    def test_smoke(self, case: Case) -> None:
        made = picture(*case.shape).requires_grad_()
        value = case.loss(made, picture(*case.shape).flip(0))
        assert math.isfinite(float(value.detach()))
        assert float(value.detach()) > case.least

    def test_exception(self, case: Case) -> None:
        with pytest.raises(ValueError, match=case.name):
            case.refuses()

    def test_shape(self, case: Case) -> None:
        single = (1, *case.shape[1:])
        for shape in (case.shape, single):
            value = case.loss(picture(*shape).requires_grad_(), picture(*shape).flip(-1))
            assert value.shape == ()
            assert value.is_floating_point()

    def test_gradient(self, case: Case) -> None:
        made = picture(*case.shape).requires_grad_()
        real = picture(*case.shape).flip(0, -1)
        # float32 inside some losses limits how exact numeric slopes can be
        value = case.loss(made, real)
        (slope,) = torch.autograd.grad(value, made)
        direction = torch.randn(made.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        step = 1e-3
        ahead = float(case.loss((made + step * direction).detach().requires_grad_(), real).detach())
        behind = float(case.loss((made - step * direction).detach().requires_grad_(), real).detach())
        expected = (ahead - behind) / (2 * step)
        assert float((slope * direction).sum()) == pytest.approx(expected, rel=0.03, abs=2e-4)
        assert float(slope.abs().max()) > 0

    def test_perfect_prediction(self, case: Case) -> None:
        value = case.loss(*case.perfect(picture(*case.shape)))
        assert float(value.detach()) == pytest.approx(case.least, abs=1e-6)


def test_relativistic_at_even_odds_is_log_2() -> None:
    logits = [picture(2, 1, 3, 3)]
    assert float(formulas.relativistic(logits, logits)) == pytest.approx(math.log(2))


def test_noise_penalty_tends_to_the_exact_one() -> None:
    """For a linear judge of single pixels both penalties are the squared length of its weights."""
    weights = torch.tensor([0.5, -1.0, 2.0]).reshape(1, 3, 1, 1)
    pictures = torch.rand(64, 3, 16, 16, requires_grad=True)
    noise = torch.randn(64, 3, 16, 16, generator=torch.Generator().manual_seed(0))

    def judge(x: Tensor) -> list[Tensor]:
        return [(x * weights).sum(1, True)]

    exact = float(formulas.gradient_penalty(judge(pictures), pictures).detach())
    near = float(formulas.noise_penalty(judge(pictures), judge(pictures + 0.01 * noise), 0.01).detach())
    assert exact == pytest.approx(5.25, rel=1e-4)
    assert near == pytest.approx(exact, rel=0.05)


@pytest.mark.parametrize(("module", "examples"), [(formulas, 8), (luma, 1)])
def test_examples_in_the_docstrings(module: ModuleType, examples: int) -> None:
    done = doctest.testmod(module, extraglobs={"torch": torch})
    assert done.attempted >= examples
    assert done.failed == 0


def test_mesh_hears_meshes_and_bricks_and_little_else() -> None:
    real = picture(1, 1, 96, 96)
    random = torch.Generator().manual_seed(2)
    pattern = torch.randn(4, 4, generator=random, dtype=torch.float64).repeat(24, 24)
    bricks = torch.randn(1, 1, 24, 24, generator=random, dtype=torch.float64).repeat_interleave(4, 2)
    bricks = bricks.repeat_interleave(4, 3)
    noise = torch.randn(96, 96, generator=random, dtype=torch.float64)
    mesh, brick, little = (
        float(formulas.mesh(real + 0.02 * part / part.std(), real, 4)) for part in (pattern, bricks, noise)
    )
    assert min(mesh, brick) > 4 * little


def test_repetition_hears_a_mesh_whose_contrast_changes_and_no_lost_detail() -> None:
    real = picture(1, 1, 96, 96)
    random = torch.Generator().manual_seed(2)
    contrast = torch.sin(torch.arange(96, dtype=torch.float64) / 6)
    pattern = torch.tensor([[1.0, -1.0]], dtype=torch.float64).repeat(96, 48) * contrast[:, None]
    noise = torch.randn(96, 96, generator=random, dtype=torch.float64)
    mesh, little, blurred = (
        float(formulas.repetition(made, real, 2))
        for made in (
            real + 0.02 * pattern / pattern.std(),
            real + 0.02 * noise,
            torch.nn.functional.avg_pool2d(real, 3, 1, 1),
        )
    )
    assert mesh > 3 * little
    assert blurred < little
