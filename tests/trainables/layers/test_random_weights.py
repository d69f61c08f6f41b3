"""Random weights: DropConnect, concrete dropout and Bayes by backprop have the published laws, gradients and KL."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional

from tests.support.short_training import draw, go_on, small_config, splits, started, trained
from trainables.config import make_config
from trainables.data.arrays import DataInfo
from trainables.layers.random_weights import (
    BayesianLayer,
    ConcreteDropout,
    DropConnect,
    divergence_of,
    divergent_layers,
)
from trainables.network.build import build_model

GREY = DataInfo("tiny", "multi-class", ("a", "b", "c"), (8, 8, 1))


def test_drop_connect_keeps_the_mean_and_drops_the_stated_share() -> None:
    torch.manual_seed(0)
    layer = DropConnect(nn.Linear(50, 400, bias=False), 0.3)
    dropped = (layer(torch.eye(50)) == 0).float().mean()
    assert float(dropped) == pytest.approx(0.3, abs=4.5 * math.sqrt(0.21 / 20_000))
    x = draw(2, 50)
    mean = torch.stack([layer(x) for _ in range(1500)]).mean(0)
    assert float((mean - layer.layer(x)).detach().abs().max()) < 0.15
    convolution = nn.Conv2d(3, 4, 3, padding="same")
    torch.testing.assert_close(DropConnect(convolution, 0.5).eval()(draw(1, 3, 6, 6)), convolution(draw(1, 3, 6, 6)))


def test_concrete_dropout_drops_its_inputs_at_its_rate() -> None:
    torch.manual_seed(0)
    layer = ConcreteDropout(nn.Linear(40, 3), 0.01)
    for rate in (0.1, 0.5):
        layer.rate_logit.data.fill_(math.log(rate / (1 - rate)))
        kept = layer.dropped(torch.ones(5000, 40))
        assert float((kept * (1 - rate) < 0.5).float().mean()) == pytest.approx(rate, abs=0.01)
        assert float(layer.learned_value().detach()) == pytest.approx(rate)
    maps = ConcreteDropout(nn.Conv2d(6, 3, 3), 0.01).dropped(torch.ones(4, 6, 5, 5))
    assert torch.equal(maps, maps[..., :1, :1].expand_as(maps))  # whole channels
    torch.testing.assert_close(layer.eval()(torch.ones(2, 40)), layer.layer(torch.ones(2, 40)))


def test_the_concrete_mask_has_the_published_law() -> None:
    """Gal et al. 2017, eq. 5, written out for given u; and its gradient in the rate."""
    layer = ConcreteDropout(nn.Linear(4, 2), 0.01)
    torch.manual_seed(7)
    found = layer.dropped(torch.ones(3, 4))
    torch.manual_seed(7)
    u = torch.rand(3, 4).clamp(1e-6, 1 - 1e-6)
    p = torch.tensor(0.1, requires_grad=True)
    z = torch.sigmoid((p.log() - (1 - p).log() + u.log() - (1 - u).log()) / 0.1)
    expected = (1 - z) / (1 - p)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    found.sum().backward()
    expected.sum().backward()
    assert layer.rate_logit.grad is not None
    assert p.grad is not None
    torch.testing.assert_close(layer.rate_logit.grad, p.grad * 0.1 * 0.9, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.8])
def test_concrete_divergence_is_the_published_one(rate: float) -> None:
    """Eq. 3 and 4 for mean weights M = W / (1 − p): l²(1 − p)/2·‖M‖² − K·H(p); its gradient by finite differences."""
    layer = ConcreteDropout(nn.Conv2d(5, 4, 3), 0.7).double()
    layer.rate_logit.data.fill_(math.log(rate / (1 - rate)))
    mean_weights = layer.layer.weight.detach().numpy() / (1 - rate)
    expected = 0.7**2 * (1 - rate) / 2 * (mean_weights**2).sum() - 5 * stats.bernoulli(rate).entropy()
    assert float(layer.divergence().detach()) == pytest.approx(float(expected), rel=1e-9)

    layer.divergence().backward()
    assert layer.rate_logit.grad is not None
    values = []
    for step in (1e-6, -1e-6):
        moved = ConcreteDropout(layer.layer, 0.7).double()
        moved.rate_logit.data.copy_(layer.rate_logit.data + step)
        values.append(float(moved.divergence().detach()))
    assert float(layer.rate_logit.grad) == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5)


def bayesian(layer: nn.Module, prior: float = 0.3) -> BayesianLayer:
    """With deviations of the size of the means."""
    assert isinstance(layer, nn.Linear | nn.Conv2d)
    bayes = BayesianLayer(layer, prior)
    torch.manual_seed(2)
    for rho in (bayes.weight_rho, bayes.bias_rho):
        assert rho is not None
        nn.init.uniform_(rho, -2.5, -1.0)
    return bayes


def posteriors(layer: BayesianLayer) -> list[torch.distributions.Normal]:
    assert layer.bias_rho is not None
    assert layer.layer.bias is not None
    pairs = [(layer.layer.weight, layer.weight_rho), (layer.layer.bias, layer.bias_rho)]
    return [torch.distributions.Normal(mean, functional.softplus(rho)) for mean, rho in pairs]


@pytest.mark.parametrize("layer", [nn.Linear(7, 5), nn.Conv2d(3, 4, 3, padding=1)])
def test_bayesian_divergence_and_its_gradient_are_torchs(layer: nn.Module) -> None:
    bayes = bayesian(layer)
    prior = torch.distributions.Normal(0.0, 0.3)
    parameters = list(bayes.parameters())
    expected = torch.stack([torch.distributions.kl_divergence(q, prior).sum() for q in posteriors(bayes)]).sum()
    torch.testing.assert_close(bayes.divergence(), expected, rtol=1e-5, atol=1e-4)
    gradients = torch.autograd.grad(bayes.divergence(), parameters), torch.autograd.grad(expected, parameters)
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("layer", "x"), [(nn.Linear(7, 5), draw(3, 7)), (nn.Conv2d(2, 4, 3, padding=1), draw(2, 2, 5, 5))]
)
def test_drawing_outputs_has_the_law_of_drawing_weights(layer: nn.Module, x: Tensor) -> None:
    """Local reparameterisation (Kingma et al. 2015): each output has the mean and variance that drawn weights give."""
    bayes = bayesian(layer)
    with torch.no_grad():
        mine = torch.stack([bayes(x) for _ in range(3000)])
        weight, bias = posteriors(bayes)
        apply = functional.linear if isinstance(layer, nn.Linear) else lambda *a: functional.conv2d(*a, padding=1)
        theirs = torch.stack([apply(x, weight.sample(), bias.sample()) for _ in range(3000)])
    scale = theirs.std(0)
    assert float(((mine.mean(0) - theirs.mean(0)) / scale).abs().max()) < 4.5 * math.sqrt(2 / 3000)
    assert float((mine.std(0) / scale - 1).abs().max()) < 0.08
    torch.testing.assert_close(bayes.eval()(x), layer(x))


def test_bayesian_gradients_are_those_of_the_reparameterised_output() -> None:
    """y = Σ xμ + ε·√(Σ x²σ²): dy/dμ = x and dy/dσ = ε·x²σ / √(Σ x²σ²), with ε from the draw itself."""
    bayes = bayesian(nn.Linear(4, 1))
    x = draw(1, 4)
    y = bayes(x)
    y.backward()
    weight, bias = posteriors(bayes)
    variance = (x**2 * weight.stddev**2).sum() + bias.stddev.square().sum()
    noise = (y - bayes.layer(x)) / variance.sqrt()
    torch.testing.assert_close(bayes.layer.weight.grad, x)
    slope = torch.sigmoid(bayes.weight_rho)  # of softplus
    torch.testing.assert_close(bayes.weight_rho.grad, noise * x**2 * weight.stddev / variance.sqrt() * slope)


@pytest.mark.parametrize("name", ["concrete_dropout", "bayes_by_backprop"])
def test_the_divergence_stands_in_the_loss_once_an_epoch(name: str) -> None:
    """One step on all images: the gradient of a parameter that only the divergence knows is its own over n."""
    n = len(splits()["train"])
    config = small_config(stochastic=name, kl_weight=2.0, batch_size=n, epochs=1, optimizer="sgd", momentum=0, lr=1.0)
    without = config.model_copy(update={"kl_weight": 0.0})
    pair = [started(config), started(without)]
    expected = torch.autograd.grad(
        divergence_of(divergent_layers(pair[0].model)), list(pair[0].model.parameters()), allow_unused=True
    )
    for one, state in zip((config, without), pair, strict=True):
        go_on(one, state)
    for (name, a), b, g in zip(pair[0].model.named_parameters(), pair[1].model.parameters(), expected, strict=True):
        moved = 0 if g is None else -2.0 * g / n
        torch.testing.assert_close(
            a - b, moved + torch.zeros_like(a), rtol=1e-3, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_frozen_layers_have_no_divergence_in_the_loss() -> None:
    model = build_model(make_config({"model": "mlp", "stochastic": "bayes_by_backprop"}), GREY)
    assert len(divergent_layers(model)) == 3
    model.get_submodule("1").requires_grad_(False)
    assert len(divergent_layers(model)) == 2


def test_concrete_rates_are_reported_and_move() -> None:
    _, metrics = trained(stochastic="concrete_dropout", lr=3e-2)
    assert list(metrics[0].learned) == ["1", "3", "5"]
    assert all(value != pytest.approx(0.1, abs=1e-4) for value in metrics[1].learned.values())
