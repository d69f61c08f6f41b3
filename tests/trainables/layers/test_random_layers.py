"""Random layers behind activations: the draws have the stated law, straight-through gradients those of the mean."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.nn import functional
from torchvision.ops import StochasticDepth

from tests.support.short_training import draw
from trainables.config import make_config
from trainables.data.arrays import DataInfo
from trainables.layers.random_layers import (
    AdditiveNoise,
    BernoulliUnits,
    DropBlock,
    GumbelSoftmax,
    MultiplicativeNoise,
    ThresholdUnits,
)
from trainables.network.build import build_model

GREY = DataInfo("tiny", "multi-class", ("a", "b", "c"), (8, 8, 1))
N = 40_000  # draws; a mean of N draws lies within 4.5 standard errors


def test_noise_has_the_stated_deviation() -> None:
    torch.manual_seed(0)
    x = torch.full((N,), 3.0)
    for layer, deviation in ((AdditiveNoise(0.2), 0.2), (MultiplicativeNoise(0.2), 0.6)):
        y = layer(x)
        assert float(y.mean()) == pytest.approx(3, abs=4.5 * deviation / math.sqrt(N))
        assert float(y.std()) == pytest.approx(deviation, rel=0.03)
        assert stats.kstest(((y - 3) / deviation).numpy(), "norm").pvalue > 1e-4
        assert torch.equal(layer.eval()(x), x)


def normal_cdf(x: Tensor) -> Tensor:
    return torch.from_numpy(stats.norm.cdf(x.detach().numpy())).float()


@pytest.mark.parametrize(
    ("layer", "probability", "slope"),
    [
        (BernoulliUnits(1.0), lambda x: torch.sigmoid(x), lambda x: torch.sigmoid(x) * torch.sigmoid(-x)),
        (
            BernoulliUnits(0.5),
            lambda x: torch.sigmoid(2 * x),
            lambda x: 2 * torch.sigmoid(2 * x) * torch.sigmoid(-2 * x),
        ),
        (ThresholdUnits(1.0), normal_cdf, lambda x: torch.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)),
        (
            ThresholdUnits(0.5),
            lambda x: normal_cdf(2 * x),
            lambda x: 2 * torch.exp(-2 * x**2) / math.sqrt(2 * math.pi),
        ),
    ],
)
def test_straight_through_units_are_binary_with_mean_p_and_the_gradient_of_p(layer, probability, slope) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    x = torch.tensor([-2.0, -0.4, 0.0, 0.7, 1.5])
    p = probability(x)
    drawn = layer.train()(x.expand(N, 5))
    assert set(drawn.round(decimals=5).unique().tolist()) <= {0.0, 1.0}
    errors = (drawn.mean(0) - p).abs() / (p * (1 - p) / N).sqrt()
    assert float(errors.max()) < 4.5
    leaf = x.clone().requires_grad_()
    layer(leaf).sum().backward()
    torch.testing.assert_close(leaf.grad, slope(x), rtol=1e-4, atol=1e-5)


def test_units_are_their_mean_or_their_mean_threshold_in_evaluation() -> None:
    x = torch.tensor([-1.0, 0.5])
    torch.testing.assert_close(BernoulliUnits(2.0).eval()(x), torch.sigmoid(x / 2))
    assert ThresholdUnits(3.0).eval()(x).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_gumbel_softmax_draws_one_of_eight_with_mean_softmax(temperature: float) -> None:
    torch.manual_seed(0)
    logits = draw(16)
    layer = GumbelSoftmax(temperature)
    drawn = layer(logits.expand(N, 16)).view(N, 2, 8)
    torch.testing.assert_close(drawn.sum(2), torch.ones(N, 2))
    assert set(drawn.round(decimals=5).unique().tolist()) == {0.0, 1.0}
    p = torch.softmax(logits.view(2, 8), 1)
    assert float(((drawn.mean(0) - p).abs() / (p * (1 - p) / N).sqrt()).max()) < 4.5
    torch.testing.assert_close(layer.eval()(logits.expand(3, 16))[0], p.flatten())
    maps = layer(draw(2, 24, 5, 5))
    torch.testing.assert_close(maps.view(2, 3, 8, 5, 5).sum(2), torch.ones(2, 3, 5, 5))


def test_drop_block_drops_squares_at_about_the_rate_and_leaves_vectors() -> None:
    torch.manual_seed(0)
    layer = DropBlock(0.1)
    zeros = (layer(torch.ones(64, 8, 28, 28)) == 0).float()
    assert float(zeros.mean()) == pytest.approx(0.1, abs=0.03)
    runs = functional.conv2d(zeros.view(-1, 1, 28, 28), torch.ones(1, 1, 7, 7)).eq(49)
    covered = functional.conv_transpose2d(runs.float(), torch.ones(1, 1, 7, 7)) > 0
    assert torch.equal(covered, zeros.view(-1, 1, 28, 28).bool())  # what is dropped is a union of 7×7 squares
    assert torch.equal(layer(torch.ones(4, 9)), torch.ones(4, 9))
    assert float((layer(torch.ones(8, 4, 12, 12, 12)) == 0).float().mean()) > 0


@pytest.mark.parametrize(("model", "branches"), [("resnet18", 8), ("resnet50", 16), ("swin_t", 12)])
def test_stochastic_depth_rises_linearly_to_the_rate(model: str, branches: int) -> None:
    with torch.device("meta"):
        network = build_model(
            make_config({"model": model, "stochastic": "stochastic_depth", "stochastic_strength": 0.4}), GREY
        )
    rates = [module.p for module in network.modules() if isinstance(module, StochasticDepth)]
    assert rates == pytest.approx([0.4 * (i + 1) / branches for i in range(branches)])


def test_a_dropped_branch_leaves_the_skip() -> None:
    config = make_config({"model": "resnet18", "stochastic": "stochastic_depth", "stochastic_strength": 0.999999})
    block = build_model(config, GREY).get_submodule("layer4.1")
    x = draw(3, 512, 2, 2).abs()
    torch.testing.assert_close(block.train()(x), x)
