"""The front's candidates: each starts as plain resizing, and its file is the network that was trained."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import front  # noqa: E402

from vs_gansr.train.generator import Generator  # noqa: E402
from vs_gansr.train.recipe import GeneratorConfig  # noqa: E402

KINDS = ("16x3", "16x3-leaky", "16x3-luma", "16x3-unshuffled")


@pytest.mark.parametrize("name", KINDS)
def test_starts_as_the_resizing_that_ours_start_as(name: str) -> None:
    picture = torch.rand(1, 3, 12, 16)
    with torch.no_grad():
        ours = Generator(GeneratorConfig(width=16, convolutions=3))
        ours.body[-1].direct.zero_()
        candidate = front.Candidate(name)
        candidate.body[-1].direct.zero_()
        assert torch.allclose(candidate(picture), ours(picture), atol=1e-6)


@pytest.mark.parametrize("name", KINDS)
def test_the_file_is_the_network(name: str) -> None:
    torch.manual_seed(1)
    candidate = front.Candidate(name)
    picture = torch.rand(1, 3, 34, 50)
    with torch.no_grad():
        torch.nn.init.normal_(candidate.body[-1].direct, std=0.05)
        candidate.slope = candidate.ends
        trained = candidate(picture)
        assert torch.allclose(candidate.plain()(picture), trained, atol=1e-5)
    made = front.session(front.exported(candidate), 1).run(None, {"input": picture.numpy()})[0]
    assert np.abs(made - trained.numpy()).max() < 1e-5


def test_multiply_adds_are_counted_for_each_input_pixel() -> None:
    assert front.Candidate("48x8").multiply_adds == 9 * (3 * 48 + 6 * 48 * 48 + 48 * 12) + 25 * 36
    assert front.Candidate("64x8-unshuffled").multiply_adds == 9 * (12 * 64 + 6 * 64 * 64 + 64 * 48) // 4 + 25 * 36
