"""Both networks keep their contracts: exact start, exact folding, true receptive field, a judge that can judge."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from generators import shaken
from PIL import Image

from training.loop.adversary import Adversary, accuracies
from training.material.luma import luma
from training.networks.discriminator import Discriminator
from training.networks.generator import Branched, LumaGenerator
from training.recipe.config import AdversaryConfig, DiscriminatorConfig, GeneratorConfig


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_new_generator_is_catmull_rom(scale: int) -> None:
    generator = LumaGenerator(GeneratorConfig(scale=scale, width=16, convolutions=3))
    picture = np.random.default_rng(0).integers(0, 256, (20, 24), dtype=np.uint8)
    with torch.no_grad():
        made = generator(torch.from_numpy(picture / np.float32(255)).expand(1, 3, 20, 24))[0, 1].numpy()
    large = Image.fromarray(picture.astype(np.float32)).resize((24 * scale, 20 * scale), Image.Resampling.BICUBIC)
    inner = (slice(4 * scale, -4 * scale),) * 2
    assert np.abs(made[inner] * 255 - np.asarray(large)[inner]).max() < 1.0


def test_edges_stay_bright() -> None:
    generator = LumaGenerator(GeneratorConfig(width=16, convolutions=3))
    with torch.no_grad():
        made = generator(torch.full((1, 3, 5, 4), 0.8))
    assert float((made - 0.8).abs().max()) < 0.01


def test_what_training_never_has_goes_around_the_body() -> None:
    """Over- and undershoot: the learned part answers as to black and white, the resizing beside it keeps them."""
    generator = shaken(GeneratorConfig(width=16, convolutions=3))
    picture = 1.4 * torch.rand(1, 3, 12, 10) - 0.2
    with torch.no_grad():
        _, hidden, added = generator.parts(picture)
        _, same_hidden, same_added = generator.parts(picture.clamp(0, 1))
        assert torch.equal(hidden, same_hidden) and torch.equal(added, same_added)
        fresh = LumaGenerator(GeneratorConfig(width=16, convolutions=3))
        fresh.body[-1].direct.zero_()
        assert fresh(torch.full((1, 3, 6, 6), 1.08)) == pytest.approx(torch.full((1, 3, 12, 12), 1.08), abs=1e-5)


def test_branches_fold_exactly() -> None:
    layer = Branched(16, 16)
    x = torch.randn(2, 16, 9, 7)
    with torch.no_grad():
        layer.bias.normal_()
        layer.identity.normal_()
        apart = torch.nn.functional.conv2d(x, layer.direct, layer.bias, padding=1)
        wide = torch.einsum("mi,niyx->nmyx", layer.expand, x)
        apart = apart + torch.nn.functional.conv2d(wide, layer.squeeze, padding=1)
        apart = apart + layer.identity[:, None, None] * x
        assert torch.allclose(layer(x), apart, atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (6, 5), (33, 17)])
def test_any_size(size: tuple[int, int]) -> None:
    made = shaken(GeneratorConfig(width=16, convolutions=4))(torch.rand(2, 3, *size))
    assert made.shape == (2, 3, 2 * size[0], 2 * size[1])
    assert made.dtype == torch.float32


def test_radius_and_cost_are_what_plain_says() -> None:
    generator = shaken(GeneratorConfig(width=16, convolutions=4))
    plain = generator.plain()
    assert plain.radius == 4
    assert plain.multiply_adds == 9 * (16 + 2 * 16 * 16 + 16 * 4) + 25 * 4
    x = torch.rand(1, 3, 25, 25, requires_grad=True)
    generator(x)[0, :, 24:26, 24:26].sum().backward()
    assert x.grad is not None
    rows = x.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert (int(rows.min()), int(rows.max())) == (12 - 4, 12 + 4)


def test_a_body_of_blocks_reaches_twice_as_far_at_a_quarter_of_the_cost() -> None:
    generator = shaken(GeneratorConfig(width=16, convolutions=4, phases=2))
    plain = generator.plain()
    assert plain.radius == 9
    assert plain.multiply_adds == 9 * (4 * 16 + 2 * 16 * 16 + 16 * 16) // 4 + 25 * 4
    x = torch.rand(1, 3, 40, 40, requires_grad=True)
    generator(x)[0, :, 40:44, 40:44].sum().backward()  # what is made of the block of pixels 20 and 21
    assert x.grad is not None
    rows = x.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert (int(rows.min()), int(rows.max())) == (21 - 9, 20 + 9)


@pytest.mark.parametrize("scale", [2, 4])
def test_luma_alone_is_changed_and_colour_resized(scale: int) -> None:
    config = GeneratorConfig(scale=scale, width=16, convolutions=3)
    resize, generator = LumaGenerator(config), shaken(config)
    picture = torch.rand(1, 3, 9, 7, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        resize.body[-1].direct.zero_()
        added = generator(picture) - resize(picture)
        assert float(added.abs().max()) > 0.01
        assert torch.allclose(added, added[:, :1].expand_as(added), atol=1e-5)
        assert torch.allclose(luma(generator(picture)), generator.parts(picture)[0], atol=1e-5)
        gray = luma(picture).expand_as(picture)
        assert torch.allclose(added, generator(gray) - resize(gray), atol=1e-5)


@pytest.mark.parametrize("scale", [2, 4])
def test_flat_colours_stay_as_they_are(scale: int) -> None:
    generator = shaken(GeneratorConfig(width=16, convolutions=3, scale=scale))
    with torch.no_grad():
        for weights in generator.body.parameters():
            weights.zero_()
        for colour in torch.eye(3).reshape(3, 3, 1, 1):
            flat = colour[None].expand(1, 3, 9, 7)
            assert torch.allclose(generator(flat), colour[None].expand(1, 3, 9 * scale, 7 * scale), atol=1e-5)


def test_discriminator_contract() -> None:
    judge = Discriminator(DiscriminatorConfig(width=16))
    logits, features = judge(torch.rand(2, 1, 32, 48))
    assert [tuple(scale.shape) for scale in logits] == [(2, 1, 4, 6), (2, 1, 8, 12), (2, 1, 16, 24)]
    assert len(features) == 3
    with pytest.raises(ValueError, match="Discriminator: 30x32"):
        judge(torch.rand(1, 1, 32, 30))


@pytest.mark.parametrize("penalty", ["noise", "exact"])
def test_the_adversary_learns_to_tell_and_lends_only_losses(penalty: str) -> None:
    torch.manual_seed(0)
    config = AdversaryConfig(penalty=penalty, rate=2e-3)
    adversary = Adversary(DiscriminatorConfig(width=16), config, torch.device("cpu"), bf16=False)
    real = torch.rand(4, 1, 32, 32)
    made = torch.nn.functional.avg_pool2d(real, 3, 1, 1)
    numbers = {}
    for step in range(30):
        numbers |= adversary.learn(real, made, step, config.rate, seed=1)
    assert numbers["accuracy"] > 0.9
    assert numbers["discriminator"] < 0.6
    assert numbers["penalty"] > 0
    before = copy.deepcopy(adversary.network.state_dict())
    picture = made.clone().requires_grad_()
    judged = adversary.judge(picture, real)
    sum(judged.values()).backward()  # type: ignore[union-attr]
    assert picture.grad is not None
    assert float(picture.grad.abs().max()) > 0
    adversary.optimiser.zero_grad()
    assert all(p.requires_grad and p.grad is None for p in adversary.network.parameters())
    assert all(torch.equal(before[key], value) for key, value in adversary.network.state_dict().items())


def test_a_heavier_penalty_keeps_the_slope_smaller() -> None:
    found = []
    for weight in (0.0, 1.0):
        torch.manual_seed(0)
        config = AdversaryConfig(rate=2e-3, penalty_weight=weight, penalty_every=2)
        adversary = Adversary(DiscriminatorConfig(width=16), config, torch.device("cpu"), bf16=False)
        real = torch.rand(4, 1, 32, 32)
        made = torch.nn.functional.avg_pool2d(real, 3, 1, 1)
        found.append([adversary.learn(real, made, step, config.rate, 1) for step in range(25)][24]["penalty"])
    assert found[1] < 0.5 * found[0]


def test_accuracies_count_right_answers() -> None:
    logits = torch.tensor([3.0, 1.0, 0.0, 2.0]).reshape(4, 1, 1, 1)  # real 3 and 1, made 0 and 2
    assert accuracies([logits], 2) == {"accuracy": 0.5, "accuracy_real": 0.5, "accuracy_made": 0.5}
    assert accuracies([torch.tensor([3.0, 1.0, 0.0, -2.0]).reshape(4, 1, 1, 1)], 2)["accuracy"] == 1.0


def test_chroma_is_resized_as_zimg_resizes_it() -> None:
    """Left-sited 4:2:0, twice the size, no weights in the way."""
    import vapoursynth as vs

    from training.material.codec import clip_of

    random = np.random.default_rng(1)
    small = [random.integers(40, 220, (12, 20)), *(random.integers(40, 220, (6, 10)) for _ in range(2))]
    clip = clip_of(vs.YUV420P8, [[plane.astype(np.uint8) for plane in small]], {"_Matrix": 1, "_ChromaLocation": 0})
    large = clip.resize.Bicubic(40, 24, format=vs.YUV420PS, filter_param_a=0, filter_param_b=0.5)
    with large.get_frame(0) as frame:
        expected = np.stack([np.asarray(frame[plane]) for plane in (1, 2)]) + 0.5
    generator = LumaGenerator(GeneratorConfig(width=16, convolutions=3, phases=2, colour=True))
    chroma = torch.from_numpy((np.stack(small[1:])[None].astype(np.float32) - 16) / 224)
    with torch.no_grad():
        made = generator.chroma(chroma, torch.zeros(1, 24, 6, 10))[0].numpy()
    assert np.abs(made - expected)[:, 4:-4, 4:-4].max() < 1e-3
